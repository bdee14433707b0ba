"""`kill -9` of each process with an order at each step of its placement; afterwards every order is where it would be.

Six deaths, and at each of them eight orders, one at each step that can be seen from outside:

- accepted: the request is under way, nobody has answered it;
- unread: the gateway's bytes are at the broker, which has not read them;
- untold: the broker has executed the order and said nothing;
- working, partly filled, canceling (the cancel has left us, and the broker has not read it);
- undelivered: the execution is in the inbox, and no workflow has it.

The moment between the intent's commit and its bytes cannot be held from outside: CARD-203 and CARD-204 hold it.
"""

import asyncio
import uuid
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from oms.paper.ib_book import read_executions, read_orders
from oms.store import InboxStatus, IntentState, Store, rebuild, tables
from tests.faults.processes import VICTIMS, Processes, processes, until

UNREAD, UNTOLD, CANCELING, ACCEPTED = "IBM", "ORCL", "CVX", "AAPL"
WORKING = ("JPM", "XOM", "MRK", "WMT", "HD", "MCD")
PARTLY = ("KO", "PFE", "BAC", "INTC", "CSCO", "DIS")
UNDELIVERED = ("BA", "CAT", "PG", "JNJ", "V", "AXP")
_PART = Decimal(4)
_ENDS = 150.0
_OVER = (IntentState.DONE, IntentState.WITHDRAWN)


@dataclass(frozen=True)
class Staged:
    """An order that stood at a step when somebody died, and how it is to end."""

    order_id: str
    what: str
    end: str = "RECONCILED"


class Round:
    """One death: the orders staged for it, and what the broker does about them afterwards."""

    def __init__(self, stack: Processes, instruments: dict[str, str], number: int) -> None:
        self.stack = stack
        self.instruments = instruments
        self.number = number
        self.victim = VICTIMS[number]
        self.working, self.partly, self.undelivered = WORKING[number], PARTLY[number], UNDELIVERED[number]
        self.rules = [
            {"on": "place", "symbol": UNREAD, "kind": "hold_before_read", "times": 0},
            {"on": "place", "symbol": UNTOLD, "kind": "hold_replies", "times": 0},
            {"on": "cancel", "symbol": CANCELING, "kind": "hold_before_read", "times": 0},
        ]

    async def stage(self) -> list[Staged]:
        """Bring an order to each step, kill, let the broker go on; answers the orders, none of which is over yet."""
        stack = self.stack
        await stack.plan(
            f"stage {self.victim}", {"rules": self.rules, "events": [self._price(self.partly, _PART)]}
        )
        seen = len(stack.committed())
        kinds = {UNREAD: "unread", UNTOLD: "untold", CANCELING: "canceling"}
        kinds |= {self.working: "working", self.partly: "partly filled", self.undelivered: "undelivered"}
        made = await asyncio.gather(*(self._make(symbol) for symbol in kinds))
        staged = dict(zip(kinds, made, strict=True))
        await asyncio.gather(
            *(self._is_working(staged[s]) for s in (CANCELING, self.working, self.undelivered)),
            until("a part is filled", lambda: self._is_in(staged[self.partly], "PARTIALLY_FILLED")),
        )
        canceling = asyncio.create_task(self._cancel(staged[CANCELING]))
        held = {"hold_before_read/place", "hold_replies/place", "hold_before_read/cancel"}
        await until("the broker holds three messages", lambda: held <= self._held(seen))
        accepted = await self._die(staged[self.undelivered])
        await canceling
        ends = {CANCELING: "CANCELED"}
        return [
            *(Staged(staged[symbol], what, ends.get(symbol, "RECONCILED")) for symbol, what in kinds.items()),
            *(Staged(order_id, "accepted") for order_id in accepted),
        ]

    async def _die(self, undelivered: str) -> list[str]:
        """Freeze the Temporal server, so that nothing is delivered and nobody answered; kill; go on."""
        stack = self.stack
        stack.freeze("temporal")
        try:
            fill = [self._price(self.undelivered)]
            await stack.plan(f"fill {self.victim}", {"rules": self.rules, "events": fill})
            await until("an execution waits in the inbox", lambda: self._waits(undelivered))
            asking = [asyncio.create_task(self._make(ACCEPTED)) for _ in range(2)]
            await until("two requests are under way", lambda: self._begun() >= 2)
            await stack.kill(self.victim)
        finally:
            stack.thaw("temporal")
        rest = [{"do": "release"}, self._price(self.working), self._price(self.partly)]
        await stack.plan(f"after {self.victim}", {"events": rest})
        await stack.serving()
        return list(await asyncio.gather(*asking))

    async def _make(self, symbol: str) -> str:
        is_market = symbol in (UNREAD, UNTOLD, ACCEPTED)
        terms = {"order_type": "Market"} if is_market else {"order_type": "Limit", "limit_price": "5.00"}
        answer = await self.stack.insist(
            "pm",
            "POST",
            "/v1/orders",
            key=f"{self.victim}/{symbol}/{uuid.uuid4()}",
            portfolio_id="PORT-001",
            instrument_id=self.instruments[symbol],
            direction="Buy",
            ordered_quantity="10",
            time_in_force="Day",
            automation="straight_through",
            **terms,
        )
        return str(answer["order_id"])

    async def _cancel(self, order_id: str) -> None:
        key = f"{self.victim}/cancel/{order_id}"
        path = f"/v1/orders/{order_id}/cancel"
        await self.stack.insist("trader", "POST", path, key=key, reason="no longer wanted")

    async def _is_working(self, order_id: str) -> None:
        async def works() -> bool:
            placements = (await self.stack.order(order_id))["placements"]
            return bool(placements) and placements[0]["status"] == "WORKING"

        await until(f"{order_id} works", works)

    async def _is_in(self, order_id: str, state: str) -> bool:
        return str((await self.stack.order(order_id))["state"]) == state

    def _held(self, seen: int) -> set[str]:
        return {f"{line.get('kind')}/{line.get('on')}" for line in self.stack.committed()[seen:]}

    def _waits(self, order_id: str) -> bool:
        rows = self.stack.store.inbox.undelivered(self.stack.settings.ibkr_session)
        return any(row.order_id == order_id and row.fact.kind == "executed" for row in rows)

    def _begun(self) -> int:
        """How many of the requests for accepted orders are written down, and not answered."""
        table = tables.idempotency.c
        ours = table.idempotency_key.startswith(f"{self.victim}/{ACCEPTED}/")
        wanted = select(func.count()).where(ours, table.status.is_(None))
        with self.stack.store.database.read() as connection:
            return int(connection.execute(wanted).scalar_one())

    def _price(self, symbol: str, size: Decimal | None = None) -> dict[str, Any]:
        """The market of a symbol at 4.98 to 4.99: below every limit of these orders."""
        told = {"do": "set_price", "symbol": symbol, "bid": "4.98", "ask": "4.99"}
        return {**told, "size": str(size)} if size is not None else told


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.timeout(400)
async def test_whoever_dies_at_whatever_step_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    async with processes(tmp_path) as stack:
        symbols = (UNREAD, UNTOLD, CANCELING, ACCEPTED, *WORKING, *PARTLY, *UNDELIVERED)
        made = [await stack.insist("admin", "POST", "/v1/instruments", symbol=symbol) for symbol in symbols]
        instruments = {s: str(answer["instrument_id"]) for s, answer in zip(symbols, made, strict=True)}
        staged: dict[str, list[Staged]] = {}
        for number, victim in enumerate(VICTIMS):
            staged[victim] = await Round(stack, instruments, number).stage()
        await _all_end(stack, staged)
        await _books_agree(stack, [each.order_id for orders in staged.values() for each in orders])
    assert {victim: len(orders) for victim, orders in staged.items()} == dict.fromkeys(VICTIMS, 8)


async def _all_end(stack: Processes, staged: dict[str, list[Staged]]) -> None:
    async def still_open() -> list[str]:
        found = []
        for victim, orders in staged.items():
            for each in orders:
                order = await stack.order(each.order_id)
                if order["state"] != each.end or order["exceptions"]:
                    found.append(f"{victim} died, {each.what}: {order['state']} {order['exceptions']}")
        return found

    left = [""]

    async def none_left() -> bool:
        left[:] = await still_open()
        return not left

    try:
        await until("every order ends", none_left, _ENDS)
    except AssertionError as error:
        raise AssertionError(f"{error}: {left}") from error


async def _books_agree(stack: Processes, order_ids: list[str]) -> None:
    """The broker's executions are our fills, one by one; a placement is one broker order; nothing waits or is doubted."""
    theirs = {e.exec_id: (e.quantity, e.price) for e in read_executions(stack.book)}
    ours = {}
    placements = set()
    for order_id in order_ids:
        for fill in (await stack.insist("viewer", "GET", f"/v1/orders/{order_id}/fills"))["items"]:
            assert fill["exec_id"] not in ours, "a fill is booked twice"
            ours[fill["exec_id"]] = (Decimal(fill["quantity"]), Decimal(fill["price"]))
        placements |= {p["placement_id"] for p in (await stack.order(order_id))["placements"]}
    assert ours == theirs
    refs = Counter(line.order_ref for line in read_orders(stack.book))
    assert set(refs.values()) == {1}
    assert len(refs) == len(placements) == len(order_ids)
    _nothing_waits(stack.store, stack.settings.ibkr_session, placements)


def _nothing_waits(store: Store, session: str, placements: set[str]) -> None:
    counts = store.inbox.counts(session)
    assert {
        status: count for status, count in counts.items() if count and status is not InboxStatus.DELIVERED
    } == {}
    intents = [store.intents.get(placement_id) for placement_id in placements]
    assert [intent for intent in intents if intent is None or intent.state not in _OVER] == []
    report = rebuild(store, write=False)
    assert report.is_clean, report.differences
