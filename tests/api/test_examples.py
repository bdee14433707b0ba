"""The examples of the two program surfaces, sent with curl as they are printed, to a real `oms dev`.

Address and key apart. The contract of each answer is its keys, words and types; what the orders became is looked up in
the order book, in the journal, in Temporal, and at the broker's own count.
"""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from oms.domain.identifiers import workflow_id
from oms.paper.fault_file import journal_of
from oms.paper.ib_book import read_executions
from oms.workflows.programs import command_workflow_id, target_batch_workflow_id
from tests.faults.desk import Desk, until
from tests.stack import TemporalServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PING = '{"echo": "hello-nts"}'
SUBMIT = """{"asof": null, "orders": [{"contract": {"secType": "FUT", "symbol": "ES",
"lastTradeDateOrContractMonth": "202503", "exchange": "SMART", "currency": "USD"}, "order": {"action": "BUY",
"totalQuantity": 1, "orderType": "MKT", "tif": "DAY", "outsideRth": true}, "bracket": null, "runner": null,
"refs": {"case": "demo", "strategy": "nts-demo"}, "exit_policy": "bracket"}], "tenant": "nts", "idem_hint": null,
"dry_run": false}"""
FLATTEN = """{"account": null, "sec_types": ["FUT"], "exclude": [], "cancel_open_first": true,
"wait_seconds": 30}"""
TARGETS = """{"orders": [{"symbol": "AAPL", "quantity": 100}, {"symbol": "MSFT", "quantity": 50,
"limit_price": 420.00}]}"""
BATCHES = "/api/v1/orders"
NUMBER = (int, Decimal)


class Broker:
    """What goes wrong at the paper broker, as the file of its fault plan says."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._plans = 0

    def does(self, **plan: Any) -> None:
        """Put a plan in force, and wait until it is."""
        self._plans += 1
        name = f"plan {self._plans}"
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps({"name": name, **plan}))
        fresh.replace(self.file)
        journal = journal_of(self.file)
        until(f"{name} in force", lambda: journal.exists() and f'"{name}"' in journal.read_text(), 10)


class Curl:
    """A shell's curl on a running order book."""

    def __init__(self, desk: Desk, broker: Broker) -> None:
        self.desk = desk
        self.broker = broker
        self.key = desk.http["pm"].headers["X-API-Key"]

    def __call__(self, *arguments: str, data: str | None = None) -> "Answer":
        """`curl` with these arguments; the path is the last of them."""
        *options, path = arguments
        command = ["curl", "-sS", "-i", "--noproxy", "*", "--max-time", "30", *options]
        if data is not None:
            command += ["-H", "Content-Type: application/json", "-d", data]
        done = subprocess.run([*command, self.desk.api + path], capture_output=True, text=True, check=True)
        return Answer(done.stdout)

    def targets(self, *arguments: str, data: str | None = None) -> "Answer":
        """As a client of target positions."""
        return self("-H", f"X-API-Key: {self.key}", *arguments, data=data)

    def command(self, *arguments: str, data: str | None = None) -> "Answer":
        """As a client that signs commands."""
        return self("-H", f"x-api-token: {self.key}", *arguments, data=data)

    def aim(self, *options: str, **quantities: Any) -> dict[str, Any]:
        """Post a target for each symbol: a quantity, or the whole row. The batch, its rows by symbol."""
        rows = [
            {"symbol": symbol, **(asked if isinstance(asked, dict) else {"quantity": asked})}
            for symbol, asked in quantities.items()
        ]
        answer = self.targets("-X", "POST", *options, BATCHES, data=json.dumps({"orders": rows}))
        assert answer.status == 201, answer.text
        return {**answer.json, "rows": {row["symbol"]: row for row in answer.json["results"]}}

    def rows(self, batch_id: str) -> dict[str, dict[str, Any]]:
        """The rows of a batch by symbol, after a look at the broker."""
        answer = self.targets(f"{BATCHES}/{batch_id}")
        assert answer.status == 200, answer.text
        return {row["symbol"]: row for row in answer.json["orders"]}

    def until_row(self, batch_id: str, symbol: str, met: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            row = self.rows(batch_id)[symbol]
            return row if met(row) else None

        found: dict[str, Any] = until(f"{symbol} of {batch_id}", there, 20)
        return found

    def executed(self, symbol: str) -> Decimal:
        """What the broker itself counts: signed, all executions."""
        found = read_executions(self.desk.folder / "paper-ib.db")
        signed = (e.quantity if e.side == "BUY" else -e.quantity for e in found if e.symbol == symbol)
        return sum(signed, Decimal(0))


class Answer:
    """An answer as curl wrote it, its numbers exact."""

    def __init__(self, text: str) -> None:
        self.text = text
        head, _, self.body = text.partition("\n\n") if "\r\n\r\n" not in text else text.partition("\r\n\r\n")
        first, *lines = head.splitlines()
        self.status = int(first.split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def json(self) -> Any:
        return json.loads(self.body, parse_float=Decimal)


@pytest.fixture(scope="module")
def curl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Curl]:
    folder = tmp_path_factory.mktemp("examples")
    broker = Broker(folder / "faults.json")
    desk = Desk(folder / "oms", OMS_PAPER_FAULTS=str(broker.file))
    desk.start()
    try:
        yield Curl(desk, broker)
    finally:
        desk.stop()


def is_like(value: Any, shape: Any) -> bool:
    """Whether a value has this shape: types, and dictionaries with these keys and no other."""
    if isinstance(shape, dict):
        return (
            isinstance(value, dict)
            and value.keys() == shape.keys()
            and all(is_like(value[key], shape[key]) for key in shape)
        )
    if isinstance(shape, list):
        return isinstance(value, list) and all(is_like(item, shape[0]) for item in value)
    if isinstance(shape, re.Pattern):
        return isinstance(value, str) and shape.fullmatch(value) is not None
    return isinstance(value, shape) and (bool in _kinds(shape) or not isinstance(value, bool))


def _kinds(shape: Any) -> tuple[Any, ...]:
    return shape if isinstance(shape, tuple) else (shape,)


NOTHING = type(None)
ACK = {
    "status": re.compile("enqueued"),
    "message_id": re.compile(r"\d{13}-\d+"),
    "idem_key": re.compile("oms:.+"),
}
AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")
BATCH = {"batch_id": re.compile("[0-9a-f]{16}"), "account_id": re.compile("DU123456"), "submitted_at": AT}
PLACED = {
    "symbol": str,
    "current_pos": NUMBER,
    "desired_pos": NUMBER,
    "delta": NUMBER,
    "action": re.compile("BUY|SELL"),
    "qty": NUMBER,
    "order_type": re.compile("MKT|LMT"),
    "ibkr_order_id": int,
    "status": re.compile("Submitted|PreSubmitted|Filled|Cancelled|Inactive|no_change"),
}
FOLLOWED = {
    "symbol": str,
    "ibkr_order_id": int,
    "status": PLACED["status"],
    "filled_qty": NUMBER,
    "avg_fill_price": NUMBER,
    "commission": NUMBER,
    "delta": NUMBER,
    "action": re.compile("BUY|SELL"),
}


# -- signed commands ---------------------------------------------------------------------------------


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
    _is_journaled(curl, order["order_id"])
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
        await _is_in_temporal(curl, command_workflow_id(ack.json["idem_key"]), ended=True)
        await _is_in_temporal(curl, workflow_id(order_id), ended=False)


def _filled_order(curl: Curl, message_id: str) -> dict[str, Any]:
    """The one order of a command, from the order book, once it is filled."""

    def done() -> dict[str, Any] | None:
        told: dict[str, Any] = curl.command(f"/oms/commands/{message_id}").json
        assert told.get("refusal") is None, told
        return told if told["status"] == "DONE" else None

    (part,) = until(f"command {message_id} done", done, 40)["orders"]
    filled = ("FILLED", "CLOSED", "CONFIRMED", "SETTLED", "RECONCILED")
    return curl.desk.until_state(part["order_id"], *filled, seconds=20)


def _is_journaled(curl: Curl, order_id: str) -> None:
    kinds = [
        event["kind"] for event in curl.desk.call("viewer", "GET", f"/v1/orders/{order_id}/journal")["items"]
    ]
    assert kinds[0] == "order_created"
    assert "fill_booked" in kinds


async def _is_in_temporal(curl: Curl, name: str, *, ended: bool) -> None:
    """Whatever the Web UI lists: the workflow, well."""
    address = re.search(r"temporal=(\S+):(\d+) ", (curl.desk.folder.parent / "oms.out").read_text())
    assert address is not None
    client = await TemporalServer(address[1], int(address[2])).client()
    status = (await client.get_workflow_handle(name).describe()).status
    well = (
        {WorkflowExecutionStatus.COMPLETED}
        if ended
        else {
            WorkflowExecutionStatus.COMPLETED,
            WorkflowExecutionStatus.RUNNING,
        }
    )
    assert status in well, name


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


# -- target positions --------------------------------------------------------------------------------


def test_the_health_of_the_target_surface(curl: Curl) -> None:
    answer = curl("/api/v1/health")
    assert (answer.status, answer.json) == (200, {"status": "ok", "accounts": {"DU123456": True}})


async def test_targets_are_posted_followed_listed_and_canceled(curl: Curl) -> None:
    posted = curl.targets("-X", "POST", BATCHES, data=TARGETS)
    assert posted.status == 201, posted.text
    assert is_like(posted.json, {**BATCH, "results": [PLACED]})
    aapl, msft = posted.json["results"]
    assert (aapl["symbol"], aapl["delta"], aapl["qty"], aapl["order_type"]) == ("AAPL", 100, 100, "MKT")
    assert (msft["status"], msft["order_type"], msft["desired_pos"]) == ("Submitted", "LMT", 50)
    batch_id = posted.json["batch_id"]
    assert posted.headers["location"] == f"{BATCHES}/{batch_id}"
    curl.until_row(batch_id, "AAPL", lambda row: row["commission"] > 0)

    followed = curl.targets(f"{BATCHES}/{batch_id}")
    assert (followed.status, followed.headers.get("warning")) == (200, None)
    assert is_like(followed.json, {**BATCH, "orders": [FOLLOWED]})
    aapl, msft = followed.json["orders"]
    assert (aapl["status"], aapl["filled_qty"], aapl["action"]) == ("Filled", 100, "BUY")
    assert (msft["status"], msft["filled_qty"], msft["commission"]) == ("Submitted", 0, 0)
    assert followed.json["submitted_at"] == posted.json["submitted_at"]

    listed = curl.targets(BATCHES)
    assert is_like(listed.json, {"batches": [{**BATCH, "client": str}]})
    assert (listed.json["batches"][0]["batch_id"], listed.json["batches"][0]["client"]) == (batch_id, "pm")

    held = curl.targets("/api/v1/positions?account_id=DU123456")
    assert held.status == 200, held.text
    position = {"symbol": str, "quantity": NUMBER, "avg_cost": NUMBER, "conid": int}
    shape = {"account_id": str, "positions": [position], "net_liquidation": NUMBER, "updated_at": AT}
    assert is_like(held.json, shape)
    assert {"symbol": "AAPL", "quantity": 100, "conid": 265598}.items() <= held.json["positions"][0].items()
    assert curl.targets("/api/v1/positions").json["positions"] == held.json["positions"]

    canceled = curl.targets("-X", "DELETE", f"{BATCHES}/{batch_id}")
    assert (canceled.status, canceled.json) == (
        200,
        {"batch_id": batch_id, "results": [{"ibkr_order_id": msft["ibkr_order_id"], "cancelled": True}]},
    )
    curl.until_row(batch_id, "MSFT", lambda row: row["status"] == "Cancelled")
    again = curl.targets("-X", "DELETE", f"{BATCHES}/{batch_id}")
    assert again.json == {"batch_id": batch_id, "results": []}
    await _is_in_temporal(curl, target_batch_workflow_id(batch_id), ended=True)
    await _are_orders_like_any_other(curl, batch_id)


async def _are_orders_like_any_other(curl: Curl, batch_id: str) -> None:
    orders = curl.desk.call("viewer", "GET", "/v1/orders?limit=100")["items"]
    found = [order for order in orders if order["metadata"].get("aim", "").startswith(batch_id)]
    assert len(found) == 2
    assert {order["automation"] for order in found} == {"straight_through"}
    filled = next(order for order in found if order["executed_quantity"] == "100")
    _is_journaled(curl, filled["order_id"])
    for order in found:
        await _is_in_temporal(curl, workflow_id(order["order_id"]), ended=False)


def test_rows_by_the_pages_table(curl: Curl) -> None:
    """Every status that a row can have at once, in one batch: rows fail one by one."""
    batch = curl.aim(
        CSCO={"quantity": 10, "expected_price": 57.80, "tolerance_pct": 0.5},
        ORCL={"quantity": -10, "expected_price": 190.25, "tolerance_pct": 50},
        INTC={"quantity": 10, "limit_price": 20, "expected_price": 24.35, "tolerance_pct": 50},
        PFE=10,
        IBM=0,
        HALTD=5,
        NOPE=5,
        KO=1.5,
    )
    rows = batch["rows"]
    assert {symbol: row["order_type"] for symbol, row in rows.items() if row["order_type"] == "LMT"} == {
        "CSCO": "LMT",
        "ORCL": "LMT",
        "INTC": "LMT",
    }
    nothing = {"delta": 0, "qty": 0, "action": None, "ibkr_order_id": None, "status": "no_change"}
    assert nothing.items() <= rows["IBM"].items()
    for symbol, text in (("NOPE", "'NOPE' is not a known instrument"), ("KO", "lots of 1")):
        assert rows[symbol]["status"] == "error"
        assert text in rows[symbol]["error"]
        assert rows[symbol].keys() == PLACED.keys() | {"error"}
    for symbol in ("CSCO", "ORCL", "PFE"):
        assert curl.until_row(batch["batch_id"], symbol, lambda row: row["status"] == "Filled")
    followed = curl.rows(batch["batch_id"])
    assert followed["HALTD"]["status"] == "Inactive"
    assert followed["INTC"]["status"] == "Submitted"
    assert (followed["ORCL"]["action"], followed["ORCL"]["delta"]) == ("SELL", -10)
    limits = {
        order["metadata"]["aim"].rpartition("/")[2]: order["limit_price"]
        for order in curl.desk.call("viewer", "GET", "/v1/orders?limit=100")["items"]
        if order["metadata"].get("aim", "").startswith(batch["batch_id"])
    }
    assert {limits[row] for row in ("0", "1", "2")} == {"58.089", "95.125", "20"}
    assert limits["3"] is None
    curl.targets("-X", "DELETE", f"{BATCHES}/{batch['batch_id']}")


def test_a_part_is_filled_and_the_same_target_again_changes_nothing(curl: Curl) -> None:
    first = curl.aim(THIN=500)
    row = curl.until_row(first["batch_id"], "THIN", lambda row: row["filled_qty"] == 100)
    assert row["status"] == "Submitted"
    again = curl.aim(THIN=500)["rows"]["THIN"]
    assert (again["current_pos"], again["delta"], again["status"]) == (100, 0, "no_change")
    assert curl.targets("-X", "DELETE", f"{BATCHES}/{first['batch_id']}").json["results"][0]["cancelled"]
    curl.until_row(first["batch_id"], "THIN", lambda row: row["status"] == "Cancelled")
    assert curl.executed("THIN") == 100


def test_through_zero_and_back_to_nothing(curl: Curl) -> None:
    for target in (30, -20, 0):
        row = curl.aim(WMT=target)
        curl.until_row(row["batch_id"], "WMT", lambda row: row["status"] == "Filled")
        assert curl.executed("WMT") == target
    assert (row["rows"]["WMT"]["current_pos"], row["rows"]["WMT"]["delta"]) == (-20, 20)


def test_the_same_request_under_its_key_is_the_same_batch(curl: Curl) -> None:
    key = ("-H", "Idempotency-Key: targets-once-1")
    first, second = curl.aim(*key, DIS=10), curl.aim(*key, DIS=10)
    assert first["batch_id"] == second["batch_id"]
    body = '{"orders": [{"symbol": "DIS", "quantity": 11}]}'
    other = curl.targets("-X", "POST", *key, BATCHES, data=body)
    assert (other.status, other.json["code"]) == (400, "IDEMPOTENCY_CONFLICT")
    curl.until_row(first["batch_id"], "DIS", lambda row: row["status"] == "Filled")
    assert curl.executed("DIS") == 10


def test_twenty_posts_at_once_end_at_the_target(curl: Curl) -> None:
    with ThreadPoolExecutor(20) as clients:
        batches = list(clients.map(lambda _: curl.aim(BAC=100)["batch_id"], range(20)))
    assert len(set(batches)) == 20
    until("the target to be reached", lambda: curl.executed("BAC") == 100, 20)
    for batch_id in batches:
        curl.until_row(batch_id, "BAC", lambda row: row["status"] in ("Filled", "no_change", "Cancelled"))
    assert curl.executed("BAC") == 100


def test_a_look_at_a_batch_asks_the_broker(curl: Curl) -> None:
    """An execution that the broker never told of by itself is found when somebody looks."""
    curl.broker.does(rules=[{"on": "place", "kind": "execution_missing", "symbol": "JPM"}])
    batch = curl.aim(JPM=10)
    row = curl.until_row(batch["batch_id"], "JPM", lambda row: row["commission"] > 0)
    assert (row["status"], row["filled_qty"]) == ("Filled", 10)
    curl.broker.does()


def test_a_broker_that_is_away(curl: Curl) -> None:
    resting = curl.aim(XOM={"quantity": 10, "limit_price": 1})["batch_id"]
    before = curl.targets(BATCHES).json
    curl.broker.does(events=[{"do": "connectivity_lost"}])
    until("the account to be away", lambda: not curl("/api/v1/health").json["accounts"]["DU123456"], 10)
    for asked in (
        curl.targets("-X", "POST", BATCHES, data='{"orders": [{"symbol": "XOM", "quantity": 100}]}'),
        curl.targets("-X", "DELETE", f"{BATCHES}/{resting}"),
        curl.targets("/api/v1/positions"),
    ):
        assert asked.status == 500, asked.text
        assert asked.headers["content-type"] == "application/problem+json"
        assert (asked.json["status"], asked.json["code"]) == (500, "UNAVAILABLE")
        assert "DU123456" in asked.json["detail"]
    known = curl.targets(f"{BATCHES}/{resting}")
    assert (known.status, known.headers["warning"].split()[0]) == (200, "110")
    assert known.json["orders"][0]["status"] == "Submitted"
    assert curl.targets(BATCHES).json == before
    curl.broker.does(events=[{"do": "connectivity_restored"}])
    until("the account to be back", lambda: curl("/api/v1/health").json["accounts"]["DU123456"], 20)
    assert curl.targets("-X", "DELETE", f"{BATCHES}/{resting}").json["results"][0]["cancelled"]
    curl.until_row(resting, "XOM", lambda row: row["status"] == "Cancelled")
    assert curl.executed("XOM") == 0


def test_a_batch_is_canceled_before_most_of_its_rows_have_an_order(curl: Curl) -> None:
    """The broker takes forty messages a second: most rows wait, and none of them gets an order afterwards."""
    symbols = [f"Q{number:04d}" for number in range(1, 301)]
    batch = curl.aim(**{symbol: {"quantity": 1, "limit_price": 1} for symbol in symbols})
    assert len(batch["results"]) == 300
    assert {row["status"] for row in batch["results"]} <= {"Submitted", "PreSubmitted"}
    canceled = curl.targets("-X", "DELETE", f"{BATCHES}/{batch['batch_id']}")
    assert canceled.status == 200, canceled.text
    assert all(each["cancelled"] for each in canceled.json["results"])

    def over() -> bool:
        return {row["status"] for row in curl.rows(batch["batch_id"]).values()} == {"Cancelled"}

    until("every row to be over", over, 40)
    numbered = [row for row in curl.rows(batch["batch_id"]).values() if row["ibkr_order_id"] is not None]
    assert len(numbered) < 300
