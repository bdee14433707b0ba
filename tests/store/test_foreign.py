"""The orders of others: kept as they are told of, message by message, each told once in the control journal."""

from decimal import Decimal
from typing import Any

from tests.store.building import NS

from oms.domain.control import ControlKind
from oms.store import ForeignExecution, ForeignOrder, Store
from oms.store.foreign import UNLISTED


def order(key: str = "perm/7", second: int = 0, **more: Any) -> ForeignOrder:
    given = {"key": key, "gateway": "ibkr", "first_seen_ns": NS + second, "last_seen_ns": NS + second}
    return ForeignOrder(**{**given, **more})


def execution(
    exec_id: str = "E1.01", quantity: str = "10", side: str = "BUY", **more: Any
) -> ForeignExecution:
    given = {"key": "perm/7", "account": "DU1", "conid": 265598, "price": Decimal(5), "ts_ns": NS}
    return ForeignExecution(
        **{**given, "exec_id": exec_id, "side": side, "quantity": Decimal(quantity), **more}
    )


def test_each_message_adds_what_it_tells(store: Store) -> None:
    shown = order(
        account="DU1",
        perm_id=7,
        symbol="AAPL",
        sec_type="STK",
        conid=265598,
        action="SELL",
        quantity=Decimal("10.5"),
        order_type="LMT",
        status="PreSubmitted",
        origin="TWS",
    )
    status = order(second=5, perm_id=7, status="Submitted", filled=Decimal(0), origin="TWS")
    assert store.foreign.keep("ibkr", [shown], [], NS) == (shown,)
    assert store.foreign.keep("ibkr", [status], [], NS + 5) == ()
    (kept,) = store.foreign.list()
    changed = {"status": "Submitted", "filled": Decimal(0), "last_seen_ns": NS + 5}
    assert kept == shown.model_copy(update=changed)
    store.foreign.keep("ibkr", [order(second=6, filled=Decimal(4)), order(second=7, status="Filled")], [], NS)
    (kept,) = store.foreign.list(working=False)
    assert (kept.filled, kept.status, kept.symbol) == (4, "Filled", "AAPL")
    assert store.foreign.list(working=True) == ()


def test_an_order_is_told_once(store: Store) -> None:
    for _ in range(2):
        store.foreign.keep("ibkr", [order(origin="client 9"), order(origin="client 9")], [], NS)
    (event,) = store.control.stream(0)
    assert (event.kind, event.subject) == (ControlKind.FOREIGN_ORDER_SEEN, "perm/7")
    assert "client 9" in (event.reason or "")


def test_gateways_keep_their_own(store: Store) -> None:
    store.foreign.keep("ibkr", [order()], [], NS)
    store.foreign.keep("other", [order(gateway="other", second=1)], [], NS)
    assert [one.gateway for one in store.foreign.list()] == ["other", "ibkr"]
    assert [one.gateway for one in store.foreign.list(gateway="ibkr")] == ["ibkr"]
    assert (store.foreign.count_working("ibkr"), store.foreign.count_working("none")) == (1, 0)


def test_what_leaves_the_list_works_no_more_until_it_is_back(store: Store) -> None:
    store.foreign.keep("ibkr", [order(status="Submitted"), order("perm/8", 5, status="Submitted")], [], NS)
    assert store.foreign.unlisted("ibkr", NS + 3) == 1
    assert {one.key: one.status for one in store.foreign.list()} == {
        "perm/7": UNLISTED,
        "perm/8": "Submitted",
    }
    assert store.foreign.count_working("ibkr") == 1
    store.foreign.keep("ibkr", [order(second=9, status="Submitted")], [], NS)
    assert store.foreign.count_working("ibkr") == 2


def test_a_list_closes_what_another_gateway_has_seen_in_the_accounts_that_it_shows(store: Store) -> None:
    """By two gateways, of which one has been renamed or put away."""
    left = [
        working(gateway="old"),
        working("perm/8", 5, gateway="old"),
        working("perm/9", gateway="old", account="DU2"),
    ]
    store.foreign.keep("old", left, [], NS)
    store.foreign.keep("ibkr", [working("perm/10"), working("perm/11", account="DU2")], [], NS)
    assert store.foreign.seen_by(["DU1"]) == {"ibkr", "old"}
    assert store.foreign.seen_by([]) == frozenset()
    assert store.foreign.unlisted("old", NS + 3, ()) == 0
    assert store.foreign.unlisted("old", NS + 3, ["DU1"]) == 1
    assert [one.key for one in store.foreign.working_in("DU1")] == ["perm/10", "perm/8"]
    assert [one.key for one in store.foreign.working_in("DU2")] == ["perm/11", "perm/9"]
    assert store.foreign.unlisted("old", NS + 6, ["DU1"]) == 1
    assert store.foreign.seen_by(["DU1"]) == {"ibkr"}


def test_an_order_that_another_gateway_has_left_behind_still_works_where_it_is_shown(store: Store) -> None:
    store.foreign.keep("old", [working("9:5", gateway="old", client_id=9, order_id=5)], [], NS)
    shown = working("perm/7", 5, client_id=9, order_id=5, filled=Decimal(20))
    store.foreign.keep("ibkr", [shown], [], NS)
    assert store.foreign.unlisted("old", NS + 3, ["DU1"]) == 1
    found = [(one.key, one.gateway, one.pending) for one in store.foreign.working_in("DU1")]
    assert found == [("perm/7", "ibkr", 80)]


def test_executions_add_up_once_and_corrections_replace(store: Store) -> None:
    traded = [
        execution("A.01"),
        execution("A.02", "7"),
        execution("B.01", "3", "SELL"),
        execution("C.01", "5", account="DU2"),
        execution("old.01", "99", ts_ns=NS - 1),
    ]
    for _ in range(2):
        store.foreign.keep("ibkr", [order()], traded, NS)
    assert store.foreign.traded("ibkr", NS) == {("DU1", 265598): 4, ("DU2", 265598): 5}
    assert len(store.foreign.executions("perm/7")) == 5
    assert store.foreign.executions("perm/8") == ()
    assert store.foreign.keep("ibkr", [], [], NS) == ()


def working(key: str = "perm/7", second: int = 0, **more: Any) -> ForeignOrder:
    told = {"account": "DU1", "symbol": "AAPL", "sec_type": "STK", "conid": 265598, "action": "BUY"}
    return order(key, second, **{**told, "quantity": Decimal(100), "status": "Submitted", **more})


def test_what_may_still_trade_in_an_account(store: Store) -> None:
    told = [
        working(filled=Decimal("30.5")),
        working("perm/8", 1, action="SELL"),
        working("perm/9", 2, status="Filled"),
        working("perm/10", 3, account="DU2"),
        order("perm/11", 4, account="DU1", status="Submitted"),
    ]
    store.foreign.keep("ibkr", told, [], NS)
    found = [(one.key, one.pending) for one in store.foreign.working_in("DU1")]
    assert found == [("perm/7", Decimal("69.5")), ("perm/8", -100), ("perm/11", 0)]


def test_an_order_that_several_have_seen_is_one_and_the_last_word_counts(store: Store) -> None:
    """Under its client's number first, and another gateway has taken over since."""
    store.foreign.keep("ibkr", [working("9:5", client_id=9, order_id=5)], [], NS)
    store.foreign.keep("ibkr", [working(client_id=9, order_id=5, filled=Decimal(10))], [], NS)
    store.foreign.keep("ibkr", [working("perm/8"), working("perm/9")], [], NS)
    later = [working("perm/7", 5, gateway="other", client_id=9, order_id=5, filled=Decimal(20))]
    later.append(working("perm/8", 5, gateway="other"))
    store.foreign.keep("other", [*later, working("perm/9", 6, gateway="other", status="Cancelled")], [], NS)
    found = [(one.key, one.gateway, one.pending) for one in store.foreign.working_in("DU1")]
    assert found == [("perm/7", "other", 80), ("perm/8", "other", 100)]
