"""One question for all who ask it at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """Asks `ask` one after another, never twice at once, however many want to know."""

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._running: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    async def fresh(self) -> T:
        """An answer to a question that began after this call; all who call until then share it. Raises what asking
        raises. Whoever goes away leaves the question to the others."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running))
            self._next.add_done_callback(_observed)
        return await asyncio.shield(self._next)

    async def _after(self, previous: asyncio.Task[T] | None) -> T:
        if previous is not None:
            await asyncio.wait([previous])
        self._running, self._next = self._next, None
        return await self._ask()


def _observed(question: asyncio.Task[T]) -> None:
    """Whoever asked may be gone: then nobody else reads the exception."""
    if not question.cancelled():
        question.exception()
