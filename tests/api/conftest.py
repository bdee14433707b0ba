"""The interface on the real stack: a Temporal server, a worker, SQLite, a venue that does as the test says."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from oms.api.app import create_app
from oms.api.context import APIContext, Settings
from oms.domain.programs.tenants import Tenant
from oms.domain.reference import Account, Portfolio
from oms.domain.terms import Role
from oms.store import Store
from oms.workers.order_worker import build_command_worker, build_desk_worker
from oms.workers.settings import Settings as WorkerSettings
from oms.workers.target_worker import build_target_worker
from tests.api.desk import ENVELOPE_SECRET, SECRETS, TOKEN, Desk, serving, venue_worker
from tests.api.examples import curl  # noqa: F401 - a fixture
from tests.stack import TemporalServer, order_worker, temporal_server


@pytest.fixture(scope="session")
async def server() -> AsyncIterator[TemporalServer]:
    async with temporal_server() as running:
        yield running


def describe(made: Store) -> None:
    """The accounts, portfolios and tenants that every test relies on, as they have to be."""
    reference = made.reference
    for number in ("001", "002"):
        reference.put_account(
            Account(account_id=f"ACCT-{number}", name=f"Account {number}", broker_account=f"DU{number}456")
        )
        reference.put_portfolio(
            Portfolio(
                portfolio_id=f"PORT-{number}",
                name=f"Portfolio {number}",
                net_asset_value="10000000",
                default_account_id=f"ACCT-{number}",
            )
        )
    for tenant, number in (("nts", "001"), ("other", "002")):
        made.tenants.put(Tenant(tenant=tenant, portfolio_id=f"PORT-{number}"))


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder: Path = tmp_path_factory.mktemp("api")
    made = Store(f"sqlite:///{folder / 'oms.db'}")
    made.migrate()
    describe(made)
    for role, secret in SECRETS.items():
        made.keys.create(role.value, [role], secret)
    made.keys.create("second", [Role.PM, Role.TRADER, Role.VIEWER], "secret-second", portfolios=["PORT-002"])
    made.keys.create("by-account", [Role.PM, Role.OPS], "secret-by-account", accounts=["ACCT-002"])
    return made


@pytest.fixture(scope="session")
async def context(server: TemporalServer, store: Store) -> AsyncIterator[APIContext]:
    client = await server.client()
    settings = Settings(api_tokens=(TOKEN,), envelope_secrets=(ENVELOPE_SECRET,), gateway_patience_seconds=5)
    given = WorkerSettings(envelope_secret=ENVELOPE_SECRET)
    desk_worker = build_desk_worker(client, store, given)
    command_worker = build_command_worker(client, store, given)
    target_worker = build_target_worker(client, store, given)
    async with (
        order_worker(client, store),
        venue_worker(client),
        desk_worker,
        command_worker,
        target_worker,
    ):
        yield APIContext(store=store, temporal=client, version="1.2.3", settings=settings)


@pytest.fixture(scope="session")
async def desk(context: APIContext) -> AsyncIterator[Desk]:
    transport = httpx.ASGITransport(create_app(context))
    async with httpx.AsyncClient(transport=transport, base_url="http://oms", timeout=60) as client:
        made = Desk(client, context)
        await made.describe_instrument()
        yield made


@pytest.fixture(scope="session")
async def address(desk: Desk) -> AsyncIterator[str]:
    """The same interface on a real socket."""
    async with serving(create_app(desk.context)) as url:
        yield url
