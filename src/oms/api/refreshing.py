"""Looking at the broker before an answer about orders there: one look for all who ask at a time, and none for long."""

import asyncio
import time
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any
from weakref import WeakKeyDictionary

import anyio
import structlog
from temporalio.client import Client

from oms.api.context import APIContext
from oms.api.gateway_views import trouble
from oms.api.resyncing import resync
from oms.domain.errors import Refused
from oms.domain.terms import Venue
from oms.store import GatewayReport
from oms.workflows.resync import ResyncInput

PATIENCE_SECONDS = 2.0
"""So long an answer is kept waiting for the broker's word."""
_FRESH_SECONDS, _FRESH_FOR_ITS_LENGTH = 1.0, 4.0
"""A look that ended so lately, or within so many times as long as it took, is a look now: with a thousand open orders a
look takes the session seconds, and it has orders to send."""
_LOOK_WITHIN = timedelta(seconds=10)
"""So long a look may go on after whoever asked has had an answer; the next one who asks finds it."""
_log = structlog.get_logger("oms.api")


class _Look:
    """A look under way, or the last one. Its task answers why the broker could not be asked, or None."""

    def __init__(self, asking: Coroutine[Any, Any, str | None]) -> None:
        self._begun = time.monotonic()
        self._good_until = 0.0
        self.task = asyncio.create_task(self._asked(asking))

    async def _asked(self, asking: Coroutine[Any, Any, str | None]) -> str | None:
        why = await asking
        if why is None:
            now = time.monotonic()
            self._good_until = now + max(_FRESH_SECONDS, _FRESH_FOR_ITS_LENGTH * (now - self._begun))
        return why

    @property
    def counts(self) -> bool:
        """Whether nobody has to look again for now."""
        return not self.task.done() or time.monotonic() < self._good_until


_looks: WeakKeyDictionary[Client, dict[str, _Look]] = WeakKeyDictionary()


async def refreshed(context: APIContext, account: str) -> str | None:
    """Have the gateway of the broker's `account` read its orders and executions anew.

    Answers None when it has, and otherwise why it has not, after `PATIENCE_SECONDS` at the latest. Never raises for a
    broker that is away.
    """
    report = await anyio.to_thread.run_sync(_report, context, account)
    if report is None:
        return f"no gateway serves account {account}"
    reason = trouble(report, context.settings.gateway_patience_seconds)
    if reason is not None:
        return f"the gateway of account {account} is not in sync with the broker: {reason}"
    looks = _looks.setdefault(context.temporal, {})
    look = looks.get(report.name)
    if look is None or not look.counts:
        look = looks[report.name] = _Look(_asked(context.temporal, report, account))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await asyncio.shield(look.task)
    except TimeoutError:
        return f"the broker's lists for account {account} were not read within {PATIENCE_SECONDS:g} s"


def _report(context: APIContext, account: str) -> GatewayReport | None:
    """What the gateway that serves the account said last. Blocks."""
    reports = [one for one in context.store.gateways.all() if one.venue == Venue.IBKR]
    serving = [one for one in reports if account in one.accounts]
    return max(serving, key=lambda one: (one.gate_open, one.updated_ns), default=None)


async def _asked(temporal: Client, report: GatewayReport, account: str) -> str | None:
    try:
        await resync(temporal, _question(report, account))
    except Refused as refused:
        return refused.message
    except Exception as error:  # noqa: BLE001 - the answer that waits has another source
        _log.exception("a refresh ended in a defect", gateway=report.name)
        return f"the broker could not be asked: {type(error).__name__}"
    return None


def _question(report: GatewayReport, account: str) -> ResyncInput:
    """One for all processes at a time: whoever asks while it is being answered gets that answer."""
    return ResyncInput(
        name=report.name,
        venue=report.venue,
        account=account,
        request_id="refresh",
        within=_LOOK_WITHIN,
    )
