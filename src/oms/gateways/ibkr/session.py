"""The life of the connection: wait for the lease, connect, read the broker's books, heartbeat, and again."""

import asyncio
from collections.abc import Callable

import structlog

from oms.gateways.ibkr.error_codes import Meaning, meaning
from oms.gateways.ibkr.gate import Gate
from oms.gateways.ibkr.inbound import Inbound
from oms.gateways.ibkr.messages import ErrorShown
from oms.gateways.ibkr.rounds import Rounds
from oms.gateways.ibkr.settings import IBKRSettings
from oms.gateways.ibkr.tenure import Tenure
from oms.gateways.ibkr.wire import Wire

LOG = structlog.get_logger()
_FIRST_PAUSE_SECONDS = 0.1
_IN_USE_PAUSE_SECONDS = 2.0
"""Longest pause while another connection has our client id: it may be our own last one, which ends any moment."""


class Session:
    """Keeps one session alive. The gate is open only while everything is known to be in order."""

    def __init__(
        self,
        settings: IBKRSettings,
        wire: Wire,
        gate: Gate,
        inbound: Inbound,
        rounds: Rounds,
        tenure: Tenure,
        clock: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._wire = wire
        self._gate = gate
        self._inbound = inbound
        self._rounds = rounds
        self._tenure = tenure
        self._clock = clock
        self._lost = asyncio.Event()
        self._complaint: str | None = None
        self.connected_ns: int | None = None

    # From the callbacks

    def hear(self, message: ErrorShown) -> None:
        """An error about the session, not about an order."""
        means = meaning(message.code)
        text = f"{message.code}: {message.text}"
        if means is Meaning.CONNECTION_LOST:
            LOG.error("ibkr.alarm.broker_unreachable", error=text)
            self._rounds.unreachable(text)
        elif means is Meaning.CONNECTION_RESTORED:
            LOG.warning("ibkr.broker_reachable", error=text)
            self._rounds.reachable()
        elif means is Meaning.CLIENT_ID_TAKEN:
            self._wire.refuse(
                f"{message.code}: client id {self._settings.client_id} is in use at {self._settings.host}:"
                f"{self._settings.port}, by another program or by a connection of ours that has not ended yet"
            )
        elif means is Meaning.SOCKET_RESET:
            LOG.error("ibkr.alarm.socket_reset", error=text)
            self._lost.set()
        else:
            LOG.info("ibkr.notice", notice=text)

    def lost(self) -> None:
        """The library says that the connection is gone, or that it must go."""
        self._gate.close("connection", "not connected")
        self._inbound.lost()
        self._lost.set()

    # The loop

    async def run(self) -> None:
        """Connect, live, and connect again, until cancelled. Without the lease nothing is connected."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            await self._tenure.held.wait()
            self._lost.clear()
            self._rounds.connected()
            try:
                await self._wire.connect()
            except (OSError, TimeoutError) as error:
                self._complain(self._wire.refusal or str(error) or type(error).__name__)
            except Exception as error:
                LOG.exception("ibkr.alarm.connect_failed")
                self._complain(self._wire.refusal or repr(error))
                self._wire.disconnect()
            else:
                pause = _FIRST_PAUSE_SECONDS
                await self._live()
            await asyncio.sleep(pause)
            longest = self._settings.backoff_seconds
            pause = min(pause * 2, min(longest, _IN_USE_PAUSE_SECONDS) if self._wire.refusal else longest)

    def _complain(self, reason: str) -> None:
        """The same trouble is told of once, however often it is tried."""
        if reason != self._complaint and self._wire.refusal:
            LOG.error("ibkr.alarm.client_id_in_use", reason=reason)
        elif reason != self._complaint:
            LOG.error("ibkr.alarm.not_connected", reason=reason)
        self._complaint = reason
        self._gate.close("connection", f"not connected: {reason}")

    async def _live(self) -> None:
        self._complaint, self.connected_ns = None, self._clock()
        LOG.info(
            "ibkr.connected",
            host=f"{self._settings.host}:{self._settings.port}",
            client_id=self._settings.client_id,
            accounts=self._wire.accounts,
        )
        if not self._settings.accounts:
            await self._tenure.renew()
        self._gate.lift("connection")
        steps = (self._lost.wait(), self._heartbeats(), self._rounds.run())
        work = [asyncio.create_task(step) for step in steps]
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                reason = str(task.exception() or "the connection broke")
                LOG.error("ibkr.alarm.connection_lost", reason=reason)
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            self._wire.disconnect()
            self.connected_ns = None
            self.lost()

    async def _heartbeats(self) -> None:
        while True:
            await asyncio.sleep(self._settings.heartbeat_seconds)
            try:
                await self._wire.heartbeat()
            except TimeoutError as error:
                raise ConnectionError("the gateway is silent") from error
