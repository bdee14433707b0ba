"""A broker's account as it is now: what it holds, by how much that is more than we executed, and what it is worth.

Without an answer nothing is known: what was not told is never a zero.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import structlog
from ib_async import RequestError

from oms.domain.programs.targets import AccountRead, BrokerPosition
from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr.gate import Gate
from oms.gateways.ibkr.holdings import Description, Key, Line, question
from oms.gateways.ibkr.settings import IBKRSettings
from oms.gateways.ibkr.sharing import Shared
from oms.gateways.ibkr.sides import Look, Sides
from oms.gateways.ibkr.wire import Wire, Worth
from oms.store import Store

LOG = structlog.get_logger()
_SECONDS = 5.0
"""So long an answer may take: who asks waits a little longer, and then takes the account for away."""
_LOOKS = 3
_LONGEST_PAUSE = 1.0
_PROVEN_NS = 5_000_000_000
"""So long a gap that was shown before is known. It could be made of something else by now, quantity for quantity."""


@dataclass(frozen=True)
class _Proof:
    """A gap that was last shown at `at_ns`, after two looks had shown it."""

    gap: Decimal
    at_ns: int


class Accounts:
    """Reads accounts; many at once are one question. `served`: the accounts of which something can be known."""

    def __init__(
        self,
        settings: IBKRSettings,
        wire: Wire,
        gate: Gate,
        sides: Sides,
        store: Store,
        served: Callable[[], frozenset[str]],
    ) -> None:
        self._pause = min(settings.grace_seconds, _LONGEST_PAUSE)
        self._gate = gate
        self._sides = sides
        self._store = store
        self._served = served
        self._executions = Shared(wire.executions)
        self._worths = Shared(wire.net_liquidation)
        self._proven: dict[Key, _Proof] = {}
        self._names: dict[tuple[int, Description], str] = {}

    async def read(self, account: str) -> AccountRead:
        """The account now, in five seconds at most. Raises GatewayNotReady: then nothing is known.

        A contract that we think we hold and the broker does not has quantity 0. Of one that could not be read
        nothing can be said, and so nothing is said of its account.
        """
        self._require(account)
        until = asyncio.get_running_loop().time() + _SECONDS
        worth = asyncio.create_task(self._worth(account, until))
        try:
            look, moving = await self._settled(account, until)
            self._require(account)
            positions = await asyncio.to_thread(self._positions, _of(account, look), moving)
            found = await worth
        finally:
            worth.cancel()
        return AccountRead(
            account=account,
            positions=positions,
            net_liquidation=found.amount if found else None,
            currency=found.currency if found else None,
            read_ns=look.at_ns,
        )

    def _require(self, account: str) -> None:
        """While the gate is closed either side may be old: the broker's lists are read before it opens."""
        self._gate.require_open()
        if account not in self._served():
            raise GatewayNotReady(f"this session does not serve {account}, or its login does not manage it")

    # Two readings

    async def _settled(self, account: str, until: float) -> tuple[Look, frozenset[Key]]:
        """A look, and the contracts of the account whose gap is not sure: executions may be on their way.

        They are asked for before the next look. Where there is no gap, or the one that two looks have shown a moment
        ago, there is nothing to wait for.
        """
        look = await self._look(until)
        moving = self._moving(account, look, None)
        for _ in range(_LOOKS - 1):
            if not moving or asyncio.get_running_loop().time() + self._pause >= until:
                break
            try:
                await self._paused(until)
                before, look = look, await self._look(until)
            except (GatewayNotReady, TimeoutError, ConnectionError, RequestError) as error:
                LOG.warning("ibkr.account_not_steady", account=account, error=repr(error))
                break
            moving = self._moving(account, look, before)
        return look, moving

    async def _paused(self, until: float) -> None:
        await asyncio.sleep(self._pause)
        async with asyncio.timeout_at(until):
            await self._executions.fresh()

    async def _look(self, until: float) -> Look:
        try:
            async with asyncio.timeout_at(until):
                return await self._sides.look()
        except TimeoutError as error:
            raise GatewayNotReady(f"IBKR has not told its positions within {_SECONDS:g} s") from error

    def _moving(self, account: str, look: Look, before: Look | None) -> frozenset[Key]:
        moving = set()
        for key, line in _of(account, look).items():
            if not line.gap:
                self._proven.pop(key, None)
            elif self._is_proven(key, line, look.at_ns) or _shows_again(line, key, before):
                self._proven[key] = _Proof(line.gap, look.at_ns)
            else:
                moving.add(key)
        return frozenset(moving)

    def _is_proven(self, key: Key, line: Line, at_ns: int) -> bool:
        """Whether it is the gap of a moment ago: then what was executed since is in both sides."""
        proof = self._proven.get(key)
        return proof is not None and proof.gap == line.gap and at_ns - proof.at_ns <= _PROVEN_NS

    # What it comes to; in a thread

    def _positions(self, lines: dict[Key, Line], moving: frozenset[Key]) -> tuple[BrokerPosition, ...]:
        unread = [line.subject for line in lines.values() if line.unread]
        if unread:
            LOG.error("ibkr.alarm.position_unreadable", subjects=unread)
            raise GatewayNotReady(f"what IBKR tells of {', '.join(unread)} cannot be read; look at it in TWS")
        return tuple(
            self._position(line, steady=key not in moving)
            for key, line in sorted(lines.items(), key=lambda one: (one[1].described, one[1].conid))
            if line.theirs or line.gap
        )

    def _position(self, line: Line, *, steady: bool) -> BrokerPosition:
        return BrokerPosition(
            conid=line.conid,
            symbol=line.described.symbol,
            sec_type=line.described.sec_type,
            currency=line.described.currency,
            quantity=line.theirs,
            average_cost=line.cost,
            unbooked=line.gap,
            steady=steady,
            instrument_id=line.instrument_id or self._named(line),
        )

    def _named(self, line: Line) -> str | None:
        """The order book's instrument for a contract of which it holds nothing."""
        key = (line.conid, line.described)
        asked = None if key in self._names else question(line.described)
        found = self._store.reference.fitting(asked) if asked is not None else None
        if found is not None and found.conid in (None, line.conid):
            self._names[key] = found.instrument_id
        return self._names.get(key)

    async def _worth(self, account: str, until: float) -> Worth | None:
        """None where it was not told in time: whoever asks for positions does not wait for it."""
        try:
            async with asyncio.timeout_at(until):
                return (await self._worths.fresh()).get(account)
        except (TimeoutError, ConnectionError, RequestError) as error:
            LOG.warning("ibkr.worth_not_told", account=account, error=repr(error))
            return None


def _of(account: str, look: Look) -> dict[Key, Line]:
    return {key: line for key, line in look.lines.items() if line.account == account}


def _shows_again(line: Line, key: Key, before: Look | None) -> bool:
    """Whether the look before showed the same gap. That proves nothing where both may lack the same executions."""
    shown = None if before is None else before.lines.get(key)
    return shown is not None and shown.gap == line.gap and not line.lately
