"""A batch that is canceled while its orders are being opened: none of them is left without anybody who ends it."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from oms.api import targeting
from oms.domain.programs.aiming import CANCELED_WITH_ITS_BATCH
from oms.domain.programs.targets import TargetBatch
from oms.domain.terms import State
from tests.stack import temporal_server, until
from tests.workflows.aiming import AFTER, BEFORE, Dying, Range, a_range, book_of
from tests.workflows.world import quiet


@pytest.fixture(scope="module")
async def aims(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Range]:
    quiet()
    folder: Path = tmp_path_factory.mktemp("target-cancels")
    async with temporal_server() as server, a_range(await server.client(), folder) as made:
        yield made


async def hung(dying: Dying) -> None:
    await asyncio.wait_for(dying.hangs.wait(), 20)


async def canceled(aims: Range, batch: TargetBatch) -> list[Any]:
    """The rows as whoever cancels the batch finds them, with the orders that he ends."""
    return await targeting.without_new_orders(aims.store, batch)


async def test_a_row_that_is_planned_while_its_batch_is_canceled_opens_nothing(
    aims: Range, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = aims.stock()
    batch = aims.batch((stock, 100))
    looked, planned, refused = threading.Event(), threading.Event(), threading.Event()
    first, real = iter([True]), targeting.standings
    plan_once, keep = aims.store.targets.plan_once, aims.store.targets.keep

    def standings(store: Any, of: TargetBatch) -> Any:
        """The first look is over when the plan is made."""
        rows = real(store, of)
        if next(first, False):
            looked.set()
            assert planned.wait(20)
        return rows

    def plan_at_last(*given: Any) -> Any:
        """The plan is kept after the look, and taken up once the row is refused."""
        assert looked.wait(20)
        kept = plan_once(*given)
        planned.set()
        assert refused.wait(20)
        return kept

    def kept(*given: Any) -> Any:
        found = keep(*given)
        refused.set()
        return found

    monkeypatch.setattr(targeting, "standings", standings)
    monkeypatch.setattr(aims.store.targets, "plan_once", plan_at_last)
    monkeypatch.setattr(aims.store.targets, "keep", kept)
    monkeypatch.setattr(targeting, "_OPENED_WITHIN_SECONDS", 0.2)
    async with aims.desk():
        posted = asyncio.create_task(aims.post(batch))
        [row] = await canceled(aims, batch)
        await posted
        await aims.target_handle(stock).result()
    assert (row.plan is not None, row.aimed.refusal, row.orders) == (True, CANCELED_WITH_ITS_BATCH, ())
    assert aims.orders(stock) == []


@pytest.mark.parametrize(("leg", "states"), [(0, [State.CANCELED]), (1, [State.ROUTED, State.CANCELED])])
async def test_an_order_that_opens_too_slowly_is_taken_back(
    aims: Range, monkeypatch: pytest.MonkeyPatch, leg: int, states: list[State]
) -> None:
    """The first leg of two was open, so it is among those that whoever cancels the batch ends himself."""
    monkeypatch.setattr(targeting, "_OPENED_WITHIN_SECONDS", 0.2)
    stock = aims.stock()
    aim = aims.aim(stock, -50, unbooked=100)
    batch = aims.batch((stock, -50), batch_id=aim.aim_id.split("/")[0])
    dying = Dying(book_of(aims.world), leg, BEFORE, "admit")
    async with aims.desk_over(dying):
        await aims.ask(aim)
        await hung(dying)
        [row] = await canceled(aims, batch)
        assert len(row.orders) == leg
        dying.revive()
        await until(lambda: [order.state for order in aims.orders(stock)] == states, "it is taken back")
        await aims.target_handle(stock).result()
    assert len(aims.orders(stock)) == leg + 1


@pytest.mark.parametrize("when", [BEFORE, AFTER])
async def test_what_a_worker_that_died_has_opened_is_taken_back_by_the_next(
    aims: Range, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(targeting, "_OPENED_WITHIN_SECONDS", 0.2)
    stock = aims.stock()
    aim = aims.aim(stock, 100)
    batch = aims.batch((stock, 100), batch_id=aim.aim_id.split("/")[0])
    dying = Dying(book_of(aims.world), 0, when, "admit")
    async with aims.desk_over(dying):
        await aims.ask(aim)
        await hung(dying)
        if when == BEFORE:
            await canceled(aims, batch)
        else:
            aims.store.targets.keep(aim.aim_id, CANCELED_WITH_ITS_BATCH)
    async with aims.desk():
        await aims.target_handle(stock).result()
    assert [order.state for order in aims.orders(stock)] == ([] if when == BEFORE else [State.CANCELED])


async def test_a_second_leg_is_not_opened_once_the_batch_is_canceled(
    aims: Range, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is canceled while the first leg waits for its check, after the look that followed its opening."""
    stock = aims.stock()
    aim = aims.aim(stock, -50, unbooked=100)
    real, looks = aims.store.targets.aim, iter([False])

    def look(aim_id: str) -> Any:
        if aims.orders(stock) and next(looks, True):
            aims.store.targets.keep(aim_id, CANCELED_WITH_ITS_BATCH)
        return real(aim_id)

    monkeypatch.setattr(aims.store.targets, "aim", look)
    async with aims.desk():
        await aims.ask(aim)
        await aims.target_handle(stock).result()
    assert aims.store.targets.aim(aim.aim_id).refusal == CANCELED_WITH_ITS_BATCH
    assert [order.ordered_quantity for order in aims.orders(stock)] == [100]
