"""Signed commands: how soon one is acknowledged, and a flood of them at a steady pace of which none may be lost.

As for fills, whoever asks is a process of its own. A bare start of a workflow is measured by turns with the acks.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, TypeVar
from uuid import uuid4

from oms.bench.baseline import QUEUE, BareStart
from oms.bench.measuring import Latencies, Row, latencies
from oms.bench.posting import Posts, post_all
from oms.domain.programs.outcomes import CommandRecord, CommandStatus
from oms.workers.stack import Stack

T = TypeVar("T")
ROUNDS, ACKS_A_ROUND, ACK_PACE = 10, 20, 5
FLOOD_PACE, FLOOD_SECONDS = 200, 30
_ONE_IN = {"orders": 20, "dry runs": 10}
"""Of the flood so many are whole orders, so many are orders as dry runs, and the rest pings: a whole order costs this
machine far more than its command, and what is measured here are the commands."""
_OUTCOMES_WITHIN = 600.0
_OVER = (CommandStatus.DONE, CommandStatus.DRY_RUN, CommandStatus.REFUSED)


@dataclass(frozen=True)
class Acked:
    """How long each ack took, in seconds; the message ids; how many posts were not acknowledged, and in what time."""

    times: list[float]
    message_ids: list[str]
    refused: int
    seconds: float


def order_command(*, dry_run: bool = False) -> tuple[str, dict[str, Any]]:
    """A command with one order: a limit that rests at the market's edge would not end, so it is a market order."""
    entry = {
        "contract": {"secType": "STK", "symbol": "AAPL"},
        "order": {"action": "BUY", "totalQuantity": 1, "orderType": "MKT"},
    }
    return "/oms/orders", {"orders": [entry], "idem_hint": uuid4().hex, "dry_run": dry_run}


def ping_command() -> tuple[str, dict[str, Any]]:
    """A command that goes all the way to its worker, and does nothing there."""
    return "/oms/ping", {"echo": "bench", "idem_hint": uuid4().hex}


async def measure_acks(stack: Stack) -> list[Row]:
    """POST /oms/orders with one order, `ACK_PACE` a second so that whole orders find the time to end, by turns with bare starts."""
    acks: list[float] = []
    starts: list[float] = []

    async def start(_number: int) -> None:
        await stack.client.start_workflow(BareStart.run, "x", id=f"bare/{uuid4()}", task_queue=QUEUE)

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as asking:
        await _posted(asking, stack, [order_command() for _ in range(ACKS_A_ROUND)], ACK_PACE)
        await latencies(ACKS_A_ROUND, start)
        for _ in range(ROUNDS):
            commands = [order_command() for _ in range(ACKS_A_ROUND)]
            acks += (await _posted(asking, stack, commands, ACK_PACE)).times
            starts += [ms / 1000 for ms in (await latencies(ACKS_A_ROUND, start)).milliseconds]
    ours, bare = Latencies.of(acks), Latencies.of(starts)
    return [
        Row(
            "POST /oms/orders with one order, acknowledged (p50 / p95 / p99)",
            ours.text,
            bare.text,
            f"{ours.at(50) / bare.at(50):.2f}",
            "p50 at most 15 ms",
            len(acks) == ROUNDS * ACKS_A_ROUND and ours.at(50) <= 15,
        )
    ]


async def measure_flood(stack: Stack, tell: Callable[[str], None]) -> list[Row]:
    """`FLOOD_PACE` commands a second for `FLOOD_SECONDS`, and the outcome of every one of them afterwards."""
    count = FLOOD_PACE * FLOOD_SECONDS
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as asking:
        acked = await _posted(asking, stack, [_of_the_flood(number) for number in range(count)], FLOOD_PACE)
    tell(
        f"{len(acked.message_ids)} were acknowledged in {acked.seconds:.1f} s; their outcomes are waited for"
    )
    begun = time.monotonic()
    kept = await _outcomes(stack, acked.message_ids)
    drained = time.monotonic() - begun
    lost = len(acked.message_ids) - sum(record.status in _OVER for record in kept)
    for why, times_said in Counter(_refusals(kept)).most_common(5):
        tell(f"refused {times_said} times: {why}")
    ended = await _orders_over(stack, kept)
    times, whole = Latencies.of(acked.times), count // _ONE_IN["orders"]
    pace = f"{FLOOD_PACE}/s for {FLOOD_SECONDS} s"
    return [
        Row(
            f"{pace}: accepted, of {count} ({whole} whole orders, {count // _ONE_IN['dry runs']} dry runs)",
            f"{len(acked.message_ids)} in {acked.seconds:.1f} s",
            target=f"all, in {FLOOD_SECONDS + 1} s",
            met=not acked.refused and acked.seconds <= FLOOD_SECONDS + 1,
        ),
        Row(f"{pace}: acknowledged (p50 / p95 / p99)", times.text),
        Row(f"{pace}: commands without an outcome", f"{lost}", target="none", met=lost == 0),
        Row(
            f"{pace}: orders that were executed, of {whole}",
            f"{ended}, the last {drained:.0f} s after the flood",
            target="all",
            met=ended == whole,
        ),
    ]


def _of_the_flood(number: int) -> tuple[str, dict[str, Any]]:
    if number % _ONE_IN["orders"] == 0:
        return order_command()
    return order_command(dry_run=True) if number % _ONE_IN["dry runs"] == 5 else ping_command()


async def _posted(
    asking: ProcessPoolExecutor, stack: Stack, commands: Sequence[tuple[str, dict[str, Any]]], pace: int
) -> Acked:
    posts = Posts(stack.api, ("x-api-token", stack.keys["pm"]), commands, pace)
    answers = await asyncio.get_running_loop().run_in_executor(asking, post_all, posts)
    seconds = max(answer.ended for answer in answers)
    acked = [answer for answer in answers if answer.status == 200]
    message_ids = [str(json.loads(answer.body)["message_id"]) for answer in acked]
    return Acked([answer.seconds for answer in acked], message_ids, len(answers) - len(acked), seconds)


async def _outcomes(stack: Stack, message_ids: Sequence[str]) -> list[CommandRecord]:
    """The commands once each has its outcome, or as they are when nobody waits any longer."""
    wanted = set(message_ids)

    def found() -> list[CommandRecord]:
        kept = stack.store.commands.list(None, 2 * len(wanted))
        return [record for record in kept if record.message_id in wanted]

    return await _until(found, lambda kept: len(kept) == len(wanted) and all(r.status in _OVER for r in kept))


def _refusals(kept: Sequence[CommandRecord]) -> Iterator[str]:
    """Why commands, and orders of them, were refused."""
    for record in kept:
        for refusal in (record.refusal, *(order.refusal for order in record.orders)):
            if refusal is not None:
                yield f"{refusal.code}: {refusal.message[:200]}"


async def _orders_over(stack: Stack, kept: Sequence[CommandRecord]) -> int:
    """How many of the commands' orders were executed whole."""
    order_ids = [order.order_id for record in kept for order in record.orders if order.order_id is not None]

    def executed() -> Counter[bool]:
        orders = (stack.store.orders.glance(order_id) for order_id in order_ids)
        return Counter(order is not None and not order.unfilled_quantity for order in orders)

    return (await _until(executed, lambda counted: counted[True] == len(order_ids)))[True]


async def _until(look: Callable[[], T], met: Callable[[T], bool]) -> T:
    """What `look` sees once it is as wanted, or after `_OUTCOMES_WITHIN`."""
    deadline = time.monotonic() + _OUTCOMES_WITHIN
    while True:
        seen = await asyncio.to_thread(look)
        if met(seen) or time.monotonic() > deadline:
            return seen
        await asyncio.sleep(1)
