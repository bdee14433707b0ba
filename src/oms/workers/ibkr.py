"""The process behind `oms gateway ibkr`: it owns one session with one IB Gateway."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import structlog
from temporalio.client import Client
from temporalio.worker import Worker

from oms import __version__
from oms.activities.contracts import ContractActivities
from oms.activities.venue import VenueActivities
from oms.domain.terms import Venue
from oms.gateways.ibkr.gateway import IBKRGateway
from oms.gateways.ibkr.settings import IBKRSettings
from oms.workers.collecting import calm_the_collector
from oms.workers.delivery import FactDelivery
from oms.workers.settings import Settings
from oms.workers.temporal import connect, usable_store
from oms.workflows.contract import gateway_queue

LOG = structlog.get_logger()
IB_CEILING = 50
"""Messages a second that IB takes from one client (TWS API, "Pacing Limitations")."""


def ibkr_settings(settings: Settings) -> IBKRSettings:
    """The session's part of the settings."""
    return IBKRSettings(
        host=settings.ibkr_host,
        port=settings.ibkr_port,
        client_id=settings.ibkr_client_id,
        accounts=settings.accounts,
        name=settings.ibkr_session,
        messages_per_second=settings.ibkr_messages_per_second,
        acknowledge_seconds=settings.ibkr_acknowledge_seconds,
        grace_seconds=settings.ibkr_grace_seconds,
        heartbeat_seconds=settings.ibkr_heartbeat_seconds,
        reconcile_seconds=settings.ibkr_reconcile_seconds,
        timezone=settings.ibkr_timezone,
        lease_seconds=settings.ibkr_lease_seconds,
        end_of_day=settings.ibkr_end_of_day,
        daily_restart=settings.ibkr_daily_restart,
        compare_rounds=settings.ibkr_compare_rounds,
    )


class Queues:
    """The workers of the accounts that the gateway serves: none while another process has the lease.

    A queue that is not served here is served by whoever has the account's lease, or waits.
    """

    def __init__(self, client: Client, gateway: IBKRGateway, at_once: int) -> None:
        self._client = client
        self._gateway = gateway
        self._at_once = at_once
        venue, contracts = VenueActivities(gateway), ContractActivities(gateway)
        self._activities: list[Callable[..., Any]] = [
            venue.place,
            venue.cancel,
            venue.modify,
            venue.ask,
            venue.resync,
            venue.read_account,
            contracts.describe_instrument,
        ]
        self._workers: dict[str, tuple[Worker, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Serve until cancelled. Raises what a worker died of."""
        changing: asyncio.Task[None] | None = None
        try:
            while True:
                await self._follow(self._gateway.served)
                changing = asyncio.create_task(self._gateway.served_changed())
                running = [task for _, task in self._workers.values()]
                await asyncio.wait([changing, *running], return_when=asyncio.FIRST_COMPLETED)
                changing.cancel()
                for task in running:
                    if task.done():
                        await task
        finally:
            if changing is not None:
                changing.cancel()
            await self._follow(frozenset())

    async def _follow(self, served: frozenset[str]) -> None:
        gone = [self._workers.pop(account) for account in self._workers.keys() - served]
        await asyncio.gather(*(worker.shutdown() for worker, _ in gone))
        await asyncio.gather(*(task for _, task in gone), return_exceptions=True)
        for account in sorted(served - self._workers.keys()):
            worker = self._worker(account)
            self._workers[account] = (worker, asyncio.create_task(worker.run()))
        if gone or served:
            LOG.info("gateway.serving", venue=Venue.IBKR, accounts=sorted(self._workers))

    def _worker(self, account: str) -> Worker:
        # Without a build id the SDK makes one from every module there is, which stops the session for a second.
        return Worker(
            self._client,
            task_queue=gateway_queue(Venue.IBKR, account),
            activities=self._activities,
            max_concurrent_activities=self._at_once,
            build_id=f"oms-{__version__}",
            graceful_shutdown_timeout=timedelta(seconds=3),
        )


async def serve(queues: Queues, gateway: IBKRGateway) -> None:
    """Serve until cancelled. Raises what a worker or the gateway died of."""
    serving = asyncio.create_task(queues.run())
    try:
        await asyncio.wait({serving, gateway.failed}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        serving.cancel()
        await asyncio.wait({serving})
    for ended in (gateway.failed, serving):
        if ended.done():
            ended.result()


async def ibkr_gateway_process(settings: Settings) -> None:
    """`oms gateway ibkr`: one session, and the workers of its accounts' queues.

    Started a second time with the same client id it is a standby, which takes over when the first ends.
    """
    if settings.ibkr_messages_per_second >= IB_CEILING and not settings.paper:
        LOG.warning(
            "gateway.pace_above_ib", messages_per_second=settings.ibkr_messages_per_second, ceiling=IB_CEILING
        )
    store = usable_store(settings)
    client = await connect(settings)
    gateway = IBKRGateway(ibkr_settings(settings), store, FactDelivery(client, store, Venue.IBKR))
    async with contextlib.AsyncExitStack() as stack:
        await gateway.start()
        stack.push_async_callback(gateway.stop)
        calm_the_collector()
        LOG.info("gateway.running", venue="IBKR", name=settings.ibkr_session, accounts=settings.accounts)
        await serve(Queues(client, gateway, settings.gateway_activities), gateway)
    store.close()
