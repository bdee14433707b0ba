"""The right to act: as this client at this gateway, and for each of its accounts. Held in the store, for a time.

Whoever does not have it is a standby: it connects to nothing, serves no queue, and takes over when the lease is
given back or has run out.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from uuid import uuid4

import structlog

from oms.gateways.ibkr.gate import Gate, elapsed
from oms.gateways.ibkr.settings import IBKRSettings
from oms.store import Store

LOG = structlog.get_logger()
_RENEWALS = 4
"""How often a lease is renewed in its own time."""
_STANDBY_SECONDS = 0.5
"""How often a standby looks whether the lease is free."""
_TRUSTED = 0.9
"""The part of its lease that a holder relies on; the rest is for clocks that do not run alike."""


def account_lease(account: str) -> str:
    """What only one gateway may do, whatever its client id: serve this account's queue."""
    return f"ibkr/account/{account}"


@dataclass(frozen=True)
class _Standing:
    """What the store says: `elsewhere` holds the session; or nobody else does, and these hold accounts of ours.

    `anew`: it was not ours to this moment, so somebody may have acted in between.
    """

    elsewhere: str | None = None
    served: frozenset[str] = frozenset()
    others: dict[str, str] = field(default_factory=dict)
    anew: bool = False


class Tenure:
    """Acquires, renews and gives back the leases of one session. `accounts` names those that it wants to serve."""

    def __init__(
        self,
        settings: IBKRSettings,
        store: Store,
        gate: Gate,
        accounts: Callable[[], tuple[str, ...]],
        on_lost: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._store = store
        self._gate = gate
        self._accounts = accounts
        self._on_lost = on_lost
        self._holder = self._of_a_new_term()
        self._has_held = False
        self._anew = True
        # A thread of its own: hundreds of placements may be waiting for those that everybody shares.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lease")
        self._deadline = 0.0
        self._standing: _Standing | None = None
        self._changed = asyncio.Event()
        self._told: str | None = None
        self._soon = asyncio.Event()
        self._renewed = asyncio.Event()
        self.held = asyncio.Event()

    @property
    def served(self) -> frozenset[str]:
        """The accounts whose orders this process takes now."""
        return self._standing.served if self._standing and self.held.is_set() else frozenset()

    @property
    def others(self) -> dict[str, str]:
        """The accounts of this session that another gateway serves, and which."""
        return self._standing.others if self._standing else {}

    def fence(self) -> AbstractContextManager[None]:
        """Whatever this context writes is kept only if the lease of now is held to its end."""
        return self._store.leases.fenced(self._settings.lease_keys[0], self._holder)

    def superseded(self, reason: str) -> None:
        """Another process has acted as this gateway: begin anew, if at all."""
        self._lose(reason)
        self._soon.set()

    def _of_a_new_term(self) -> str:
        """Different each time: what a term that has ended left to be written must not count as of the next one."""
        return f"{self._settings.name} on {socket.gethostname()} ({os.getpid()}/{uuid4().hex[:8]})"

    async def changed(self) -> None:
        """Return when it may have changed which accounts are served, since the last call."""
        await self._changed.wait()
        self._changed.clear()

    async def hold(self) -> None:
        """Acquire and renew until cancelled."""
        while True:
            asked = elapsed()
            acquiring = asyncio.get_running_loop().run_in_executor(self._thread, self._acquire)
            # One that is late closes the gate by the clock; only when it stays away is the connection given up.
            patience = self._deadline - asked + self._settings.lease_seconds if self.held.is_set() else None
            await asyncio.wait([acquiring], timeout=patience)
            if not acquiring.done():
                self._lose("the lease could not be renewed: the store does not answer")
            await asyncio.wait([acquiring])
            error = acquiring.exception()
            if error is None:
                self._is(acquiring.result(), asked)
            else:
                self._tell(repr(error))
                if elapsed() >= self._deadline:
                    self._lose("the lease could not be renewed: the store is away")
            self._renewed.set()
            seconds = self._settings.lease_seconds / _RENEWALS
            await self._sleep(seconds if self.held.is_set() else min(seconds, _STANDBY_SECONDS))

    async def renew(self) -> None:
        """Renew now: which accounts there are to serve has become known."""
        self._renewed.clear()
        self._soon.set()
        await self._renewed.wait()

    async def give_back(self) -> None:
        """Let another process act at once."""
        self.held.clear()
        self._gate.close("lease", "the lease was given back")
        await asyncio.get_running_loop().run_in_executor(self._thread, self._release)
        self._thread.shutdown(wait=False)

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._soon.wait()
        self._soon.clear()

    def _acquire(self) -> _Standing:
        """Blocks. Asked again it is renewed."""
        leases, seconds = self._store.leases, self._settings.lease_seconds
        first, *keys = self._settings.lease_keys
        if self._has_held and not leases.acquire(first, self._holder, seconds, only_renew=True):
            self._release()
            self._holder, self._has_held, self._anew = self._of_a_new_term(), False, True
        for name in keys if self._has_held else (first, *keys):
            if not leases.acquire(name, self._holder, seconds):
                return _Standing(elsewhere=leases.holder(name) or "another process")
            self._has_held = True
        served, others = set(), {}
        for account in self._accounts():
            if leases.acquire(account_lease(account), self._holder, seconds):
                served.add(account)
            else:
                others[account] = leases.holder(account_lease(account)) or "another gateway"
        anew, self._anew = self._anew, False
        return _Standing(None, frozenset(served), others, anew)

    def _release(self) -> None:
        for account in self._standing.served if self._standing else ():
            self._store.leases.release(account_lease(account), self._holder)
        for name in self._settings.lease_keys:
            self._store.leases.release(name, self._holder)

    def _tell(self, error: str) -> None:
        """A store that is away is told of once, however often it is tried."""
        if error != self._told:
            LOG.error("ibkr.alarm.lease_not_renewed", error=error)
        self._told = error

    def _is(self, standing: _Standing, asked: float) -> None:
        before, self._standing, self._told = self._standing, standing, None
        if standing.elsewhere is not None:
            if before is None or before.elsewhere != standing.elsewhere:
                LOG.info("ibkr.standby", lease=self._settings.lease_key, held_by=standing.elsewhere)
            self._lose(f"another process uses this client id: {standing.elsewhere}")
            return
        if standing.anew and self.held.is_set():
            self._lose("the lease was lost for a while: another process may have acted")
        self._deadline = asked + self._settings.lease_seconds * _TRUSTED
        self._gate.holds_until(self._deadline)
        if not self.held.is_set():
            LOG.info("ibkr.leads", lease=self._settings.lease_key, accounts=sorted(standing.served))
            self.held.set()
            before = None
        if before is None or before.others != standing.others:
            for account, holder in standing.others.items():
                LOG.error("ibkr.alarm.account_served_elsewhere", account=account, served_by=holder)
        if before is None or before.served != standing.served:
            self._changed.set()

    def _lose(self, reason: str) -> None:
        self._gate.close("lease", reason)
        if self.held.is_set():
            LOG.error("ibkr.alarm.no_lease", lease=self._settings.lease_key, reason=reason)
            self.held.clear()
            self._changed.set()
            self._on_lost()
