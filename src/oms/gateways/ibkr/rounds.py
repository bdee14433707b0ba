"""When the broker's books are read: at connect, after each interruption, by the clock, and when somebody asks."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import structlog

from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr.gate import Gate
from oms.gateways.ibkr.identity import Identity
from oms.gateways.ibkr.positions import Positions
from oms.gateways.ibkr.reconciling import Reconciling
from oms.gateways.ibkr.settings import IBKRSettings
from oms.gateways.ibkr.timetable import Due, Occasion, Timetable

LOG = structlog.get_logger()
_RETRY_SECONDS = 1.0
_NAP_SECONDS = 30.0
"""A clock may be set and a machine may sleep: nothing is waited for longer than this without a look at the time."""


class Rounds:
    """Each round reads every list, opens the gate, judges what is absent, and now and then compares positions."""

    def __init__(
        self,
        settings: IBKRSettings,
        gate: Gate,
        identity: Identity,
        reconciling: Reconciling,
        positions: Positions,
        clock: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._gate = gate
        self._identity = identity
        self._reconciling = reconciling
        self._positions = positions
        self._clock = clock
        self._timetable = Timetable(settings)
        self._now = asyncio.Event()
        self._round = asyncio.Condition()
        self._begun = 0
        self._done = 0
        self._compare = True
        self._restored = False
        self._differences = 0
        self._failure: GatewayNotReady | None = None
        self.reconciled_ns: int | None = None
        self.trouble: str | None = None

    # What the session tells

    def connected(self) -> None:
        """A new connection: nothing that was read before counts."""
        self._restored = False
        self._compare = True
        self._gate.lift("broker")
        self._gate.close("reconcile", "the broker's lists have not been read yet")

    def unreachable(self, text: str) -> None:
        """The gateway lost its broker (1100)."""
        self._restored = False
        self._gate.close("broker", text)

    def reachable(self) -> None:
        """It has it back (1101, 1102): everything is read anew, whatever it says of its data."""
        self._restored = True
        self._compare = True
        self._gate.close("broker", "the broker is back; its lists are being read")
        self._now.set()

    async def wanted(self) -> None:
        """Read now; returns when a whole round that began after this call has gone well."""
        number = self._begun + 1
        self._now.set()
        async with self._round:
            await self._round.wait_for(lambda: self._done >= number)

    async def compared(self) -> int:
        """As `wanted`, with a comparison of positions: how many differ. Raises GatewayNotReady where it failed."""
        self._compare = True
        await self.wanted()
        if self._failure is not None:
            raise self._failure
        return self._differences

    # The loops, for as long as a connection lasts

    async def run(self) -> None:
        """Round after round, until cancelled. One that fails is tried again soon, on the same connection: what is
        wrong with the connection, whoever asked has noticed and ended it."""
        while True:
            self._now.clear()
            pause = self._settings.reconcile_seconds
            try:
                await self._one()
                self.trouble = None
            except Exception as error:
                pause = min(_RETRY_SECONDS, pause)
                self.trouble = _told(error)
                LOG.error("ibkr.alarm.not_reconciled", reason=self.trouble, exc_info=_unexpected(error))  # noqa: TRY400
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._now.wait()

    async def _one(self) -> None:
        """Look, open the gate, then judge what is absent and compare: both take the grace period."""
        self._begun += 1
        number, restored, began_ns = self._begun, self._restored, self._clock()
        looked = await self._reconciling.look()
        await self._identity.check()
        if restored and self._restored:
            self._restored = False
            self._gate.lift("broker")
        self._gate.lift("reconcile")
        self.reconciled_ns = self._clock()
        LOG.info(
            "ibkr.reconciled",
            orders=looked.seen,
            new_executions=looked.executions,
            absent=len(looked.absent),
            took_ms=(self.reconciled_ns - began_ns) // 1_000_000,
        )
        await self._reconciling.judge(looked.absent)
        if self._compare or number % self._settings.compare_rounds == 0:
            await self._compared()
        async with self._round:
            self._done = number
            self._round.notify_all()

    async def _compared(self) -> None:
        """Whatever comes of it, orders may be placed: a comparison is for people to look at. One that fails is tried
        again with the next round."""
        self._compare = False
        self._failure = None
        try:
            self._differences = await self._positions.compare()
        except Exception as error:
            self._compare = True
            reason = _told(error)
            self._failure = GatewayNotReady(reason)
            LOG.error("ibkr.alarm.positions_not_compared", reason=reason, exc_info=_unexpected(error))  # noqa: TRY400
        else:
            LOG.info("ibkr.positions_compared", differences=self._differences)

    # By the clock, connected or not

    async def keep_time(self) -> None:
        """Read for the last time at the end of the day and before a restart; keep the gate closed around that."""
        while True:
            now = self._wall()
            self._around_restart(now)
            due = self._timetable.next(now)
            if due is None:
                return
            while (left := (due.at - self._wall()).total_seconds()) > 0:  # noqa: ASYNC110 - a clock tells nobody
                await asyncio.sleep(min(left, _NAP_SECONDS))
            self._is_due(due)

    def _is_due(self, due: Due) -> None:
        LOG.info("ibkr.by_the_clock", occasion=due.occasion)
        self._around_restart(max(due.at, self._wall()))
        if due.occasion is not Occasion.AFTER_RESTART:
            self._compare = True
        self._now.set()

    def _around_restart(self, now: datetime) -> None:
        until = self._timetable.restarts_until(now)
        if until is None:
            self._gate.lift("restart")
        else:
            self._gate.close(
                "restart", f"IB Gateway restarts about now; nothing is sent before {until:%H:%M:%S} UTC"
            )

    def _wall(self) -> datetime:
        return datetime.fromtimestamp(self._clock() / 1e9, UTC)


def _told(error: Exception) -> str:
    return error.reason if isinstance(error, GatewayNotReady) else repr(error)


def _unexpected(error: Exception) -> bool:
    """Whether somebody may want to know where it came from."""
    return not isinstance(error, GatewayNotReady)
