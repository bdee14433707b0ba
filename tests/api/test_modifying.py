"""A change of what works at a venue: pending until the venue has spoken, once, and refused for what cannot be."""

import time
from typing import Any

import pytest

from oms.domain.facts import ChangeRefused, PlacementChanged, Rounding, TermsRounded
from oms.domain.terms import PlacementStatus, Role
from tests.api.desk import Desk, executed, reported


def of(placement_id: str, revision: int) -> dict[str, Any]:
    now = time.time_ns()
    return {"ts_event_ns": now, "ts_init_ns": now, "placement_id": placement_id, "revision": revision}


async def placement(desk: Desk, placement_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await desk.get(f"/v1/placements/{placement_id}")).json()
    return found


async def working(desk: Desk) -> tuple[str, str, str]:
    """An order, its placement that the venue works, and the path of the change."""
    order_id, placement_id = await desk.routed()
    await desk.venue_says(order_id, reported(placement_id, PlacementStatus.WORKING))
    await desk.reads(order_id, lambda order: order["placements"][0]["status"] == "WORKING")
    return order_id, placement_id, f"/v1/placements/{placement_id}/modify"


async def test_a_change_is_pending_until_the_venue_has_spoken(desk: Desk) -> None:
    order_id, placement_id, path = await working(desk)
    asked = await desk.post(path, {"quantity": "60", "limit_price": "150.1"}, Role.TRADER)
    assert asked.status_code == 200, asked.text
    pending = asked.json()
    assert pending["change"] == {
        "revision": 1,
        "terms": {"quantity": "60", "limit_price": "150.1"},
        "refused": None,
    }
    assert (pending["revision"], pending["quantity"], pending["limit_price"]) == (0, "100", "150.25")
    order = (await desk.get(f"/v1/orders/{order_id}")).json()
    assert order["working_quantity"] == "100", "the old quantity counts until the venue has confirmed"
    await desk.venue_says(order_id, PlacementChanged(**of(placement_id, 1)))
    done = await desk.reads(order_id, lambda order: order["placements"][0]["revision"] == 1)
    changed = done["placements"][0]
    assert (changed["quantity"], changed["limit_price"], changed["change"]) == ("60", "150.1", None)
    assert done["working_quantity"] == "60"


async def test_a_change_that_the_venue_refuses_says_why(desk: Desk) -> None:
    order_id, placement_id, path = await working(desk)
    assert (await desk.post(path, {"limit_price": "149"}, Role.TRADER)).status_code == 200
    await desk.venue_says(order_id, ChangeRefused(**of(placement_id, 1), reason="201 too late"))
    await desk.reads(order_id, lambda order: order["placements"][0]["change"]["refused"] is not None)
    shown = await placement(desk, placement_id)
    assert (shown["change"]["refused"], shown["limit_price"]) == ("201 too late", "150.25")
    again = await desk.post(path, {"limit_price": "149"}, Role.TRADER)
    assert (again.status_code, again.json()["change"]["revision"]) == (200, 2)


async def test_what_was_rounded_is_shown(desk: Desk) -> None:
    order_id, placement_id, _ = await working(desk)
    rounding = Rounding(field="limit_price", asked="150.257", sent="150.25", tick="0.01")
    await desk.venue_says(order_id, TermsRounded(**of(placement_id, 0), roundings=(rounding,)))
    await desk.reads(order_id, lambda order: bool(order["placements"][0]["roundings"]))
    shown = await placement(desk, placement_id)
    assert shown["roundings"] == [
        {"field": "limit_price", "asked": "150.257", "sent": "150.25", "tick": "0.01"}
    ]


async def test_the_same_request_is_one_change(desk: Desk) -> None:
    _, placement_id, path = await working(desk)
    answers = [
        await desk.post(path, {"quantity": "50"}, Role.TRADER, Idempotency_Key="change-once-1")
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 200], answers[1].text
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert (await placement(desk, placement_id))["change"]["revision"] == 1
    other = await desk.post(path, {"quantity": "40"}, Role.TRADER, Idempotency_Key="change-once-1")
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_CONFLICT")
    second = await desk.post(path, {"quantity": "40"}, Role.TRADER)
    assert (second.status_code, second.json()["code"]) == (409, "INVALID_STATE"), second.text


async def test_a_change_whose_answer_was_lost_is_the_same_change(desk: Desk) -> None:
    order_id, placement_id, path = await working(desk)
    key = f"change-lost-{placement_id}"
    first = await desk.post(path, {"quantity": "50"}, Role.TRADER, Idempotency_Key=key)
    desk.forget_answer(key)
    second = await desk.post(path, {"quantity": "50"}, Role.TRADER, Idempotency_Key=key)
    assert (first.status_code, second.status_code) == (200, 200), second.text
    assert second.json()["change"]["revision"] == 1
    journal = (await desk.get(f"/v1/orders/{order_id}/journal")).json()["items"]
    assert [event["kind"] for event in journal].count("placement_change_requested") == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"quantity": "0"}, 422),
        ({"limit_price": "-1"}, 422),
        ({"colour": "red"}, 422),
        ({"trail_percent": "100"}, 422),
        ({"quantity": "101"}, 422),
    ],
)
async def test_what_cannot_be_changed_is_refused(desk: Desk, body: dict[str, Any], status: int) -> None:
    _, placement_id, path = await working(desk)
    answer = await desk.post(path, body, Role.TRADER)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await placement(desk, placement_id))["change"] is None


async def test_who_may_and_where(desk: Desk) -> None:
    order_id, placement_id, path = await working(desk)
    for role in (Role.PM, Role.OPS, Role.VIEWER):
        answer = await desk.post(path, {"quantity": "50"}, role)
        assert (answer.status_code, answer.json()["code"]) == (403, "NOT_AUTHORIZED"), role
    unknown = await desk.post("/v1/placements/PLC-none/modify", {"quantity": "50"}, Role.TRADER)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "PLACEMENT_NOT_FOUND")
    hidden = await desk.post(path, {"quantity": "50"}, "secret-second")
    assert (hidden.status_code, hidden.json()["code"]) == (404, "PLACEMENT_NOT_FOUND")
    done = reported(placement_id, PlacementStatus.FILLED, "100")
    await desk.venue_says(order_id, *executed(placement_id, "100"), done)
    await desk.reads(order_id, lambda order: order["state"] == "FILLED")
    late = await desk.post(path, {"quantity": "50"}, Role.TRADER)
    assert (late.status_code, late.json()["code"]) == (409, "INVALID_STATE"), late.text
