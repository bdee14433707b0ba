"""What callers of an order workflow need to know: names, inputs, answers. Nothing here runs in a workflow only."""

from datetime import timedelta
from typing import Final

from temporalio.common import SearchAttributeKey

from oms.domain.decide import Opening
from oms.domain.duties import ASK_AGAIN
from oms.domain.errors import Refused
from oms.domain.facts import Fact
from oms.domain.model import Open
from oms.domain.order import Order
from oms.domain.terms import State

ORDER_WORKFLOW: Final = "Order"
ORDER_QUEUE: Final = "oms-orders"
OPENED_UPDATE: Final = "opened"
STATE_QUERY: Final = "state"
VENUE_FACTS_SIGNAL: Final = "venue_facts"
CUSTODIAN_FACTS_SIGNAL: Final = "custodian_facts"
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


class Refusal(Open):
    """A refusal on its way through Temporal."""

    code: str
    message: str
    facts: dict[str, object] = {}

    @classmethod
    def of(cls, refused: Refused) -> "Refusal":
        return cls(code=refused.code, message=refused.message, facts=refused.facts)


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


def gateway_queue(venue: str, account: str) -> str:
    """The task queue of the one gateway process that owns `account` at `venue`."""
    return f"{venue.lower()}/{account}"
