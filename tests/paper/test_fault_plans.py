"""Fault plans as data: they load and dump, say what is wrong with them, and give the same faults again."""

import asyncio
import json
from collections import Counter, defaultdict
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.paper.clients import STILL, HandClock

from oms.paper.fault_events import Operation
from oms.paper.fault_run import FaultRun, Request
from oms.paper.faults import FaultKind, FaultPlan, PlanUnreadable, hits
from oms.paper.ib_gateway import PaperIBGateway
from oms.paper.wire import frame, split_fields

CLIENT = 7
PLACE = Request(Operation.PLACE, CLIENT, 1, "r", "AAPL")


def drawn(plan: FaultPlan, count: int = 400) -> list[str | None]:
    run = FaultRun(plan)
    found = [run.draw(PLACE) for _ in range(count)]
    return [fault.kind if fault else None for fault in found]


# -- Data ------------------------------------------------------------------------------------------------


def test_a_plan_is_seeded_and_keeps_its_rates() -> None:
    rates = {FaultKind.LOST_BEFORE_READ: 0.25, FaultKind.DELAYED: 0.25}
    once = drawn(FaultPlan(rates, seed=3))
    assert once == drawn(FaultPlan(rates, seed=3))
    assert once != drawn(FaultPlan(rates, seed=4))
    for kind in rates:
        assert 60 < once.count(kind) < 140


def test_what_hits_the_nth_does_not_depend_on_the_others() -> None:
    rates = {FaultKind.LOST_BEFORE_READ: 0.25, FaultKind.DELAYED: 0.25}
    one, other = FaultRun(FaultPlan(rates)), FaultRun(FaultPlan(rates))
    other.plan.queued.append(FaultKind.REJECTED)
    other.draw(Request(Operation.CANCEL, 7, 1))
    pairs = [(one.draw(PLACE), other.draw(PLACE)) for _ in range(50)]
    assert all(mine == theirs for mine, theirs in pairs[1:])


def test_a_name_precedes_the_queue_and_the_queue_a_rule_and_a_rule_chance() -> None:
    plan = FaultPlan.from_json(
        json.dumps(
            {
                "rates": {"delayed": 1},
                "queued": ["missing_status"],
                "by_order_ref": {"r": "rejected"},
                "rules": [{"kind": "hold_replies", "nth": 3}],
            }
        )
    )
    assert drawn(plan, 4) == ["rejected", "missing_status", "hold_replies", "delayed"]


def test_a_plan_is_read_from_json_and_written_back(tmp_path: Path) -> None:
    text = """{"seed": 7,
      "rates": {"lost_before_read": 0.15},
      "cancel_rates": {"delayed": 0.1},
      "rules": [{"on": "modify", "order_ref": "PLC-1", "kind": "error_instead", "code": 201},
                {"on": "positions", "kind": "unanswered", "times": 0}],
      "events": [{"do": "restart", "after_placements": 10, "seconds": 0.5},
                 {"do": "hand_order", "symbol": "AAPL", "quantity": "5"}]}"""
    file = tmp_path / "plan.json"
    file.write_text(text)
    plan = FaultPlan.load(file)
    assert FaultPlan.from_json(plan.to_json()) == plan
    assert plan.events[1].quantity == 5  # type: ignore[union-attr]
    assert FaultPlan().to_json() == "{}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "JSON"),
        ('{"rates": {"delayed": 1.5}}', "rates"),
        ('{"rates": {"delayed": 0.6, "rejected": 0.6}}', "more than 1"),
        ('{"cancel_rates": {"rejected": 0.6}}', "rejected cannot happen to cancel; it can to place"),
        ('{"rates": {"nonsense": 0.1}}', "rates.nonsense"),
        ('{"rules": [{"on": "cancel", "kind": "second_perm_id"}]}', "it can to modify"),
        ('{"rules": [{"kind": "delayed", "nth": 0}]}', "rules.0.nth"),
        ('{"rules": [{"kind": "delayed", "order": "x"}]}', "rules.0.order"),
        ('{"events": [{"do": "sing"}]}', "events.0"),
        ('{"events": [{"do": "restart", "after_steps": 1, "after_seconds": 1}]}', "name one"),
        ('{"sede": 1}', "sede"),
    ],
)
def test_a_plan_that_is_none_says_where(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(PlanUnreadable, match=said) as problem:
        FaultPlan.load(tmp_path / "plan.json")
    assert "plan.json" in str(problem.value)


def test_a_plan_that_is_changed_is_held_to_the_same_rules() -> None:
    plan = FaultPlan()
    with pytest.raises(ValueError, match="more than 1"):
        plan.rates = {FaultKind.DELAYED: 0.6, FaultKind.REJECTED: 0.6}


# -- Random plans, one client in lock step -----------------------------------------------------------------


def rates_for(operation: Operation) -> st.SearchStrategy[dict[FaultKind, float]]:
    kinds = [kind for kind in FaultKind if operation in hits(kind)]
    return st.lists(st.sampled_from(kinds), max_size=4, unique=True).map(
        lambda some: dict.fromkeys(some, 0.2)
    )


RULES = st.builds(
    lambda on, at, nth: {"on": on, "kind": [k for k in FaultKind if on in hits(k)][at], "nth": nth},
    st.sampled_from([Operation.PLACE, Operation.MODIFY, Operation.CANCEL]),
    st.integers(0, 15),
    st.integers(1, 4),
)
HAPPENINGS = [
    {"do": "drop_connections"},
    {"do": "connectivity_lost"},
    {"do": "silence"},
    {"do": "restart", "seconds": 0},
    {"do": "roll_back_ids"},
    {"do": "notice", "code": 1102},
    {"do": "order_error", "code": 202},
    {"do": "hand_order", "symbol": "AAPL"},
    {"do": "other_client_order", "symbol": "AAPL", "client_id": 99},
    {"do": "correction", "quantity": "0", "price": "0"},
    {"do": "set_price", "symbol": "AAPL", "bid": "90", "ask": "90.01"},
    {"do": "release"},
]
EVENTS = st.builds(
    lambda event, when, n: {**event, when: n},
    st.sampled_from(HAPPENINGS),
    st.sampled_from(["after_placements", "after_executions"]),
    st.integers(0, 6),
)
PLANS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 1000),
        "rates": rates_for(Operation.PLACE),
        "modify_rates": rates_for(Operation.MODIFY),
        "cancel_rates": rates_for(Operation.CANCEL),
        "rules": st.lists(RULES, max_size=3),
        "events": st.lists(EVENTS, max_size=4),
        "delay": st.just(60),
        "locate": st.just(60),
        "invisible": st.just([0, 0]),
        "correction_after": st.integers(0, 2),
    }
)


class LockStep:
    """A client that sends one message, waits for what comes of it, and comes back when its connection breaks.

    What waits is let go between two messages, by hand and not by the clock, so that two runs take the same steps.
    """

    def __init__(self, gateway: PaperIBGateway) -> None:
        self.gateway = gateway
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def say(self, fields: list[object]) -> None:
        """Send one message; return when it and everything before it is answered, or the connection is gone."""
        self.calm()
        while self.writer is None or CLIENT not in self.gateway._desk.sessions:
            await self._connect()
        self.writer.write(frame(fields) + frame([49, 1]))
        await self._answered()
        self.calm()

    def calm(self) -> None:
        """End what the plan began."""
        if self.gateway._silent:
            self.gateway.speak_again()
        if not self.gateway._desk.online:
            self.gateway.connectivity_restored(data_lost=False)
        self.gateway.release()

    async def _connect(self) -> None:
        self.close()
        try:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.gateway.port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.001)
            return
        self.writer.write(b"API\0\x00\x00\x00\x09v157..178" + frame([71, 2, CLIENT, ""]) + frame([49, 1]))
        await self._answered()

    async def _answered(self) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while split_fields(await self._frame())[0] != "49":
                pass

    async def _frame(self) -> bytes:
        assert self.reader is not None
        return await self.reader.readexactly(int.from_bytes(await self.reader.readexactly(4), "big"))

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.writer = None


def order(number: int, quantity: int, limit: str = "") -> list[object]:
    texts: list[object] = [""] * 114
    values = {0: 3, 1: number, 2: 265598, 3: "AAPL", 16: "BUY", 17: quantity, 18: "LMT" if limit else "MKT"}
    for at, value in {**values, 19: limit, 21: "DAY", 26: f"o{number}", 27: 1}.items():
        texts[at] = value
    return texts


DAY = [
    *[order(number, 10, "" if number % 2 else "100") for number in range(1, 7)],
    *[order(number, 7, "101") for number in (2, 4)],
    *[[4, 1, number, ""] for number in (4, 6)],
    *[order(number, 3) for number in (7, 8)],
]


async def lived(plan: FaultPlan) -> PaperIBGateway:
    """One small trading day under a plan."""
    gateway = PaperIBGateway(market=STILL, clock=HandClock(), faults=plan)
    await gateway.start()
    client = LockStep(gateway)
    async with asyncio.timeout(20):
        for fields in DAY:
            await client.say(fields)
    gateway.step_market(3)
    client.close()
    return gateway


def consistent(gateway: PaperIBGateway) -> None:
    """The book adds up: filled is the sum of the executions, and no order has more than it asked for."""
    executed: dict[int, Decimal] = defaultdict(Decimal)
    for execution in gateway.executions():
        executed[execution.perm_id] += execution.quantity
    lines = gateway.orders()
    assert {line.perm_id for line in lines} >= executed.keys()
    for line in lines:
        assert line.filled == executed[line.perm_id] <= line.quantity, line
    doubled = sum(c.kind == FaultKind.SECOND_PERM_ID for c in gateway.committed)
    keys = Counter((line.client_id, line.order_id) for line in lines if line.client_id == CLIENT)
    assert sum(count - 1 for count in keys.values()) <= doubled
    bought = sum(execution.quantity for execution in gateway.executions())
    held = gateway._desk.accounts.held("DU123456")
    assert sum(position.quantity for position in held) == bought


@settings(max_examples=12, deadline=None)
@given(described=PLANS)
def test_a_random_plan_loads_dumps_and_gives_the_same_day_twice(described: dict[str, object]) -> None:
    text = json.dumps(described)
    plan = FaultPlan.from_json(text)
    assert FaultPlan.from_json(plan.to_json()) == plan

    async def twice() -> list[PaperIBGateway]:
        days = [await lived(FaultPlan.from_json(text)) for _ in range(2)]
        for day in days:
            consistent(day)
            await day.stop()
        return days

    first, second = asyncio.run(twice())
    assert first.committed == second.committed
