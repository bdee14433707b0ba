"""Reading orders: their parts, lists with filters and cursors, claims, exceptions, counts."""

import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.store.building import NOON, Tale, new_id, straight_through

from oms.domain import commands as cmd
from oms.domain.order import Order
from oms.domain.terms import Direction, ExceptionCode, PlacementStatus, State
from oms.store import BadCursor, OrderFilter, Store
from oms.store.page import read_cursor, write_cursor


def _pages(store: Store, wanted: OrderFilter, limit: int) -> list[Order]:
    found: list[Order] = []
    cursor = None
    while True:
        page = store.orders.list(wanted, limit=limit, cursor=cursor)
        found += page.items
        if page.next_cursor is None:
            return found
        assert len(page.items) == limit
        cursor = page.next_cursor


def test_the_parts_of_an_order(store: Store) -> None:
    tale = straight_through().recorded(store)
    placement, allocation = tale.order.placements[0], tale.order.allocations[0]
    fills = store.orders.fills(tale.id)
    assert [(fill.price, fill.commission) for fill in fills] == [
        (Decimal("150.25"), Decimal("1.05")),
        (Decimal("150.75"), Decimal("1.05")),
    ]
    assert sum(fill.quantity for fill in fills) == tale.order.executed_quantity
    assert store.orders.placements(tale.id) == (placement,)
    assert store.orders.placement(placement.placement_id) == (tale.id, placement)
    assert store.orders.allocations(tale.id) == (allocation,)
    assert store.orders.allocation(allocation.allocation_id) == (tale.id, allocation)
    assert (
        store.orders.placement("PLC-0")
        is store.orders.allocation("ALC-0")
        is store.orders.get("ORD-0")
        is None
    )


def test_a_commission_may_come_before_its_fill(store: Store) -> None:
    tale = Tale().placed()
    tale.charged("E1.01").hear(tale.execution(10, 5, "E1.01")).recorded(store)
    assert [fill.commission for fill in store.orders.fills(tale.id)] == [Decimal("1.05")]


def test_a_correction_replaces_its_fill_and_a_bust_removes_it(store: Store) -> None:
    tale = Tale().placed()
    tale.hear(tale.execution(10, 5, "E1.01")).hear(tale.execution(20, 5, "E2.01")).recorded(store)
    tale.hear(tale.execution(11, 6, "E1.02")).recorded(store)
    assert {(f.exec_id, f.quantity) for f in store.orders.fills(tale.id)} == {
        ("E1.02", Decimal(11)),
        ("E2.01", Decimal(20)),
    }
    tale.busted("E2.01").recorded(store)
    assert [fill.exec_id for fill in store.orders.fills(tale.id)] == ["E1.02"]
    assert store.holdings("PORT-001") == {"INS-AAPL": Decimal(11)}


FILTERS: dict[str, tuple[OrderFilter, Callable[[Order], bool]]] = {
    "portfolio": (OrderFilter(portfolio_id="P1"), lambda o: o.portfolio_id == "P1"),
    "state": (OrderFilter(state=State.CREATED), lambda o: o.state is State.CREATED),
    "direction": (OrderFilter(direction=Direction.SELL), lambda o: o.direction is Direction.SELL),
    "basket": (OrderFilter(basket_id="BSK-1"), lambda o: o.request.basket_id == "BSK-1"),
    "instrument": (OrderFilter(instrument_id="INS-NONE"), lambda _: False),
    "two": (
        OrderFilter(portfolio_id="P2", direction=Direction.BUY),
        lambda o: o.portfolio_id == "P2" and o.direction is Direction.BUY,
    ),
    "window": (
        OrderFilter(created_after=NOON + timedelta(seconds=3), created_before=NOON + timedelta(seconds=15)),
        lambda o: NOON + timedelta(seconds=3) < o.created_at < NOON + timedelta(seconds=15),
    ),
    "permitted": (OrderFilter(portfolio_ids=["P0", "P2"]), lambda o: o.portfolio_id in ("P0", "P2")),
    "permitted, one": (OrderFilter(portfolio_ids=["P0"]), lambda o: o.portfolio_id == "P0"),
    "permitted, none": (OrderFilter(portfolio_ids=[]), lambda _: False),
    "asked and permitted": (
        OrderFilter(portfolio_id="P0", portfolio_ids=["P0", "P1"]),
        lambda o: o.portfolio_id == "P0",
    ),
    "asked, not permitted": (OrderFilter(portfolio_id="P2", portfolio_ids=["P0", "P1"]), lambda _: False),
    "many permitted": (
        OrderFilter(portfolio_ids=[f"P{n}" for n in range(1, 80)]),
        lambda o: o.portfolio_id != "P0",
    ),
}


def test_lists_are_filtered_newest_first_and_paged(store: Store) -> None:
    tales = [
        Tale(
            # Three orders share each instant: the id decides among them.
            at=NOON + timedelta(seconds=number // 3),
            portfolio_id=f"P{number % 3}",
            direction=Direction.SELL if number % 2 else Direction.BUY,
            basket_id="BSK-1" if number % 5 == 0 else None,
        ).recorded(store)
        for number in range(60)
    ]
    for tale in tales[::4]:
        tale.do(cmd.RequestPreTradeCompliance()).recorded(store)
    newest = sorted((t.order for t in tales), key=lambda o: (o.created_at, o.order_id), reverse=True)
    for name, (wanted, fits) in FILTERS.items():
        expected = [order for order in newest if fits(order)]
        assert _pages(store, wanted, 7) == expected, name
        assert list(store.orders.list(wanted, limit=5, offset=4).items) == expected[4:9], name
    assert _pages(store, OrderFilter(), 60) == newest
    assert store.orders.list(limit=60).next_cursor is None


def test_paging_is_stable_while_orders_arrive(store: Store) -> None:
    first = [Tale(at=NOON + timedelta(seconds=n)).recorded(store).id for n in range(9)]
    seen: list[str] = []
    cursor = None
    for arrival in range(3):
        page = store.orders.list(limit=3, cursor=cursor)
        seen += [order.order_id for order in page.items]
        cursor = page.next_cursor
        Tale(at=NOON + timedelta(hours=1 + arrival)).recorded(store)
    assert seen == first[::-1]
    assert cursor is None


def test_an_unrecorded_cursor_is_refused(store: Store) -> None:
    Tale().recorded(store)
    Tale().recorded(store)
    cursor = store.orders.list(limit=1).next_cursor
    assert cursor is not None
    forged = base64.urlsafe_b64encode(b'["2026-03-02T12:00:00+00:00", "ORD-1"]').decode()
    other = "B" if cursor[0] == "A" else "A"
    for bad in (
        "",
        "x",
        "%%%",
        "ä",
        forged,
        cursor[:-1],
        cursor + "A",
        cursor.swapcase(),
        other + cursor[1:],
    ):
        with pytest.raises(BadCursor):
            store.orders.list(cursor=bad)
    assert issubclass(BadCursor, ValueError)


@given(at=st.datetimes(timezones=st.just(UTC)), key=st.text())
def test_a_cursor_reads_as_it_was_written(at: datetime, key: str) -> None:
    assert read_cursor(write_cursor(at, key)) == (at, key)


@given(cursor=st.text())
def test_no_text_is_a_cursor_by_chance(cursor: str) -> None:
    with pytest.raises(BadCursor):
        read_cursor(cursor)


def test_a_claim_has_one_winner(url: str) -> None:
    stores = [Store(url), Store(url)]
    ids = [new_id("ORD") for _ in range(20)]
    with ThreadPoolExecutor(20) as threads:
        holders = set(
            threads.map(lambda n: stores[n % 2].orders.claim("PORT-001", "mine", ids[n]), range(len(ids)))
        )
    assert len(holders) == 1
    assert holders <= set(ids)
    assert stores[0].orders.claim("PORT-002", "mine", "ORD-other") == "ORD-other"
    assert stores[0].orders.claim("PORT-002", "mine", "ORD-late") == "ORD-other"
    for store in stores:
        store.close()


def test_open_exceptions_over_all_orders(store: Store) -> None:
    doubtful = [
        Tale(at=NOON + timedelta(minutes=n), portfolio_id=f"P{n}").placed().reported(PlacementStatus.IN_DOUBT)
        for n in range(3)
    ]
    for tale in doubtful:
        tale.recorded(store)
    straight_through().recorded(store)
    found = store.orders.exceptions()
    assert [listed.order_id for listed in found.items] == [tale.id for tale in reversed(doubtful)]
    assert [listed.exception for listed in found.items] == [
        tale.order.exceptions[0] for tale in reversed(doubtful)
    ]
    assert {listed.exception.code for listed in found.items} == {ExceptionCode.PLACEMENT_IN_DOUBT}
    first = store.orders.exceptions(limit=2)
    rest = store.orders.exceptions(limit=2, cursor=first.next_cursor)
    assert (*first.items, *rest.items) == found.items
    assert [listed.portfolio_id for listed in store.orders.exceptions(["P1"]).items] == ["P1"]
    doubtful[0].reported(PlacementStatus.WORKING).recorded(store)
    assert doubtful[0].id not in {listed.order_id for listed in store.orders.exceptions().items}
    with pytest.raises(BadCursor):
        store.orders.exceptions(cursor="x")


def test_text_that_no_database_keeps_does_not_stop_an_order(store: Store) -> None:
    tale = Tale().placed().reported(PlacementStatus.REJECTED, reason="no\x00 locate").recorded(store)
    assert store.orders.get(tale.id) == tale.order
    assert [listed.exception.detail for listed in store.orders.exceptions().items] == ["no\\x00 locate"]


def test_states_are_counted(store: Store) -> None:
    Tale().recorded(store)
    Tale(portfolio_id="P2").recorded(store)
    straight_through().recorded(store)
    counts = store.orders.states()
    assert set(counts) == set(State)
    assert {state: count for state, count in counts.items() if count} == {
        State.CREATED: 2,
        State.CONFIRMED: 1,
    }
    assert store.orders.states(["P2"])[State.CREATED] == 1


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(1, 12), offset=st.integers(0, 12))
def test_offset_and_cursor_agree(store: Store, limit: int, offset: int) -> None:
    if not store.orders.list(limit=1).items:
        for second in range(10):
            Tale(at=NOON + timedelta(seconds=second)).recorded(store)
    everything = store.orders.list(limit=100).items
    page = store.orders.list(limit=limit, offset=offset)
    assert page.items == everything[offset : offset + limit]
    assert (page.next_cursor is None) == (offset + limit >= len(everything))
    if page.next_cursor is not None:
        following = store.orders.list(limit=limit, cursor=page.next_cursor).items
        assert following == everything[offset + limit : offset + 2 * limit]
