"""Looking at the broker before an answer about orders there: one look for all who ask at a time, and none for long."""

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
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
_FRESH_SECONDS = 1.0
"""A look that ended so lately is a look now: a look costs the session a handful of its messages."""
_log = structlog.get_logger("oms.api")


@dataclass(frozen=True)
class _Look:
    """A look under way, or the last one. What it answers: why the broker could not be asked, or None."""

    task: "asyncio.Task[str | None]"
    ended: list[float]

    @property
    def counts(self) -> bool:
        if not self.task.done():
            return True
        return self.task.result() is None and time.monotonic() - self.ended[0] < _FRESH_SECONDS


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
        look = looks[report.name] = _begun(context.temporal, report, account)
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


def _begun(temporal: Client, report: GatewayReport, account: str) -> _Look:
    ended: list[float] = []

    async def look() -> str | None:
        try:
            await resync(temporal, _question(report, account))
        except Refused as refused:
            return refused.message
        except Exception as error:  # noqa: BLE001 - the answer that waits has another source
            _log.exception("a refresh ended in a defect", gateway=report.name)
            return f"the broker could not be asked: {type(error).__name__}"
        finally:
            ended.append(time.monotonic())
        return None

    return _Look(asyncio.create_task(look()), ended)


def _question(report: GatewayReport, account: str) -> ResyncInput:
    """One for all processes at a time: whoever asks while it is being answered gets that answer."""
    return ResyncInput(
        name=report.name,
        venue=report.venue,
        account=account,
        request_id="refresh",
        within=timedelta(seconds=2 * PATIENCE_SECONDS),
    )
