"""The examples of signed commands, sent with curl as they are printed, to a real `oms dev`. Address and key apart."""

import re
from typing import Any

import pytest

from oms.domain.identifiers import workflow_id
from oms.workflows.programs import command_workflow_id
from tests.api.examples import NUMBER, Curl, is_in_temporal, is_journaled, is_like
from tests.faults.desk import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PING = '{"echo": "hello-nts"}'
SUBMIT = """{"asof": null, "orders": [{"contract": {"secType": "FUT", "symbol": "ES",
"lastTradeDateOrContractMonth": "202503", "exchange": "SMART", "currency": "USD"}, "order": {"action": "BUY",
"totalQuantity": 1, "orderType": "MKT", "tif": "DAY", "outsideRth": true}, "bracket": null, "runner": null,
"refs": {"case": "demo", "strategy": "nts-demo"}, "exit_policy": "bracket"}], "tenant": "nts", "idem_hint": null,
"dry_run": false}"""
FLATTEN = """{"account": null, "sec_types": ["FUT"], "exclude": [], "cancel_open_first": true,
"wait_seconds": 30}"""
ACK = {
    "status": re.compile("enqueued"),
    "message_id": re.compile(r"\d{13}-\d+"),
    "idem_key": re.compile("oms:.+"),
}


def test_healthz(curl: Curl) -> None:
    answer = curl.command("/healthz")
    assert answer.status == 200
    assert is_like(answer.json, {"status": re.compile("ok"), "version": str})


@pytest.mark.parametrize(("path", "data"), [("ping", PING), ("orders", SUBMIT), ("flatten", FLATTEN)])
def test_a_command_needs_a_token(curl: Curl, path: str, data: str) -> None:
    for token in ((), ("-H", "x-api-token: wrong")):
        assert curl(*token, "-X", "POST", f"/oms/{path}", data=data).status == 401
    assert curl("/ib/events/tail?count=50").status == 401


def test_a_ping(curl: Curl) -> None:
    first, second = (curl.command("-X", "POST", "/oms/ping", data=PING) for _ in range(2))
    assert (first.status, second.json) == (200, first.json)
    assert is_like(first.json, ACK)


async def test_an_order_is_enqueued_filled_told_and_flattened(curl: Curl) -> None:
    submitted = curl.command("-X", "POST", "/oms/orders", data=SUBMIT)
    assert submitted.status == 200, submitted.text
    assert is_like(submitted.json, ACK)
    order = _filled_order(curl, submitted.json["message_id"])
    assert order["metadata"]["refs"] == {"case": "demo", "strategy": "nts-demo"}
    assert order["metadata"]["message_id"] == submitted.json["message_id"]
    is_journaled(curl, order["order_id"])
    assert curl.executed("ES") == 1
    _tail_tells_of(curl, submitted.json["message_id"])

    flattened = curl.command("-X", "POST", "/oms/flatten", data=FLATTEN)
    assert flattened.status == 200, flattened.text
    assert is_like(flattened.json, ACK)
    assert flattened.json["message_id"] > submitted.json["message_id"]
    leg = _filled_order(curl, flattened.json["message_id"])
    assert (leg["direction"], leg["ordered_quantity"]) == ("Sell", "1")
    assert curl.executed("ES") == 0

    for ack, order_id in ((submitted, order["order_id"]), (flattened, leg["order_id"])):
        await is_in_temporal(curl, command_workflow_id(ack.json["idem_key"]), ended=True)
        await is_in_temporal(curl, workflow_id(order_id), ended=False)


def _filled_order(curl: Curl, message_id: str) -> dict[str, Any]:
    """The one order of a command, from the order book, once it is filled."""

    def done() -> dict[str, Any] | None:
        told: dict[str, Any] = curl.command(f"/oms/commands/{message_id}").json
        assert told.get("refusal") is None, told
        return told if told["status"] == "DONE" else None

    (part,) = until(f"command {message_id} done", done, 40)["orders"]
    filled = ("FILLED", "CLOSED", "CONFIRMED", "SETTLED", "RECONCILED")
    return curl.desk.until_state(part["order_id"], *filled, seconds=20)


def _tail_tells_of(curl: Curl, message_id: str) -> None:
    """The tail as it is printed: the newest last, and of the order what the broker said."""

    def told() -> list[dict[str, Any]] | None:
        answer = curl.command("/ib/events/tail?count=50")
        assert answer.status == 200, answer.text
        assert is_like(answer.json, [{"id": str, "json": dict}])
        positions = [int(event["id"].rpartition("-")[2]) for event in answer.json]
        assert positions == sorted(positions)
        own = [event["json"] for event in answer.json if event["json"].get("msg_id") == message_id]
        kinds = {event["event_type"] for event in own}
        everything = {
            "oms.submit",
            "ib.order_received",
            "openOrder",
            "orderStatus",
            "execDetails",
            "commissionReport",
        }
        return own if everything <= kinds else None

    events = until("the tail to tell all of it", told, 10)
    last = [event for event in events if event["event_type"] == "orderStatus"][-1]
    printed = {"event_type", "orderId", "status", "filled", "remaining", "avgFillPrice", "symbol"}
    assert printed <= last.keys()
    assert (last["status"], last["filled"], last["remaining"], last["symbol"]) == ("Filled", 1, 0, "ES")
    assert isinstance(last["orderId"], int)
    assert isinstance(last["avgFillPrice"], NUMBER)
    assert {event["order_index"] for event in events if event["event_type"] != "oms.submit"} == {0}
