"""The examples of target positions, sent with curl as they are printed, to a real `oms dev`. Address and key apart."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from oms.domain.identifiers import workflow_id
from oms.workflows.programs import target_batch_workflow_id
from tests.api.examples import BATCHES, NUMBER, Curl, is_in_temporal, is_journaled, is_like
from tests.faults.desk import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

TARGETS = """{"orders": [{"symbol": "AAPL", "quantity": 100}, {"symbol": "MSFT", "quantity": 50,
"limit_price": 420.00}]}"""
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
    await is_in_temporal(curl, target_batch_workflow_id(batch_id), ended=True)
    await _are_orders_like_any_other(curl, batch_id)


async def _are_orders_like_any_other(curl: Curl, batch_id: str) -> None:
    orders = curl.desk.call("viewer", "GET", "/v1/orders?limit=100")["items"]
    found = [order for order in orders if order["metadata"].get("aim", "").startswith(batch_id)]
    assert len(found) == 2
    assert {order["automation"] for order in found} == {"straight_through"}
    filled = next(order for order in found if order["executed_quantity"] == "100")
    is_journaled(curl, filled["order_id"])
    for order in found:
        await is_in_temporal(curl, workflow_id(order["order_id"]), ended=False)


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
