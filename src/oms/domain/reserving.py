"""What an order that may still trade holds of its portfolios' limits. It follows from the order alone.

An order in flight counts against every limit as if it were executed, so that two orders cannot both take the last
of one. What it holds shrinks as it trades and is free when it is closed, canceled or rejected.
"""

from collections.abc import Sequence
from decimal import Decimal

from oms.domain.model import Open
from oms.domain.numbers import ZERO, Exact, Holding, Price, add, multiply, ratio, subtract, total
from oms.domain.order import Order
from oms.domain.rules.book import binding_limit
from oms.domain.terms import Direction, State

IN_FLIGHT = frozenset(
    {
        State.PRE_TRADE_COMPLIANCE_PASSED,
        State.SENT_TO_TRADER,
        State.ROUTED,
        State.PARTIALLY_FILLED,
        State.FILLED,
    }
)
"""The states in which an order has leave to trade and may still do so."""


class Part(Open):
    """What of an order is for one portfolio: the whole, unless it was merged or is allocated to several."""

    portfolio_id: str
    account_ids: tuple[str, ...]
    quantity: Holding


class Held(Open):
    """What an order holds in one portfolio.

    `quantity`: units that may still trade. `price`: the limit they are valued at, None for the last known price.
    `unallocated`: units executed for this portfolio that its positions do not show before they are allocated;
    negative where they show what was executed for another.
    """

    portfolio_id: str
    instrument_id: str
    direction: Direction
    quantity: Holding
    price: Price | None
    unallocated: Exact = ZERO


def ordered_parts(order: Order) -> tuple[Part, ...]:
    """The order as it was asked for, by portfolio: a merged one has a part for each of its sources' portfolios."""
    if not order.shares:
        return (_whole(order, order.ordered_quantity),)
    return _by_portfolio([(s.portfolio_id, s.account_id, s.quantity) for s in order.shares])


def executed_parts(order: Order) -> tuple[Part, ...]:
    """The trade as it was executed, by the portfolios it is allocated to; what is not is for the order's own."""
    parts = [(a.portfolio_id, a.account_id, a.quantity) for a in order.allocations if a.quantity]
    rest = subtract(order.executed_quantity, order.allocated_quantity)
    if rest > 0:
        parts.append((order.portfolio_id, order.default_account_id, rest))
    return _by_portfolio(parts)


def reserved(order: Order) -> tuple[Held, ...]:
    """What `order` holds now; nothing before it has passed its check and nothing when all of it is over.

    The parts of a merged order shrink in proportion. They are rounded to 12 places, one after the other at their
    running sum, so that together they are exactly what is unfilled.
    """
    parts = ordered_parts(order)
    unfilled = order.unfilled_quantity if order.state in IN_FLIGHT else ZERO
    unallocated = _unallocated(order, parts)
    if not unfilled and not any(unallocated):
        return ()
    quantities = in_proportion(unfilled, [part.quantity for part in parts])
    return tuple(
        _held(order, part.portfolio_id, quantity, rest)
        for part, quantity, rest in zip(parts, quantities, unallocated, strict=True)
    )


def held_in_advance(order: Order) -> tuple[Held, ...]:
    """What `order` will hold when its check lets it pass: all of it."""
    return tuple(_held(order, part.portfolio_id, part.quantity, ZERO) for part in ordered_parts(order))


def _held(order: Order, portfolio_id: str, quantity: Decimal, unallocated: Decimal) -> Held:
    return Held(
        portfolio_id=portfolio_id,
        instrument_id=order.instrument_id,
        direction=order.direction,
        quantity=quantity,
        price=binding_limit(order.order_type, order.limit_price),
        unallocated=unallocated,
    )


def in_proportion(amount: Decimal, weights: Sequence[Decimal]) -> tuple[Decimal, ...]:
    """`amount` (not negative) in proportion to `weights` (positive), to 12 places, adding up to it exactly."""
    whole = total(weights)
    if amount == whole:
        return tuple(weights)
    cuts, running = [ZERO], ZERO
    for weight in weights[:-1]:
        running = add(running, weight)
        cuts.append(min(amount, ratio(multiply(amount, running), whole)))
    return tuple(subtract(after, before) for before, after in zip(cuts, [*cuts[1:], amount], strict=True))


def _unallocated(order: Order, parts: Sequence[Part]) -> tuple[Decimal, ...]:
    """By part: what was executed for it, less what the positions of its portfolio show.

    Positions show an order's fills in its own portfolio until they are allocated to another. Nobody's are shown
    elsewhere than they belong once everything is allocated, or in an order that is for one portfolio alone.
    """
    if not order.shares or order.allocated_quantity == order.executed_quantity:
        return (ZERO,) * len(parts)
    shown = {part.portfolio_id: part.quantity for part in executed_parts(order)}
    belongs = in_proportion(order.executed_quantity, [part.quantity for part in parts])
    return tuple(
        subtract(quantity, shown.get(part.portfolio_id, ZERO))
        for part, quantity in zip(parts, belongs, strict=True)
    )


def _whole(order: Order, quantity: Decimal) -> Part:
    return Part(portfolio_id=order.portfolio_id, account_ids=(order.default_account_id,), quantity=quantity)


def _by_portfolio(parts: Sequence[tuple[str, str, Decimal]]) -> tuple[Part, ...]:
    """One part for each portfolio, by its id."""
    return tuple(
        Part(
            portfolio_id=portfolio_id,
            account_ids=tuple(sorted({account for owner, account, _ in parts if owner == portfolio_id})),
            quantity=total(quantity for owner, _, quantity in parts if owner == portfolio_id),
        )
        for portfolio_id in sorted({owner for owner, _, _ in parts})
    )
