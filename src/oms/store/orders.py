"""Orders as last recorded, their parts, and who holds which client order id."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, union_all

from oms.domain.model import Open
from oms.domain.numbers import Amount, Holding, Price
from oms.domain.order import Allocation, OpenException, Order, Placement
from oms.domain.terms import Direction, State
from oms.store import tables
from oms.store.database import Database
from oms.store.ledgers import whole_orders
from oms.store.page import Page, page_of, paged

_AT_ONCE = 500
_MERGED = 50
"""Up to so many portfolios are listed by merging the newest of each."""


@dataclass(frozen=True)
class OrderFilter:
    """What ListOrders may ask for; absent is any. `portfolio_ids` are the only ones the caller may see."""

    portfolio_id: str | None = None
    instrument_id: str | None = None
    state: State | None = None
    direction: Direction | None = None
    basket_id: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    portfolio_ids: Sequence[str] | None = None


class Fill(Open):
    """An execution that stands, with its commission once that is known. Times in nanoseconds since the epoch."""

    order_id: str
    exec_id: str
    placement_id: str
    quantity: Holding
    price: Price
    commission: Amount | None
    commission_currency: str | None
    currency: str
    venue: str
    ts_event_ns: int
    ts_init_ns: int


class ListedException(Open):
    """An open exception and the order that carries it. Its age is the time since `exception.since`."""

    order_id: str
    portfolio_id: str
    instrument_id: str
    exception: OpenException


class Orders:
    """The projections, read. They are as new as the last `Journal.record` that was answered."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, order_id: str) -> Order | None:
        """The order at its latest version, with all of its executions."""
        query = select(tables.orders.c.body).where(tables.orders.c.order_id == order_id)
        with self._database.snapshot() as connection:
            body = connection.execute(query).scalar()
            return None if body is None else whole_orders(connection, [body])[0]

    def glance(self, order_id: str) -> Order | None:
        """The order at its latest version with the totals of its executions, for whoever does not need each of them."""
        query = select(tables.orders.c.body).where(tables.orders.c.order_id == order_id)
        with self._database.read() as connection:
            body = connection.execute(query).scalar()
        return None if body is None else Order.model_validate_json(body)

    def kept(self, order_ids: Collection[str]) -> dict[str, str]:
        """Each of these orders as the JSON it is kept as, by id, as far as there are any."""
        found: dict[str, str] = {}
        ids, orders = sorted(order_ids), tables.orders.c
        with self._database.read() as connection:
            for start in range(0, len(ids), _AT_ONCE):
                query = select(orders.order_id, orders.body).where(
                    orders.order_id.in_(ids[start : start + _AT_ONCE])
                )
                found |= {row.order_id: row.body for row in connection.execute(query)}
        return found

    def list(
        self,
        wanted: OrderFilter = OrderFilter(),
        limit: int = 100,
        offset: int = 0,
        cursor: str | None = None,
    ) -> Page[Order]:
        """Orders newest first over (created_at, order_id). Raises BadCursor."""
        with self._database.snapshot() as connection:
            rows = connection.execute(_listing(wanted, limit, offset, cursor)).all()
            page = page_of(rows, limit, lambda row: str(row.body))
            return Page(tuple(whole_orders(connection, page.items)), page.next_cursor)

    def bodies(
        self,
        wanted: OrderFilter = OrderFilter(),
        limit: int = 100,
        offset: int = 0,
        cursor: str | None = None,
    ) -> Page[str]:
        """`list`, each order as the JSON it is kept as: with the totals of its executions. Raises BadCursor."""
        with self._database.read() as connection:
            rows = connection.execute(_listing(wanted, limit, offset, cursor)).all()
        return page_of(rows, limit, lambda row: str(row.body))

    def fills(self, order_id: str) -> tuple[Fill, ...]:
        """The order's executions that stand, in the order the venue made them."""
        fills = tables.fills.c
        query = select(*(fills[name] for name in Fill.model_fields)).where(fills.order_id == order_id)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(fills.ts_event_ns, fills.execution)).all()
        return tuple(Fill.model_validate(row._asdict()) for row in rows)

    def placements(self, order_id: str) -> tuple[Placement, ...]:
        """The order's placements, first made first."""
        placements = tables.placements.c
        query = select(placements.body).where(placements.order_id == order_id).order_by(placements.ordinal)
        with self._database.read() as connection:
            return tuple(Placement.model_validate_json(body) for body in connection.scalars(query))

    def placement(self, placement_id: str) -> tuple[str, Placement] | None:
        """The placement and the id of its order."""
        placements = tables.placements.c
        query = select(placements.order_id, placements.body).where(placements.placement_id == placement_id)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (row.order_id, Placement.model_validate_json(row.body))

    def allocations(self, order_id: str) -> tuple[Allocation, ...]:
        """The order's allocations, first made first."""
        order = self.glance(order_id)
        return () if order is None else order.allocations

    def allocation(self, allocation_id: str) -> tuple[str, Allocation] | None:
        """The allocation and the id of its order."""
        allocations = tables.allocations.c
        query = (
            select(tables.orders.c.body)
            .join(tables.allocations, allocations.order_id == tables.orders.c.order_id)
            .where(allocations.allocation_id == allocation_id)
        )
        with self._database.read() as connection:
            body = connection.execute(query).scalar()
        if body is None:
            return None
        order = Order.model_validate_json(body)
        found = order.allocation(allocation_id)
        return None if found is None else (order.order_id, found)

    def exceptions(
        self,
        portfolio_ids: Sequence[str] | None = None,
        limit: int = 100,
        offset: int = 0,
        cursor: str | None = None,
    ) -> Page[ListedException]:
        """Open exceptions over all orders, newest first. Raises BadCursor."""
        rows = tables.order_exceptions.c
        key = rows.order_id + "|" + rows.code + "|" + rows.subject
        query = select(rows.since, key.label("key"), tables.order_exceptions)
        if portfolio_ids is not None:
            query = query.where(rows.portfolio_id.in_([*portfolio_ids]))
        query = paged(query, rows.since, key, limit, offset, cursor)
        with self._database.read() as connection:
            found = connection.execute(query).all()
        return page_of(found, limit, lambda row: _listed(row._asdict()))

    def claim(self, portfolio_id: str, client_order_id: str, order_id: str) -> str:
        """The order that holds (portfolio, client_order_id): `order_id` if nobody held it, else the holder.

        Asked twice, or by many at once, everybody gets the same answer.
        """
        claims = tables.order_claims
        row = {"portfolio_id": portfolio_id, "client_order_id": client_order_id, "order_id": order_id}
        holder = select(claims.c.order_id).where(
            claims.c.portfolio_id == portfolio_id, claims.c.client_order_id == client_order_id
        )
        with self._database.write() as connection:
            connection.execute(self._database.insert_new(claims), row)
            return str(connection.execute(holder).scalar_one())

    def states(self, portfolio_ids: Sequence[str] | None = None) -> dict[State, int]:
        """How many orders are in each of the 18 states; zero included."""
        orders = tables.orders.c
        query = select(orders.state, func.count()).group_by(orders.state)
        if portfolio_ids is not None:
            query = query.where(orders.portfolio_id.in_([*portfolio_ids]))
        with self._database.read() as connection:
            counted = {row[0]: row[1] for row in connection.execute(query)}
        return {state: counted.get(state.value, 0) for state in State}


def _listing(wanted: OrderFilter, limit: int, offset: int, cursor: str | None) -> Select[Any]:
    """(created_at, order_id, body) of a page.

    Over several portfolios, each one's newest are taken from its own index and merged: one query over all of
    them would sort everything they have.
    """
    orders = tables.orders.c
    conditions = _conditions(wanted)
    permitted = None if wanted.portfolio_ids is None else sorted(set(wanted.portfolio_ids))
    if permitted is not None and wanted.portfolio_id is not None:
        permitted = [portfolio_id for portfolio_id in permitted if portfolio_id == wanted.portfolio_id]
    if permitted is None or not 1 < len(permitted) <= _MERGED:
        query = select(orders.created_at, orders.order_id, orders.body).where(*conditions)
        if permitted is not None:
            query = query.where(orders.portfolio_id.in_(permitted))
        return paged(query, orders.created_at, orders.order_id, limit, offset, cursor)
    newest = [
        paged(
            select(orders.created_at, orders.order_id).where(
                *conditions, orders.portfolio_id == portfolio_id
            ),
            orders.created_at,
            orders.order_id,
            limit + offset,
            0,
            cursor,
        ).subquery()
        for portfolio_id in permitted
    ]
    merged = union_all(*(select(part) for part in newest)).subquery()
    query = select(merged.c.created_at, merged.c.order_id, orders.body).join(
        tables.orders, orders.order_id == merged.c.order_id
    )
    return paged(query, merged.c.created_at, merged.c.order_id, limit, offset, None)


def _conditions(wanted: OrderFilter) -> list[ColumnElement[bool]]:
    orders = tables.orders.c
    equal = {
        orders.portfolio_id: wanted.portfolio_id,
        orders.instrument_id: wanted.instrument_id,
        orders.state: wanted.state,
        orders.direction: wanted.direction,
        orders.basket_id: wanted.basket_id,
    }
    # A basket has few orders. Compared as an expression, the other columns offer no index that reads more.
    bare = wanted.basket_id is None
    conditions: list[ColumnElement[bool]] = [
        (c if bare or c is orders.basket_id else func.coalesce(c, "")) == str(value)
        for c, value in equal.items()
        if value is not None
    ]
    if wanted.created_after is not None:
        conditions.append(orders.created_at > wanted.created_after)
    if wanted.created_before is not None:
        conditions.append(orders.created_at < wanted.created_before)
    return conditions


def _listed(row: dict[str, Any]) -> ListedException:
    return ListedException.model_validate({**row, "exception": row})
