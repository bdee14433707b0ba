"""What an account at a broker has of our orders: what they have executed there and what they still may."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from oms.domain.lifecycle import MAIN_CHAIN
from oms.domain.numbers import ZERO, add, multiply
from oms.domain.order import VENUE_FINAL, Order
from oms.domain.programs.planning import working_order
from oms.domain.programs.targets import WorkingOrder
from oms.domain.terms import Direction, PlacementStatus, State
from oms.store import tables
from oms.store.contracts import Contract
from oms.store.foreign import ForeignOrder, foreign_in

_F, _O, _P = tables.fills.c, tables.orders.c, tables.placements.c
_MAY_TRADE = tuple(
    state.value
    for state in (*MAIN_CHAIN[: MAIN_CHAIN.index(State.FILLED)], State.PRE_TRADE_COMPLIANCE_FAILED)
)
"""An order in any other state trades no more, unless something of it works at a venue all the same."""
_WORKING = tuple(status.value for status in PlacementStatus if status not in VENUE_FINAL)


def booked_in(
    connection: Connection, account: str, instrument_ids: Collection[str] | None, portfolio_id: str | None
) -> dict[str, Decimal]:
    """The signed sum of the executions booked in the account, by instrument id.

    Equal quantities are counted in SQL and multiplied here, because SQLite has no exact sum. Compared as an
    expression, the account offers no index: a contract has fewer executions than an account has placements.
    """
    in_account = _P.account if instrument_ids is None else func.coalesce(_P.account, "")
    query = (
        select(_F.instrument_id, _F.direction, _F.quantity, func.count())
        .join(tables.placements, _P.placement_id == _F.placement_id)
        .where(
            in_account == account,
            *_among(_F.instrument_id, instrument_ids),
            *_of(_F.portfolio_id, portfolio_id),
        )
        .group_by(_F.instrument_id, _F.direction, _F.quantity)
    )
    held: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for instrument, direction, quantity, times in connection.execute(query):
        signed = multiply(quantity, Decimal(times * Direction(direction).sign))
        held[instrument] = add(held[instrument], signed)
    return dict(held)


def working_orders(
    connection: Connection, account: str, instrument_ids: Collection[str], portfolio_id: str | None
) -> tuple[WorkingOrder, ...]:
    """What of our orders may still be executed in the account, oldest order first."""
    return tuple(seen for _, seen in _working(connection, account, instrument_ids, portfolio_id))


def orders_of_others(connection: Connection, account: str, contract: Contract) -> tuple[WorkingOrder, ...]:
    """What orders that this system did not place may still execute of the contract, the one seen first, first."""
    return tuple(
        WorkingOrder(order_id=order.key, pending=order.pending, state=State.ROUTED, ours=False)
        for order in foreign_in(connection, account)
        if order.pending and _is_of(contract, order)
    )


def _is_of(contract: Contract, order: ForeignOrder) -> bool:
    """By the broker's number, and where either side has none by what the contract is called."""
    if order.conid and contract.conid:
        return order.conid == contract.conid
    return (order.symbol, order.sec_type) in contract.names


def working_in(connection: Connection, account: str, portfolio_id: str | None) -> list[Order]:
    """The orders of which something may still be executed in the account, oldest first."""
    return [order for order, _ in _working(connection, account, None, portfolio_id)]


def _working(
    connection: Connection, account: str, instrument_ids: Collection[str] | None, portfolio_id: str | None
) -> Iterator[tuple[Order, WorkingOrder]]:
    bodies = {
        *connection.scalars(_on_their_way(instrument_ids, portfolio_id)),
        *connection.scalars(_at_the_venue(account, instrument_ids, portfolio_id)),
    }
    orders, now = map(Order.model_validate_json, bodies), datetime.now(UTC)
    for order in sorted(orders, key=lambda one: (one.created_at, one.order_id)):
        part = _as_seen_in(account, order)
        seen = None if part is None else working_order(part, now)
        if seen is not None:
            yield order, seen


def _on_their_way(instrument_ids: Collection[str] | None, portfolio_id: str | None) -> Select[tuple[str]]:
    """The orders of any account whose state says that they may still trade."""
    return select(_O.body).where(
        _O.state.in_(_MAY_TRADE),
        *_among(_O.instrument_id, instrument_ids),
        *_of(_O.portfolio_id, portfolio_id),
    )


def _at_the_venue(
    account: str, instrument_ids: Collection[str] | None, portfolio_id: str | None
) -> Select[tuple[str]]:
    """The other orders of which something works in the account all the same; one with two placements comes twice.

    Compared as expressions, instrument and portfolio offer no index that reads more than what works there.
    """
    return (
        select(_O.body)
        .join(tables.placements, _P.order_id == _O.order_id)
        .where(
            _P.account == account,
            _P.status.in_(_WORKING),
            func.coalesce(_O.state, "").not_in(_MAY_TRADE),
            *_among(func.coalesce(_O.instrument_id, ""), instrument_ids),
            *_of(func.coalesce(_O.portfolio_id, ""), portfolio_id),
        )
    )


def _of(column: ColumnElement[Any], wanted: str | None) -> tuple[ColumnElement[bool], ...]:
    return () if wanted is None else (column == wanted,)


def _among(column: ColumnElement[Any], wanted: Collection[str] | None) -> tuple[ColumnElement[bool], ...]:
    return () if wanted is None else (column.in_(wanted),)


def _as_seen_in(account: str, order: Order) -> Order | None:
    """The order with the placements of this account alone; one that has none yet goes where its route says."""
    if order.placements:
        placed = tuple(placement for placement in order.placements if placement.account == account)
        return order.model_copy(update={"placements": placed}) if placed else None
    return order if order.route is not None and order.route.account == account else None
