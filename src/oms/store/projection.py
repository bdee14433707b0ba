"""What the journal's reader sees of an order: its rows in the projection tables, as plain values."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from oms.domain.events import Event
from oms.domain.order import Order, executions_of
from oms.domain.reserving import Held, reserved
from oms.domain.terms import State
from oms.store.columns import storable
from oms.store.ledgers import kept_body

Values = dict[str, Any]


@dataclass(frozen=True)
class Projection:
    """The rows to write for an order. `busted` are executions that no longer stand, `has_exceptions` whether
    the order's exception rows are to be written again. `reservations`: None where they are the check's to write."""

    order: Values
    fills: list[Values]
    placements: list[Values]
    allocations: list[Values]
    exceptions: list[Values]
    reservations: list[Values] | None
    busted: list[Values] = field(default_factory=list)
    has_exceptions: bool = True


def whole(order: Order) -> Projection:
    """Every row of the order."""
    return Projection(
        order=order_row(order),
        fills=_fill_rows(order, order.ledger.executions),
        placements=_placement_rows(order),
        allocations=_allocation_rows(order),
        exceptions=_exception_rows(order),
        reservations=_reservation_rows(order),
    )


def touched(order: Order, events: Sequence[Event]) -> Projection:
    """The rows that `events`, which led to `order`, can have changed.

    Fills and allocations are named by the events that touch them, so an order with a thousand fills writes
    one row for the next. Exceptions are few: they are written whole.
    """
    happenings = [event.happening for event in events]
    bases = executions_of(events)
    placed = {h.placement_id for h in happenings if hasattr(h, "placement_id")}
    allocated = any(hasattr(h, "allocation_id") for h in happenings)
    return Projection(
        order=order_row(order),
        fills=_fill_rows(order, sorted(bases & order.ledger.executions.keys())),
        placements=_placement_rows(order, placed) if placed else [],
        allocations=_allocation_rows(order) if allocated else [],
        exceptions=_exception_rows(order),
        reservations=_reservation_rows(order),
        busted=[
            {"gone_order_id": order.order_id, "gone_execution": storable(base)}
            for base in sorted(bases - order.ledger.executions.keys())
        ],
        has_exceptions=bool(order.exceptions) or any(e.kind == "exception_resolved" for e in events),
    )


def order_row(order: Order) -> Values:
    request = order.request
    return {
        "order_id": order.order_id,
        "version": order.version,
        "state": order.state.value,
        "portfolio_id": request.portfolio_id,
        "instrument_id": request.instrument_id,
        "direction": request.direction.value,
        "basket_id": order.basket_id,
        "client_order_id": request.client_order_id,
        "default_account_id": order.default_account_id,
        "ordered_quantity": order.ordered_quantity,
        "executed_quantity": order.executed_quantity,
        "created_at": order.created_at,
        "updated_at": order.updated_at,
        "body": kept_body(order),
    }


def reservation_row(order_id: str, held: Held) -> Values:
    return {
        "order_id": order_id,
        "portfolio_id": held.portfolio_id,
        "instrument_id": held.instrument_id,
        "direction": held.direction.value,
        "quantity": held.quantity,
        "price": held.price,
        "unallocated": held.unallocated,
    }


def _reservation_rows(order: Order) -> list[Values] | None:
    """While a check runs its answer reserves, before the journal has it: the row is left as it is."""
    if order.state is State.PENDING_PRE_TRADE_COMPLIANCE:
        return None
    return [reservation_row(order.order_id, held) for held in reserved(order)]


def _fill_rows(order: Order, bases: Iterable[str]) -> list[Values]:
    rows = []
    for base in bases:
        execution = order.ledger.executions[base]
        commission = order.ledger.commission_of(execution.exec_id)
        rows.append(
            {
                "order_id": order.order_id,
                "execution": storable(base),
                "exec_id": storable(execution.exec_id),
                "placement_id": execution.placement_id,
                "portfolio_id": order.portfolio_id,
                "instrument_id": order.instrument_id,
                "direction": order.direction.value,
                "quantity": execution.quantity,
                "price": execution.price,
                "currency": storable(execution.currency),
                "venue": storable(execution.venue),
                "commission": commission.amount if commission else None,
                "commission_currency": storable(commission.currency) if commission else None,
                "ts_event_ns": execution.ts_event_ns,
                "ts_init_ns": execution.ts_init_ns,
            }
        )
    return rows


def _placement_rows(order: Order, wanted: Collection[str] | None = None) -> list[Values]:
    return [
        {
            "placement_id": placement.placement_id,
            "order_id": order.order_id,
            "ordinal": ordinal,
            "venue": placement.venue,
            "account": placement.account,
            "status": placement.status.value,
            "body": placement.model_dump_json(),
        }
        for ordinal, placement in enumerate(order.placements)
        if wanted is None or placement.placement_id in wanted
    ]


def _allocation_rows(order: Order) -> list[Values]:
    return [
        {
            "allocation_id": allocation.allocation_id,
            "order_id": order.order_id,
            "ordinal": ordinal,
            "account_id": allocation.account_id,
            "portfolio_id": allocation.portfolio_id,
            "order_portfolio_id": order.portfolio_id,
            "instrument_id": order.instrument_id,
            "direction": order.direction.value,
            "moved": allocation.portfolio_id != order.portfolio_id,
            "quantity": allocation.quantity,
            "created_at": allocation.created_at,
            "created_by": allocation.created_by,
        }
        for ordinal, allocation in enumerate(order.allocations)
    ]


def _exception_rows(order: Order) -> list[Values]:
    return [
        {
            "order_id": order.order_id,
            "code": exception.code.value,
            "subject": storable(exception.subject),
            "portfolio_id": order.portfolio_id,
            "instrument_id": order.instrument_id,
            "since": exception.since,
            "detail": storable(exception.detail),
            "owner": exception.owner.value,
        }
        for exception in order.exceptions
    ]
