"""The process behind `oms api`."""

import os

import structlog
from temporalio.client import Client

from oms import __version__
from oms.api.app import create_app
from oms.api.context import APIContext
from oms.api.context import Settings as APISettings
from oms.store import Store
from oms.workers.serving import serving
from oms.workers.settings import Settings
from oms.workers.stopping import forever
from oms.workers.temporal import connect, usable_store

LOG = structlog.get_logger()


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
                requests_per_second=settings.api_requests_per_second,
                burst_seconds=settings.api_burst_seconds,
            ),
        )
    )


async def api_process(settings: Settings) -> None:
    """`oms api`."""
    store = usable_store(settings)
    client = await connect(settings)
    async with serving(api_application(settings, store, client), settings.host, settings.port) as port:
        LOG.info("api.serving", host=settings.host, port=port)
        await forever()
    store.close()
