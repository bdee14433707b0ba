"""Targets: the same one twice, at once, again after a crash, and against what works. Never beyond it."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from temporalio.client import WorkflowExecutionStatus

from oms.domain.errors import Code
from oms.domain.terms import LinkKind, State
from oms.workflows.contract import DESK_QUEUE
from oms.workflows.programs import AIM_SIGNAL, TARGET_WORKFLOW, TargetInput
from oms.workflows.target import TargetWorkflow
from tests.domain.orders import NOW
from tests.stack import temporal_server, until
from tests.workflows.aiming import LONG_AGO_NS, Range, a_range, legs
from tests.workflows.world import quiet, replayed


@pytest.fixture(scope="module")
async def aims(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Range]:
    quiet()
    folder: Path = tmp_path_factory.mktemp("targets")
    async with temporal_server() as server, a_range(await server.client(), folder) as made, made.desk():
        yield made


async def test_the_same_target_twice_is_one_order(aims: Range) -> None:
    stock = aims.stock()
    first = await aims.target((stock, 100))
    again = await aims.target((stock, 100))
    assert (legs(first), legs(again)) == ([[("Buy", 100)]], [[]])
    assert [order.state for order in aims.orders(stock)] == [State.ROUTED]
    await replayed(await aims.target_handle(stock).fetch_history(), workflow=TargetWorkflow)


async def test_what_is_held_is_not_bought_again(aims: Range) -> None:
    stock = aims.stock(filled=True)
    await aims.target((stock, 100))
    await until(lambda: aims.held(stock) == 100, "the fill")
    assert legs(await aims.target((stock, 100))) == [[]]
    assert legs(await aims.target((stock, 130))) == [[("Buy", 30)]]
    await until(lambda: aims.held(stock) == 130, "the fill")
    assert aims.at_the_venue(stock) == 130


async def test_fifty_at_once_end_at_the_target(aims: Range) -> None:
    stock = aims.stock(filled=True)
    outcomes = await asyncio.gather(*(aims.target((stock, 100), client=f"c{n % 2}") for n in range(50)))
    assert sorted(len(planned) for [planned] in map(legs, outcomes)) == [0] * 49 + [1]
    await until(lambda: aims.held(stock) == 100, "the fill")
    assert aims.at_the_venue(stock) == 100
    assert len(aims.orders(stock)) == 1


async def test_a_new_target_ends_the_one_that_works_first(aims: Range) -> None:
    stock = aims.stock()
    await aims.target((stock, 100))
    assert legs(await aims.target((stock, 40))) == [[("Buy", 40)]]
    assert legs(await aims.target((stock, -50))) == [[("SellShort", 50)]]
    assert [order.state for order in aims.orders(stock)] == [State.CANCELED, State.CANCELED, State.ROUTED]
    history = await aims.target_handle(stock).fetch_history()
    await replayed(history, workflow=TargetWorkflow)


async def test_more_of_the_same_stands_beside_what_works(aims: Range) -> None:
    stock = aims.stock()
    await aims.target((stock, 100))
    assert legs(await aims.target((stock, 150))) == [[("Buy", 50)]]
    assert [order.state for order in aims.orders(stock)] == [State.ROUTED] * 2


async def test_an_order_that_may_never_be_sent_does_not_count(aims: Range) -> None:
    """Its gateway was away, and refuses to send it when it comes back: the new target has its own order."""
    stock = aims.stock()
    aims.venue.silent.add(stock)
    await aims.target((stock, 100), seconds=1)
    assert legs(await aims.target((stock, 100))) == [[]], "it may still be sent"
    [first] = aims.orders(stock)
    await until(lambda: datetime.now(UTC) > first.request.handling.send_by, "its time is over")
    aims.venue.silent.discard(stock)
    assert legs(await aims.target((stock, 100))) == [[("Buy", 100)]]
    assert [order.state for order in aims.orders(stock)] == [State.CANCELED, State.ROUTED]


async def test_through_zero_is_two_linked_orders(aims: Range) -> None:
    stock = aims.stock(filled=True)
    await aims.target((stock, 100))
    await until(lambda: aims.held(stock) == 100, "the fill")
    assert legs(await aims.target((stock, -50))) == [[("Sell", 100), ("SellShort", 50)]]
    await until(lambda: aims.held(stock) == -50, "both fills")
    _, sold, short = aims.orders(stock)
    assert [(link.kind, link.order_id, link.source) for link in short.links] == [
        (LinkKind.CROSSES_ZERO, sold.order_id, True)
    ]
    assert legs(await aims.target((stock, 20))) == [[("BuyToCover", 50), ("Buy", 20)]]
    await until(lambda: aims.held(stock) == 20, "both fills")
    assert aims.at_the_venue(stock) == 20


async def test_an_order_that_does_not_end_in_time_refuses_the_new_target(aims: Range) -> None:
    stock = aims.stock()
    aims.venue.refuses_cancels.add(stock)
    await aims.target((stock, 100))
    await aims.target_handle(stock).result()
    aim = aims.aim(stock, -10)
    await aims.world.client.start_workflow(
        TARGET_WORKFLOW,
        TargetInput(
            account=aim.account,
            instrument_id=aim.instrument.instrument_id,
            carried=(aim,),
            patience=timedelta(milliseconds=300),
        ),
        id=aims.target_handle(stock).id,
        task_queue=DESK_QUEUE,
    )
    came_to: str = await aims.target_handle(stock).result()
    kept = aims.store.targets.aim(aim.aim_id)
    [working] = aims.orders(stock)
    assert kept.plan is None
    assert (kept.refusal.code, kept.refusal.facts["orders"]) == (Code.WORKING_AGAINST, [working.order_id])
    assert kept.refusal.message in came_to
    assert working.cancel_requested


async def test_what_compliance_refuses_is_taken_back(aims: Range) -> None:
    good, bad = aims.stock(), aims.stock()
    aims.forbid(bad)
    fine, refused = await aims.target((good, 100), (bad, 100))
    assert fine.refusal is None
    assert f"{bad} is restricted" in refused.refusal.message
    [order] = aims.orders(bad)
    assert order.state is State.CANCELED
    assert aims.at_the_venue(bad) == 0


async def test_prices_go_with_the_order(aims: Range) -> None:
    stocks = [aims.stock() for _ in range(3)]
    rows = [
        {
            "symbol": stocks[0],
            "quantity": 5,
            "limit_price": "150.50",
            "expected_price": "1",
            "tolerance_pct": "1",
        },
        {"symbol": stocks[1], "quantity": -5, "expected_price": "150.00", "tolerance_pct": "0.5"},
        {"symbol": stocks[2], "quantity": 5},
    ]
    await aims.target(*rows)
    [limited], [tolerated], [market] = map(aims.orders, stocks)
    assert [order.limit_price for order in (limited, tolerated, market)] == [
        Decimal("150.50"),
        Decimal("149.25"),
        None,
    ]
    assert market.request.handling.send_by is not None


async def test_one_aim_ends_its_workflow_and_several_wait_for_one_more(aims: Range) -> None:
    stock = aims.stock()
    await aims.target((stock, 10))
    handle = aims.target_handle(stock)
    assert "Buy 10" in await handle.result()
    first, second = aims.aim(stock, 20), aims.aim(stock, 30)
    given = TargetInput(
        account=first.account,
        instrument_id=first.instrument.instrument_id,
        carried=(first, second),
        idle=timedelta(milliseconds=500),
    )
    await aims.world.client.start_workflow(TARGET_WORKFLOW, given, id=handle.id, task_queue=DESK_QUEUE)
    await until(lambda: aims.store.targets.aim(second.aim_id), "both aims")
    third = aims.aim(stock, 40)
    await handle.signal(AIM_SIGNAL, third)
    assert "Buy 10" in await handle.result()
    assert aims.at_the_venue(stock) == 40
    assert legs(await aims.target((stock, 50))) == [[("Buy", 10)]], "it comes back"
    await replayed(await handle.fetch_history(), workflow=TargetWorkflow)


async def test_a_run_hands_over_what_it_has_not_come_to(aims: Range) -> None:
    stock = aims.stock()
    aimed = [aims.aim(stock, 10 * number) for number in range(1, 8)]
    given = TargetInput(
        account=aimed[0].account,
        instrument_id=aimed[0].instrument.instrument_id,
        carried=tuple(aimed),
        idle=timedelta(milliseconds=300),
        aims_per_run=2,
    )
    handle = await aims.world.client.start_workflow(
        TARGET_WORKFLOW, given, id=aims.target_handle(stock).id, task_queue=DESK_QUEUE
    )
    await handle.result()
    described = await aims.target_handle(stock).describe()
    assert described.status is WorkflowExecutionStatus.COMPLETED
    assert described.run_id != handle.first_execution_run_id
    assert [aims.store.targets.aim(aim.aim_id).plan.delta for aim in aimed] == [10] * 7
    assert aims.at_the_venue(stock) == 70


async def test_an_aim_that_nobody_came_to_in_time_does_nothing(aims: Range) -> None:
    stock = aims.stock()
    aim = aims.aim(stock, 10, send_by=NOW)
    await aims.ask(aim)
    assert "refused" in await aims.target_handle(stock).result()
    assert aims.orders(stock) == []


async def test_the_same_aim_again_is_the_same_whatever_came_between(aims: Range) -> None:
    stock = aims.stock(filled=True)
    aim = aims.aim(stock, 10)
    last = aims.aim(stock, 25)
    for asked in (aim, aims.aim(stock, 25), aim, aim, last):
        await aims.ask(asked)
    await until(lambda: aims.store.targets.aim(last.aim_id), "the last of them")
    await until(lambda: aims.held(stock) == 25, "the fills")
    assert [order.ordered_quantity for order in aims.orders(stock)] == [10, 15]


async def test_a_reading_that_is_too_old_plans_nothing_and_keeps_nothing(aims: Range) -> None:
    """Others may have traded since. The same aim with a new reading is planned."""
    stock = aims.stock()
    now_ns = time.time_ns()
    stale = aims.aim(stock, 10, read_ns=now_ns - LONG_AGO_NS)
    await aims.ask(stale)
    handle = aims.target_handle(stock)
    assert "not planned, the account was read too long ago" in await handle.result()
    assert aims.store.targets.aim(stale.aim_id) is None
    assert aims.orders(stock) == []
    await replayed(await handle.fetch_history(), workflow=TargetWorkflow)
    fresh = stale.model_copy(update={"read_ns": now_ns, "unbooked": Decimal(4)})
    for aim in (fresh, stale):
        await aims.ask(aim)
        assert "Buy 6" in await aims.target_handle(stock).result(), "a plan that is kept is taken as it is"
    assert [order.ordered_quantity for order in aims.orders(stock)] == [6]
