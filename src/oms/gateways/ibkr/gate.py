"""The gate: nothing is placed unless the session is connected, synced, reconciled and the broker is reachable."""

import asyncio
from contextlib import suppress

from oms.gateways.errors import GatewayNotReady


class Gate:
    """Closed for as many reasons as there are; open when the last one is gone. Starts closed."""

    def __init__(self, reason: str) -> None:
        self._reasons: dict[str, str] = {"connection": reason}
        self._opened = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def is_open(self) -> bool:
        return not self._reasons

    @property
    def reason(self) -> str | None:
        """Why it is closed, in a sentence; None where it is open."""
        return next(iter(self._reasons.values()), None)

    def close(self, what: str, reason: str) -> None:
        """Close for `what`; it stays closed until that is lifted."""
        self._reasons[what] = reason
        self._opened.clear()
        self._changed.set()

    def lift(self, *whats: str) -> None:
        """These reasons are gone."""
        for what in whats:
            self._reasons.pop(what, None)
        if not self._reasons:
            self._opened.set()
        self._changed.set()

    def require_open(self) -> None:
        """Raises GatewayNotReady with the reason."""
        if self._reasons:
            raise GatewayNotReady(self.reason or "the gate is closed")

    async def opened(self) -> None:
        """Return when the gate is open."""
        await self._opened.wait()

    async def changed(self, seconds: float) -> None:
        """Return when the gate opened or closed since the last call, or after `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()
