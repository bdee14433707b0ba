"""What our books have of an account at the broker, for a comparison with the broker's own."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Select, func, select

from oms.domain.comparing import Holding
from oms.domain.numbers import ZERO, add, multiply
from oms.domain.reference import Account, Instrument, Portfolio
from oms.domain.statements import BookedExecution
from oms.domain.terms import Direction
from oms.store import tables
from oms.store.database import Database
from oms.store.reference import Reference

_AT_A_TIME = 500
_FILLS, _PLACEMENTS = tables.fills.c, tables.placements.c


class Booked:
    """Executions and holdings by the broker account that a placement named, whoever they were allocated to since."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reference = Reference(database)

    def begins_ns(self) -> int | None:
        """When our first order was written, in nanoseconds since the epoch; None where there is none."""
        with self._database.read() as connection:
            first: datetime | None = connection.execute(select(func.min(tables.orders.c.created_at))).scalar()
        return None if first is None else int(first.timestamp()) * 1_000_000_000

    def knows(self, account: str) -> bool:
        """Whether an account of our reference data is held at this broker account."""
        with self._database.read() as connection:
            return bool(_held_at(connection, account))

    def is_traded_by_others(self, account: str, portfolio_ids: Collection[str]) -> bool:
        """Whether a portfolio that is not one of these trades there: by an order placed in it, or by default.

        Reads the account's placements where nobody else does.
        """
        orders = tables.orders.c
        placed = (
            select(_PLACEMENTS.order_id)
            .join(tables.orders, orders.order_id == _PLACEMENTS.order_id)
            .where(_PLACEMENTS.account == account, orders.portfolio_id.not_in(portfolio_ids))
        )
        portfolios = tables.portfolios.c
        others = select(portfolios.body).where(portfolios.portfolio_id.not_in(portfolio_ids))
        with self._database.snapshot() as connection:
            if connection.execute(placed.limit(1)).first() is not None:
                return True
            held_there = _held_at(connection, account)
            defaults = map(Portfolio.model_validate_json, connection.scalars(others))
            return any(portfolio.default_account_id in held_there for portfolio in defaults)

    def executions(
        self, account: str, begin_ns: int, end_ns: int, keys: Collection[str] = ()
    ) -> dict[str, BookedExecution]:
        """The account's executions from `begin_ns` until before `end_ns`, and those named by `keys` of any account,
        by what their ids identify."""
        between = _executions().where(
            _PLACEMENTS.account == account, _FILLS.ts_event_ns >= begin_ns, _FILLS.ts_event_ns < end_ns
        )
        with self._database.snapshot() as connection:
            found = {row.execution: row for row in connection.execute(between)}
            missing = sorted(set(keys) - found.keys())
            found |= {row.execution: row for row in _named(connection, missing)}
        instruments = self._instruments({row.instrument_id for row in found.values()})
        return {key: _execution(row, instruments[row.instrument_id]) for key, row in found.items()}

    def holdings(self, account: str, before_ns: int) -> list[Holding]:
        """What the account's executions before this moment add up to, instrument by instrument.

        Equal quantities are counted in SQL and multiplied here, because SQLite has no exact sum.
        """
        query = (
            select(_FILLS.instrument_id, _FILLS.direction, _FILLS.quantity, func.count())
            .join(tables.placements, _PLACEMENTS.placement_id == _FILLS.placement_id)
            .where(_PLACEMENTS.account == account, _FILLS.ts_event_ns < before_ns)
            .group_by(_FILLS.instrument_id, _FILLS.direction, _FILLS.quantity)
        )
        held: dict[str, Decimal] = defaultdict(lambda: ZERO)
        with self._database.read() as connection:
            for instrument_id, direction, quantity, count in connection.execute(query):
                signed = multiply(quantity, Decimal(count * Direction(direction).sign))
                held[instrument_id] = add(held[instrument_id], signed)
        instruments = self._instruments(held.keys())
        return [Holding(instruments[instrument_id], quantity) for instrument_id, quantity in held.items()]

    def _instruments(self, instrument_ids: Collection[str]) -> dict[str, Instrument]:
        known = {name: self._reference.instrument(name) for name in instrument_ids}
        return {name: known[name] or Instrument(instrument_id=name, symbol=name) for name in known}


def _held_at(connection: Connection, account: str) -> set[str]:
    """The ids of our accounts that are held at this broker account."""
    known = map(Account.model_validate_json, connection.scalars(select(tables.accounts.c.body)))
    return {one.account_id for one in known if one.broker_account == account}


def _executions() -> Select[Any]:
    return select(tables.fills).join(
        tables.placements, _PLACEMENTS.placement_id == _FILLS.placement_id, isouter=True
    )


def _named(connection: Connection, keys: Sequence[str]) -> Iterator[Any]:
    for at in range(0, len(keys), _AT_A_TIME):
        yield from connection.execute(_executions().where(_FILLS.execution.in_(keys[at : at + _AT_A_TIME])))


def _execution(row: Any, instrument: Instrument) -> BookedExecution:
    return BookedExecution(
        exec_id=row.exec_id,
        order_id=row.order_id,
        placement_id=row.placement_id,
        instrument=instrument,
        quantity=multiply(row.quantity, Decimal(Direction(row.direction).sign)),
        price=row.price,
        currency=row.currency,
        commission=row.commission,
        commission_currency=row.commission_currency or "",
        ts_event_ns=row.ts_event_ns,
    )
