"""Workers that stop, journals and venues that are away: the order waits, says so, and goes on."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from temporalio.client import Client
from temporalio.common import RetryPolicy

from oms.domain import commands as cmd
from oms.domain.terms import Role, State
from oms.gateways.errors import GatewayNotReady
from oms.workflows import ports
from tests.stack import free_ports, until
from tests.workflows.telling import PACED
from tests.workflows.venue import execution, fills
from tests.workflows.world import World, a_world, custodian, venue_worker

TWICE = RetryPolicy(initial_interval=timedelta(milliseconds=50), maximum_attempts=2)


@pytest.fixture
async def alone(client: Client, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A world without an order worker, on queues of its own."""
    name = request.node.name
    async with a_world(client, tmp_path, queue=f"queue-{name}", account=f"account-{name}") as made:
        yield made


class Away:
    """A database that is away until `back`, for every call of one function."""

    def __init__(self, real: Callable[..., Any], failures: int | None = None) -> None:
        self.real, self.failures, self.tried = real, failures, 0
        self.back = threading.Event()

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.tried += 1
        if self.back.is_set() or (self.failures is not None and self.tried > self.failures):
            return self.real(*arguments, **named)
        raise OperationalError("record", {}, Exception("the database is away"))


async def test_orders_go_on_with_another_worker(alone: World) -> None:
    """Stopped with a placement at the venue and facts on their way; the next worker knows nothing but history."""
    async with alone.working():
        dealt = await (await alone.open(**PACED)).sent_to_trader()
        placement_id = await dealt.place()
        await dealt.becomes(lambda o: o.placements[0].venue_order_ids, "working")
    for number in range(1, 5):
        await dealt.hear(*execution(placement_id, "25", number=number))
    async with alone.working():
        await dealt.is_in(State.FILLED)
        assert alone.venue.calls[dealt.order_id] == ["place"]
        assert (await dealt.do(cmd.CloseOrder(), Role.TRADER)).state is State.CLOSED
        await dealt.is_sound()


async def test_a_command_is_judged_after_the_facts_that_came_before_it(alone: World) -> None:
    """Both wait for a worker and arrive in one task: the trader saw the fill at the venue, so the close is legal."""
    async with alone.working():
        dealt = await (await alone.open()).sent_to_trader()
        placement_id = await dealt.place()
        await dealt.becomes(lambda o: o.placements[0].venue_order_ids, "working")
    await dealt.hear(*execution(placement_id, "100"))
    close = asyncio.create_task(dealt.do(cmd.CloseOrder(), Role.TRADER))
    async with alone.working():
        assert (await close).state is State.CLOSED
        await dealt.is_sound()


async def test_straight_through_over_many_workers(alone: World) -> None:
    """A worker for every step or two: each is stopped as soon as the order has moved."""
    async with alone.working():
        dealt = await alone.open(script={"place": [fills()]}, automation="straight_through")
    seen = set()
    for _ in range(5):
        version = dealt.order.version
        async with alone.working():
            if dealt.order.state is not State.RECONCILED:
                await dealt.becomes(lambda o, v=version: o.version > v or o.is_terminal, "moved")
            seen.add(dealt.order.version)
        if dealt.order.state is State.RECONCILED:
            break
    async with alone.working():
        await dealt.ends(State.RECONCILED)
    assert len(dealt.order.placements) == len(dealt.order.allocations) == 1


async def test_a_journal_that_fails_a_few_times(alone: World, monkeypatch: pytest.MonkeyPatch) -> None:
    away = Away(alone.store.journal.record, failures=3)
    monkeypatch.setattr(alone.store.journal, "record", away)
    async with alone.working():
        dealt = await alone.open(script={"place": [fills()]}, automation="straight_through")
        await dealt.ends(State.RECONCILED)
    assert away.tried > 3


async def test_a_journal_that_is_away_for_long_is_shown_and_waited_for(
    alone: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "BESIDE_THE_WORKFLOW", TWICE)
    async with alone.working():
        dealt = await (await alone.open()).sent_to_trader()
        placement_id = await dealt.place()
        await dealt.becomes(lambda o: o.placements[0].venue_order_ids, "working")
        away = Away(alone.store.journal.record)
        monkeypatch.setattr(alone.store.journal, "record", away)
        await dealt.hear(*execution(placement_id, "100"))

        async def shown() -> bool:
            return "the database is away" in await dealt.details()

        await until(shown, "the trouble in the details")
        pending = (await dealt.handle.describe()).raw_description.pending_activities
        assert [activity.activity_type.name for activity in pending] == ["record"]
        length = await dealt.length()
        tried = away.tried
        await until(lambda: away.tried > tried + 1, "more attempts", 30)
        assert await dealt.length() == length, "waiting adds no history"
        assert dealt.order.state is State.ROUTED
        away.back.set()
        await dealt.is_in(State.FILLED)
        await dealt.is_sound()
        assert "the database is away" not in await dealt.details()


async def test_a_gateway_that_is_not_ready_is_asked_again(alone: World) -> None:
    not_ready = GatewayNotReady("the session is not in sync")
    async with alone.working():
        dealt = await alone.open(script={"place": [not_ready, fills()]}, automation="straight_through")
        await dealt.ends(State.RECONCILED)
    assert alone.venue.calls[dealt.order_id] == ["place", "place"]


async def test_an_order_waits_for_a_gateway_that_does_not_run(alone: World) -> None:
    route = {"venue": "IBKR", "account": "DU777"}
    async with alone.working():
        dealt = await alone.open(script={"place": [fills()]}, automation="straight_through", route=route)
        await dealt.is_in(State.ROUTED)
        assert "IBKR: place at the venue" in await dealt.details()
        async with venue_worker(alone.client, alone.venue, "DU777"):
            await dealt.ends(State.RECONCILED)


async def test_an_order_waits_for_a_custodian_that_is_away(alone: World, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    alone.custodian_url = f"http://127.0.0.1:{port}"
    async with alone.working():
        dealt = await alone.open(script={"place": [fills()]}, automation="straight_through")
        await dealt.is_in(State.CONFIRMED)
        with custodian(tmp_path / "late.db", port):
            await dealt.ends(State.RECONCILED)


async def test_what_keeps_failing_is_shown(alone: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A calendar that nobody has: the order stands still at CONFIRMED and says why."""
    monkeypatch.setattr(ports, "BESIDE_THE_WORKFLOW", TWICE)
    mic = {"mic": "XXXX"}
    async with alone.working():
        dealt = await alone.open(
            script={"place": [fills()]}, automation="straight_through", instrument_terms=mic
        )
        await dealt.is_in(State.CONFIRMED)

        async def shown() -> bool:
            return "no session calendar for exchange XXXX" in await dealt.details()

        await until(shown, "the trouble in the details")
        await dealt.is_sound()
