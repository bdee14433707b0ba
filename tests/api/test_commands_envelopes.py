"""Envelopes that other producers signed: good ones are taken once, every other one is refused, recorded and alarmed."""

import asyncio
import json
import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from oms.domain.control import ControlEvent, ControlKind
from oms.domain.terms import Role
from tests.api.desk import ENVELOPE_SECRET, SECRETS, Desk
from tests.api.programs import beside, envelope, hint, order, over
from tests.api.test_bad_input import refused

SECOND = "secret-second"
MINUTE_MS = 60_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def named() -> str:
    return f"oms:nts:{hint()}"


def recorded(desk: Desk, after: int) -> list[ControlEvent]:
    return desk.context.store.control.stream(after, kinds=[ControlKind.COMMAND_REFUSED])


def last_command(desk: Desk) -> str:
    return desk.context.store.commands.list(limit=1)[0].message_id


@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_good_one_is_a_command_like_any_other(desk: Desk, wrapped: bool) -> None:
    payload = {"orders": [order(totalQuantity=3)]}
    signed = envelope("oms.submit", payload, idem_key=named())
    answer = await desk.post("/oms/envelopes", {"envelope": signed} if wrapped else signed)
    assert answer.status_code == 200, answer.text
    assert answer.json()["idem_key"] == signed["idem_key"]
    done = await over(desk, answer.json()["message_id"])
    assert (done["status"], done["payload"]) == ("DONE", payload)
    (opened,) = done["orders"]
    assert (opened["quantity"], opened["refusal"]) == (3, None)


async def test_its_key_is_its_own_else_the_hints_else_the_nonces(desk: Desk) -> None:
    mine = named()
    by_hint = hint()
    for signed, key in (
        (envelope(idem_key=mine), mine),
        (envelope(payload={"idem_hint": by_hint}), f"oms:nts:{by_hint}"),
    ):
        assert (await desk.post("/oms/envelopes", signed)).json()["idem_key"] == key
    signed = envelope()
    assert (await desk.post("/oms/envelopes", signed)).json()["idem_key"] == f"oms:nts:n-{signed['nonce']}"


async def test_any_secret_of_the_list_verifies(desk: Desk) -> None:
    new, old = "the-new-one", "the-old-one"
    async with beside(desk, envelope_secrets=(new, old)) as rotating:
        for secret in (new, old):
            taken = await rotating.post("/oms/envelopes", envelope(secret=secret))
            assert taken.status_code == 200
            await over(desk, taken.json()["message_id"])
        refused(await rotating.post("/oms/envelopes", envelope()), 403, "BAD_SIGNATURE")


# -- tampered, old, replayed ----------------------------------------------------------------------

TAMPERED: list[dict[str, Any]] = [
    {"sig": None},
    {"sig": "0" * 64},
    {"ts": now_ms() - 1},
    {"nonce": "AAAAAAAAAAAAAAAAAAAAAA"},
    {"idem_key": "oms:nts:another"},
    {"tenant": "other"},
    {"payload": {"echo": "altered"}},
    {"payload": {"echo": "hi", "idem_hint": "added"}},
    {"sig": envelope(secret="somebody-elses")["sig"]},
]


@pytest.mark.parametrize("changes", TAMPERED, ids=lambda changes: next(iter(changes)))
async def test_what_was_altered_is_refused_recorded_and_alarmed(desk: Desk, changes: dict[str, Any]) -> None:
    store, before, head = desk.context.store, last_command(desk), desk.context.store.control.head()
    with capture_logs() as logs:
        answer = await desk.post("/oms/envelopes", {**envelope(), **changes})
    refused(answer, 403, "BAD_SIGNATURE")
    (event,) = recorded(desk, head)
    assert (event.actor, event.data["code"]) == ("pm", "BAD_SIGNATURE")
    (alarm,) = [line for line in logs if line["event"] == "command.alarm.refused"]
    assert (alarm["code"], alarm["message_id"], alarm["log_level"]) == (
        "BAD_SIGNATURE",
        event.subject,
        "error",
    )
    told = f"{answer.text}{event.model_dump_json()}{logs}"
    assert ENVELOPE_SECRET not in told
    assert last_command(desk) == before
    metrics = (await desk.client.get("/metrics")).text
    assert 'oms_envelopes_refused_total{code="BAD_SIGNATURE"}' in metrics
    assert store.commands.by_message(event.subject) is None


async def test_another_kind_under_the_same_signature_is_refused(desk: Desk) -> None:
    signed = envelope("oms.flatten", {"sec_types": ["STK"]})
    refused(await desk.post("/oms/envelopes", {**signed, "kind": "oms.ping"}), 403, "BAD_SIGNATURE")


@pytest.mark.parametrize("minutes", [-6, 6, -60 * 24 * 365])
async def test_an_old_one_and_one_of_the_future_are_refused(desk: Desk, minutes: int) -> None:
    head = desk.context.store.control.head()
    signed = envelope(ts_ms=now_ms() + minutes * MINUTE_MS, idem_key=named())
    for _ in range(2):
        problem = refused(await desk.post("/oms/envelopes", signed), 403, "STALE_ENVELOPE")
        assert problem["window_ms"] == 300_000
    assert [event.data["code"] for event in recorded(desk, head)] == ["STALE_ENVELOPE"] * 2
    refused(await desk.get(f"/oms/commands/{signed['idem_key']}"), 404, "COMMAND_NOT_FOUND")


async def test_the_window_is_a_setting(desk: Desk) -> None:
    async with beside(desk, envelope_window_seconds=3600) as patient:
        signed = envelope(ts_ms=now_ms() - 30 * MINUTE_MS)
        assert (await patient.post("/oms/envelopes", signed)).status_code == 200
    async with beside(desk, envelope_window_seconds=1) as strict:
        refused(await strict.post("/oms/envelopes", envelope(ts_ms=now_ms() - 1500)), 403, "STALE_ENVELOPE")


async def test_the_very_same_one_under_its_own_key_is_the_same_command(desk: Desk) -> None:
    signed = envelope(idem_key=named())
    first = await desk.post("/oms/envelopes", signed)
    assert (await desk.post("/oms/envelopes", {"envelope": signed})).text == first.text
    await over(desk, first.json()["message_id"])
    async with beside(desk, envelope_window_seconds=0.001) as later:
        assert (await later.post("/oms/envelopes", signed)).text == first.text
        refused(await later.post("/oms/envelopes", envelope(ts_ms=1)), 403, "STALE_ENVELOPE")


async def test_without_a_key_it_is_taken_once(desk: Desk) -> None:
    signed, head = envelope(), desk.context.store.control.head()
    first = await desk.post("/oms/envelopes", signed)
    assert first.status_code == 200
    problem = refused(await desk.post("/oms/envelopes", signed), 409, "REPLAYED_NONCE")
    assert problem["idem_key"] == first.json()["idem_key"]
    assert [event.data["nonce"] for event in recorded(desk, head)] == [signed["nonce"]]


async def test_a_nonce_is_used_once_whatever_it_is_signed_into(desk: Desk) -> None:
    nonce = envelope()["nonce"]
    assert (await desk.post("/oms/envelopes", envelope(nonce=nonce, idem_key=named()))).status_code == 200
    for again in (envelope(nonce=nonce, idem_key=named()), envelope(nonce=nonce)):
        refused(await desk.post("/oms/envelopes", again), 409, "REPLAYED_NONCE")
    other = envelope(nonce=nonce, tenant="other")
    problem = refused(await desk.post("/oms/envelopes", other, SECOND), 409, "REPLAYED_NONCE")
    assert "idem_key" not in problem, "another tenant's command is not named"


async def test_a_key_stands_for_one_command(desk: Desk) -> None:
    key = named()
    first = await desk.post("/oms/envelopes", envelope(payload={"echo": "a"}, idem_key=key))
    signed_anew = envelope(payload={"echo": "a"}, idem_key=key)
    assert (await desk.post("/oms/envelopes", signed_anew)).text == first.text
    other = envelope(payload={"echo": "b"}, idem_key=key)
    refused(await desk.post("/oms/envelopes", other), 422, "IDEMPOTENCY_CONFLICT")
    by_hand = await desk.post("/oms/ping", {"echo": "a", "idem_hint": key.removeprefix("oms:nts:")})
    refused(by_hand, 422, "IDEMPOTENCY_CONFLICT")


async def test_many_at_once_in_two_processes_are_one_command(desk: Desk) -> None:
    signed = envelope(idem_key=named())
    async with beside(desk) as other:
        desks = [desk, other]
        answers = await asyncio.gather(*(desks[n % 2].post("/oms/envelopes", signed) for n in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1


# -- what it may say, and for whom ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"kind": "alloc.submit"}, "kind"),
        ({"tenant": "no tenant"}, "tenant"),
        ({"payload": []}, "payload"),
        ({"payload": None}, "payload"),
        ({"ts": "now"}, "ts"),
        ({"ts": 1.5}, "ts"),
        ({"ts": 10**20}, "ts"),
        ({"nonce": "short"}, "nonce"),
        ({"nonce": "!" * 22}, "nonce"),
        ({"idem_key": "two words"}, "idem_key"),
        ({"idem_key": "x" * 201}, "idem_key"),
        ({"sig": "SIGNED"}, "sig"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_an_envelope_that_is_none(desk: Desk, changes: dict[str, Any], field: str) -> None:
    refused(await desk.post("/oms/envelopes", {**envelope(), **changes}), 422, "VALIDATION_FAILED", field)


@pytest.mark.parametrize(
    ("kind", "payload", "field"),
    [
        ("oms.ping", {"echo": "x", "surprise": 1}, "surprise"),
        ("oms.submit", {"orders": []}, "orders"),
        ("oms.submit", {"orders": [order(totalQuantity=-1)]}, "orders.0.order.totalQuantity"),
        ("oms.flatten", {"wait_seconds": 10**6}, "wait_seconds"),
        ("oms.ping", {"tenant": "other"}, "tenant"),
    ],
)
async def test_a_signature_makes_no_payload_good(
    desk: Desk, kind: str, payload: dict[str, Any], field: str
) -> None:
    refused(await desk.post("/oms/envelopes", envelope(kind, payload)), 422, "VALIDATION_FAILED", field)


async def test_what_could_be_read_in_two_ways_is_not_read(desk: Desk) -> None:
    signed = json.dumps(envelope(payload={"echo": "hi"}))
    headers = {"x-api-token": SECRETS[Role.PM]}
    for text, status, code in (
        (signed.replace('"echo": "hi"', '"echo": "ho", "echo": "hi"'), 400, "MALFORMED"),
        (signed.replace('"kind"', '"kind": "oms.flatten", "kind"'), 400, "MALFORMED"),
        (signed.replace('"hi"', "1e2"), 422, "VALIDATION_FAILED"),
        (signed[:-1] + ', "envelope": {}}', 422, "VALIDATION_FAILED"),
    ):
        refused(await desk.client.post("/oms/envelopes", content=text, headers=headers), status, code)


async def test_a_key_named_like_another_tenants_is_refused(desk: Desk) -> None:
    stolen = envelope(tenant="other", idem_key=named())
    refused(await desk.post("/oms/envelopes", stolen, SECOND), 422, "VALIDATION_FAILED", "idem_key")


async def test_a_signature_opens_no_other_tenant(desk: Desk) -> None:
    refused(await desk.post("/oms/envelopes", envelope(), SECOND), 422, "INVALID_TENANT")
    refused(await desk.post("/oms/envelopes", envelope(tenant="nobody")), 422, "INVALID_TENANT")
    trade = envelope("oms.submit", {"orders": [order()]})
    refused(await desk.post("/oms/envelopes", trade, Role.VIEWER), 403, "NOT_AUTHORIZED")
    assert (await desk.post("/oms/envelopes", envelope(), Role.VIEWER)).status_code == 200
