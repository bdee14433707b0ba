"""The parts of tests/gateways: a migrated store, a paper broker and a rig for each card."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from oms.gateways.ibkr import IBKRSettings
from oms.paper.ib_gateway import PaperIBGateway
from tests.cards.line import Line
from tests.gateways.conftest import migrated, paper, rig, store  # noqa: F401 - fixtures
from tests.gateways.conftest import settings as short  # noqa: F401 - a fixture


@pytest.fixture
def settings(short: IBKRSettings) -> IBKRSettings:  # noqa: F811 - a fixture
    """A lease that outlasts a busy machine; `doing.died` lets it run out."""
    return replace(short, lease_seconds=10.0)


@pytest.fixture
async def line(paper: PaperIBGateway) -> AsyncIterator[Line]:  # noqa: F811 - a fixture
    """The wire to the broker: start the gateway on its port."""
    made = Line(paper.port)
    await made.start()
    yield made
    await made.stop()
