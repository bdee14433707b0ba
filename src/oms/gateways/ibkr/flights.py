"""Calls that are on their way: at most one for each thing, shared by all who ask for it meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from oms.domain.venues import VenueAnswer
from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr.contracts import UnknownContract

LOG = structlog.get_logger()


class Flights:
    """Flights by name, a placement's id for most of them."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[VenueAnswer]] = {}
        self._aboard: dict[str, frozenset[str]] = {}

    @property
    def tasks(self) -> list[asyncio.Task[VenueAnswer]]:
        return list(self._tasks.values())

    @property
    def aboard(self) -> frozenset[str]:
        """The placements whose call is still running: nobody else judges them."""
        return frozenset().union(*self._aboard.values())

    def of(self, name: str) -> asyncio.Task[VenueAnswer] | None:
        return self._tasks.get(name)

    async def join(
        self, name: str, start: Callable[[], Awaitable[VenueAnswer]], aboard: frozenset[str] | None = None
    ) -> VenueAnswer:
        """The answer of the flight `name`, which `start` begins where there is none. `aboard`: its placements.

        Raises GatewayNotReady where nothing was sent, or the gateway stopped before anything was known.
        """
        flight = self.begin(name, start, aboard)
        try:
            # A caller that gives up does not take the order out of the air.
            return await asyncio.shield(flight)
        except asyncio.CancelledError:
            if flight.cancelled():
                raise GatewayNotReady(
                    "the gateway stopped before the order was known at the broker"
                ) from None
            raise

    def begin(
        self, name: str, start: Callable[[], Awaitable[VenueAnswer]], aboard: frozenset[str] | None = None
    ) -> asyncio.Task[VenueAnswer]:
        """The flight `name`, begun where there is none, for whoever does not wait for it."""
        flight = self._tasks.get(name)
        if flight is None:
            flight = self._tasks[name] = asyncio.create_task(_of(start))
            self._aboard[name] = frozenset({name}) if aboard is None else aboard
            flight.add_done_callback(lambda done: self._landed(name, done))
        return flight

    async def land(self, seconds: float) -> None:
        """Let what is in the air hear its first word, `seconds` at most. What hears none is left to the next
        process, whose intents say that it was being sent."""
        flights = self.tasks
        if flights:
            await asyncio.wait(flights, timeout=seconds)
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    def _landed(self, name: str, flight: asyncio.Task[VenueAnswer]) -> None:
        del self._tasks[name], self._aboard[name]
        if not flight.cancelled() and flight.exception() is not None:
            LOG.info("ibkr.not_placed", flight=name, reason=str(flight.exception()))


async def _of(start: Callable[[], Awaitable[VenueAnswer]]) -> VenueAnswer:
    try:
        return await start()
    except UnknownContract as error:
        raise GatewayNotReady(f"IBKR no longer describes the instrument: {error}") from error
