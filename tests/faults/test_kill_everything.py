"""`kill -9` of every process while orders are in each stage; the same folder goes on as if nothing had been."""

from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from oms.paper.ib_book import read_executions, read_orders
from oms.store import Store, rebuild
from tests.faults.desk import Desk

STAGES = (
    "CREATED",
    "PENDING_PRE_TRADE_COMPLIANCE",
    "PRE_TRADE_COMPLIANCE_PASSED",
    "SENT_TO_TRADER",
    "FILLED",
    "CLOSED",
    "SENT_TO_OPERATIONS",
    "PENDING_POST_TRADE_COMPLIANCE",
    "POST_TRADE_COMPLIANCE_PASSED",
    "CONFIRMED",
    "SETTLED",
)


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.timeout(400)
def test_every_order_goes_on_and_ends_with_one_execution_per_placement(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "oms")
    desk.start()
    try:
        aapl, thin = desk.instrument("AAPL"), desk.instrument("THIN")
        staged = {}
        for stage in STAGES:
            staged[stage] = desk.create(aapl, compliance="external")
            desk.walk(staged[stage], stage)
        resting = desk.create(aapl, order_type="Limit", limit_price="1.00", compliance="external")
        desk.walk(resting, "SENT_TO_TRADER")
        desk.command("trader", resting, "placements", venue="IBKR", quantity="10")
        partly = desk.create(thin, "300", compliance="external")
        desk.walk(partly, "PARTIALLY_FILLED")
        rushing = [desk.create(aapl, automation="straight_through") for _ in range(12)]
        before = {order_id: desk.order(order_id)["state"] for order_id in [*staged.values(), resting, partly]}

        desk.kill()
        desk.start()
        assert desk.started_in < 60
        after = {order_id: desk.order(order_id)["state"] for order_id in before}
        assert after == before

        rushing += [desk.create(aapl, automation="straight_through") for _ in range(6)]
        desk.kill()
        desk.start()

        for order_id in staged.values():
            desk.walk(order_id, "RECONCILED")
        desk.walk(partly, "RECONCILED")
        desk.command("trader", resting, "cancel", reason="done waiting")
        desk.until_state(resting, "CANCELED")
        for order_id in rushing:
            desk.until_state(order_id, "RECONCILED")
        _books_agree(desk, [*staged.values(), resting, partly, *rushing])
        assert desk.stop() == 0
    finally:
        desk.kill() if desk.process and desk.process.poll() is None else None
    store = Store(f"sqlite:///{desk.folder / 'oms.db'}")
    report = rebuild(store, write=False)
    assert report.is_clean, report.differences
    store.close()


def _books_agree(desk: Desk, order_ids: list[str]) -> None:
    """The broker's own executions are our fills, one by one; each placement is one broker order."""
    theirs = {e.exec_id: (e.quantity, e.price) for e in read_executions(desk.folder / "paper-ib.db")}
    ours = {}
    placements = set()
    for order_id in order_ids:
        for fill in desk.call("viewer", "GET", f"/v1/orders/{order_id}/fills")["items"]:
            assert fill["exec_id"] not in ours, "a fill is booked twice"
            ours[fill["exec_id"]] = (Decimal(fill["quantity"]), Decimal(fill["price"]))
        placements |= {p["placement_id"] for p in desk.order(order_id)["placements"]}
    assert ours == theirs
    refs = Counter(order.order_ref for order in read_orders(desk.folder / "paper-ib.db"))
    assert set(refs.values()) == {1}
    assert len(refs) == len(placements)
