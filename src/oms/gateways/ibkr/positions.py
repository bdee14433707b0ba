"""The broker's positions against our own executions, added up. A difference is a break, never an adjustment.

No answer, or half of one, is no comparison at all; a position that is missing from a whole answer is zero. What
the broker has told and no order has booked yet counts as ours. Even so the two sides are read one after the
other while both may move, so only what two readings show with the same gap is a difference.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import structlog

from oms.domain.breaks import BreakCategory, Difference
from oms.domain.numbers import ZERO
from oms.gateways.ibkr.holdings import Key, Line, difference, latest, matched, our_line, their_line
from oms.gateways.ibkr.inbound import Inbound
from oms.gateways.ibkr.settings import IBKRSettings
from oms.gateways.ibkr.translating import record_of
from oms.gateways.ibkr.wire import Wire
from oms.store import Store

LOG = structlog.get_logger()


@dataclass(frozen=True)
class Compared:
    """The last comparison of one account. `detail`: what differs, in sentences."""

    at_ns: int
    differences: int
    detail: str | None = None


class Positions:
    """Compares, and keeps the differences as breaks. Asks the broker one question and sends nothing else.

    `accounts` answers those that this session serves and the login manages: of another one nothing follows from
    an answer that leaves it out.
    """

    def __init__(
        self,
        settings: IBKRSettings,
        wire: Wire,
        inbound: Inbound,
        store: Store,
        accounts: Callable[[], frozenset[str]],
        clock: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._wire = wire
        self._inbound = inbound
        self._store = store
        self._accounts = accounts
        self._clock = clock
        self.last: dict[str, Compared] = {}

    async def compare(self) -> int:
        """How many positions differ; the breaks follow. Raises GatewayNotReady: then nothing was compared."""
        accounts = self._accounts()
        lines = apart = await self._apart(accounts)
        if apart:
            await asyncio.sleep(self._settings.grace_seconds)
            lines = await self._apart(accounts)
        self._tell_unread(lines)
        steady = {key: line for key, line in lines.items() if _is_steady(apart.get(key), line)}
        moving = {line.subject for key, line in lines.items() if key not in steady}
        for account in accounts:
            of_account = [line for line in steady.values() if line.account == account]
            await asyncio.to_thread(self._keep, account, of_account, moving)
        return len(steady)

    async def _apart(self, accounts: frozenset[str]) -> dict[Key, Line]:
        """Where the two sides differ now, or may. Theirs first: what is executed meanwhile settles with the next
        look."""
        theirs = latest(await self._wire.positions())
        await self._inbound.drained()
        lines = await asyncio.to_thread(self._ours, accounts)
        lines += [their_line(position) for position in theirs if position.account in accounts]
        return {key: line for key, line in matched(lines).items() if line.gap or line.unread}

    def _tell_unread(self, lines: dict[Key, Line]) -> None:
        for line in lines.values():
            if line.unread:
                LOG.error("ibkr.alarm.position_unreadable", account=line.account, subject=line.subject)

    def _ours(self, accounts: frozenset[str]) -> list[Line]:
        held = [one for one in self._store.held.by(self._settings.name) if one.account in accounts]
        intents, _ = self._store.intents.among({one.placement_id for one in held})
        sent = {placement_id: (intent.ticket, record_of(intent)) for placement_id, intent in intents.items()}
        lines = []
        for one in held:
            ticket, record = sent[one.placement_id]
            lines.append(our_line(one.account, ticket.instrument, record.conid, one.quantity))
        return lines

    def _keep(self, account: str, lines: list[Line], moving: set[str]) -> None:
        now = self._clock()
        foreign = self._store.foreign.traded(self._settings.name, self._day_began_ns(now)) if lines else {}
        found = [difference(line, foreign.get((account, line.conid), ZERO)) for line in lines]
        category = BreakCategory.POSITION
        outcome = self._store.breaks.observe(self._settings.name, account, category, found, now, moving)
        for opened in outcome.opened:
            LOG.error("ibkr.alarm.position_differs", account=account, detail=opened.detail)
        for cleared in outcome.cleared:
            LOG.info("ibkr.position_agrees", account=account, subject=cleared.subject)
        self.last[account] = Compared(now, len(found), _told(found))

    def _day_began_ns(self, now_ns: int) -> int:
        """The broker lists executions from its midnight on."""
        now = datetime.fromtimestamp(now_ns / 1e9, ZoneInfo(self._settings.timezone))
        return int(now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()) * 1_000_000_000


def _is_steady(before: Line | None, line: Line) -> bool:
    """Whether two readings show the same gap. Of a position that could not be read nothing is said."""
    return before is not None and before.gap == line.gap and not before.unread and not line.unread


def _told(differences: list[Difference]) -> str | None:
    return "; ".join(one.detail for one in differences) or None
