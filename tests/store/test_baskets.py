"""Baskets in the store, on both databases."""

from datetime import timedelta

import pytest
from tests.store.building import NOON, Tale, new_id

from oms.domain import commands as cmd
from oms.domain.control import ControlKind
from oms.domain.halts import Halt, HaltScope
from oms.domain.terms import State
from oms.store import BadCursor, Store
from oms.store.baskets import Basket
from oms.store.working import working_placements


def basket(number: int = 1, by: str = "pm") -> Basket:
    return Basket(
        basket_id=f"BSK-{number}",
        name=f"Basket {number}",
        created_by=by,
        created_at=NOON + timedelta(hours=number),
    )


def put_order(store: Store, basket_id: str | None, portfolio_id: str = "PORT-001") -> str:
    tale = Tale(basket_id=basket_id, portfolio_id=portfolio_id)
    for order, events in tale.batches:
        store.journal.record(order, events)
    return tale.order.order_id


def test_a_basket_is_kept_once_and_told_once(store: Store) -> None:
    first = basket()
    assert store.baskets.put(first) == first
    assert store.baskets.put(first.model_copy(update={"name": "another"})) == first
    assert store.baskets.get("BSK-1") == first
    assert store.baskets.get("BSK-2") is None
    (told,) = store.control.stream(0)
    assert (told.kind, told.subject, told.actor, told.data) == (
        ControlKind.BASKET_CREATED,
        "BSK-1",
        "pm",
        {"name": "Basket 1"},
    )


def test_members_and_counts_come_from_the_orders(store: Store) -> None:
    store.baskets.put(basket(1))
    store.baskets.put(basket(2))
    mine = put_order(store, "BSK-1")
    theirs = put_order(store, "BSK-1", "PORT-002")
    put_order(store, None)
    assert store.baskets.members("BSK-1") == ((mine, State.CREATED), (theirs, State.CREATED))
    assert store.baskets.members("BSK-1", ["PORT-002"]) == ((theirs, State.CREATED),)
    assert store.baskets.counts(["BSK-1", "BSK-2"]) == {"BSK-1": {State.CREATED: 2}, "BSK-2": {}}
    assert store.baskets.counts(["BSK-1"], ["PORT-002"]) == {"BSK-1": {State.CREATED: 1}}
    assert store.baskets.counts([]) == {}


def test_baskets_are_listed_newest_first_and_page_by_page(store: Store) -> None:
    for number in range(1, 6):
        store.baskets.put(basket(number))
    page = store.baskets.list(2)
    assert [b.basket_id for b in page.items] == ["BSK-5", "BSK-4"]
    store.baskets.put(basket(6))
    rest = store.baskets.list(10, cursor=page.next_cursor)
    assert [b.basket_id for b in rest.items] == ["BSK-3", "BSK-2", "BSK-1"]
    assert rest.next_cursor is None
    with pytest.raises(BadCursor):
        store.baskets.list(cursor="tampered")


def test_who_sees_some_portfolios_sees_their_baskets_and_their_own(store: Store) -> None:
    for number, by in ((1, "pm"), (2, "pm"), (3, "other")):
        store.baskets.put(basket(number, by))
    put_order(store, "BSK-1", "PORT-002")
    put_order(store, "BSK-2", "PORT-001")
    seen = store.baskets.list(portfolio_ids=["PORT-002"], created_by="other")
    assert [b.basket_id for b in seen.items] == ["BSK-3", "BSK-1"]
    assert store.baskets.list(portfolio_ids=[], created_by="nobody").items == ()


def test_what_works_at_a_venue_is_found_and_told_apart_by_halts(store: Store) -> None:
    tale = Tale(route=cmd.Route(venue="IBKR", account="DU1"))
    placement_id = new_id("PLC")
    tale.do(
        cmd.RequestPreTradeCompliance(),
        cmd.PassPreTradeCompliance(),
        cmd.SendToTrader(),
        cmd.CreatePlacement(placement_id=placement_id, venue="IBKR", quantity="100"),
    )
    for order, events in tale.batches:
        store.journal.record(order, events)
    put_order(store, None)
    assert working_placements(store.database) == [(tale.order.order_id, placement_id)]
    covered = {
        (scope, subject): bool(store.halts.within(halt(scope, subject), [tale.order]))
        for scope, subject in (
            (HaltScope.PORTFOLIO, "PORT-001"),
            (HaltScope.ACCOUNT, "DU1"),
            (HaltScope.ACCOUNT, "ACCT-001"),
            (HaltScope.VENUE, "IBKR"),
            (HaltScope.PORTFOLIO, "PORT-002"),
            (HaltScope.ACCOUNT, "DU2"),
            (HaltScope.VENUE, "OPTIONS"),
        )
    }
    assert list(covered.values()) == [True] * 4 + [False] * 3


def halt(scope: HaltScope, subject: str) -> Halt:
    return Halt(scope=scope, subject=subject, reason="a breach", by="carol", since=NOON)
