"""The client against the real stack of the API's own tests, and every way of calling it in one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from durable_oms import AsyncClient, Client, Retries
from oms.domain.terms import Role
from tests.api.conftest import address, context, desk, server, store
from tests.api.desk import SECRETS

__all__ = ["address", "context", "desk", "server", "store"]

QUICK = Retries(again=4, first_pause=0.01, longest_pause=2.0, stream_patience=20.0)
Calls = Callable[[Any], Any]
Asks = Callable[..., Awaitable[Any]]


async def blocking(url: str, calls: Calls, **options: Any) -> Any:
    """What `calls` answers of a `Client`, in a thread of its own."""

    def ask() -> Any:
        with Client(url, **{"api_key": "secret-pm", "retries": QUICK, **options}) as client:
            return calls(client)

    return await asyncio.to_thread(ask)


async def awaiting(url: str, calls: Calls, **options: Any) -> Any:
    """What `calls` answers of an `AsyncClient`."""
    async with AsyncClient(url, **{"api_key": "secret-pm", "retries": QUICK, **options}) as client:
        return await calls(client)


@pytest.fixture(params=[blocking, awaiting], ids=["blocking", "awaiting"])
def ask(request: pytest.FixtureRequest) -> Asks:
    """Both kinds of client: `await ask(url, lambda client: client.oms.get_order("ORD-1"))`."""
    asks: Asks = request.param
    return asks


@pytest.fixture
async def clients(address: str) -> AsyncIterator[Callable[[Role], AsyncClient]]:
    """A client for each role at the real order book."""
    made = {role: AsyncClient(address, api_key=SECRETS[role], retries=QUICK) for role in SECRETS}
    yield lambda role: made[role]
    for client in made.values():
        await client.aclose()
