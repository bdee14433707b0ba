"""What a portfolio holds, has in flight and traded today, in one statement."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    func,
    literal,
    literal_column,
    select,
    union_all,
)

from oms.domain.drafting import nanoseconds
from oms.domain.numbers import ZERO, add, multiply, total
from oms.domain.terms import Direction
from oms.store import tables
from oms.store.columns import Exact
from oms.store.database import Database

_PORTFOLIO: BindParameter[str] = bindparam("portfolio")
_WITHOUT: BindParameter[str] = bindparam("without")
_MIDNIGHT: BindParameter[int] = bindparam("midnight")
_NOBODY = ""
_HELD, _IN_FLIGHT, _TRADED = "held", "in flight", "traded"
_SIGN = {direction.value: direction.sign for direction in Direction}
_AND, _AT = " ", "@"
_REMEMBERED = 20_000
"""So many sums are remembered by their text."""


class Holding(NamedTuple):
    """Units of one instrument: signed and executed, and what orders in flight may still buy and sell."""

    position: Decimal = ZERO
    buying: Decimal = ZERO
    selling: Decimal = ZERO


class Traded(NamedTuple):
    """What was traded of one instrument, or may still be: its notional (quantity times price, in the instrument's
    currency, no multiplier), and the units without a price of their own."""

    notional: Decimal
    unpriced: Decimal

    def plus(self, other: "Traded") -> "Traded":
        return Traded(add(self.notional, other.notional), add(self.unpriced, other.unpriced))


_NOTHING_HELD = Holding()


@dataclass(frozen=True)
class Exposure:
    """By instrument id: what is held, and with turnover what was traded today or is in flight."""

    holdings: Mapping[str, Holding]
    traded: Mapping[str, Traded]


class Exposures:
    """The prepared statements. One statement sees one state of the database in every isolation level: a fill that is
    booked meanwhile counts once, as a position or as in flight, never as both or neither."""

    def __init__(self, database: Database) -> None:
        join = func.group_concat if database.is_sqlite else func.string_agg
        standing = (*_held(), *_own(), _in_flight())
        self._standing = union_all(*(rows.grouped(join) for rows in standing))
        self._with_turnover = union_all(*(rows.grouped(join) for rows in (*standing, _traded())))

    def read(
        self,
        connection: Connection,
        portfolio_id: str,
        now: datetime,
        *,
        turnover: bool = False,
        without: str | None = None,
    ) -> Exposure:
        """The exposure of the portfolio without the order `without`; `now` says which day's turnover (UTC)."""
        names: dict[str, Any] = {"portfolio": portfolio_id, "without": without or _NOBODY}
        statement = self._standing
        if turnover:
            midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            statement, names["midnight"] = self._with_turnover, nanoseconds(midnight)
        return _added_up(connection.execute(statement, names).all(), turnover=turnover)


def _added_up(rows: Iterable[Sequence[Any]], *, turnover: bool) -> Exposure:
    holdings: dict[str, Holding] = {}
    traded: dict[str, Traded] = {}
    for what, instrument_id, direction, times, numbers in rows:
        sign = _SIGN[direction] * times
        held = holdings.get(instrument_id, _NOTHING_HELD)
        if what == _HELD:
            units = _sum(numbers)
            position = add(held.position, units if sign > 0 else units.copy_negate())
            holdings[instrument_id] = held._replace(position=position)
            continue
        units, trade = _trade(numbers)
        if what == _IN_FLIGHT:
            holdings[instrument_id] = (
                held._replace(buying=add(held.buying, units))
                if sign > 0
                else held._replace(selling=add(held.selling, units))
            )
        if turnover:
            before = traded.get(instrument_id)
            traded[instrument_id] = trade if before is None else before.plus(trade)
    return Exposure(holdings, traded)


@lru_cache(_REMEMBERED)
def _sum(numbers: str) -> Decimal:
    """The sum of numbers that are joined into one text. Most of a portfolio is as it was at the last look."""
    return total(map(Decimal, numbers.split(_AND)))


@lru_cache(_REMEMBERED)
def _trade(pairs: str) -> tuple[Decimal, Traded]:
    """The units of pairs of quantity and price that are joined into one text, and what they are worth."""
    read = [pair.split(_AT) for pair in pairs.split(_AND)]
    notional = total(multiply(Decimal(quantity), Decimal(price)) for quantity, price in read if price)
    unpriced = total(Decimal(quantity) for quantity, price in read if not price)
    return total(Decimal(quantity) for quantity, _ in read), Traded(notional, unpriced)


@dataclass(frozen=True)
class _Rows:
    """Numbers of orders, fills or allocations, `times` of which count; with a joining function, one row for each
    instrument and direction, its numbers joined into one text.

    SQLite has no exact sum, and a portfolio has too many orders to fetch each as a row of its own.
    """

    what: str
    table: Table
    number: ColumnElement[str]
    where: tuple[ColumnElement[bool], ...]
    times: int = 1

    def grouped(self, join: Any) -> Select[Any]:
        columns = self.table.c
        return (
            select(
                literal_column(f"'{self.what}'"),
                columns.instrument_id,
                columns.direction,
                literal_column(str(self.times)),
                join(self.number, literal_column(f"'{_AND}'")),
            )
            .where(*self.where)
            .group_by(columns.instrument_id, columns.direction)
        )


def _text(number: Any) -> ColumnElement[str]:
    return cast(number, Text)


def _priced(quantity: Any, price: Any) -> ColumnElement[str]:
    """`quantity@price`, with nothing after the sign where there is no price."""
    return _text(quantity) + _AT + func.coalesce(_text(price), "")


def _held() -> Iterator[_Rows]:
    """What was executed, from an index alone, and what allocations carried in and out."""
    orders, allocations, reservations = tables.orders.c, tables.allocations.c, tables.reservations.c
    nothing = literal(ZERO, Exact())
    executed = _text(orders.executed_quantity)
    mine = (orders.portfolio_id == _PORTFOLIO, orders.executed_quantity != nothing)
    yield _Rows(_HELD, tables.orders, executed, mine)
    for owner, times in ((allocations.portfolio_id, 1), (allocations.order_portfolio_id, -1)):
        moved = (owner == _PORTFOLIO, allocations.moved.is_(True))
        yield _Rows(_HELD, tables.allocations, _text(allocations.quantity), moved, times)
    unallocated = (
        reservations.portfolio_id == _PORTFOLIO,
        reservations.order_id != _WITHOUT,
        reservations.unallocated != nothing,
    )
    yield _Rows(_HELD, tables.reservations, _text(reservations.unallocated), unallocated)


def _own() -> Iterator[_Rows]:
    """What was executed of the one order that is left out, the other way round."""
    orders, allocations = tables.orders.c, tables.allocations.c
    mine = (orders.order_id == _WITHOUT, orders.portfolio_id == _PORTFOLIO)
    yield _Rows(_HELD, tables.orders, _text(orders.executed_quantity), mine, -1)
    for owner, times in ((allocations.portfolio_id, -1), (allocations.order_portfolio_id, 1)):
        moved = (allocations.order_id == _WITHOUT, owner == _PORTFOLIO, allocations.moved.is_(True))
        yield _Rows(_HELD, tables.allocations, _text(allocations.quantity), moved, times)


def _in_flight() -> _Rows:
    rows = tables.reservations.c
    others = (rows.portfolio_id == _PORTFOLIO, rows.order_id != _WITHOUT)
    return _Rows(_IN_FLIGHT, tables.reservations, _priced(rows.quantity, rows.price), others)


def _traded() -> _Rows:
    fills = tables.fills.c
    today = (
        fills.portfolio_id == _PORTFOLIO,
        fills.ts_event_ns >= _MIDNIGHT,
        fills.order_id != _WITHOUT,
    )
    return _Rows(_TRADED, tables.fills, _priced(fills.quantity, fills.price), today)
