"""What an order that the system itself opens is held to at the order book's door, and how its instrument is found."""

from datetime import UTC, datetime

import anyio
from temporalio.client import Client

from oms.api.answering import Gone, patient
from oms.api.halting import check_new
from oms.api.new_order import check_served
from oms.api.resolving import resolve_question
from oms.domain.commands import Actor
from oms.domain.decide import Opening, opening_events
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import workflow_id
from oms.domain.reference import Instrument, InstrumentQuestion
from oms.domain.terms import Role
from oms.store import Store


def check_opening(store: Store, opening: Opening) -> None:
    """Raise Refused where the order could not be opened now: by its terms, a halt, an account nobody serves. Blocks."""
    opening_events(opening, datetime.now(UTC))
    check_new(store, opening)
    route = opening.request.route
    if route is not None:
        check_served(store, route.venue, route.account)


async def was_started(temporal: Client, order_id: str, seconds: float) -> bool:
    """Whether Temporal knows the order's workflow, running or ended. Raises Refused: UNAVAILABLE."""
    try:
        async with patient(seconds):
            await temporal.get_workflow_handle(workflow_id(order_id)).describe()
    except Gone:
        return False
    return True


async def known_or_resolved(
    temporal: Client, store: Store, question: InstrumentQuestion, account: str, actor: Actor
) -> Instrument:
    """The one instrument under `question`: a known one, else the one that the gateway of the broker's `account` knows.

    Raises Refused: INVALID_INSTRUMENT where there is none, or several, UNAVAILABLE where no gateway answers.
    """
    known = await anyio.to_thread.run_sync(store.reference.fitting, question)
    if known is not None:
        return known
    if Role.PM not in actor.roles:
        raise Refused(Code.INVALID_INSTRUMENT, f"{question.symbol!r} is not one known instrument.")
    return await resolve_question(temporal, store, question, account)
