"""The process behind `oms gateway ibkr`: it owns one session with one IB Gateway."""

import contextlib
from datetime import timedelta

import structlog
from temporalio.worker import Worker

from oms.activities.contracts import ContractActivities
from oms.activities.venue import VenueActivities
from oms.domain.terms import Venue
from oms.gateways.ibkr.gateway import IBKRGateway
from oms.gateways.ibkr.settings import IBKRSettings
from oms.workers.collecting import calm_the_collector
from oms.workers.delivery import FactDelivery
from oms.workers.settings import Settings
from oms.workers.stopping import forever
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
        name=f"ibkr/{settings.ibkr_client_id}",
        messages_per_second=settings.ibkr_messages_per_second,
        acknowledge_seconds=settings.ibkr_acknowledge_seconds,
        grace_seconds=settings.ibkr_grace_seconds,
        heartbeat_seconds=settings.ibkr_heartbeat_seconds,
        reconcile_seconds=settings.ibkr_reconcile_seconds,
        timezone=settings.ibkr_timezone,
        lease_seconds=settings.ibkr_lease_seconds,
    )


async def ibkr_gateway_process(settings: Settings) -> None:
    """`oms gateway ibkr`: one session, and the workers of its accounts' queues."""
    if settings.ibkr_messages_per_second >= IB_CEILING and not settings.paper:
        LOG.warning(
            "gateway.pace_above_ib", messages_per_second=settings.ibkr_messages_per_second, ceiling=IB_CEILING
        )
    store = usable_store(settings)
    client = await connect(settings)
    gateway = IBKRGateway(ibkr_settings(settings), store, FactDelivery(client, store, Venue.IBKR))
    venue, contracts = VenueActivities(gateway), ContractActivities(gateway)
    async with contextlib.AsyncExitStack() as stack:
        await gateway.start()
        stack.push_async_callback(gateway.stop)
        for account in settings.accounts:
            await stack.enter_async_context(
                Worker(
                    client,
                    task_queue=gateway_queue(Venue.IBKR, account),
                    activities=[venue.place, venue.cancel, venue.ask, contracts.describe_instrument],
                    max_concurrent_activities=settings.gateway_activities,
                    graceful_shutdown_timeout=timedelta(seconds=3),
                )
            )
        calm_the_collector()
        LOG.info("gateway.running", venue="IBKR", accounts=settings.accounts)
        await forever()
    store.close()
