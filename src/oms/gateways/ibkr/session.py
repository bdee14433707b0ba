"""The life of the connection: lease, connect, sync, reconcile, heartbeat, and again from the start."""

import asyncio
import os
import socket
import time
from contextlib import suppress
from datetime import UTC, datetime
from uuid import uuid4

import structlog

from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr.error_codes import Meaning, meaning
from oms.gateways.ibkr.gate import Gate
from oms.gateways.ibkr.inbound import Inbound
from oms.gateways.ibkr.messages import ErrorShown
from oms.gateways.ibkr.reconciling import Reconciling
from oms.gateways.ibkr.settings import IBKRSettings
from oms.gateways.ibkr.wire import Wire
from oms.store import Store

LOG = structlog.get_logger()
_FIRST_PAUSE_SECONDS = 0.1
_RETRY_SECONDS = 1.0
_RENEWALS = 4
"""How often a lease is renewed in its own time."""


class Session:
    """Keeps one session alive. The gate is open only while everything is known to be in order."""

    def __init__(
        self,
        settings: IBKRSettings,
        wire: Wire,
        gate: Gate,
        inbound: Inbound,
        reconciling: Reconciling,
        store: Store,
    ) -> None:
        self._settings = settings
        self._wire = wire
        self._gate = gate
        self._inbound = inbound
        self._reconciling = reconciling
        self._store = store
        self._holder = f"{socket.gethostname()}/{os.getpid()}/{uuid4().hex[:8]}"
        self._leased = asyncio.Event()
        self._lost = asyncio.Event()
        self._reconcile_now = asyncio.Event()
        self._begun = 0
        self._done = 0
        self._round = asyncio.Condition()
        self._restored = False

    # From the callbacks

    def hear(self, message: ErrorShown) -> None:
        """An error about the session, not about an order."""
        means = meaning(message.code)
        text = f"{message.code}: {message.text}"
        if means is Meaning.CONNECTION_LOST:
            LOG.error("ibkr.alarm.broker_unreachable", error=text)
            self._restored = False
            self._gate.close("broker", text)
        elif means is Meaning.CONNECTION_RESTORED:
            LOG.warning("ibkr.broker_reachable", error=text)
            self._restored = True
            self._gate.close("broker", "the broker is back; its lists are being read")
            self._reconcile_now.set()
        elif means is Meaning.CLIENT_ID_TAKEN:
            LOG.error("ibkr.alarm.client_id_in_use", client_id=self._settings.client_id)
            self._wire.refuse(text)
        elif means is Meaning.SOCKET_RESET:
            LOG.error("ibkr.alarm.socket_reset", error=text)
            self._lost.set()
        else:
            LOG.info("ibkr.notice", notice=text)

    def lost(self) -> None:
        """The library says that the connection is gone."""
        self._gate.close("connection", "not connected")
        self._inbound.lost()
        self._lost.set()

    async def reconcile(self) -> None:
        """Reconcile now; returns when a whole round that began after this call has gone well."""
        wanted = self._begun + 1
        self._reconcile_now.set()
        async with self._round:
            await self._round.wait_for(lambda: self._done >= wanted)

    # The loops

    async def run(self) -> None:
        """Connect, live, and connect again, until cancelled."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            await self._leased.wait()
            self._lost.clear()
            self._restored = False
            self._gate.lift("broker")
            self._gate.close("reconcile", "the broker's lists have not been read yet")
            try:
                await self._wire.connect()
            except (OSError, TimeoutError) as error:
                reason = self._wire.refusal or str(error) or type(error).__name__
                LOG.error("ibkr.alarm.not_connected", reason=reason, again_in_seconds=pause)  # noqa: TRY400
                self._gate.close("connection", f"not connected: {reason}")
            else:
                LOG.info("ibkr.connected", accounts=self._wire.accounts)
                self._gate.lift("connection")
                pause = _FIRST_PAUSE_SECONDS
                await self._live()
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._settings.backoff_seconds)

    async def _live(self) -> None:
        work = [
            asyncio.create_task(step) for step in (self._lost.wait(), self._heartbeats(), self._reconciles())
        ]
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                LOG.error("ibkr.alarm.connection_lost", reason=str(error or "the connection broke"))
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            self._wire.disconnect()
            self.lost()

    async def _heartbeats(self) -> None:
        while True:
            await asyncio.sleep(self._settings.heartbeat_seconds)
            try:
                await self._wire.heartbeat()
            except TimeoutError as error:
                raise ConnectionError("the gateway is silent") from error

    async def _reconciles(self) -> None:
        while True:
            self._reconcile_now.clear()
            pause = self._settings.reconcile_seconds
            try:
                await self._reconcile_once()
            except GatewayNotReady as error:
                LOG.error("ibkr.alarm.not_reconciled", reason=error.reason)  # noqa: TRY400 - one line
                pause = min(_RETRY_SECONDS, pause)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._reconcile_now.wait()

    async def _reconcile_once(self) -> None:
        """Look, open the gate, then judge what is absent: judging takes the grace period."""
        self._begun += 1
        number, restored = self._begun, self._restored
        absent = await self._reconciling.look()
        if restored and self._restored:
            self._restored = False
            self._gate.lift("broker")
        self._gate.lift("reconcile")
        await self._reconciling.judge(absent)
        async with self._round:
            self._done = number
            self._round.notify_all()

    # The lease: one process per client id

    async def hold_lease(self) -> None:
        """Acquire and renew until cancelled. Without the lease nothing is connected."""
        name, seconds = self._settings.lease_key, self._settings.lease_seconds
        runs_out = 0.0
        while True:
            asked = time.monotonic()
            try:
                now = datetime.now(UTC)
                held = await asyncio.to_thread(self._store.leases.acquire, name, self._holder, seconds, now)
            except Exception as error:  # noqa: BLE001 - the store is away; it is tried again
                LOG.error("ibkr.alarm.lease_not_renewed", error=repr(error))  # noqa: TRY400 - one line
                held = asked < runs_out
            else:
                runs_out = asked + seconds if held else 0.0
            self._lease_is(held)
            await asyncio.sleep(seconds / _RENEWALS)

    def _lease_is(self, held: bool) -> None:
        if held:
            self._gate.lift("lease")
            self._leased.set()
        else:
            LOG.error("ibkr.alarm.no_lease", lease=self._settings.lease_key)
            self._gate.close("lease", "another process uses this client id")
            self._leased.clear()
            self._lost.set()

    async def give_back_lease(self) -> None:
        await asyncio.to_thread(self._store.leases.release, self._settings.lease_key, self._holder)
