"""What the broker lists against what we believe is there."""

import asyncio

import structlog

from oms.gateways.ibkr.books import Books
from oms.gateways.ibkr.placing import Placing
from oms.gateways.ibkr.settings import IBKRSettings
from oms.gateways.ibkr.sweeps import Sweeps
from oms.store import Intent, IntentState

LOG = structlog.get_logger()
_JUDGED = (IntentState.SENDING, IntentState.ACKNOWLEDGED)


class Reconciling:
    """Fills, ends and charges that were missed are booked by the look itself; what is absent is judged after."""

    def __init__(self, settings: IBKRSettings, books: Books, sweeps: Sweeps, placing: Placing) -> None:
        self._settings = settings
        self._books = books
        self._sweeps = sweeps
        self._placing = placing

    async def look(self) -> list[Intent]:
        """Read every list; answers the live intents that are in none. Raises GatewayNotReady."""
        seen = await self._sweeps.fresh()
        flying = self._placing.in_flight
        return [
            intent
            for intent in await self._books.unsettled()
            if intent.state in _JUDGED and intent.placement_id not in seen | flying
        ]

    async def judge(self, absent: list[Intent]) -> None:
        """Look again after the grace period; what is still in no list is IN_DOUBT. Raises GatewayNotReady."""
        if not absent:
            return
        await asyncio.sleep(self._settings.grace_seconds)
        still = {intent.placement_id for intent in await self.look()}
        for intent in absent:
            current = await self._books.get(intent.placement_id)
            if current is not None and intent.placement_id in still and current.state in _JUDGED:
                await self._books.doubt(current, "the broker lists no such order")
