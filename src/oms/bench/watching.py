"""Orders at a steady pace, and how soon their fills are seen: asked from a process of its own, as a user would."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import httpx

_LOOK_SECONDS = 0.005
_PATIENCE = 60.0


@dataclass(frozen=True)
class Load:
    """`orders` of `terms` at `pace` a second, every `watched`-th of them watched; `keys` by role."""

    api: str
    keys: Mapping[str, str]
    terms: Mapping[str, str]
    orders: int
    pace: int
    watched: int


def seen(load: Load) -> list[float]:
    """Seconds from the gateway's receipt of each watched order's first fill to an answer that shows it."""
    return asyncio.run(_run(load))


async def _run(load: Load) -> list[float]:
    limits = httpx.Limits(max_connections=None)
    loop = asyncio.get_running_loop()
    async with httpx.AsyncClient(
        base_url=load.api, timeout=_PATIENCE, limits=limits, trust_env=False
    ) as http:
        begun, tasks = loop.time(), []
        for number in range(load.orders):
            await asyncio.sleep(max(0.0, begun + number / load.pace - loop.time()))
            tasks.append(asyncio.create_task(_one(http, load, watched=number % load.watched == 0)))
        return [seconds for seconds in await asyncio.gather(*tasks) if seconds is not None]


async def _one(http: httpx.AsyncClient, load: Load, *, watched: bool) -> float | None:
    answer = await http.post("/v1/orders", json=dict(load.terms), headers={"X-API-Key": load.keys["pm"]})
    if answer.is_error:
        raise RuntimeError(f"an order was answered {answer.status_code}: {answer.text}")
    path = f"/v1/orders/{answer.json()['order_id']}"
    if not watched:
        return None
    reader = {"X-API-Key": load.keys["viewer"]}
    async with asyncio.timeout(_PATIENCE):
        while True:
            order = (await http.get(path, headers=reader)).json()
            if Decimal(order["executed_quantity"]) > 0:
                break
            await asyncio.sleep(_LOOK_SECONDS)
    seen_ns = time.time_ns()
    fills = (await http.get(f"{path}/fills", headers=reader)).json()
    return float(seen_ns - fills["items"][0]["ts_init_ns"]) / 1e9
