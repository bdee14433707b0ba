"""What must always be true of the order book, and what a look at it has found."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from oms.domain.lifecycle import MAIN_CHAIN
from oms.domain.model import Open
from oms.domain.numbers import plain
from oms.domain.order import Order
from oms.domain.terms import ExceptionCode, State

EXAMPLES_KEPT = 200
"""So many orders that an invariant is broken for are looked at again each time; the sweep finds the others again."""


class Invariant(StrEnum):
    FILLS = "fills"
    ALLOCATIONS = "allocations"
    RESERVATIONS = "reservations"
    PROJECTION = "projection"
    WORKFLOW = "workflow"
    PLACEMENTS = "placements"


MEANING: Mapping[Invariant, str] = {
    Invariant.FILLS: "The fills of an order add up to its executed quantity.",
    Invariant.ALLOCATIONS: "From the hand-off to operations on, the allocations of an order add up to its executed "
    "quantity, unless an open exception says why they do not.",
    Invariant.RESERVATIONS: "What is reserved of a portfolio's limits is what its live orders may still trade.",
    Invariant.PROJECTION: "Every row of an order is what its journal folds to.",
    Invariant.WORKFLOW: "An order's workflow and its projection are in the same state at the same version.",
    Invariant.PLACEMENTS: "An order with a placement that may still trade has a workflow that runs.",
}

HANDED_OVER = frozenset(
    {*MAIN_CHAIN[MAIN_CHAIN.index(State.SENT_TO_OPERATIONS) :], State.POST_TRADE_COMPLIANCE_FAILED}
)
"""The states in which everything executed is allocated."""
EXPLAINS_ALLOCATIONS = frozenset(
    {
        ExceptionCode.LATE_FILL,
        ExceptionCode.OVERFILL,
        ExceptionCode.FILL_BUSTED,
        ExceptionCode.FILL_CORRECTED,
    }
)
"""The open exceptions that say why executed and allocated differ for now."""


class Suspect(Open):
    """An invariant that does not seem to hold for one order. `detail` has the numbers.

    `moves`: it may be a change that is under way. It is broken only where a later look finds it in the same words.
    """

    name: Invariant
    order_id: str
    detail: str
    moves: bool = False


class Finding(Open):
    """What is known of one invariant. `examples` are orders it is broken for, at most EXAMPLES_KEPT of them."""

    name: Invariant
    meaning: str
    broken: bool
    checked_at: datetime
    since: datetime | None = None
    detail: str
    examples: tuple[Suspect, ...] = ()


class Round(Open):
    """One look at the book, and where the looks before it have come to.

    Looked at are the orders with events after stream position `after` (None: from now on), the next `swept` orders
    after `sweep_after` in the order of their ids, and whatever was broken before. `folded` of them at most are folded
    from their journal and `asked` of them at most are asked for their workflow's state. A suspect is looked at again
    after `confirm`.
    """

    after: int | None = None
    sweep_after: str = ""
    swept: int = 200
    folded: int = 200
    asked: int = 50
    confirm: timedelta = timedelta(seconds=2)


class Rounded(Open):
    """What a round did: `next` is the round after it; `broken` names what does not hold now."""

    next: Round
    orders: int = 0
    broken: tuple[Invariant, ...] = ()


class Look(Open):
    """Why the limits are looked at: `prices` moved, or it is `time`."""

    why: str = "time"


class Looked(Open):
    """What a look at the limits found: those that are over now, and what changed with this look."""

    over: int = 0
    breached: int = 0
    cleared: int = 0


def confirmed(first: Iterable[Suspect], second: Iterable[Suspect]) -> tuple[Suspect, ...]:
    """Those of the second look that were suspects in the first already; what moves, only if it has not moved."""
    known = {(suspect.name, suspect.order_id): suspect for suspect in first}
    found = [(known.get((suspect.name, suspect.order_id)), suspect) for suspect in second]
    return tuple(
        after for before, after in found if before is not None and (not after.moves or before == after)
    )


def misfilled(executed: Decimal, filled: Decimal) -> str | None:
    """How an order's fills differ from its executed quantity, or None."""
    return None if executed == filled else f"fills add up to {plain(filled)}, {plain(executed)} is executed"


def misallocated(
    state: State, executed: Decimal, allocated: Decimal, exceptions: Iterable[ExceptionCode]
) -> str | None:
    """How what is allocated differs from what was executed with nothing to say why, or None."""
    if state not in HANDED_OVER or executed == allocated or EXPLAINS_ALLOCATIONS.intersection(exceptions):
        return None
    return f"{plain(allocated)} of {plain(executed)} executed is allocated in {state}"


def out_of_step(workflow: Order, projected: Order) -> Suspect | None:
    """How the state that a workflow answers differs from the projection, or None.

    At different versions one of the two may be on its way to the other; at the same version nothing excuses them.
    """
    if workflow == projected:
        return None
    moves = workflow.version != projected.version
    detail = (
        f"the workflow is {workflow.state} at version {workflow.version}, "
        f"the projection {projected.state} at version {projected.version}"
    )
    if not moves:
        detail += f"; they differ in {', '.join(_differing(workflow, projected))}"
    return Suspect(name=Invariant.WORKFLOW, order_id=projected.order_id, detail=detail, moves=moves)


def _differing(one: Order, other: Order) -> list[str]:
    return [name for name in Order.model_fields if getattr(one, name) != getattr(other, name)]
