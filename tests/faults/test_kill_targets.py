"""`kill -9` of the worker while fifty programs post the same target: the broker ends at it, by its own count."""

import asyncio
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from oms.paper.ib_book import read_executions
from oms.store import rebuild
from tests.faults.processes import Processes, processes, until

ACCOUNT, SYMBOL = "DU123456", "AAPL"
POSTS = 50
_ENDS = 150.0


def held_at_the_broker(stack: Processes) -> Decimal:
    """What the paper gateway has executed, signed."""
    done = [each for each in read_executions(stack.book) if each.symbol == SYMBOL]
    return sum((each.quantity if each.side == "BUY" else -each.quantity for each in done), Decimal(0))


async def post(stack: Processes, quantity: int) -> None:
    """Post the target until it is taken, as a program does that knows of no Idempotency-Key."""
    body = {"account_id": ACCOUNT, "orders": [{"symbol": SYMBOL, "quantity": quantity}]}
    address, headers = f"http://127.0.0.1:{stack.settings.port}", {"X-API-Key": "secret-of-pm"}

    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=40, trust_env=False) as client:

        async def taken() -> bool:
            answer = await client.post("/api/v1/orders", json=body)
            assert answer.status_code in (201, 500), answer.text
            return answer.status_code == 201

        await until(f"a post of {quantity} is taken", taken, _ENDS)


def opened(stack: Processes) -> int:
    return len(stack.store.orders.list(limit=500).items)


async def race(stack: Processes, quantity: int) -> None:
    """Fifty at once; the worker dies as soon as the first of them has opened an order."""
    before = opened(stack)
    posts = [asyncio.create_task(post(stack, quantity)) for _ in range(POSTS)]
    await until("an order is opened", lambda: opened(stack) > before, _ENDS)
    await stack.kill("worker")
    await asyncio.gather(*posts)
    await until(f"the broker holds {quantity}", lambda: held_at_the_broker(stack) == quantity, _ENDS)


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.timeout(500)
async def test_racing_posts_and_a_dead_worker_end_at_the_target(tmp_path: Path) -> None:
    async with processes(tmp_path) as stack:
        for quantity in (100, -50):
            await race(stack, quantity)
        await post(stack, -50)

        async def booked() -> bool:
            return sum(stack.store.targets.held_in(ACCOUNT).values()) == -50

        await until("our books agree", booked, _ENDS)
        assert held_at_the_broker(stack) == -50
        assert rebuild(stack.store, write=False).is_clean
