"""Changes of live orders, as the tests of them ask for them and read them."""

import asyncio
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.gateways.rig import Rig, resting, status

from oms.domain.facts import ChangeInDoubt, ChangeRefused, PlacementChanged
from oms.domain.halts import Halt, HaltScope
from oms.domain.terms import PlacementStatus
from oms.domain.venues import PlacementTicket, VenueAnswer
from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr import IBKRGateway


def changed(order: PlacementTicket, revision: int = 1, **terms: Any) -> PlacementTicket:
    """The ticket of a change: the same placement with other terms."""
    return order.model_copy(update={"revision": revision, **terms})


def outcome(answer: VenueAnswer) -> PlacementChanged | ChangeRefused | ChangeInDoubt:
    """The word on the change that an answer carries."""
    kinds = PlacementChanged | ChangeRefused | ChangeInDoubt
    (fact,) = [fact for fact in answer.facts if isinstance(fact, kinds)]
    return fact


def reason(answer: VenueAnswer) -> str:
    fact = outcome(answer)
    assert isinstance(fact, ChangeRefused | ChangeInDoubt)
    return fact.reason


async def placed(rig: Rig, gateway: IBKRGateway, **changes: Any) -> PlacementTicket:
    order = resting(**changes)
    assert status(await gateway.place(order)) is PlacementStatus.WORKING
    return order


async def modified(gateway: IBKRGateway, change: PlacementTicket, seconds: float = 20.0) -> VenueAnswer:
    """Call as the workflow does: again and again, until the outcome of the change is known."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        await asyncio.wait_for(gateway.ready(), seconds)
        try:
            answer = await gateway.modify(change)
        except GatewayNotReady:
            continue
        if not isinstance(outcome(answer), ChangeInDoubt):
            return answer
    raise AssertionError("the change stays in doubt")


def at_the_broker(rig: Rig, order: PlacementTicket) -> tuple[Decimal, Decimal | None]:
    """Quantity and limit of the one order that the broker has."""
    (line,) = rig.at_the_broker(order)
    kept = rig.paper._desk.ledger.order((line.client_id, line.order_id))
    assert kept is not None
    return kept.terms.quantity, kept.terms.limit


def outcomes(rig: Rig, order: PlacementTicket) -> list[tuple[type, int]]:
    return [(type(fact), fact.revision) for fact in rig.orders.changes(order)]


def halted(rig: Rig) -> None:
    since = datetime.now(UTC)
    rig.store.halts.set(Halt(scope=HaltScope.FIRM, subject="", reason="fire", by="carol", since=since))
