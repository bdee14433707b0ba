"""The life of an order by hand, from the first request to reconciliation, and the ways it can end early."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from oms.api.app import create_app
from oms.domain.terms import PlacementStatus, Role
from tests.api.desk import Desk, executed, reported


async def test_an_order_from_creation_to_reconciliation(desk: Desk) -> None:
    order_id, placement_id = await desk.filled()
    order = (await desk.get(f"/v1/orders/{order_id}")).json()
    assert (order["state"], order["executed_quantity"], order["average_price"]) == ("FILLED", "100", "150.25")
    fills = (await desk.get(f"/v1/orders/{order_id}/fills")).json()["items"]
    assert [(f["placement_id"], f["quantity"], f["price"]) for f in fills] == [
        (placement_id, "100", "150.25")
    ]
    closed = await desk.post(f"/v1/orders/{order_id}/close", None, Role.TRADER)
    assert closed.status_code == 200
    assert closed.json()["executed_quantity"] == "100"
    assert closed.json()["unfilled_quantity"] == "0"
    assert closed.json()["order"]["state"] == "CLOSED"
    assert (await desk.command(order_id, "send-to-operations", Role.TRADER))["state"] == "SENT_TO_OPERATIONS"
    allocations = (await desk.get(f"/v1/orders/{order_id}/allocations")).json()["items"]
    assert [(a["account_id"], a["quantity"]) for a in allocations] == [("ACCT-001", "100")]
    await desk.command(order_id, "post-trade-compliance/request", Role.OPS)
    passed = await desk.command(order_id, "post-trade-compliance/pass", Role.COMPLIANCE)
    assert passed["post_trade"]["status"] == "PASSED"
    assert (await desk.command(order_id, "confirm", Role.OPS))["state"] == "CONFIRMED"
    settled = await desk.command(order_id, "settle", Role.OPS, {"reason": "the custodian called"})
    assert settled["state"] == "SETTLED"
    done = await desk.command(order_id, "reconcile", Role.OPS, {"reason": "compared by hand"})
    assert (done["state"], done["owner"], done["waiting_on"]["on"]) == ("RECONCILED", None, "nobody")
    kinds = [e["kind"] for e in (await desk.get(f"/v1/orders/{order_id}/journal?limit=500")).json()["items"]]
    assert kinds[0] == "order_created"
    assert kinds[-1] == "order_reconciled"
    late = await desk.post(f"/v1/orders/{order_id}/cancel", None, Role.TRADER)
    assert (late.status_code, late.json()["code"], late.json()["state"]) == (
        409,
        "INVALID_STATE",
        "RECONCILED",
    )


async def test_a_failed_check_is_overridden_by_somebody_else(desk: Desk) -> None:
    order_id = (await desk.order())["order_id"]
    requested = await desk.command(order_id, "pre-trade-compliance/request")
    violation = {"rule_id": "R-001", "rule_name": "too much", "description": "far too much", "limit": "5"}
    stale = await desk.post(
        f"/v1/orders/{order_id}/pre-trade-compliance/fail",
        {"violations": [violation], "order_version": 1},
        Role.COMPLIANCE,
    )
    assert (stale.status_code, stale.json()["code"]) == (409, "STALE_VERDICT")
    verdict = {"violations": [violation], "order_version": requested["pre_trade"]["version"]}
    failed = await desk.command(order_id, "pre-trade-compliance/fail", Role.COMPLIANCE, verdict)
    assert failed["state"] == "PRE_TRADE_COMPLIANCE_FAILED"
    assert failed["pre_trade"]["violations"][0]["rule_id"] == "R-001"
    path = f"/v1/orders/{order_id}/pre-trade-compliance/override"
    own = await desk.post(path, {"reason": "fine", "approver_id": "pm"}, Role.COMPLIANCE)
    assert (own.status_code, own.json()["code"]) == (409, "FOUR_EYES")
    done = await desk.post(path, {"reason": "fine", "approver_id": "USER-0042"}, Role.COMPLIANCE)
    assert done.status_code == 200
    assert done.json()["override_id"].startswith("OVR-")
    assert done.json()["order"]["pre_trade"]["override"]["override_id"] == done.json()["override_id"]
    empty = await desk.post(
        f"/v1/orders/{order_id}/pre-trade-compliance/fail", {"violations": []}, Role.COMPLIANCE
    )
    assert empty.status_code == 422


async def test_the_rule_engine_answers_a_request_at_once(desk: Desk) -> None:
    order_id = (await desk.order(compliance="builtin"))["order_id"]
    await desk.command(order_id, "pre-trade-compliance/request")
    passed = await desk.reads(order_id, lambda order: order["state"] == "PRE_TRADE_COMPLIANCE_PASSED")
    assert passed["compliance_mode"] == "builtin"


async def test_placements_are_made_read_and_canceled(desk: Desk) -> None:
    order_id, placement_id = await desk.routed()
    one = (await desk.get(f"/v1/placements/{placement_id}")).json()
    assert (one["order_id"], one["venue"], one["account"], one["quantity"]) == (
        order_id,
        "IBKR",
        "DU001456",
        "100",
    )
    listed = (await desk.get(f"/v1/orders/{order_id}/placements")).json()["items"]
    assert [placement["placement_id"] for placement in listed] == [placement_id]
    more = await desk.post(
        f"/v1/orders/{order_id}/placements", {"venue": "IBKR", "quantity": "1"}, Role.TRADER
    )
    assert (more.status_code, more.json()["code"]) == (409, "PLACEMENT_EXCEEDS_ORDER")
    away = await desk.post(
        f"/v1/orders/{order_id}/placements", {"venue": "MOON", "quantity": "1"}, Role.TRADER
    )
    assert (away.status_code, away.json()["code"]) == (422, "INVALID_VENUE")
    nobody = {"venue": "IBKR", "account": "DU404", "quantity": "1"}
    lost = await desk.post(f"/v1/orders/{order_id}/placements", nobody, Role.TRADER)
    assert (lost.status_code, lost.json()["code"]) == (422, "INVALID_ACCOUNT")
    early = await desk.post(
        f"/v1/placements/{placement_id}/resolve", {"status": "CANCELED", "reason": "looked"}, Role.TRADER
    )
    assert (early.status_code, early.json()["code"]) == (409, "INVALID_STATE")
    canceling = await desk.post(f"/v1/placements/{placement_id}/cancel", None, Role.TRADER)
    assert canceling.json()["status"] == "CANCEL_PENDING"
    await desk.venue_says(order_id, reported(placement_id, PlacementStatus.CANCELED))
    await desk.reads(order_id, lambda order: order["placements"][0]["status"] == "CANCELED")
    again = await desk.post(f"/v1/placements/{placement_id}/cancel", None, Role.TRADER)
    assert (again.status_code, again.json()["code"]) == (409, "ALREADY_CANCELED")


async def test_a_cancel_waits_for_the_venue_and_a_fill_may_win(desk: Desk) -> None:
    order_id, placement_id = await desk.routed()
    canceling = asyncio.create_task(
        desk.post(f"/v1/orders/{order_id}/cancel", {"reason": "too late"}, Role.TRADER)
    )
    await desk.reads(order_id, lambda order: order["placements"][0]["status"] == "CANCEL_PENDING")
    await desk.venue_says(
        order_id, *executed(placement_id, "100"), reported(placement_id, PlacementStatus.FILLED, "100")
    )
    answer = await canceling
    assert (answer.status_code, answer.json()["state"]) == (200, "FILLED")


@pytest.fixture
async def hasty(desk: Desk) -> AsyncIterator[Desk]:
    """A desk that waits a third of a second for a venue."""
    context = replace(desk.context, settings=replace(desk.context.settings, verdict_seconds=0.3))
    transport = httpx.ASGITransport(create_app(context))
    async with httpx.AsyncClient(transport=transport, base_url="http://oms") as client:
        made = Desk(client, context)
        await made.describe_instrument()
        yield made


async def test_while_the_venue_says_nothing_the_answer_is_202(hasty: Desk) -> None:
    desk = hasty
    order_id, placement_id = await desk.routed()
    waiting = await desk.post(f"/v1/orders/{order_id}/cancel", None, Role.TRADER)
    assert (waiting.status_code, waiting.json()["state"]) == (202, "ROUTED")
    assert waiting.json()["placements"][0]["status"] == "CANCEL_PENDING"
    await desk.venue_says(order_id, reported(placement_id, PlacementStatus.CANCELED))
    await desk.reads(order_id, lambda order: order["state"] == "CANCELED")
    order_id, placement_id = await desk.routed()
    await desk.venue_says(order_id, *executed(placement_id, "40"))
    await desk.reads(order_id, lambda order: order["state"] == "PARTIALLY_FILLED")
    closing = await desk.post(f"/v1/orders/{order_id}/close", None, Role.TRADER)
    assert (closing.status_code, closing.json()["executed_quantity"]) == (202, "40")


async def test_a_partly_filled_order_is_closed(desk: Desk) -> None:
    order_id, _ = await desk.filled("40")
    closed = (await desk.post(f"/v1/orders/{order_id}/close", {}, Role.TRADER)).json()
    assert (closed["executed_quantity"], closed["unfilled_quantity"]) == ("40", "60")


async def test_allocations_add_up_to_what_was_executed(desk: Desk) -> None:
    order_id, _ = await desk.filled()
    path = f"/v1/orders/{order_id}/allocations"
    part = {"account_id": "ACCT-001", "portfolio_id": "PORT-001", "quantity": "60"}
    first = await desk.post(path, part, Role.TRADER)
    assert first.status_code == 201, first.text
    assert first.headers["location"] == f"/v1/allocations/{first.json()['allocation_id']}"
    over = await desk.post(path, {**part, "account_id": "ACCT-002", "quantity": "41"}, Role.TRADER)
    assert (over.status_code, over.json()["code"]) == (409, "ALLOCATION_MISMATCH")
    for wrong, code in (
        ({"account_id": "ACCT-9"}, "INVALID_ACCOUNT"),
        ({"portfolio_id": "P-9"}, "INVALID_PORTFOLIO"),
    ):
        refused = await desk.post(path, {**part, **wrong}, Role.TRADER)
        assert (refused.status_code, refused.json()["code"]) == (422, code)
    await desk.post(f"/v1/orders/{order_id}/close", None, Role.TRADER)
    short = await desk.post(f"/v1/orders/{order_id}/send-to-operations", None, Role.TRADER)
    assert (short.status_code, short.json()["code"]) == (409, "ALLOCATION_MISMATCH")
    one = f"/v1/allocations/{first.json()['allocation_id']}"
    changed = await desk.ask(Role.OPS, "PATCH", one, {"quantity": "100"})
    assert (changed.status_code, changed.json()["quantity"]) == (200, "100")
    assert (await desk.get(one)).json()["quantity"] == "100"
    assert (await desk.command(order_id, "send-to-operations", Role.TRADER))["state"] == "SENT_TO_OPERATIONS"


async def test_a_late_fill_is_an_exception_that_operations_resolve(desk: Desk) -> None:
    order_id, placement_id = await desk.filled("40")
    await desk.post(f"/v1/orders/{order_id}/close", None, Role.TRADER)
    await desk.venue_says(order_id, *executed(placement_id, "10"))
    order = await desk.reads(order_id, lambda order: order["exceptions"])
    assert (order["exceptions"][0]["code"], order["waiting_on"]["on"]) == ("LATE_FILL", "ops")
    listed = (await desk.get("/v1/exceptions?limit=500")).json()["items"]
    assert ("LATE_FILL", order_id) in {(item["code"], item["order_id"]) for item in listed}
    subject = order["exceptions"][0]["subject"]
    path = f"/v1/orders/{order_id}/exceptions/LATE_FILL/resolve"
    other = await desk.post(path, {"reason": "seen", "subject": "another"}, Role.OPS)
    assert other.status_code == 404
    resolved = await desk.post(path, {"reason": "seen", "subject": subject}, Role.OPS)
    assert (resolved.status_code, resolved.json()["exceptions"]) == (200, [])
    assert "LATE_FILL" not in {
        i["code"] for i in (await desk.get("/v1/exceptions")).json()["items"] if i["order_id"] == order_id
    }
