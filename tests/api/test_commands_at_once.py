"""What is known of a command before its worker has it: what is refused at the door, and what was never accepted."""

import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from oms.domain.programs.envelopes import CommandKind
from oms.domain.programs.outcomes import CommandRecord, CommandStatus
from oms.domain.programs.tenants import Tenant
from tests.api.desk import Desk
from tests.api.programs import beside, command, envelope, hint, orders, over, ping
from tests.api.test_bad_input import refused

FUTURE = "2100-01-01T00:00:00Z"
MINUTE_NS = 60 * 10**9
NOW = ("state", "executed_quantity", "average_price", "placements")


def newest(desk: Desk) -> str | None:
    found = desk.context.store.commands.list(limit=1)
    return found[0].message_id if found else None


@pytest.mark.parametrize(
    ("kind", "payload", "code", "field"),
    [
        ("oms.submit", orders(asof=FUTURE), "VALIDATION_FAILED", "asof"),
        ("oms.flatten", {"account": "DU999999", "idem_hint": hint()}, "INVALID_ACCOUNT", "account"),
    ],
    ids=["of the future", "nobody's account"],
)
async def test_what_is_known_at_once_is_refused_at_once(
    desk: Desk, kind: str, payload: dict[str, Any], code: str, field: str
) -> None:
    before, signed = newest(desk), envelope(kind, payload)
    path = {"oms.submit": "/oms/orders", "oms.flatten": "/oms/flatten"}[kind]
    refused(await desk.post(path, payload), 422, code, field)
    refused(await desk.post("/oms/envelopes", signed), 422, code, field)
    assert newest(desk) == before, "nothing is kept"
    assert desk.context.store.nonces.claim(signed["nonce"], "a test", time.time_ns()) == "a test"


async def test_a_repetition_is_answered_whatever_its_account_has_become(desk: Desk) -> None:
    store, named = desk.context.store, "ACCT-002"
    store.tenants.put(Tenant(tenant="nts", portfolio_id="PORT-001", accounts=(named,)))
    sent = {"account": named, "idem_hint": hint(), "wait_seconds": 0, "dry_run": True}
    async with beside(desk) as first:
        ack = await first.post("/oms/flatten", sent)
    assert ack.status_code == 200, ack.text
    store.tenants.put(Tenant(tenant="nts", portfolio_id="PORT-001"))
    async with beside(desk) as later:
        assert (await later.post("/oms/flatten", sent)).text == ack.text
        refused(await later.post("/oms/flatten", {**sent, "idem_hint": hint()}), 422, "INVALID_ACCOUNT")


def keep(desk: Desk, age_ns: int) -> CommandRecord:
    """A command that was kept so long ago, by a process that found no Temporal."""
    at_ns = time.time_ns() - age_ns
    record = CommandRecord(
        idem_key=f"oms:nts:{hint()}",
        message_id=f"{at_ns // 1_000_000:013d}-{at_ns % 10**10:010d}",
        tenant="nts",
        kind=CommandKind.PING,
        digest=hint() * 2,
        key_name="pm",
        status=CommandStatus.ENQUEUED,
        payload={},
        received_ns=at_ns,
        updated_ns=at_ns,
    )
    return desk.context.store.commands.claim(record, window_ns=None)[0]


async def test_what_was_kept_and_never_accepted_says_so(desk: Desk) -> None:
    left = await command(desk, keep(desk, 2 * MINUTE_NS).message_id)
    assert (left["status"], left["orders"]) == ("RECEIVED", [])
    assert "sent again" in left["detail"]
    on_its_way = await command(desk, keep(desk, 0).message_id)
    assert (on_its_way["status"], on_its_way["detail"]) == ("ENQUEUED", None)


async def test_what_temporal_has_is_enqueued_however_long_it_waits(desk: Desk) -> None:
    old = keep(desk, 2 * MINUTE_NS)
    await desk.context.temporal.start_workflow(
        "Command", id=f"command/{old.idem_key}", task_queue="nobody-works-here"
    )
    assert (await command(desk, old.message_id))["status"] == "ENQUEUED"


async def test_a_list_does_not_pretend_to_know_how_orders_are_now(desk: Desk) -> None:
    ack = (await desk.post("/oms/orders", orders())).json()
    whole = (await over(desk, ack["message_id"]))["orders"][0]
    listed = next(
        one
        for one in (await desk.get("/oms/commands")).json()["items"]
        if one["message_id"] == ack["message_id"]
    )["orders"][0]
    assert listed == {name: value for name, value in whole.items() if name not in NOW}
    assert set(NOW) <= whole.keys()


async def test_what_an_envelope_does_not_have_is_not_alarmed_as_none(desk: Desk) -> None:
    head = desk.context.store.control.head()
    with capture_logs() as logs:
        refused(await desk.post("/oms/envelopes", {**envelope(), "sig": "0" * 64}), 403, "BAD_SIGNATURE")
    (alarm,) = [line for line in logs if line["event"] == "command.alarm.refused"]
    (event,) = desk.context.store.control.stream(head)
    assert "idem_key" not in alarm
    assert "idem_key" not in event.data
    assert alarm["nonce"] == event.data["nonce"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"orders": []}, "must have at least 1 item"),
        ({"orders": [5]}, "must be a JSON object"),
        ([ping()], "must be a JSON object"),
    ],
)
async def test_findings_are_said_in_words_of_json(desk: Desk, body: Any, message: str) -> None:
    problem = refused(await desk.post("/oms/orders", body), 422, "VALIDATION_FAILED")
    assert [one["message"] for one in problem["errors"]] == [message]
