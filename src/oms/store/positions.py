"""What each portfolio and account holds, derived from fills at the moment somebody asks; never stored."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

from pydantic import PlainSerializer
from sqlalchemy import Connection, Select, func, or_, select

from oms.domain.model import Open
from oms.domain.numbers import ZERO, add, multiply, plain, ratio
from oms.domain.terms import Direction
from oms.store import tables
from oms.store.database import Database

Sum = Annotated[Decimal, PlainSerializer(plain, return_type=str, when_used="json")]
"""A result of exact arithmetic: it may be longer than the 38 digits that one number from outside may have."""
Holder = tuple[str, str, str]
"""(portfolio_id, account_id, instrument_id)."""


class Position(Open):
    """A holding. `quantity` is signed, negative is short.

    `average_price` is what the open quantity was entered at, by average cost: a trade that enlarges the position
    moves it, one that reduces it does not, one that turns it starts anew. `cost` = quantity times average price,
    signed, without multiplier. Both are rounded to 12 places only where a division does not end; a flat position
    has no average price and no cost.
    """

    portfolio_id: str
    account_id: str
    instrument_id: str
    quantity: Sum
    cost: Sum
    average_price: Sum | None


@dataclass
class _Running:
    quantity: Fraction = Fraction(0)
    cost: Fraction = Fraction(0)

    def trade(self, quantity: Fraction, price: Fraction) -> None:
        """Book a signed quantity at a price."""
        held = self.quantity
        self.quantity += quantity
        if held * quantity >= 0:
            self.cost += quantity * price
        elif held * self.quantity > 0:
            self.cost = self.cost / held * self.quantity
        else:
            self.cost = self.quantity * price


def positions(database: Database, portfolio_id: str | None, account_id: str | None) -> list[Position]:
    """Every holding that ever was, flat ones with quantity 0, by portfolio, account and instrument.

    An order's fills belong to the accounts it is allocated to, each in the proportion of its allocation; what is
    not allocated belongs to the order's portfolio and its default account.
    """
    running: dict[Holder, _Running] = defaultdict(_Running)
    with database.snapshot() as connection:
        shares = _shares(connection, portfolio_id)
        for fill in connection.execute(_fills(portfolio_id)):
            signed = Fraction(fill.quantity) * Direction(fill.direction).sign
            price = Fraction(fill.price)
            own = (fill.portfolio_id, fill.default_account_id)
            for (portfolio, account), share in _split(fill.executed_quantity, shares.get(fill.order_id), own):
                running[portfolio, account, fill.instrument_id].trade(signed * share, price)
    return [
        _position(holder, held)
        for holder, held in sorted(running.items())
        if portfolio_id in (None, holder[0]) and account_id in (None, holder[1])
    ]


def holdings(database: Database, portfolio_id: str, exclude_order_id: str | None) -> dict[str, Decimal]:
    """The portfolio's signed quantity of each instrument it ever traded, without one order's part if so asked.

    Adds up executed quantities by order, from an index alone. Equal quantities are counted in SQL and multiplied
    here, because SQLite has no exact sum.
    """
    orders = tables.orders.c
    query = (
        select(orders.instrument_id, orders.direction, orders.executed_quantity, func.count())
        .where(orders.portfolio_id == portfolio_id)
        .group_by(orders.instrument_id, orders.direction, orders.executed_quantity)
    )
    held: dict[str, Decimal] = defaultdict(lambda: ZERO)
    with database.snapshot() as connection:
        for instrument_id, direction, quantity, count in connection.execute(query):
            if quantity:
                _hold(held, instrument_id, direction, quantity, count)
        for row in connection.execute(_moved(portfolio_id)):
            _hold(
                held,
                row.instrument_id,
                row.direction,
                row.quantity,
                1 if row.portfolio_id == portfolio_id else -1,
            )
        if exclude_order_id is not None:
            _exclude(connection, held, portfolio_id, exclude_order_id)
    return dict(held)


def _hold(
    held: dict[str, Decimal], instrument_id: str, direction: str, quantity: Decimal, times: int
) -> None:
    signed = multiply(quantity, Decimal(times * Direction(direction).sign))
    held[instrument_id] = add(held[instrument_id], signed)


def _exclude(connection: Connection, held: dict[str, Decimal], portfolio_id: str, order_id: str) -> None:
    orders, allocations = tables.orders.c, tables.allocations.c
    order = connection.execute(
        select(orders.portfolio_id, orders.instrument_id, orders.direction, orders.executed_quantity).where(
            orders.order_id == order_id
        )
    ).one_or_none()
    if order is not None and order.portfolio_id == portfolio_id and order.executed_quantity:
        _hold(held, order.instrument_id, order.direction, order.executed_quantity, -1)
    for row in connection.execute(_moved(portfolio_id).where(allocations.order_id == order_id)):
        _hold(
            held,
            row.instrument_id,
            row.direction,
            row.quantity,
            -1 if row.portfolio_id == portfolio_id else 1,
        )


def _moved(portfolio_id: str) -> Select[Any]:
    """The allocations that carry quantity into the portfolio from another's order, or out of it."""
    rows = tables.allocations.c
    return select(rows.portfolio_id, rows.instrument_id, rows.direction, rows.quantity).where(
        rows.moved.is_(True), or_(rows.portfolio_id == portfolio_id, rows.order_portfolio_id == portfolio_id)
    )


def _fills(portfolio_id: str | None) -> Select[Any]:
    """Fills in the order they happened, of every order that can touch the portfolio."""
    fills, orders, allocations = tables.fills, tables.orders, tables.allocations
    query = (
        select(
            fills.c.order_id,
            fills.c.portfolio_id,
            fills.c.instrument_id,
            fills.c.direction,
            fills.c.quantity,
            fills.c.price,
            orders.c.default_account_id,
            orders.c.executed_quantity,
        )
        .join(orders, orders.c.order_id == fills.c.order_id)
        .order_by(fills.c.ts_event_ns, fills.c.order_id, fills.c.execution)
    )
    if portfolio_id is None:
        return query
    moved_in = select(allocations.c.order_id).where(
        allocations.c.portfolio_id == portfolio_id, allocations.c.moved.is_(True)
    )
    return query.where(or_(fills.c.portfolio_id == portfolio_id, fills.c.order_id.in_(moved_in)))


def _shares(connection: Connection, portfolio_id: str | None) -> dict[str, list[Any]]:
    rows = tables.allocations.c
    query = select(rows.order_id, rows.portfolio_id, rows.account_id, rows.quantity)
    if portfolio_id is not None:
        query = query.where(or_(rows.portfolio_id == portfolio_id, rows.order_portfolio_id == portfolio_id))
    shares: dict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(query):
        shares[row.order_id].append(row)
    return shares


def _split(
    executed: Decimal, allocations: list[Any] | None, own: tuple[str, str]
) -> Iterator[tuple[tuple[str, str], Fraction]]:
    """Which part of an order's every fill belongs to whom; the parts add up to one."""
    rest = Fraction(1)
    for row in allocations or ():
        share = Fraction(row.quantity) / Fraction(executed)
        rest -= share
        yield (row.portfolio_id, row.account_id), share
    if rest:
        yield own, rest


def _position(holder: Holder, held: _Running) -> Position:
    portfolio_id, account_id, instrument_id = holder
    quantity = _decimal(held.quantity)
    return Position(
        portfolio_id=portfolio_id,
        account_id=account_id,
        instrument_id=instrument_id,
        quantity=quantity,
        cost=_decimal(held.cost),
        average_price=_decimal(held.cost / held.quantity) if held.quantity else None,
    )


def _decimal(value: Fraction) -> Decimal:
    """The fraction as a decimal: exact where it has one of at most 18 places, else to 12 places."""
    scaled = value * 10**18
    if scaled.denominator == 1:
        # From text, because arithmetic on a Decimal would round to the context's 28 digits.
        return Decimal(plain(Decimal(f"{scaled.numerator}E-18")))
    return ratio(Decimal(value.numerator), Decimal(value.denominator))
