"""Telling the limit monitor that there is something to look at now."""

import asyncio
from weakref import WeakKeyDictionary

import structlog
from anyio import from_thread
from temporalio.client import Client
from temporalio.service import RPCError

from oms.workflows.watching import LOOK_SIGNAL, MONITOR_ID

_REST_SECONDS = 0.1
_log = structlog.get_logger("oms.api")


def wake_the_monitor(client: Client) -> None:
    """Have the limits looked at now; called from a thread of the interface once the news is in the store.

    Nobody waits for it. Where the monitor cannot be reached it looks by itself a few seconds later.
    """
    from_thread.run_sync(_wake, client)


class _Waker:
    """Sends signals one after the other, with a rest: a storm of prices is a few of them, and the last is after it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._wanted = False
        self._sending: asyncio.Task[None] | None = None

    def wake(self) -> None:
        self._wanted = True
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())

    async def _send(self) -> None:
        while self._wanted:
            self._wanted = False
            try:
                await self._client.get_workflow_handle(MONITOR_ID).signal(LOOK_SIGNAL)
            except RPCError as error:
                _log.info("the limit monitor could not be woken", error=str(error))
            await asyncio.sleep(_REST_SECONDS)


_wakers: WeakKeyDictionary[Client, _Waker] = WeakKeyDictionary()


def _wake(client: Client) -> None:
    _wakers.setdefault(client, _Waker(client)).wake()
