"""Allocations: which account gets how much of what was executed."""

from decimal import Decimal

from oms.domain import commands as cmd
from oms.domain import events as ev
from oms.domain.drafting import Draft
from oms.domain.errors import Code, Refused
from oms.domain.numbers import add, plain, total
from oms.domain.order import Order


def require_full_allocation(order: Order) -> None:
    """Raises Refused: ALLOCATION_MISMATCH unless the allocations add up to the executed quantity."""
    if order.allocated_quantity != order.executed_quantity:
        _allocation_mismatch(order, order.allocated_quantity)


def _allocation_mismatch(order: Order, allocated: Decimal) -> None:
    raise Refused(
        Code.ALLOCATION_MISMATCH,
        f"{plain(allocated)} allocated, {plain(order.executed_quantity)} executed.",
        allocated=plain(allocated),
        executed=plain(order.executed_quantity),
    )


def create_allocation(draft: Draft, command: cmd.CreateAllocation) -> None:
    order = draft.order
    if order.allocation(command.allocation_id) is not None:
        return
    allocated = add(order.allocated_quantity, command.quantity)
    if allocated > order.executed_quantity:
        _allocation_mismatch(order, allocated)
    draft.add(
        ev.AllocationCreated(
            allocation_id=command.allocation_id,
            account_id=command.account_id,
            portfolio_id=command.portfolio_id,
            quantity=command.quantity,
        )
    )


def update_allocation(draft: Draft, command: cmd.UpdateAllocation) -> None:
    order = draft.order
    standing = order.allocation(command.allocation_id)
    if standing is None:
        raise Refused(
            Code.ALLOCATION_NOT_FOUND,
            f"The order has no allocation {command.allocation_id}.",
            allocation_id=command.allocation_id,
        )
    others = total(a.quantity for a in order.allocations if a.allocation_id != command.allocation_id)
    allocated = add(others, command.quantity)
    lowers = command.quantity < standing.quantity  # after a bust, accounts are brought down one by one
    if allocated > order.executed_quantity and not lowers:
        _allocation_mismatch(order, allocated)
    if command.quantity != standing.quantity:
        draft.add(ev.AllocationUpdated(allocation_id=command.allocation_id, quantity=command.quantity))
