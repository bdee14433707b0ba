"""Changes of placements through crashes: of the worker, of the gateway, before and after each of its steps."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.client import Client

from oms.domain import commands as cmd
from oms.domain.order import Order
from oms.domain.terms import ExceptionCode, Role, State
from oms.gateways.errors import GatewayNotReady
from tests.domain import orders
from tests.stack import until
from tests.workflows.telling import PACED
from tests.workflows.venue import changes, doubts_the_change, execution, nothing
from tests.workflows.world import Dealt, World, a_world, venue_worker


@pytest.fixture
async def alone(client: Client, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A world without an order worker, on queues of its own."""
    name = request.node.name
    async with a_world(client, tmp_path, queue=f"queue-{name}", account=f"account-{name}") as made:
        yield made


async def _working(world: World, *modify: object, **options: object) -> Dealt:
    dealt = await world.open(script={"modify": modify}, **options)
    await dealt.sent_to_trader()
    await dealt.place()
    await dealt.becomes(lambda o: o.placements[0].venue_order_ids, "working")
    return dealt


async def _change(dealt: Dealt, quantity: str = "60") -> None:
    command = cmd.ModifyPlacement(placement_id=dealt.placement_id, quantity=quantity)
    await dealt.do(command, Role.TRADER)


def _is_changed(order: Order) -> bool:
    return order.placements[0].revision == 1


def _asked(dealt: Dealt) -> int:
    return dealt.world.venue.calls[dealt.order_id].count("modify")


@pytest.mark.parametrize("options", [{}, PACED])
async def test_a_change_goes_on_with_another_worker(alone: World, options: dict[str, int]) -> None:
    """Stopped with a change in doubt; the next worker knows nothing but history and asks for the same change."""
    async with alone.working():
        dealt = await _working(alone, doubts_the_change, **options)
        await _change(dealt)
        await dealt.becomes(lambda o: o.has_exception(ExceptionCode.PLACEMENT_IN_DOUBT), "in doubt")
    alone.venue.will(dealt.order_id, "modify", changes)
    before = _asked(dealt)
    async with alone.working():
        order = await dealt.becomes(_is_changed, "changed")
        assert (order.exceptions, order.working_quantity) == ((), 60)
        assert _asked(dealt) > before
        assert {t.revision for t in alone.venue.tickets[dealt.order_id]} == {0, 1}
        await dealt.is_sound()


async def test_a_gateway_that_is_not_ready_is_asked_for_the_change_again(alone: World) -> None:
    async with alone.working():
        dealt = await _working(alone, GatewayNotReady("the session is not in sync"), changes)
        await _change(dealt)
        await dealt.becomes(_is_changed, "changed")
        assert _asked(dealt) == 2


async def test_a_change_waits_for_a_gateway_that_does_not_run(alone: World) -> None:
    """It is down when the change is asked for, and does it when it is back. Until then the old terms count."""
    route = {"venue": "IBKR", "account": "DU778"}
    async with alone.working():
        async with venue_worker(alone.client, alone.venue, "DU778"):
            dealt = await _working(alone, changes, route=route)
        await _change(dealt)
        assert (dealt.order.working_quantity, _asked(dealt)) == (100, 0)
        assert "IBKR: change at the venue" in await dealt.details()
        assert "change 1 asked: quantity 60" in await dealt.details()
        async with venue_worker(alone.client, alone.venue, "DU778"):
            await dealt.becomes(_is_changed, "changed")


async def test_word_that_comes_by_itself_ends_the_asking(alone: World) -> None:
    """The gateway died after it sent the change; its successor hears of it from the venue's lists."""
    async with alone.working():
        dealt = await _working(alone, nothing)
        await _change(dealt)
        await until(lambda: _asked(dealt) > 1, "asked again")
        await dealt.hear(orders.changed(placement_id=dealt.placement_id))
        await dealt.hear(orders.changed(placement_id=dealt.placement_id))
        await dealt.becomes(_is_changed, "changed")
        asked = _asked(dealt)
        await dealt.hear(*execution(dealt.placement_id, "60"))
        await dealt.is_in(State.PARTIALLY_FILLED)
        assert _asked(dealt) <= asked + 1, "no more than the call that was under way"
        assert [e.kind for e in alone.store.journal.of_order(dealt.order_id)].count("placement_changed") == 1
        await dealt.is_sound()


async def test_a_change_and_a_fill_of_all_of_it_at_once(alone: World) -> None:
    """Both wait for a worker. Whichever is taken first, nothing is asked of a placement that is full."""
    async with alone.working():
        dealt = await _working(alone, changes)
    await dealt.hear(*execution(dealt.placement_id, "100"))
    placement_id = dealt.placement_id
    command = cmd.ModifyPlacement(placement_id=placement_id, quantity="60")
    refusal = asyncio.create_task(dealt.refused(command, Role.TRADER))
    async with alone.working():
        assert (await refusal).facts["state"] == "FILLED"
        assert (dealt.order.state, _asked(dealt)) == (State.FILLED, 0)
