"""One migrated database for the whole folder, copied for each test; a paper broker per test."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.gateways.rig import Rig

from oms.gateways.ibkr import IBKRSettings
from oms.paper.ib_gateway import PaperIBGateway
from oms.paper.market import MarketSettings
from oms.store import Store


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "oms.db"
    store = Store(f"sqlite:///{path}")
    store.migrate()
    store.close()
    return path


@pytest.fixture
def store(migrated: Path, tmp_path: Path) -> AsyncIterator[Store]:
    path = tmp_path / "oms.db"
    shutil.copy(migrated, path)
    store = Store(f"sqlite:///{path}")
    yield store
    store.close()


@pytest.fixture
async def paper(tmp_path: Path) -> AsyncIterator[PaperIBGateway]:
    market = MarketSettings(step_seconds=0.02, moving=False)
    gateway = PaperIBGateway(state_file=tmp_path / "paper.db", market=market)
    await gateway.start()
    yield gateway
    await gateway.stop()


@pytest.fixture
def settings(paper: PaperIBGateway) -> IBKRSettings:
    """As in production, with shorter times. The lease outlasts a busy machine; `Rig.died` lets it run out."""
    return IBKRSettings(
        port=paper.port,
        acknowledge_seconds=0.6,
        grace_seconds=0.3,
        heartbeat_seconds=1.0,
        reconcile_seconds=30.0,
        connect_timeout_seconds=3.0,
        request_timeout_seconds=2.0,
        backoff_seconds=0.2,
        lease_seconds=10.0,
    )


@pytest.fixture
async def rig(paper: PaperIBGateway, store: Store, settings: IBKRSettings) -> AsyncIterator[Rig]:
    rig = Rig(paper, store, settings)
    yield rig
    await rig.close()
