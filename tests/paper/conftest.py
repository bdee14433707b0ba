"""One desk of gateways and clients per test."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.paper.clients import Desk


@pytest.fixture
def version() -> int:
    """The server version; tests that matter for both ends parametrize it."""
    return 178


@pytest.fixture
async def desk(tmp_path: Path, version: int) -> AsyncIterator[Desk]:
    async with AsyncExitStack() as stack:
        yield Desk(stack, tmp_path, version)
