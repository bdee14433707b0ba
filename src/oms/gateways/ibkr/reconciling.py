"""What the broker lists against what we believe is there."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from oms.gateways.ibkr.books import Books
from oms.gateways.ibkr.inbound import Sightings
from oms.gateways.ibkr.settings import IBKRSettings
from oms.gateways.ibkr.sweeps import Sweeps
from oms.store import Intent, IntentState

LOG = structlog.get_logger()
_JUDGED = (IntentState.SENDING, IntentState.ACKNOWLEDGED)


@dataclass(frozen=True)
class Looked:
    """What one reading of the lists brought: placements heard of, executions new here, live intents in no list."""

    seen: int
    executions: int
    absent: list[Intent]


class Reconciling:
    """Fills, ends and charges that were missed are booked by the look itself; what is absent is judged after.

    `in_flight` names the placements whose call is still running here: nobody else judges them. `resume` goes on with
    orders that a process which died has left half done.
    """

    def __init__(
        self,
        settings: IBKRSettings,
        books: Books,
        sweeps: Sweeps,
        in_flight: Callable[[], frozenset[str]],
        resume: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._books = books
        self._sweeps = sweeps
        self._in_flight = in_flight
        self._resume = resume

    async def look(self) -> Looked:
        """Read every list. Raises GatewayNotReady: a list that did not come is never an empty one."""
        sightings = await self._sweeps.fresh()
        flying = self._in_flight()
        absent = [
            intent
            for intent in await self._books.unsettled()
            if intent.placement_id not in flying and _is_absent(intent, sightings)
        ]
        return Looked(len(sightings.placements), sightings.executions, absent)

    async def judge(self, absent: list[Intent]) -> None:
        """Look again after the grace period; what is still in no list is IN_DOUBT. Raises GatewayNotReady."""
        self._resume()
        if not absent:
            return
        await asyncio.sleep(self._settings.grace_seconds)
        still = {intent.placement_id for intent in (await self.look()).absent}
        for intent in absent:
            current = await self._books.get(intent.placement_id)
            if current is not None and intent.placement_id in still and current.state in _JUDGED:
                await self._books.doubt(current, "the broker lists no such order")


def _is_absent(intent: Intent, sightings: Sightings) -> bool:
    """Whether nothing shows the order. What was executed today proves that it was sent, not that it works still."""
    if intent.state is IntentState.ACKNOWLEDGED:
        return intent.placement_id not in sightings.shown
    return intent.state in _JUDGED and intent.placement_id not in sightings.placements
