"""`kill -9` of the worker and of the API in the middle of signed commands: every entry once, in the broker's book too.

Every single step is tried in tests/workflows; here real processes die.
"""

import asyncio
import secrets
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from oms.domain.order import Order
from oms.domain.programs.outcomes import CommandRecord, CommandStatus
from oms.domain.terms import PlacementStatus
from oms.paper.ib_book import read_orders
from oms.store import Store, rebuild
from tests.faults.processes import Processes, processes, until

STOCKS = ("AAPL", "MSFT", "IBM", "JPM")
PARTS = ("entry", "take_profit", "stop_loss")
KILLED_AT = 6
"""The worker dies as soon as so many orders of two commands are in the book; each command has twelve of them."""
_SETTLES = 90.0


def command(hint: str) -> dict[str, Any]:
    """Four entries that work far below the market, each with a take profit and a stop loss."""
    return {
        "idem_hint": hint,
        "orders": [
            {
                "contract": {"secType": "STK", "symbol": symbol},
                "order": {"action": "BUY", "totalQuantity": 3, "orderType": "LMT", "lmtPrice": 5.00},
                "bracket": {"takeProfitPrice": 9.00, "stopLossPrice": 2.00},
            }
            for symbol in STOCKS
        ],
    }


class Desk:
    """A program that hands in commands, and what anybody can see of them."""

    def __init__(self, stack: Processes) -> None:
        self.stack = stack

    @property
    def store(self) -> Store:
        return self.stack.store

    async def hand_in(self, hint: str) -> str:
        """The message id, however often it has to be asked for."""
        answer = await self.stack.insist("pm", "POST", "/oms/orders", **command(hint))
        assert answer["status"] == "enqueued"
        return str(answer["message_id"])

    def record(self, message_id: str) -> CommandRecord:
        record = self.store.commands.by_message(message_id)
        assert record is not None
        return record

    def orders(self, message_id: str) -> list[Order]:
        found = self.store.orders.list(limit=500).items
        return [order for order in found if order.metadata.get("message_id") == message_id]

    async def interrupted(self, *hints: str) -> list[str]:
        """Commands whose worker dies when some of their orders are in the book."""
        message_ids = [await self.hand_in(hint) for hint in hints]
        await until("some orders", lambda: sum(len(self.orders(m)) for m in message_ids) >= KILLED_AT)
        await self.stack.kill("worker")
        assert any(self.record(m).status is not CommandStatus.DONE for m in message_ids), "it came too late"
        return message_ids


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.timeout(400)
async def test_whoever_dies_in_the_middle_of_a_command_every_entry_is_opened_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENVELOPE_SECRET", secrets.token_hex(16))
    async with processes(tmp_path) as stack:
        desk = Desk(stack)
        message_ids = await desk.interrupted("one", "two")
        asking = asyncio.create_task(desk.hand_in("unanswered"))
        await stack.kill("api")
        message_ids.append(await asking)
        assert await desk.hand_in("unanswered") == message_ids[-1]
        for message_id in message_ids:
            await until("the command is done", lambda m=message_id: is_done(desk, m), _SETTLES)
            await until("it works", lambda m=message_id: all_work(desk, m), _SETTLES)
        for message_id in message_ids:
            is_whole(desk, message_id)
        refs = Counter(line.order_ref for line in read_orders(stack.book))
        assert set(refs.values()) == {1}
        assert len(refs) == len(STOCKS) * len(PARTS) * len(message_ids)
        assert rebuild(stack.store, write=False).is_clean


def is_done(desk: Desk, message_id: str) -> bool:
    return desk.record(message_id).status is CommandStatus.DONE


def all_work(desk: Desk, message_id: str) -> bool:
    """Whether the broker works every order of the command."""
    orders = desk.orders(message_id)
    placements = [placement for order in orders for placement in order.placements]
    return bool(orders) and [p.status for p in placements] == [PlacementStatus.WORKING] * len(orders)


def is_whole(desk: Desk, message_id: str) -> None:
    """Each part of each entry is there once, in the record, in the book and in the events."""
    parts = [(index, part) for index in range(len(STOCKS)) for part in PARTS]
    orders, record = desk.orders(message_id), desk.record(message_id)
    assert sorted((o.metadata["order_index"], o.metadata["part"]) for o in orders) == sorted(parts)
    assert [(told.order_index, told.part.value) for told in record.orders] == parts
    assert {told.order_id for told in record.orders} == {order.order_id for order in orders}
    assert all(told.refusal is None for told in record.orders)
    assert all(len(order.placements) == 1 for order in orders)
    told = desk.store.venue_events.tail(1000, message_id=message_id)
    synthetic = Counter((event.event_type, event.order_index) for event in told)
    assert synthetic["oms.submit", None] == 1
    assert [synthetic["ib.order_received", index] for index in range(len(STOCKS))] == [1] * len(STOCKS)
