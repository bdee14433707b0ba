"""How a session is, as it says itself: for the people who look at gateways, and for whoever waits for one."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from oms.domain.terms import Venue
from oms.gateways.ibkr.gate import Gate
from oms.gateways.ibkr.positions import Positions
from oms.gateways.ibkr.rounds import Rounds
from oms.gateways.ibkr.session import Session
from oms.gateways.ibkr.settings import IBKRSettings
from oms.gateways.ibkr.tenure import Tenure
from oms.gateways.ibkr.wire import Wire
from oms.store import AccountHealth, GatewayReport, GatewayState, InboxStatus, IntentState, Store

LOG = structlog.get_logger()
_REPORT_SECONDS = 1.0


@dataclass(frozen=True)
class Reporting:
    """Reports once a second and whenever the gate moves. A standby does not: the report is the leader's."""

    settings: IBKRSettings
    store: Store
    gate: Gate
    wire: Wire
    tenure: Tenure
    session: Session
    rounds: Rounds
    positions: Positions
    clock: Callable[[], int]

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            if self.tenure.held.is_set():
                await self._report()
            await self.gate.changed(_REPORT_SECONDS)

    async def report_the_end(self) -> None:
        """The last word of a process that stops; its successor, if it has begun, says something newer."""
        await asyncio.to_thread(self.store.gateways.report, await self.status())

    async def status(self) -> GatewayReport:
        """The session as it is now."""
        now = self._of_session()
        return await asyncio.to_thread(self._with_store, now)

    async def _report(self) -> None:
        try:
            await asyncio.to_thread(self.store.gateways.report, await self.status())
        except Exception as error:  # noqa: BLE001 - the store is away; it is tried again
            LOG.error("ibkr.alarm.not_reported", error=repr(error))  # noqa: TRY400 - one line

    def _of_session(self) -> GatewayReport:
        """What is known without asking the store. `accounts`: the served ones first."""
        health = self._accounts()
        return GatewayReport(
            name=self.settings.name,
            venue=Venue.IBKR,
            accounts=tuple(one.account for one in health),
            connected=self.wire.is_connected,
            gate_open=self.gate.is_open,
            detail=self.gate.reason,
            updated_ns=self.clock(),
            state=self._state(),
            client_id=self.settings.client_id,
            host=f"{self.settings.host}:{self.settings.port}",
            messages_per_second=self.wire.pacer.sent_last_second,
            waiting=self.wire.pacer.waiting,
            reconciled_ns=self.rounds.reconciled_ns,
            connected_ns=self.session.connected_ns,
            per_account=health,
        )

    def _with_store(self, report: GatewayReport) -> GatewayReport:
        name, store = self.settings.name, self.store
        doubtful = store.intents.in_state(self.settings.client_id, IntentState.IN_DOUBT, gateway=name)
        return report.model_copy(
            update={
                "in_doubt": len(doubtful),
                "queue": store.inbox.counts(name)[InboxStatus.NEW],
                "oldest_undelivered_ns": store.inbox.oldest_undelivered_ns(name),
                "foreign_orders": store.foreign.count_working(name),
                "open_breaks": store.breaks.count_open(name),
            }
        )

    def _state(self) -> GatewayState:
        for what, state in _STATES.items():
            if self.gate.is_closed_for(what):
                return state
        return GatewayState.OPEN if self.gate.is_open else GatewayState.CLOSED

    def _accounts(self) -> tuple[AccountHealth, ...]:
        served, others = self.tenure.served, self.tenure.others
        wanted = self.settings.accounts or self.wire.accounts
        every = [self._health(account, account in served, others.get(account)) for account in wanted]
        return tuple(sorted(every, key=lambda one: not one.served))

    def _health(self, account: str, served: bool, served_by: str | None) -> AccountHealth:
        compared = self.positions.last.get(account)
        detail = f"served by {served_by}" if served_by else compared.detail if compared else None
        managed = self.wire.accounts
        if managed and account not in managed:
            detail = f"the login at {self.settings.host}:{self.settings.port} does not manage it"
        return AccountHealth(
            account=account,
            served=served,
            compared_ns=compared.at_ns if compared else None,
            differences=compared.differences if compared else 0,
            detail=detail,
        )


_STATES = {
    "stopping": GatewayState.STOPPING,
    "defect": GatewayState.CLOSED,
    "lease": GatewayState.STANDBY,
    "connection": GatewayState.CONNECTING,
    "client": GatewayState.CLOSED,
    "broker": GatewayState.CLOSED,
    "restart": GatewayState.CLOSED,
    "reconcile": GatewayState.SYNCING,
}
