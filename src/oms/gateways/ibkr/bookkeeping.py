"""The turn to change intents: one at a time in this process, and of no effect once another process may act."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType


class Bookkeeping:
    """Held by whoever changes an intent. What is written under it raises LeaseLost where `fence` says so.

    `fence` is entered in the context of whoever holds it: threads that are asked from there are fenced too.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._fenced: AbstractContextManager[None] = nullcontext()
        self.fence: Callable[[], AbstractContextManager[None]] = nullcontext

    async def __aenter__(self) -> None:
        await self._turn.acquire()
        try:
            self._fenced = self.fence()
            self._fenced.__enter__()
        except BaseException:
            self._turn.release()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._fenced.__exit__(None, None, None)
        self._turn.release()
