"""Looking through the broker's lists. What they show goes the way of every message; here it is only asked for."""

import asyncio
from collections.abc import Callable

from ib_async import RequestError

from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr.inbound import Inbound, Sightings
from oms.gateways.ibkr.sharing import Shared
from oms.gateways.ibkr.wire import Wire


class Sweeps:
    """Open orders of this client, of all clients, completed orders, executions: one after another, never two at once.

    `swept` is called in a thread after a whole sweep, with the instant it began at.
    """

    def __init__(
        self, wire: Wire, inbound: Inbound, swept: Callable[[int], object], clock: Callable[[], int]
    ) -> None:
        self._wire = wire
        self._inbound = inbound
        self._swept = swept
        self._clock = clock
        self._shared = Shared(self._sweep)

    async def fresh(self) -> Sightings:
        """A sweep that began after this call; all who ask meanwhile share it.

        Returns what was heard, when that is committed. Raises GatewayNotReady where a list did not come: then
        nothing follows from what was not seen.
        """
        return await self._shared.fresh()

    async def _sweep(self) -> Sightings:
        wire, began_ns = self._wire, self._clock()
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
        await asyncio.to_thread(self._swept, began_ns)
        return seen
