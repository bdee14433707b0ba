"""The parts of tests/gateways: a migrated store, a paper broker and a rig for each card."""

from collections.abc import AsyncIterator

import pytest

from oms.paper.ib_gateway import PaperIBGateway
from tests.cards.line import Line
from tests.gateways.conftest import migrated, paper, rig, settings, store  # noqa: F401 - fixtures


@pytest.fixture
async def line(paper: PaperIBGateway) -> AsyncIterator[Line]:  # noqa: F811 - a fixture
    """The wire to the broker: start the gateway on its port."""
    made = Line(paper.port)
    await made.start()
    yield made
    await made.stop()
