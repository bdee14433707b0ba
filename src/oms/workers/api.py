"""The process behind `oms api`."""

import structlog
from temporalio.client import Client

from oms import __version__
from oms.api.app import create_app
from oms.api.context import APIContext
from oms.api.context import Settings as APISettings
from oms.api.open_door import OpenDoor
from oms.store import Store
from oms.workers.serving import serving
from oms.workers.settings import Settings
from oms.workers.stopping import forever
from oms.workers.temporal import connect, usable_store

LOG = structlog.get_logger()


def api_application(settings: Settings, store: Store, client: Client) -> object:
    """The HTTP interface over `store` and `client`."""
    if not settings.envelope_secrets:
        LOG.warning(
            "api.no_envelope_secret", told="commands on /oms are refused with 503: set ENVELOPE_SECRET"
        )
    given = APISettings(
        api_tokens=settings.tokens,
        development=settings.development,
        envelope_secrets=settings.envelope_secrets,
        envelope_window_seconds=settings.envelope_window_seconds,
        command_window_seconds=settings.command_window_seconds,
        targets_account=settings.targets_account or settings.accounts[0],
        targets_send_seconds=settings.targets_send_seconds,
        max_body_bytes=settings.max_body_bytes,
        requests_per_second=settings.api_requests_per_second,
        burst_seconds=settings.api_burst_seconds,
    )
    OpenDoor(store, given).warn()
    return create_app(APIContext(store=store, temporal=client, version=__version__, settings=given))


async def api_process(settings: Settings) -> None:
    """`oms api`."""
    store = usable_store(settings)
    client = await connect(settings)
    async with serving(api_application(settings, store, client), settings.host, settings.port) as port:
        LOG.info("api.serving", host=settings.host, port=port)
        await forever()
    store.close()
