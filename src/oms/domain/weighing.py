"""A quantity by weight, down a tree of groups to accounts: whole lots, minimums kept, every step put in words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from oms.domain.dividing import apportion, from_units, places_of, to_units
from oms.domain.numbers import ZERO, plain, ratio

_LEVELS_TOLD = 3
"""Every account keeps its words; those of a deep tree would outgrow the order."""


@dataclass(frozen=True)
class Node:
    """An account, or a group with members. `minimum`: the account gets at least so much or nothing."""

    name: str
    weight: Decimal
    minimum: Decimal = ZERO
    members: "tuple[Node, ...]" = ()


@dataclass(frozen=True)
class Weighed:
    """What one account gets. `position`: its place among all accounts of the tree, in the order given."""

    position: int
    quantity: Decimal
    why: str


@dataclass(frozen=True)
class _Counted:
    """A node in whole units; `position` is None for a group."""

    name: str
    weight: int
    minimum: int
    position: int | None
    members: "tuple[_Counted, ...]"


class _Step(NamedTuple):
    """On the way to an account: what its level had, and what it got of it."""

    node: _Counted
    siblings: int
    amount: int
    got: int


@dataclass(frozen=True)
class _Scale:
    """How many decimal places the units of quantities and of weights stand for."""

    quantities: int
    weights: int


def weigh(nodes: Sequence[Node], quantity: Decimal, lot: Decimal, noun: str) -> tuple[Weighed, ...]:
    """`quantity` by weight, each level by the largest remainder in whole lots; only the last piece may be smaller.

    An account that would get less than its minimum gets nothing and what it had goes to the others, the one
    furthest below first (the later of two). Accounts that get nothing are left out; where nobody is left the answer
    is empty. `noun` is what the words call a weight.
    """
    accounts = list(_accounts(nodes))
    scale = _Scale(places_of((quantity, lot, *(a.minimum for a in accounts))), places_of(_weights(nodes)))
    level = _counted(nodes, scale, iter(range(len(accounts))))
    amount, units = to_units(quantity, scale.quantities), to_units(lot, scale.quantities)
    left_out = 0
    while level:
        dealt = list(_dealt(level, amount, units, ()))
        worst = _furthest_below(dealt)
        if worst is None:
            return tuple(_weighed(steps, scale, noun, left_out) for steps in dealt if steps[-1].got)
        level = _without(level, worst)
        left_out += 1
    return ()


def _accounts(nodes: Sequence[Node]) -> Iterator[Node]:
    for node in nodes:
        if node.members:
            yield from _accounts(node.members)
        else:
            yield node


def _weights(nodes: Sequence[Node]) -> Iterator[Decimal]:
    for node in nodes:
        yield node.weight
        yield from _weights(node.members)


def _counted(nodes: Sequence[Node], scale: _Scale, positions: Iterator[int]) -> tuple[_Counted, ...]:
    return tuple(
        _Counted(
            name=node.name,
            weight=to_units(node.weight, scale.weights),
            minimum=to_units(node.minimum, scale.quantities),
            position=None if node.members else next(positions),
            members=_counted(node.members, scale, positions),
        )
        for node in nodes
    )


def _dealt(
    level: tuple[_Counted, ...], amount: int, lot: int, above: tuple[_Step, ...]
) -> Iterator[tuple[_Step, ...]]:
    """The steps to each account that is still in."""
    weights = [node.weight for node in level]
    siblings = sum(weights)
    for node, got in zip(level, apportion(amount, weights, lot), strict=True):
        steps = (*above, _Step(node, siblings, amount, got))
        if node.position is None:
            yield from _dealt(node.members, got, lot, steps)
        else:
            yield steps


def _furthest_below(dealt: Sequence[tuple[_Step, ...]]) -> int | None:
    """The position of the account that misses its minimum by most; None where all are kept."""
    missing = [
        (last.node.minimum - last.got, last.node.position or 0)
        for *_, last in dealt
        if 0 < last.got < last.node.minimum
    ]
    return max(missing)[1] if missing else None


def _without(level: tuple[_Counted, ...], position: int) -> tuple[_Counted, ...]:
    """The tree without one account, and without the groups that it leaves empty."""
    kept = []
    for node in level:
        if node.position is not None:
            if node.position != position:
                kept.append(node)
        elif members := _without(node.members, position):
            kept.append(replace(node, members=members))
    return tuple(kept)


def _weighed(steps: tuple[_Step, ...], scale: _Scale, noun: str, left_out: int) -> Weighed:
    last = steps[-1]
    told = [_told(step, scale, noun) for step in steps]
    if len(told) > _LEVELS_TOLD:
        told[1:-1] = [f"{len(told) - 2} groups between"]
    if left_out:
        told.append(f"{left_out} below their minimum get nothing")
    return Weighed(last.node.position or 0, from_units(last.got, scale.quantities), "; ".join(told))


def _told(step: _Step, scale: _Scale, noun: str) -> str:
    """`GRP-1: weight 1 of 3, 33.333333333333 rounded up to 34 by the largest remainder`."""
    weight, siblings = (plain(from_units(n, scale.weights)) for n in (step.node.weight, step.siblings))
    told = f"{noun} {weight} of {siblings}"
    if step.node.position is None:
        told = f"{step.node.name}: {told}"
    exact = Fraction(step.amount * step.node.weight, step.siblings)
    if exact == step.got:
        return told
    way = "up to {} by the largest remainder" if step.got > exact else "down to {}"
    share = ratio(from_units(step.amount * step.node.weight, scale.quantities), Decimal(step.siblings))
    return f"{told}, {plain(share)} rounded {way.format(plain(from_units(step.got, scale.quantities)))}"
