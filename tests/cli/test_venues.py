"""`oms gateways`, `oms breaks`, `oms foreign-orders` and `oms placements` at a real `oms dev`."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import ib_async
import pytest
from rich.console import Console

from durable_oms import Client
from oms.cli.venue_tables import accounts_table, gateways_table, resynced_line
from oms.domain.breaks import BreakCategory, Difference
from oms.store import Store
from tests.cli.running import Dev
from tests.stack import until

NOW = "2026-11-20T15:00:00Z"
GATEWAY: dict[str, Any] = {
    "name": "ibkr/17",
    "state": "open",
    "ready": True,
    "gate_open": True,
    "reason": None,
    "accounts": ["DU1", "DU2"],
    "in_doubt": 0,
    "queue": 1200,
    "waiting": 0,
    "messages_per_second": 12,
    "foreign_orders": 0,
    "open_breaks": 2,
    "oldest_undelivered_seconds": 7.4,
    "reconciled_at": "2026-11-20T14:59:48Z",
    "updated_at": "2026-11-20T14:59:59Z",
    "per_account": [
        {
            "account": "DU2",
            "served": False,
            "differences": 2,
            "detail": "not at this login",
            "compared_at": None,
        }
    ],
}


def drawn(table: Any) -> str:
    console = Console(width=140, record=True, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


@pytest.mark.parametrize(
    ("changes", "state", "why"),
    [
        ({}, "open", ""),
        ({"ready": False, "reason": "its last report is 61 s old"}, "silent", "its last report is 61 s old"),
        (
            {"ready": False, "gate_open": False, "state": "closed", "reason": "1100: lost"},
            "closed",
            "1100: lost",
        ),
    ],
)
def test_a_gateway_in_one_line(changes: dict[str, Any], state: str, why: str) -> None:
    now = datetime(2026, 11, 20, 15, tzinfo=UTC)
    head, _, line = drawn(gateways_table([{**GATEWAY, **changes}], now)).splitlines()[:3]
    assert head.split()[:3] == ["Gateway", "State", "Accounts"]
    assert line.split()[:10] == ["ibkr/17", state, "DU1,", "DU2", "0", "1,200", "0", "12", "0", "2"]
    assert line.split()[10:13] == ["7s", "12s", "1s"]
    assert line.rstrip().endswith(why)
    told = drawn(accounts_table([GATEWAY], now))
    assert "DU2" in told
    assert "not at this login" in told


def test_what_a_limited_key_is_not_told_is_left_empty() -> None:
    hidden = ("in_doubt", "queue", "waiting", "messages_per_second", "foreign_orders", "open_breaks")
    told = {**GATEWAY, **dict.fromkeys(hidden), "oldest_undelivered_seconds": None, "per_account": []}
    line = drawn(gateways_table([told], datetime(2026, 11, 20, 15, tzinfo=UTC))).splitlines()[2]
    assert line.split() == ["ibkr/17", "open", "DU1,", "DU2", "12s", "1s"]
    found = {"name": "ibkr/17", "reconciled_at": NOW, "unsettled": 1, "foreign_orders": 2, "differences": 3}
    assert resynced_line(found).endswith(": 1 unsettled, 2 foreign orders, 3 differences")
    assert resynced_line({**found, "unsettled": None}) == f"ibkr/17 has read the venue anew at {NOW}"


def test_gateways_are_listed_and_read_anew(dev: Dev) -> None:
    listed = dev.oms("gateways")
    assert listed.code == 0, listed.err
    assert "ibkr/17" in listed.out
    (shown,) = json.loads(dev.oms("gateways", "list", "--json").out)
    assert (shown["name"], shown["ready"], shown["accounts"]) == ("ibkr/17", True, ["DU123456"])
    done = dev.oms("gateways", "resync", "ibkr/17")
    assert done.code == 0, done.err
    assert done.out.startswith("ibkr/17 has read the venue anew at ")
    unknown = dev.oms("gateways", "resync", "ibkr/404")
    assert (unknown.code, unknown.err) == (
        1,
        "oms: GATEWAY_NOT_FOUND: There is no gateway 'ibkr/404'.\n",
    )


@contextmanager
def cash_differs(dev: Dev) -> Iterator[str]:
    """A break of a source of its own; it is gone afterwards."""
    store = Store(f"sqlite:///{dev.folder / 'oms.db'}")
    difference = Difference(subject="USD", ours="1000000", theirs="", detail="they have none")

    def compared(*found: Difference) -> list[str]:
        outcome = store.breaks.observe("test", "DU123456", BreakCategory.CASH, found, time.time_ns())
        return [one.break_id for one in outcome.opened]

    (break_id,) = compared(difference)
    yield break_id
    compared()
    store.close()


def test_a_break_is_listed_and_resolved_by_the_end_of_its_id(dev: Dev) -> None:
    with cash_differs(dev) as break_id:
        listed = dev.oms("breaks", "list", "--category", "CASH")
        assert listed.code == 0, listed.err
        (line,) = [line for line in listed.out.splitlines() if break_id[-8:] in line]
        assert line.split()[1:7] == ["OPEN", "CASH", "DU123456", "USD", "1,000,000", "-"]
        done = dev.oms("breaks", "resolve", break_id[-8:], "--reason", "a transfer, ticket 4713")
        assert (done.code, done.out) == (
            0,
            f"{break_id} is RESOLVED: USD, 1,000,000 here, nothing there\n",
        ), done.err
        assert break_id[-8:] not in dev.oms("breaks", "list").out
        assert "ops: a transfer, ticket 4713" in dev.oms("breaks", "list", "--all", "--category", "CASH").out
    nobody = dev.oms("breaks", "resolve", "0000zzzz", "--reason", "r")
    assert (nobody.code, "no break of the newest 1,000 answers to '0000zzzz'" in nobody.err) == (1, True)


async def test_an_order_by_hand_is_shown(dev: Dev) -> None:
    (gateway,) = json.loads(dev.oms("gateways", "--json").out)
    host, port = gateway["host"].split(":")
    ib = ib_async.IB()
    await ib.connectAsync(host, int(port), clientId=55, timeout=10)
    order = ib_async.LimitOrder("BUY", 7, 10.0, orderRef="by hand")
    trade = ib.placeOrder(ib_async.Stock("MSFT", "SMART", "USD"), order)
    try:
        await until(lambda: trade.orderStatus.status == "Submitted", "the paper gateway to take it")
        assert dev.oms("gateways", "resync", "ibkr/17").code == 0
        listed = dev.oms("foreign-orders", "--working", "--gateway", "ibkr/17")
        (line,) = [line for line in listed.out.splitlines() if "MSFT" in line]
        assert line.split()[:4] == ["ibkr/17", "DU123456", "client", "55"]
        assert line.split()[5:11] == ["BUY", "7", "0", "MSFT", "STK", "LMT"]
    finally:
        ib.cancelOrder(trade.order)
        await until(lambda: trade.orderStatus.status == "Cancelled", "the order to be gone")
        ib.disconnect()


async def test_a_placement_is_changed_and_canceled(dev: Dev) -> None:
    pm, trader = (Client(dev.api, api_key=dev.keys[role]) for role in ("pm", "trader"))
    with pm, trader:
        order_id = pm.oms.create_order(
            portfolio_id="PORT-001",
            instrument={"symbol": "AAPL"},
            direction="Buy",
            ordered_quantity=100,
            order_type="Limit",
            limit_price=100,
            time_in_force="Day",
            handling={"outside_rth": True},
        )
        pm.oms.request_pre_trade_compliance(order_id)
        pm.oms.send_to_trader(order_id)
        placement_id = trader.ems.create_placement(order_id, "IBKR", 100)

        def has(**terms: object) -> bool:
            placement = trader.ems.get_placement(placement_id)
            return all(getattr(placement, name) == value for name, value in terms.items())

        await until(lambda: has(status="WORKING"), "the order to work")
        nothing = dev.oms("placements", "modify", placement_id)
        assert (nothing.code, "nothing to change" in nothing.err) == (2, True)
        asked = dev.oms("placements", "modify", placement_id, "--quantity", "60", "--limit-price", "99.987")
        assert asked.code == 0, asked.err
        assert asked.out.startswith(placement_id)
        await until(lambda: has(quantity=60, revision=1), "the broker to confirm the change")
        shown = dev.oms("orders", "show", order_id)
        assert "outside_rth" in shown.out
        assert "limit_price 99.987 sent as 99.98" in " ".join(shown.out.split())
        assert "change 1, quantity 60, limit_price 99.987" in shown.out
        canceled = dev.oms("placements", "cancel", placement_id)
        assert canceled.code == 0, canceled.err
        await until(lambda: has(status="CANCELED"), "the broker to cancel")
