"""Looking for orders in the broker's lists, as often as it takes to believe that one is absent."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from oms.gateways.ibkr.books import Books
from oms.gateways.ibkr.inbound import Inbound, Watch
from oms.gateways.ibkr.settings import IBKRSettings
from oms.gateways.ibkr.sweeps import Sweeps
from oms.store import Intent, IntentState

_OVER = (IntentState.DONE, IntentState.WITHDRAWN)


class Looking:
    """Twice with a pause: one list alone is only as good as it is fresh."""

    def __init__(self, settings: IBKRSettings, books: Books, inbound: Inbound, sweeps: Sweeps) -> None:
        self._settings = settings
        self._books = books
        self._inbound = inbound
        self._sweeps = sweeps

    async def twice(self, intent: Intent) -> tuple[Intent, bool]:
        """The intent as it is now, and whether the broker knows the order.

        Raises GatewayNotReady where the lists did not come: then nothing follows.
        """
        (found,), known = await self.twice_for([intent])
        return found, found.placement_id in known

    async def twice_for(self, intents: Sequence[Intent]) -> tuple[list[Intent], frozenset[str]]:
        """The same for several: the intents as they are now, and the placements that the broker knows."""
        found, known = list(intents), frozenset[str]()
        for pause in (0.0, self._settings.grace_seconds):
            with ExitStack() as stack:
                watches = [stack.enter_context(self._inbound.watch(one.placement_id)) for one in found]
                await _news_of_all(watches, pause)
                await self._sweeps.fresh()
            found = [await self._books.get(one.placement_id) or one for one in found]
            seen = [one for one, watch in zip(found, watches, strict=True) if watch.sighted]
            known |= {one.placement_id for one in (*seen, *(o for o in found if o.state in _OVER))}
            if len(known) == len(found):
                break
        return found, known


async def _news_of_all(watches: Sequence[Watch], seconds: float) -> None:
    """Return when each has heard from the venue, or after `seconds`."""
    await asyncio.gather(*(watch.until(_sighted(watch), seconds) for watch in watches))


def _sighted(watch: Watch) -> Callable[[], bool]:
    return lambda: watch.sighted
