"""The business invariants in the store: each is broken on purpose, found, told once, and told when it holds again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import delete, insert, update
from tests.store.building import NOON, Tale, new_id, straight_through

from oms.domain import commands as cmd
from oms.domain.control import ControlKind
from oms.domain.findings import EXAMPLES_KEPT, Invariant, Suspect
from oms.store import Store, invariants, tables

I = Invariant  # noqa: E741 - read often in one table
Break = Callable[[Any, str], Any]


def changed_row(table: Any, **values: Any) -> Break:
    return lambda connection, order_id: connection.execute(
        update(table).where(table.c.order_id == order_id).values(**values)
    )


def without_rows(table: Any) -> Break:
    return lambda connection, order_id: connection.execute(delete(table).where(table.c.order_id == order_id))


def reserved_for(quantity: str) -> Break:
    def write(connection: Any, order_id: str) -> None:
        connection.execute(
            insert(tables.reservations),
            {
                "order_id": order_id,
                "portfolio_id": "PORT-001",
                "instrument_id": "INS-AAPL",
                "direction": "Buy",
                "quantity": Decimal(quantity),
                "price": None,
                "unallocated": Decimal(0),
            },
        )

    return write


@dataclass(frozen=True)
class Case:
    """A row edited by hand, and what the invariants make of it."""

    of: Callable[[], Tale]
    edit: Break
    broken: frozenset[Invariant]
    says: str


CASES = {
    "a fill is gone": Case(
        straight_through, without_rows(tables.fills), frozenset({I.FILLS, I.PROJECTION}), "add up to 0"
    ),
    "a fill has another quantity": Case(
        straight_through,
        changed_row(tables.fills, quantity=Decimal("49.5")),
        frozenset({I.FILLS, I.PROJECTION}),
        "add up to 99",
    ),
    "an allocation is too small": Case(
        straight_through,
        changed_row(tables.allocations, quantity=Decimal("99.999999999999999999")),
        frozenset({I.ALLOCATIONS, I.PROJECTION}),
        "99.999999999999999999 of 100",
    ),
    "the reservation of a live order is gone": Case(
        lambda: Tale().placed(),
        without_rows(tables.reservations),
        frozenset({I.RESERVATIONS}),
        "nothing is reserved, 100 for PORT-001 should be",
    ),
    "a live order holds too little": Case(
        lambda: Tale().placed(),
        changed_row(tables.reservations, quantity=Decimal(1)),
        frozenset({I.RESERVATIONS}),
        "1 for PORT-001 is reserved",
    ),
    "an order that is over holds something": Case(
        straight_through,
        reserved_for("5"),
        frozenset({I.RESERVATIONS}),
        "5 for PORT-001 is reserved, nothing",
    ),
    "the projection is in another state": Case(
        lambda: Tale().placed(),
        changed_row(tables.orders, state="CLOSED"),
        frozenset({I.PROJECTION}),
        "state",
    ),
    "a placement is gone": Case(
        lambda: Tale().placed(), without_rows(tables.placements), frozenset({I.PROJECTION}), "missing"
    ),
}


def look(store: Store, order_ids: Sequence[str]) -> tuple[Suspect, ...]:
    return invariants.suspects(store.database, order_ids, order_ids)


def told(store: Store) -> list[tuple[ControlKind, str]]:
    kinds = (ControlKind.INVARIANT_BROKEN, ControlKind.INVARIANT_RESTORED)
    return [(event.kind, event.subject) for event in store.control.stream(0, kinds=kinds)]


@pytest.mark.parametrize("name", CASES)
def test_what_is_broken_is_found_told_once_and_cleared(store: Store, name: str) -> None:
    case = CASES[name]
    other, tale = straight_through().recorded(store), case.of().recorded(store)
    assert look(store, [other.id, tale.id]) == ()
    before = dict(_rows(store))
    with store.database.write() as connection:
        case.edit(connection, tale.id)
    found = look(store, [other.id, tale.id])
    assert {suspect.name for suspect in found} == case.broken
    assert {suspect.order_id for suspect in found} == {tale.id}
    assert case.says in " ".join(suspect.detail for suspect in found)
    assert {finding.name for finding in store.findings.keep(found, NOON)} == case.broken
    assert store.findings.keep(found, NOON + timedelta(seconds=30)) == ()
    assert {f.name for f in store.findings.all() if f.broken} == case.broken
    assert {f.since for f in store.findings.all() if f.broken} == {NOON}
    _put_back(store, before)
    assert look(store, [other.id, tale.id]) == ()
    store.findings.keep((), NOON + timedelta(minutes=1))
    assert not any(finding.broken for finding in store.findings.all())
    ordered = [name.value for name in Invariant if name in case.broken]
    assert told(store) == [
        *((ControlKind.INVARIANT_BROKEN, one) for one in ordered),
        *((ControlKind.INVARIANT_RESTORED, one) for one in ordered),
    ]


def test_an_order_whose_row_is_gone_is_found(store: Store) -> None:
    tale = Tale().recorded(store)
    with store.database.write() as connection:
        connection.execute(delete(tables.orders).where(tables.orders.c.order_id == tale.id))
    (found,) = look(store, [tale.id])
    assert (found.name, found.order_id) == (I.PROJECTION, tale.id)


def test_an_open_exception_explains_what_is_not_allocated(store: Store) -> None:
    """A late fill: executed is more than allocated until operations have allocated it and resolved the exception."""
    tale = straight_through()
    tale.hear(tale.execution(10, "151")).recorded(store)
    assert tale.order.executed_quantity == 110
    assert look(store, [tale.id]) == ()
    with store.database.write() as connection:
        connection.execute(delete(tables.order_exceptions))
    assert {suspect.name for suspect in look(store, [tale.id])} == {I.ALLOCATIONS, I.PROJECTION}


def test_what_a_check_reserves_before_the_journal_has_it_is_no_breach(store: Store) -> None:
    tale = Tale().do(cmd.RequestPreTradeCompliance()).recorded(store)
    with store.database.write() as connection:
        reserved_for("100")(connection, tale.id)
    assert look(store, [tale.id]) == ()
    assert invariants.strays(store.database) == []


def test_reservations_of_nobody_are_looked_for(store: Store) -> None:
    over, live = straight_through().recorded(store), Tale().placed().recorded(store)
    assert invariants.strays(store.database) == []
    with store.database.write() as connection:
        reserved_for("5")(connection, over.id)
        reserved_for("5")(connection, "ORD-of-nobody")
    assert invariants.strays(store.database) == sorted([over.id, "ORD-of-nobody"])
    found = look(store, [over.id, live.id, "ORD-of-nobody"])
    assert {suspect.order_id for suspect in found} == {over.id, "ORD-of-nobody"}


def test_the_whole_book_at_once(store: Store) -> None:
    tales = [Tale().placed().recorded(store) for _ in range(3)]
    assert invariants.check(store.database) == ()
    with store.database.write() as connection:
        reserved_for("5")(connection, "ORD-of-nobody")
        without_rows(tables.placements)(connection, tales[1].id)
    found = {(suspect.name, suspect.order_id) for suspect in invariants.check(store.database)}
    assert found == {(I.RESERVATIONS, "ORD-of-nobody"), (I.PROJECTION, tales[1].id)}


def test_changed_orders_are_those_with_events_after_a_position(store: Store) -> None:
    first, second = Tale().recorded(store), Tale().recorded(store)
    assert invariants.changed(store.database, 0) == (sorted([first.id, second.id]), 2)
    assert invariants.changed(store.database, 1) == ([second.id], 2)
    assert invariants.changed(store.database, 0, events=1) == ([first.id], 1)
    assert invariants.changed(store.database, 2) == ([], 2)
    assert invariants.changed(store.database, 9) == ([], 2)


def test_the_sweep_comes_past_every_order(store: Store) -> None:
    ids = sorted(Tale().recorded(store).id for _ in range(5))
    assert invariants.swept(store.database, "", 3) == ids[:3]
    assert invariants.swept(store.database, ids[2], 3) == ids[3:]
    assert invariants.swept(store.database, ids[4], 3) == []


def test_live_orders_and_those_with_a_working_placement(store: Store) -> None:
    placed, new = Tale().placed().recorded(store), Tale().recorded(store)
    canceled, done = Tale().do(cmd.CancelOrder()).recorded(store), straight_through().recorded(store)
    ids = [done.id, canceled.id, new.id, placed.id]
    assert [order.order_id for order in invariants.live(store.database, ids, 10)] == [
        done.id,
        new.id,
        placed.id,
    ]
    assert [order.order_id for order in invariants.live(store.database, ids, 2)] == [done.id, new.id]
    assert placed.id in invariants.working(store.database, ids)
    assert new.id not in invariants.working(store.database, ids)


def test_findings_keep_a_bounded_number_of_examples(store: Store) -> None:
    many = [Suspect(name=I.FILLS, order_id=new_id("ORD"), detail="x") for _ in range(EXAMPLES_KEPT + 5)]
    (turned,) = store.findings.keep(many, NOON)
    assert (turned.name, len(turned.examples)) == (I.FILLS, EXAMPLES_KEPT)
    assert str(EXAMPLES_KEPT + 5) in turned.detail
    (event,) = store.control.stream(0, kinds=[ControlKind.INVARIANT_BROKEN])
    assert len(event.data["examples"]) == 20
    assert event.data["examples"][0]["order_id"] == many[0].order_id


def test_an_older_look_changes_nothing(store: Store) -> None:
    broken = [Suspect(name=I.FILLS, order_id="ORD-1", detail="x")]
    store.findings.keep((), NOON)
    assert store.findings.keep(broken, NOON - timedelta(seconds=1)) == ()
    assert not any(finding.broken for finding in store.findings.all())


_COPIED = (
    tables.orders,
    tables.fills,
    tables.placements,
    tables.allocations,
    tables.order_exceptions,
    tables.reservations,
)


def _rows(store: Store) -> list[tuple[Any, list[dict[str, Any]]]]:
    with store.database.snapshot() as connection:
        return [(t, [dict(row) for row in connection.execute(t.select()).mappings()]) for t in _COPIED]


def _put_back(store: Store, before: dict[Any, list[dict[str, Any]]]) -> None:
    with store.database.write() as connection:
        for table in reversed(_COPIED):
            connection.execute(delete(table))
        for table in _COPIED:
            if before[table]:
                connection.execute(insert(table), before[table])
