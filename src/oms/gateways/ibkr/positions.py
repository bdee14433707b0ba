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
from oms.gateways.ibkr.holdings import Key, Line, difference
from oms.gateways.ibkr.settings import IBKRSettings
from oms.gateways.ibkr.sides import Sides
from oms.store import Store

LOG = structlog.get_logger()


@dataclass(frozen=True)
class Compared:
    """The last comparison of one account. `detail`: what differs, in sentences."""

    at_ns: int
    differences: int
    detail: str | None = None


class Positions:
    """Compares, and keeps the differences as breaks. `accounts`: those that can be compared, as for the sides."""

    def __init__(
        self,
        settings: IBKRSettings,
        sides: Sides,
        store: Store,
        accounts: Callable[[], frozenset[str]],
        clock: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._sides = sides
        self._store = store
        self._accounts = accounts
        self._clock = clock
        self.last: dict[str, Compared] = {}

    async def compare(self) -> int:
        """How many positions differ; the breaks follow. Raises GatewayNotReady: then nothing was compared."""
        accounts = self._accounts()
        lines = apart = await self._apart()
        if apart:
            await asyncio.sleep(self._settings.grace_seconds)
            lines = await self._apart()
        self._tell_unread(lines)
        steady = {key: line for key, line in lines.items() if _is_steady(apart.get(key), line)}
        moving = {line.subject for key, line in lines.items() if key not in steady}
        for account in accounts:
            of_account = [line for line in steady.values() if line.account == account]
            await asyncio.to_thread(self._keep, account, of_account, moving)
        return len(steady)

    async def _apart(self) -> dict[Key, Line]:
        """Where the two sides differ now, or may."""
        look = await self._sides.look()
        return {key: line for key, line in look.lines.items() if line.gap or line.unread}

    def _tell_unread(self, lines: dict[Key, Line]) -> None:
        for line in lines.values():
            if line.unread:
                LOG.error("ibkr.alarm.position_unreadable", account=line.account, subject=line.subject)

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
