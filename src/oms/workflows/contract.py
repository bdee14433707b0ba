"""What callers of an order workflow need to know: names, inputs, answers. Nothing here runs in a workflow only."""

from datetime import timedelta
from typing import Final

from temporalio.common import SearchAttributeKey

from oms.domain.commands import Actor
from oms.domain.decide import Opening
from oms.domain.duties import ASK_AGAIN
from oms.domain.errands import Refusal as Refusal
from oms.domain.errands import Reply, Step
from oms.domain.facts import Fact
from oms.domain.model import Open
from oms.domain.order import Order
from oms.domain.restructuring import Plan
from oms.domain.terms import State

ORDER_WORKFLOW: Final = "Order"
ORDER_QUEUE: Final = "oms-orders"
OPENED_UPDATE: Final = "opened"
STATE_QUERY: Final = "state"
VENUE_FACTS_SIGNAL: Final = "venue_facts"
CUSTODIAN_FACTS_SIGNAL: Final = "custodian_facts"
RESTRUCTURING_WORKFLOW: Final = "Restructuring"
BATCH_WORKFLOW: Final = "Batch"
DESK_QUEUE: Final = "oms-desk"
"""Where the order book acts on many orders at once: apart from the orders, whose slots it waits for."""
DONE_UPDATE: Final = "done"
REFUSED: Final = "Refused"
"""The ApplicationError type of a refusal; its one detail is a `Refusal`."""

STATE_ATTRIBUTE = SearchAttributeKey.for_keyword("OmsState")
PORTFOLIO_ATTRIBUTE = SearchAttributeKey.for_keyword("OmsPortfolio")
INSTRUMENT_ATTRIBUTE = SearchAttributeKey.for_keyword("OmsInstrument")
DIRECTION_ATTRIBUTE = SearchAttributeKey.for_keyword("OmsDirection")
VENUE_ATTRIBUTE = SearchAttributeKey.for_keyword("OmsVenue")
SEARCH_ATTRIBUTES = (
    STATE_ATTRIBUTE,
    PORTFOLIO_ATTRIBUTE,
    INSTRUMENT_ATTRIBUTE,
    DIRECTION_ATTRIBUTE,
    VENUE_ATTRIBUTE,
)


class Recorded(Open):
    """The answer to an update: the order is in the journal and in the projection at this version or later.

    `settled` is False where the answer depends on a venue that has not spoken yet (cancel and close).
    """

    order_id: str
    version: int
    state: State
    settled: bool = True


class Carried(Open):
    """What one run hands to the next: the whole order, facts not yet taken, answers already given."""

    order: Order
    facts: tuple[tuple[str, tuple[Fact, ...]], ...] = ()
    answers: dict[str, Recorded] = {}


class Patience(Open):
    """How long an order waits: `verdict` for the venue's answer to a cancel or a close, `again` before it asks again.

    After `verdict` the caller is told that the venue has not spoken yet.
    """

    verdict: timedelta = timedelta(seconds=20)
    again: timedelta = ASK_AGAIN


class OrderInput(Open):
    """How an order workflow starts: opened anew, or carried on (continue-as-new, or reopened from the journal).

    `events_per_run` lowers the point at which a run hands over to the next one; for tests.
    """

    opening: Opening | None = None
    carried: Carried | None = None
    events_per_run: int | None = None
    patience: Patience = Patience()


class RestructuringInput(Open):
    """A merge, a split or a remainder, by whom. `expected_version` is that of a single source."""

    restructuring_id: str
    plan: Plan
    actor: Actor
    ts_event_ns: int
    correlation_id: str | None = None
    expected_version: int | None = None


class Restructured(Open):
    """The new orders; they are in the journal, and their sources know them."""

    order_ids: tuple[str, ...]


class BatchInput(Open):
    """One command each for many orders. `patience`: how long somebody who asks is kept waiting for all of them."""

    batch_id: str
    steps: tuple[Step, ...]
    actor: Actor
    ts_event_ns: int
    correlation_id: str | None = None
    patience: timedelta = timedelta(seconds=25)


class Replies(Open):
    """The orders of a batch and what each has said, in the order of its steps; None where it has not answered yet."""

    order_ids: tuple[str, ...]
    replies: tuple[Reply | None, ...]


def restructuring_workflow_id(restructuring_id: str) -> str:
    """The Temporal workflow id of a merge, a split or a remainder."""
    return f"restructuring/{restructuring_id}"


def batch_workflow_id(batch_id: str) -> str:
    """The Temporal workflow id of a batch."""
    return f"batch/{batch_id}"


def gateway_queue(venue: str, account: str) -> str:
    """The task queue of the one gateway process that owns `account` at `venue`."""
    return f"{venue.lower()}/{account}"
