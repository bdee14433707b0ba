"""Allocations: which account gets how much of what was executed."""

from collections.abc import Sequence
from decimal import Decimal

from oms.domain import commands as cmd
from oms.domain import events as ev
from oms.domain.allocating import ProRata, Scheme, WeightTarget, spread
from oms.domain.drafting import Draft
from oms.domain.errors import Code, Refused
from oms.domain.numbers import add, plain, subtract, total
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


def allocate(draft: Draft, command: cmd.Allocate) -> None:
    """Spread what is not yet allocated by the scheme. Given again with the same ids, nothing."""
    order = draft.order
    if any(order.allocation(allocation_id) is not None for allocation_id in command.allocation_ids):
        return
    rest = subtract(order.executed_quantity, order.allocated_quantity)
    if rest <= 0:
        _allocation_mismatch(order, order.allocated_quantity)
    _add_portions(draft, command.scheme, rest, command.allocation_ids)


def allocate_the_rest(draft: Draft, allocation_id: str) -> None:
    """All of it to the default account; of a merged order to each source's, in the proportion of its share."""
    order = draft.order
    if order.executed_quantity <= 0:
        return
    if order.shares:
        targets = tuple(
            WeightTarget(account_id=s.account_id, portfolio_id=s.portfolio_id, weight=s.quantity)
            for s in order.shares
        )
        ids = (allocation_id, *(f"{allocation_id}-{n}" for n in range(2, len(targets) + 1)))
        _add_portions(draft, ProRata(accounts=targets), order.executed_quantity, ids)
        return
    draft.add(
        ev.AllocationCreated(
            allocation_id=allocation_id,
            account_id=order.default_account_id,
            portfolio_id=order.portfolio_id,
            quantity=order.executed_quantity,
        )
    )


def _add_portions(draft: Draft, scheme: Scheme, quantity: Decimal, ids: Sequence[str]) -> None:
    portions = spread(scheme, quantity, draft.order.instrument.lot_size)
    if len(ids) < len(portions):
        raise Refused(
            Code.VALIDATION_FAILED,
            f"{len(portions)} accounts need an allocation_id each, {len(ids)} were given.",
            field="allocation_ids",
        )
    for allocation_id, portion in zip(ids, portions, strict=False):
        draft.add(
            ev.AllocationCreated(
                allocation_id=allocation_id,
                account_id=portion.account_id,
                portfolio_id=portion.portfolio_id,
                quantity=portion.quantity,
                scheme=scheme.scheme,
                residual=portion.residual,
                why=portion.why or None,
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
