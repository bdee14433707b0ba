"""The processes of the order book. Each runs until it is told to stop, and ends its workers before its clients."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from typing import Any

import structlog
import uvicorn
from temporalio.client import Client
from temporalio.worker import Worker

from oms import __version__
from oms.activities.venue import VenueActivities
from oms.api.app import create_app
from oms.api.context import APIContext
from oms.api.context import Settings as APISettings
from oms.domain.terms import Venue
from oms.gateways.ibkr.gateway import IBKRGateway
from oms.gateways.ibkr.settings import IBKRSettings
from oms.paper.custodian import CustodianBook, create_custodian
from oms.paper.ib_gateway import PaperIBGateway
from oms.store import Store
from oms.workers.delivery import FactDelivery
from oms.workers.order_worker import build_order_worker
from oms.workers.settings import Settings
from oms.workers.temporal import connect
from oms.workflows.contract import gateway_queue

LOG = structlog.get_logger()
_OPEN_CONNECTIONS_GRACE = 2
IB_CEILING = 50
"""Messages a second that IB takes from one client (TWS API, "Pacing Limitations")."""


class Server(uvicorn.Server):
    """Uvicorn inside a process that handles signals itself."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]  # the signature is uvicorn's
        yield


@contextlib.asynccontextmanager
async def serving(app: object, host: str, port: int) -> AsyncIterator[int]:
    """Serve `app` until the block ends; gives the port."""
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # any ASGI application
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=_OPEN_CONNECTIONS_GRACE,
    )
    server = Server(config)
    running = asyncio.create_task(server.serve())
    try:
        while not server.started:
            if running.done():
                raise OSError(f"cannot listen on {host}:{port}")
            await asyncio.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await asyncio.gather(running, return_exceptions=True)


def api_application(settings: Settings, store: Store, client: Client) -> object:
    """The HTTP interface over `store` and `client`."""
    given = settings.api_tokens or os.environ.get("API_TOKENS", "")
    tokens = tuple(token.strip() for token in given.split(",") if token.strip())
    return create_app(
        APIContext(
            store=store,
            temporal=client,
            version=__version__,
            settings=APISettings(
                api_tokens=tokens,
                max_body_bytes=settings.max_body_bytes,
            ),
        )
    )


async def until_stopped() -> None:
    """Return on SIGINT or SIGTERM."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()


async def run_until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Run `work`; on SIGINT or SIGTERM, at any moment of it, cancel it and let it clean up after itself."""
    stopping = asyncio.create_task(until_stopped())
    running = asyncio.create_task(work)
    await asyncio.wait({stopping, running}, return_when=asyncio.FIRST_COMPLETED)
    told = stopping.done()
    stopping.cancel()
    running.cancel()
    try:
        await running
    except asyncio.CancelledError:
        if not told:
            raise


async def forever() -> None:
    """Wait until cancelled."""
    await asyncio.Event().wait()


async def api_process(settings: Settings) -> None:
    """`oms api`."""
    store = _usable_store(settings)
    client = await connect(settings)
    async with serving(api_application(settings, store, client), settings.host, settings.port) as port:
        LOG.info("api.serving", host=settings.host, port=port)
        await forever()
    store.close()


async def worker_process(settings: Settings) -> None:
    """`oms worker`."""
    store = _usable_store(settings)
    client = await connect(settings)
    async with build_order_worker(client, store, settings):
        LOG.info("worker.running")
        await forever()
    store.close()


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
    store = _usable_store(settings)
    client = await connect(settings)
    gateway = IBKRGateway(ibkr_settings(settings), store, FactDelivery(client, store, Venue.IBKR))
    venue = VenueActivities(gateway)
    async with contextlib.AsyncExitStack() as stack:
        await gateway.start()
        stack.push_async_callback(gateway.stop)
        for account in settings.accounts:
            await stack.enter_async_context(
                Worker(
                    client,
                    task_queue=gateway_queue(Venue.IBKR, account),
                    activities=[venue.place, venue.cancel, venue.ask],
                    max_concurrent_activities=settings.gateway_activities,
                    graceful_shutdown_timeout=timedelta(seconds=3),
                )
            )
        LOG.info("gateway.running", venue="IBKR", accounts=settings.accounts)
        await forever()
    store.close()


async def paper_process(settings: Settings, ready: Callable[[int, int], None]) -> None:
    """The paper venues: an IB Gateway on its own port and a custodian on another. `ready(ib_port, custodian_port)`."""
    folder = settings.data_dir
    gateway = PaperIBGateway(
        port=settings.paper_ibkr_port,
        accounts=settings.accounts,
        seed=settings.paper_seed,
        state_file=folder / "paper-ib.db",
    )
    book = CustodianBook(folder / "paper-custodian.db")
    await gateway.start()
    try:
        async with serving(create_custodian(book), "127.0.0.1", settings.paper_custodian_port) as port:
            ready(gateway.port, port)
            await forever()
    finally:
        await gateway.stop()
        book.close()


def _usable_store(settings: Settings) -> Store:
    store = Store(settings.store_url)
    reason = store.check()
    if reason is not None:
        raise SystemExit(f"oms: {reason}")
    return store
