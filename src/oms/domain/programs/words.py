"""The target surface's words for what became of a row, from the orders of its legs."""

from collections.abc import Sequence

from oms.domain.consequences import EXPIRED
from oms.domain.order import Order
from oms.domain.programs.targets import RowStatus
from oms.domain.terms import ComplianceStatus, PlacementStatus, State

_AT_THE_EXCHANGE = frozenset(
    {PlacementStatus.WORKING, PlacementStatus.PARTIALLY_FILLED, PlacementStatus.CANCEL_PENDING}
)
_WORST_FIRST = (
    RowStatus.ERROR,
    RowStatus.INACTIVE,
    RowStatus.CANCELLED,
    RowStatus.SUBMITTED,
    RowStatus.PRE_SUBMITTED,
    RowStatus.FILLED,
)
_OVER = frozenset({RowStatus.ERROR, RowStatus.INACTIVE, RowStatus.CANCELLED, RowStatus.FILLED})


def row_status(orders: Sequence[Order]) -> tuple[RowStatus, str | None]:
    """The word for a row with these orders, and why, where something went wrong. No orders: nothing had to be done.

    While anything of it still works, the row works. After that the leg that went worst names it.
    """
    if not orders:
        return RowStatus.NO_CHANGE, None
    words = [_status(order) for order in orders]
    texts = [text for order in orders if (text := _why(order))]
    working = [word for word in words if word not in _OVER]
    if not working:
        return min(words, key=_WORST_FIRST.index), "; ".join(texts) or None
    reached = RowStatus.SUBMITTED in words or RowStatus.FILLED in words
    return RowStatus.SUBMITTED if reached else RowStatus.PRE_SUBMITTED, "; ".join(texts) or None


def _status(order: Order) -> RowStatus:
    if order.executed_quantity >= order.ordered_quantity:
        return RowStatus.FILLED
    if order.live_placements:
        at_exchange = any(placement.status in _AT_THE_EXCHANGE for placement in order.live_placements)
        return RowStatus.SUBMITTED if at_exchange else RowStatus.PRE_SUBMITTED
    if _failed_its_check(order):
        return RowStatus.ERROR
    if order.state is State.REJECTED or _expired(order):
        return RowStatus.INACTIVE
    if order.is_terminal or order.executed_quantity > 0 or order.closed_at is not None:
        return RowStatus.CANCELLED
    return RowStatus.PRE_SUBMITTED


def _failed_its_check(order: Order) -> bool:
    """Also once it was canceled for that."""
    return order.pre_trade.status is ComplianceStatus.FAILED


def _expired(order: Order) -> bool:
    last = order.placements[-1].status if order.placements else None
    return order.reason == EXPIRED or last is PlacementStatus.EXPIRED


def _why(order: Order) -> str | None:
    """What a person should know of an order that did not do all it was for."""
    if _status(order) not in (RowStatus.ERROR, RowStatus.INACTIVE):
        return None
    if _failed_its_check(order):
        return "; ".join(f"{one.rule_name}: {one.description}" for one in order.pre_trade.violations)
    return order.reason or (order.placements[-1].reason if order.placements else None) or "the order expired"
