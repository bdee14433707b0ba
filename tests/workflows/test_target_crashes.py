"""A worker that dies at each step on the way to a target: the next one goes on, and nothing is opened twice."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oms.api.aiming import Targets
from oms.domain.errands import Refusal
from oms.domain.programs import aiming
from oms.domain.programs.targets import AccountRead
from oms.domain.terms import State
from tests.stack import temporal_server, until
from tests.workflows.aiming import AFTER, BEFORE, Dying, Range, a_range, book_of, is_complete, legs, position
from tests.workflows.venue import ACCOUNT
from tests.workflows.world import quiet


@pytest.fixture(scope="module")
async def aims(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Range]:
    quiet()
    folder: Path = tmp_path_factory.mktemp("target-crashes")
    async with temporal_server() as server, a_range(await server.client(), folder) as made:
        yield made


async def hung(dying: Dying) -> None:
    await asyncio.wait_for(dying.hangs.wait(), 20)


@pytest.mark.parametrize("when", [BEFORE, AFTER])
@pytest.mark.parametrize("leg", [0, 1])
async def test_while_a_leg_is_opened(aims: Range, leg: int, when: str) -> None:
    """Another aim at the same target comes meanwhile: it must not pass the one that has its plan already."""
    stock = aims.stock()
    dying = Dying(book_of(aims.world), leg, when, "admit")
    first = aims.aim(stock, -50, unbooked=100)
    async with aims.desk_over(dying):
        await aims.ask(first)
        await hung(dying)
        second = aims.aim(stock, -50, unbooked=100)
        await aims.ask(second)
    async with aims.desk():
        await until(lambda: aims.store.targets.aim(second.aim_id), "both aims")
    assert legs([aims.store.targets.aim(aim.aim_id) for aim in (first, second)]) == [
        [("Sell", 100), ("SellShort", 50)],
        [],
    ]
    assert [order.ordered_quantity for order in aims.orders(stock)] == [100, 50]


@pytest.mark.parametrize("when", [BEFORE, AFTER])
async def test_while_an_order_is_asked_to_end(aims: Range, when: str) -> None:
    stock = aims.stock()
    async with aims.desk():
        await aims.target((stock, 100))
    dying = Dying(book_of(aims.world), 0, when, "instruct")
    batch = aims.batch((stock, 40))
    async with aims.desk_over(dying):
        posted = asyncio.create_task(aims.post(batch))
        await hung(dying)
    async with aims.desk():
        assert is_complete(await posted)
    assert legs(aims.outcomes(batch)) == [[("Buy", 40)]]
    assert [order.state for order in aims.orders(stock)] == [State.CANCELED, State.ROUTED]


@pytest.mark.parametrize("when", [BEFORE, AFTER])
async def test_while_rows_are_handed_over(aims: Range, when: str) -> None:
    stocks = [aims.stock() for _ in range(5)]
    dying = Dying(Targets(aims.world.client), 2, when, "ask")
    batch = aims.batch(*((stock, 10) for stock in stocks))
    async with aims.desk_over(targets=dying):
        posted = asyncio.create_task(aims.post(batch))
        await hung(dying)
    async with aims.desk():
        assert is_complete(await posted)
    assert legs(aims.outcomes(batch)) == [[("Buy", 10)]] * 5
    assert [len(aims.orders(stock)) for stock in stocks] == [1] * 5


@pytest.mark.parametrize("when", [BEFORE, AFTER])
async def test_while_what_failed_its_check_is_taken_back(aims: Range, when: str) -> None:
    stock = aims.stock()
    aims.forbid(stock)
    dying = Dying(book_of(aims.world), 0, when, "instruct")
    aim = aims.aim(stock, 10)
    async with aims.desk_over(dying):
        await aims.ask(aim)
        await hung(dying)
    async with aims.desk():
        kept = await until(
            lambda: (a := aims.store.targets.aim(aim.aim_id)) and a.refusal and a, "the refusal"
        )
    assert f"{stock} is restricted" in kept.refusal.message
    assert [order.state for order in aims.orders(stock)] == [State.CANCELED]


async def test_a_plan_that_was_kept_before_the_crash_is_taken_as_it_is(aims: Range) -> None:
    stock = aims.stock()
    aim = aims.aim(stock, 10)
    async with aims.desk_over(Dying(book_of(aims.world), 0, BEFORE, "admit")):
        await aims.ask(aim)
        kept = await until(lambda: aims.store.targets.aim(aim.aim_id), "the plan")
    await aims.target_handle(stock).terminate()
    async with aims.desk():
        await aims.ask(aim)
        await until(lambda: aims.orders(stock), "the order")
    assert aims.store.targets.aim(aim.aim_id) == kept
    assert [order.order_id for order in aims.orders(stock)] == [kept.plan.legs[0].order_id]


async def test_a_plan_that_a_later_one_has_overtaken_opens_nothing(aims: Range) -> None:
    """Somebody ended its workflow by hand, another target came and was reached, and now the first is asked again."""
    stock = aims.stock()
    first, second = aims.aim(stock, 10), aims.aim(stock, 25)
    async with aims.desk_over(Dying(book_of(aims.world), 0, BEFORE, "admit")):
        await aims.ask(first)
        await until(lambda: aims.store.targets.aim(first.aim_id), "the plan")
    await aims.target_handle(stock).terminate()
    async with aims.desk():
        await aims.ask(second)
        await aims.target_handle(stock).result()
        for _ in range(2):
            await aims.ask(first)
            await aims.target_handle(stock).result()
    refusal = aims.store.targets.aim(first.aim_id).refusal
    assert refusal.message.startswith("A later target was planned")
    assert [order.ordered_quantity for order in aims.orders(stock)] == [25]


async def test_the_second_leg_of_a_plan_that_was_overtaken_is_not_opened(aims: Range) -> None:
    stock = aims.stock()
    first, second = aims.aim(stock, -50, unbooked=100), aims.aim(stock, -50, unbooked=100)
    async with aims.desk_over(Dying(book_of(aims.world), 1, BEFORE, "admit")):
        await aims.ask(first)
        await until(lambda: aims.orders(stock), "its first leg")
    await aims.target_handle(stock).terminate()
    async with aims.desk():
        for aim in (second, first):
            await aims.ask(aim)
            await aims.target_handle(stock).result()
    assert [order.ordered_quantity for order in aims.orders(stock)] == [100, 50]
    assert aims.store.targets.aim(first.aim_id).refusal is not None


async def test_an_order_of_a_row_that_was_canceled_meanwhile_is_taken_back(aims: Range) -> None:
    stock = aims.stock()
    aim = aims.aim(stock, 10)
    dying = Dying(book_of(aims.world), 0, AFTER, "admit")
    async with aims.desk_over(dying):
        await aims.ask(aim)
        await hung(dying)
        aims.store.targets.keep(aim.aim_id, Refusal(code="CANCELED", message="Its batch was canceled."))
        dying.revive()
        await until(lambda: aims.orders(stock)[0].state is State.CANCELED, "it is taken back")
    assert [order.reason for order in aims.orders(stock)] == ["not sent: Its batch was canceled."]


async def test_somebody_trades_at_the_broker_before_the_next_worker_comes(
    aims: Range, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reading from before the crash is too old then: nothing is planned with it, and the account is read again."""
    stock = aims.stock()
    dying = Dying(Targets(aims.world.client), 0, BEFORE, "ask")
    batch = aims.batch((stock, 100))
    async with aims.desk_over(targets=dying):
        posted = asyncio.create_task(aims.post(batch))
        await hung(dying)
    monkeypatch.setattr(aiming, "READING_HOLDS_NS", 1_000_000_000)
    held = AccountRead(account=ACCOUNT, positions=(position(stock, 70, sec_type="STK"),))
    monkeypatch.setitem(aims.venue.accounts, ACCOUNT, held)
    async with aims.desk():
        assert is_complete(await posted)
    assert legs(aims.outcomes(batch)) == [[("Buy", 30)]]
    assert aims.at_the_venue(stock) == 30
