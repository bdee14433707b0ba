"""One lock per placement, for as long as somebody needs it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Locks:
    """Between reading an intent and writing to the wire nothing else may happen to that placement."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def of(self, placement_id: str) -> AsyncIterator[None]:
        """Hold the placement."""
        lock, users = self._locks.get(placement_id, (asyncio.Lock(), 0))
        self._locks[placement_id] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[placement_id]
            if users == 1:
                del self._locks[placement_id]
            else:
                self._locks[placement_id] = (lock, users - 1)
