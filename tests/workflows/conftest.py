"""One Temporal server; orders with the normal cache, and with one that forgets them before each message."""

from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from tests.stack import TemporalServer, temporal_server
from tests.workflows.world import World, a_world

CACHES = {"cached": 1000, "replayed": 1}
"""How many orders the worker keeps in memory.

With a cache of none the SDK cancels local activities that are under way and runs them again after the task has timed
out, ten seconds later. So the cache has room for one, and before each message another order takes that room: every
message finds an order that must come back from its history.
"""


@pytest.fixture(scope="session")
async def server() -> AsyncIterator[TemporalServer]:
    async with temporal_server() as running:
        yield running


@pytest.fixture(scope="session")
async def client(server: TemporalServer) -> Client:
    return await server.client()


@pytest.fixture(scope="session", params=CACHES)
async def world(
    request: pytest.FixtureRequest, client: Client, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """A world with a worker, twice."""
    kept = CACHES[request.param]
    async with (
        a_world(client, tmp_path_factory.mktemp(request.param), max_cached_workflows=kept) as made,
        made.working(),
    ):
        made.bystander = await made.open() if kept == 1 else None
        yield made
