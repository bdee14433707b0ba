"""Looking through the broker's lists. What they show goes the way of every message; here it is only asked for."""

import asyncio

from ib_async import RequestError

from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr.inbound import Inbound
from oms.gateways.ibkr.wire import Wire


class Sweeps:
    """Open orders of this client, of all clients, completed orders, executions: one after another, never two at once."""

    def __init__(self, wire: Wire, inbound: Inbound) -> None:
        self._wire = wire
        self._inbound = inbound
        self._running: asyncio.Task[frozenset[str]] | None = None
        self._next: asyncio.Task[frozenset[str]] | None = None

    async def fresh(self) -> frozenset[str]:
        """A sweep that began after this call; all who ask meanwhile share it.

        Returns the placements of which anything was heard, when that is committed. Raises GatewayNotReady
        where a list did not come: then nothing follows from what was not seen.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running))
            self._next.add_done_callback(_observed)
        return await asyncio.shield(self._next)

    async def _after(self, previous: asyncio.Task[frozenset[str]] | None) -> frozenset[str]:
        if previous is not None:
            await asyncio.wait([previous])
        self._running, self._next = self._next, None
        return await self._sweep()

    async def _sweep(self) -> frozenset[str]:
        wire = self._wire
        with self._inbound.sightings() as seen:
            for ask in (wire.open_orders, wire.all_open_orders, wire.completed_orders, wire.executions):
                try:
                    await ask()
                except TimeoutError as error:
                    # The library would give a late answer to the next question: only a new connection is clean.
                    wire.disconnect()
                    raise GatewayNotReady(f"IBKR did not answer {ask.__name__}") from error
                except RequestError as error:
                    raise GatewayNotReady(f"IBKR refused {ask.__name__}: {error}") from error
                except ConnectionError as error:
                    raise GatewayNotReady(
                        "the connection broke while the broker's lists were read"
                    ) from error
            await self._inbound.drained()
        return frozenset(seen)


def _observed(sweep: asyncio.Task[frozenset[str]]) -> None:
    """Whoever asked may be gone: then nobody else reads the exception."""
    if not sweep.cancelled():
        sweep.exception()
