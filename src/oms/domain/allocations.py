"""Allocations: which account gets how much of what was executed, and which part of its money."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from uuid import UUID

from oms.domain import commands as cmd
from oms.domain import events as ev
from oms.domain.allocating import MAX_ACCOUNTS, ProRata, Scheme, WeightTarget, spread
from oms.domain.dividing import divide, odd_part, places_of
from oms.domain.drafting import Draft
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import ALLOCATION, identifier, is_identifier, uuid7
from oms.domain.numbers import ZERO, add, plain, subtract, total
from oms.domain.order import Order
from oms.domain.settlement import principal


@dataclass(frozen=True)
class AllocatedMoney:
    """An allocation's part of its order's money: every account at the block's one average price.

    `principal` and `commission` are in the instrument's currency; what was charged in another stands beside them.
    """

    average_price: Decimal | None
    principal: Decimal
    commission: Decimal
    other_commissions: dict[str, Decimal]


def money_of(order: Order) -> tuple[AllocatedMoney, ...]:
    """The money of each of the order's allocations, in their order: derived, never kept.

    Exact principal and commissions are divided by quantity; what is not allocated yet keeps its own part, so the
    parts never add up to more or less than the order's. Where nobody holds anything everybody's part is zero.
    """
    unallocated = max(ZERO, subtract(order.executed_quantity, order.allocated_quantity))
    weights = [*(allocation.quantity for allocation in order.allocations), unallocated]
    own = order.instrument.currency
    charged = {currency: _divided(amount, weights) for currency, amount in _charged(order).items()}
    principals, nothing = _divided(principal(order), weights), (ZERO,) * len(weights)
    return tuple(
        AllocatedMoney(
            average_price=order.average_price,
            principal=principals[index],
            commission=charged.get(own, nothing)[index],
            other_commissions={c: parts[index] for c, parts in charged.items() if c != own},
        )
        for index in range(len(order.allocations))
    )


def _charged(order: Order) -> dict[str, Decimal]:
    """The commissions of the executions that stand, by currency."""
    currencies = {commission.currency for commission in order.ledger.commissions.values()}
    return {currency: order.ledger.commission_in(currency) for currency in sorted(currencies)}


def _divided(amount: Decimal, weights: Sequence[Decimal]) -> tuple[Decimal, ...]:
    return divide(amount, weights) if any(weights) else (ZERO,) * len(weights)


def allocation_ids(first: str, count: int) -> tuple[str, ...]:
    """`first` and more ids that follow from it, `count` in all: a request that is repeated names the same ones."""
    unix_ms = UUID(first.removeprefix(f"{ALLOCATION}-")).int >> 80 if is_identifier(ALLOCATION, first) else 0
    more = (
        identifier(ALLOCATION, uuid7(unix_ms, sha256(f"{first} {number}".encode()).digest()))
        for number in range(2, count + 1)
    )
    return (first, *more)


def require_full_allocation(order: Order) -> None:
    """Raises Refused: ALLOCATION_MISMATCH unless the allocations add up to the executed quantity."""
    if order.allocated_quantity != order.executed_quantity:
        _allocation_mismatch(order, order.allocated_quantity)


def _allocation_mismatch(order: Order, allocated: Decimal, because: str = "") -> None:
    raise Refused(
        Code.ALLOCATION_MISMATCH,
        f"{because}{plain(allocated)} allocated, {plain(order.executed_quantity)} executed.",
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
    _room_for(order, 1)
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
        _allocation_mismatch(order, order.allocated_quantity, "Nothing is left to allocate: ")
    _add_portions(draft, command.scheme, rest, order.instrument.lot_size, command.allocation_ids)


def allocate_the_rest(draft: Draft, allocation_id: str) -> None:
    """All of it to the default account; of a merged order to each source's, in the proportion of its share."""
    order = draft.order
    if order.executed_quantity <= 0:
        return
    if order.shares:
        scheme = ProRata(accounts=_accounts_of_the_sources(order))
        ids = allocation_ids(allocation_id, len(scheme.accounts))
        _add_portions(draft, scheme, order.executed_quantity, _lot_of_the_sources(order), ids)
        return
    draft.add(
        ev.AllocationCreated(
            allocation_id=allocation_id,
            account_id=order.default_account_id,
            portfolio_id=order.portfolio_id,
            quantity=order.executed_quantity,
        )
    )


def _accounts_of_the_sources(order: Order) -> tuple[WeightTarget, ...]:
    """Each account once: several sources may be for the same one."""
    shares: dict[tuple[str, str], Decimal] = {}
    for share in order.shares:
        key = (share.account_id, share.portfolio_id)
        shares[key] = add(shares.get(key, ZERO), share.quantity)
    return tuple(
        WeightTarget(account_id=account_id, portfolio_id=portfolio_id, weight=quantity)
        for (account_id, portfolio_id), quantity in shares.items()
    )


def _lot_of_the_sources(order: Order) -> Decimal:
    """The instrument's lot where every source ordered whole lots; else the smallest unit, so that each gets its own."""
    quantities, lot = [share.quantity for share in order.shares], order.instrument.lot_size
    if not any(odd_part(quantity, lot) for quantity in quantities):
        return lot
    return Decimal(f"1E-{places_of((order.executed_quantity, *quantities))}")


def _room_for(order: Order, count: int) -> None:
    """Raises Refused: VALIDATION_FAILED where the order would have more allocations than it can carry."""
    if len(order.allocations) + count > MAX_ACCOUNTS:
        raise Refused(
            Code.VALIDATION_FAILED,
            f"An order has at most {MAX_ACCOUNTS} allocations; it has {len(order.allocations)}.",
            field="accounts",
            limit=MAX_ACCOUNTS,
            actual=len(order.allocations) + count,
        )


def _add_portions(draft: Draft, scheme: Scheme, quantity: Decimal, lot: Decimal, ids: Sequence[str]) -> None:
    portions = spread(scheme, quantity, lot)
    _room_for(draft.order, len(portions))
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
