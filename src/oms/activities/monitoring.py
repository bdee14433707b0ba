"""Watching limits: prices and positions can break one with no order involved."""

import asyncio
from collections import Counter
from datetime import UTC, datetime

import structlog
from temporalio import activity

from oms.domain.control import ControlKind
from oms.domain.findings import Look, Looked
from oms.store import Store
from oms.store.breaches import count_breaches

_log = structlog.get_logger("oms.limits")


class MonitoringActivities:
    """Activities that look at the whole order book."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @activity.defn(name="watch_limits")
    async def watch_limits(self, _why: Look) -> Looked:
        """Hold every passive limit against what is held at the last known prices, and tell what broke or cleared.

        Twice: a limit that is known to be over is not told again.
        """
        return await asyncio.to_thread(self._watched)

    def _watched(self) -> Looked:
        events = self._store.compliance.watch(datetime.now(UTC))
        for event in events:
            _log.warning(
                event.kind.value.replace("_", "."),
                rule_id=event.subject,
                portfolio_id=event.portfolio_id,
                reason=event.reason,
            )
        told = Counter(event.kind for event in events)
        return Looked(
            over=count_breaches(self._store.database),
            breached=told[ControlKind.LIMIT_BREACHED],
            cleared=told[ControlKind.LIMIT_CLEARED],
        )
