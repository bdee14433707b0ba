"""What the order book's own rows say of its invariants: which orders to look at, and which of them look wrong.

Every function is bounded by the orders it is given. All that is compared is read in one snapshot, so an order that is
being recorded is seen before or after, never between.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Table, and_, or_, select

from oms.domain.findings import Invariant, Suspect, misallocated, misfilled
from oms.domain.lifecycle import TERMINAL
from oms.domain.numbers import plain, total
from oms.domain.order import VENUE_FINAL, Order
from oms.domain.reserving import IN_FLIGHT, reserved
from oms.domain.terms import ExceptionCode, State
from oms.store import tables
from oms.store.database import Database
from oms.store.ledgers import whole_orders
from oms.store.rebuild import differences_of, journals_of, stored_rows

_CHUNK = 500


def changed(database: Database, after: int, events: int = 5_000) -> tuple[list[str], int]:
    """The orders of the next `events` events of the stream, and the position up to which that is all of them.

    A position beyond the stream, which was put back from a backup, is its end.
    """
    head, journal = tables.stream_head.c, tables.journal.c
    with database.snapshot() as connection:
        newest: int = connection.execute(select(head.position).where(head.name == "journal")).scalar_one()
        last = min(newest, after + events)
        query = select(journal.order_id).where(journal.position > after, journal.position <= last).distinct()
        return sorted(connection.scalars(query)), last


def swept(database: Database, after: str, limit: int) -> list[str]:
    """The next `limit` orders after the id `after`; fewer at the end of the book."""
    orders = tables.orders.c
    query = select(orders.order_id).where(orders.order_id > after).order_by(orders.order_id).limit(limit)
    with database.read() as connection:
        return list(connection.scalars(query))


def suspects(
    database: Database, order_ids: Sequence[str], folded: Collection[str] = ()
) -> tuple[Suspect, ...]:
    """What does not add up in these orders' rows; those in `folded` are also folded from their journal."""
    found: list[Suspect] = []
    for chunk in _chunks(order_ids):
        with database.snapshot() as connection:
            found += _misfilled(connection, chunk)
            found += _misallocated(connection, chunk)
            found += _misreserved(connection, chunk)
            found += _unfolded(connection, [order_id for order_id in chunk if order_id in folded])
    return tuple(found)


def check(database: Database) -> tuple[Suspect, ...]:
    """What does not add up anywhere in the book, workflows apart. Takes milliseconds for each order: for a test's end."""
    found: list[Suspect] = list(suspects(database, strays(database)))
    last = ""
    while order_ids := swept(database, last, _CHUNK):
        found += suspects(database, order_ids, frozenset(order_ids))
        last = order_ids[-1]
    return tuple(dict.fromkeys(found))


def strays(database: Database, limit: int = 200) -> list[str]:
    """Orders that hold a reservation though none of their state does, as far as the row tells, or that do not exist."""
    orders, reservations = tables.orders.c, tables.reservations.c
    holding = [state.value for state in (*IN_FLIGHT, State.PENDING_PRE_TRADE_COMPLIANCE)]
    query = (
        select(reservations.order_id)
        .distinct()
        .outerjoin_from(tables.reservations, tables.orders, orders.order_id == reservations.order_id)
        .where(or_(orders.order_id.is_(None), orders.state.not_in(holding)))
        .limit(limit)
    )
    with database.read() as connection:
        return sorted(connection.scalars(query))


def live(database: Database, order_ids: Sequence[str], limit: int) -> list[Order]:
    """The first `limit` of these orders that are not terminal."""
    orders = tables.orders.c
    found: list[Order] = []
    ended = [state.value for state in TERMINAL]
    for chunk in _chunks(order_ids):
        query = select(orders.order_id, orders.body).where(
            orders.order_id.in_(chunk), orders.state.not_in(ended)
        )
        with database.snapshot() as connection:
            bodies = {row.order_id: row.body for row in connection.execute(query)}
            wanted = [bodies[order_id] for order_id in chunk if order_id in bodies]
            found += whole_orders(connection, wanted[: limit - len(found)])
        if len(found) >= limit:
            break
    return found


def working(database: Database, order_ids: Sequence[str]) -> list[str]:
    """Those of these orders that have a placement which may still trade."""
    placements = tables.placements.c
    ended = [status.value for status in VENUE_FINAL]
    found: list[str] = []
    for chunk in _chunks(order_ids):
        query = select(placements.order_id).where(
            placements.order_id.in_(chunk), placements.status.not_in(ended)
        )
        with database.read() as connection:
            found += sorted(set(connection.scalars(query)))
    return found


def _chunks(order_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(order_ids), _CHUNK):
        yield order_ids[start : start + _CHUNK]


def _misfilled(connection: Connection, order_ids: Sequence[str]) -> Iterator[Suspect]:
    filled = _sums(connection, tables.fills, order_ids)
    for row in _rows(connection, order_ids):
        if detail := misfilled(row.executed_quantity, filled[row.order_id]):
            yield Suspect(name=Invariant.FILLS, order_id=row.order_id, detail=detail)


def _misallocated(connection: Connection, order_ids: Sequence[str]) -> Iterator[Suspect]:
    allocated = _sums(connection, tables.allocations, order_ids)
    exceptions = tables.order_exceptions.c
    query = select(exceptions.order_id, exceptions.code).where(exceptions.order_id.in_(order_ids))
    codes: dict[str, set[ExceptionCode]] = defaultdict(set)
    for order_id, code in connection.execute(query):
        codes[order_id].add(ExceptionCode(code))
    for row in _rows(connection, order_ids):
        detail = misallocated(
            State(row.state), row.executed_quantity, allocated[row.order_id], codes[row.order_id]
        )
        if detail:
            yield Suspect(name=Invariant.ALLOCATIONS, order_id=row.order_id, detail=detail)


def _misreserved(connection: Connection, order_ids: Sequence[str]) -> Iterator[Suspect]:
    """While a check runs its answer reserves before the journal has it, so a row more is no breach then."""
    rows: dict[str, dict[str, tuple[object, ...]]] = {}
    query = select(tables.reservations).where(tables.reservations.c.order_id.in_(order_ids))
    for row in connection.execute(query):
        held = (row.quantity, row.price, row.unallocated)
        rows.setdefault(row.order_id, {})[row.portfolio_id] = held
    orders = tables.orders.c
    holding = [state.value for state in IN_FLIGHT]
    bodies = select(orders.order_id, orders.body).where(
        or_(
            orders.order_id.in_(rows),
            and_(orders.order_id.in_(order_ids), orders.state.in_(holding)),
        )
    )
    known = {order_id: Order.model_validate_json(body) for order_id, body in connection.execute(bodies)}
    for order_id in sorted(rows.keys() | known.keys()):
        order, found = known.get(order_id), rows.get(order_id, {})
        if order is not None and order.state is State.PENDING_PRE_TRADE_COMPLIANCE:
            continue
        wanted = (
            {h.portfolio_id: (h.quantity, h.price, h.unallocated) for h in reserved(order)} if order else {}
        )
        if found != wanted:
            of = f"in {order.state}" if order else "of an order that does not exist"
            detail = f"{_held(found)} is reserved, {_held(wanted)} should be, {of}"
            yield Suspect(name=Invariant.RESERVATIONS, order_id=order_id, detail=detail[:1000])


def _held(holdings: Mapping[str, tuple[Any, ...]]) -> str:
    parts = [f"{plain(quantity)} for {portfolio}" for portfolio, (quantity, *_) in sorted(holdings.items())]
    return " and ".join(parts) or "nothing"


def _unfolded(connection: Connection, order_ids: Sequence[str]) -> Iterator[Suspect]:
    journals, stored = journals_of(connection, order_ids), stored_rows(connection, order_ids)
    for order_id in order_ids:
        differences = differences_of(order_id, journals[order_id], stored[order_id])
        found = [one for one in differences if one.table != tables.reservations.name]
        if found:
            detail = "; ".join(f"{one.table} {one.row}: {one.what}" for one in found[:5])
            yield Suspect(name=Invariant.PROJECTION, order_id=order_id, detail=detail[:1000])


def _rows(connection: Connection, order_ids: Sequence[str]) -> Iterable[Any]:
    orders = tables.orders.c
    query = select(orders.order_id, orders.state, orders.executed_quantity).where(
        orders.order_id.in_(order_ids)
    )
    return connection.execute(query).all()


def _sums(connection: Connection, table: Table, order_ids: Sequence[str]) -> dict[str, Decimal]:
    """The sum of `quantity` by order; SQLite has no exact sum, so it is made here."""
    quantities: dict[str, list[Decimal]] = defaultdict(list)
    query = select(table.c.order_id, table.c.quantity).where(table.c.order_id.in_(order_ids))
    for order_id, quantity in connection.execute(query):
        quantities[order_id].append(quantity)
    return defaultdict(Decimal, {order_id: total(parts) for order_id, parts in quantities.items()})
