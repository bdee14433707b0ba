"""The gate: nothing is placed unless the lease is held, the session is connected, synced and reconciled, and the
broker is reachable."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from oms.gateways.errors import GatewayNotReady

LOG = structlog.get_logger()
_FIRST = ("stopping", "defect", "lease", "connection", "client", "broker", "restart", "reconcile")
"""Which of several reasons is named: what has to happen first."""


def elapsed() -> float:
    """Seconds on a clock that runs on while the process is stopped and, where there is one, while the machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


class Gate:
    """Closed for as many reasons as there are; open when the last one is gone. Starts closed.

    `holds_until` is the fence: past that moment it is closed, whatever anybody has noted. A process that was
    stopped for longer than its lease finds it closed at its first step, before anything told it so.
    """

    def __init__(self, reason: str, clock: Callable[[], float] = elapsed) -> None:
        self._clock = clock
        self._until = 0.0
        self._reasons: dict[str, str] = {"lease": "the lease is not held", "connection": reason}
        self._since = clock()
        self._opened = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def is_open(self) -> bool:
        self._look_at_the_clock()
        return not self._reasons

    @property
    def reason(self) -> str | None:
        """Why it is closed, in a sentence; None where it is open."""
        self._look_at_the_clock()
        return next((self._reasons[what] for what in self._by_weight()), None)

    def is_closed_for(self, what: str) -> bool:
        """Whether `what` is one of the reasons."""
        self._look_at_the_clock()
        return what in self._reasons

    def close(self, what: str, reason: str) -> None:
        """Close for `what`; it stays closed until that is lifted."""
        if self._reasons.get(what) == reason:
            return
        if not self._reasons:
            self._since = self._clock()
            LOG.warning("ibkr.gate_closed", reason=reason)
        self._reasons[what] = reason
        self._opened.clear()
        self._changed.set()

    def lift(self, *whats: str) -> None:
        """These reasons are gone."""
        was_closed = bool(self._reasons)
        for what in whats:
            self._reasons.pop(what, None)
        if not self._reasons:
            self._opened.set()
            if was_closed:
                LOG.info("ibkr.gate_open", closed_seconds=round(self._clock() - self._since, 3))
        self._changed.set()

    def holds_until(self, moment: float) -> None:
        """The lease is held until `moment` on the gate's clock, unless it is renewed."""
        self._until = moment
        self.lift("lease")

    def require_lease(self) -> None:
        """For what may be sent through a closed gate, but never without the lease. Raises GatewayNotReady."""
        self._look_at_the_clock()
        if "lease" in self._reasons:
            raise GatewayNotReady(self._reasons["lease"])

    def require_open(self) -> None:
        """Raises GatewayNotReady with the reason. Asked at the last moment before bytes leave."""
        self._look_at_the_clock()
        if self._reasons:
            raise GatewayNotReady(self.reason or "the gate is closed")

    async def opened(self) -> None:
        """Return when the gate is open."""
        while not self.is_open:
            await self._opened.wait()

    async def changed(self, seconds: float) -> None:
        """Return when the gate opened or closed since the last call, or after `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()

    def _look_at_the_clock(self) -> None:
        if "lease" not in self._reasons and self._clock() >= self._until:
            self.close("lease", "the lease has run out: another process may act as this client by now")

    def _by_weight(self) -> list[str]:
        known = [what for what in _FIRST if what in self._reasons]
        return [*known, *(what for what in self._reasons if what not in known)]
