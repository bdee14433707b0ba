"""A batch of targets: read once, kept once, row by row, and never begun late or while the broker is away."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from oms.api.aiming import Targets
from oms.domain.errors import Code
from oms.domain.programs.targets import AccountRead, BrokerPosition
from oms.gateways.errors import GatewayNotReady
from oms.workflows import target_batch
from oms.workflows.target_batch import PORTION, READINGS, TargetBatchWorkflow
from tests.stack import temporal_server, until
from tests.workflows.aiming import BEFORE, LONG_AGO_NS, Dying, Range, a_range, is_complete, legs
from tests.workflows.venue import ACCOUNT
from tests.workflows.world import quiet, replayed

LESS_THAN_EVER = timedelta(microseconds=1)


@pytest.fixture(scope="module")
async def aims(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Range]:
    quiet()
    folder: Path = tmp_path_factory.mktemp("target-batches")
    async with temporal_server() as server, a_range(await server.client(), folder) as made:
        yield made


@pytest.fixture
def reading(aims: Range) -> Any:
    """Have the broker tell other positions, for one test."""
    yield lambda *positions, read_ns=0: aims.venue.accounts.update(
        {ACCOUNT: AccountRead(account=ACCOUNT, positions=positions, read_ns=read_ns)}
    )
    aims.venue.accounts.clear()


def position(symbol: str, quantity: int, *, unbooked: int, steady: bool = True) -> BrokerPosition:
    return BrokerPosition(
        conid=1,
        symbol=symbol,
        sec_type="STK",
        currency="USD",
        quantity=quantity,
        unbooked=unbooked,
        steady=steady,
        instrument_id=f"INS-{symbol}",
    )


async def test_rows_of_many_portions_all_have_their_outcome(aims: Range) -> None:
    stocks = [aims.stock() for _ in range(PORTION * 2 + 3)]
    batch = aims.batch(*((stock, 10) for stock in stocks))
    async with aims.desk():
        done = await aims.post(batch)
        again = await aims.post(batch)
    assert (done.rows, done.planned, done.away) == (len(stocks), len(stocks), None)
    assert again == done
    assert legs(aims.outcomes(batch)) == [[("Buy", 10)]] * len(stocks)
    assert [len(aims.orders(stock)) for stock in stocks[::20]] == [1] * len(stocks[::20])
    await replayed(await aims.batch_handle(batch).fetch_history(), workflow=TargetBatchWorkflow)


async def test_what_nobody_of_us_bought_counts(aims: Range, reading: Any) -> None:
    stock, other = aims.stock(), aims.stock()
    reading(position(stock, 70, unbooked=70), position(other, -5, unbooked=-5))
    async with aims.desk():
        aimed = await aims.target((stock, 100), (other, 5))
    assert legs(aimed) == [[("Buy", 30)], [("BuyToCover", 5), ("Buy", 5)]]


async def test_rows_fail_one_by_one(aims: Range) -> None:
    good, bad = aims.stock(), aims.stock()
    aims.forbid(bad)
    async with aims.desk():
        unknown, refused, fine = await aims.target(("NOBODY", 1), (bad, 1), (good, 1))
    assert unknown.refusal.code in (Code.UNAVAILABLE, Code.INVALID_INSTRUMENT)
    assert "NOBODY" in unknown.refusal.message
    assert "is restricted" in refused.refusal.message
    assert legs([fine]) == [[("Buy", 1)]]


async def test_a_broker_that_is_away_means_nothing_at_all(aims: Range) -> None:
    stock = aims.stock()
    batch = aims.batch((stock, 100))
    aims.venue.accounts[ACCOUNT] = GatewayNotReady("the session is being restored")
    async with aims.desk():
        done = await aims.post(batch)
        assert (done.away, done.planned) == ("the session is being restored", 0)
        assert aims.store.targets.batch(batch.batch_id) is None
        assert aims.store.targets.aimed(batch.batch_id) == {}
        aims.venue.accounts.clear()
        assert is_complete(await aims.post(batch)), "the same batch, once somebody is there"
    assert len(aims.orders(stock)) == 1


async def test_an_account_that_no_gateway_serves_is_away(aims: Range) -> None:
    async with aims.desk():
        done = await aims.post(aims.batch((aims.stock(), 100), account="DU-NOBODY"))
    assert done.away == "no gateway answers for account DU-NOBODY"


async def test_what_no_worker_begins_in_time_is_not_begun(aims: Range) -> None:
    stock = aims.stock()
    batch = aims.batch((stock, 100))
    async with aims.desk():
        done = await aims.post(batch, begin_within=LESS_THAN_EVER)
    assert done.away == "no worker began the batch in time"
    assert aims.store.targets.batch(batch.batch_id) is None
    assert aims.orders(stock) == []


async def test_executions_on_their_way_are_waited_for(aims: Range, reading: Any) -> None:
    moving, still = aims.stock(), aims.stock()
    reading(position(moving, 100, unbooked=100, steady=False))
    batch = aims.batch((moving, 100), (still, 10))
    async with aims.desk():
        early = await aims.post(batch, patience=timedelta(milliseconds=300))
        assert (early.planned, is_complete(early)) == (1, False)
        reading(position(moving, 100, unbooked=0))
        assert is_complete(await aims.batch_handle(batch).result())
    assert legs(aims.outcomes(batch)) == [[("Buy", 100)], [("Buy", 10)]]


async def test_what_never_stands_still_is_refused(aims: Range, reading: Any) -> None:
    stock = aims.stock()
    reading(position(stock, 100, unbooked=100, steady=False))
    async with aims.desk():
        [aimed] = await aims.target((stock, 100))
    assert "on their way" in aimed.refusal.message
    assert aims.orders(stock) == []


async def test_executions_are_waited_for_longer_than_a_batch_may_wait_for_a_worker(
    aims: Range, reading: Any
) -> None:
    stock = aims.stock()
    reading(position(stock, 100, unbooked=100, steady=False))
    batch, begin_within = aims.batch((stock, 100)), timedelta(seconds=1)
    async with aims.desk():
        await aims.post(batch, patience=begin_within * 1.5, begin_within=begin_within)
        reading(position(stock, 100, unbooked=100))
        assert is_complete(await aims.batch_handle(batch).result())
    assert legs(aims.outcomes(batch)) == [[]]


async def test_a_reading_that_is_too_old_is_made_again_as_often_as_it_takes(
    aims: Range, reading: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target_batch, "_REST", timedelta(milliseconds=10))
    stock = aims.stock()
    reading(read_ns=time.time_ns() - LONG_AGO_NS)
    batch, before = aims.batch((stock, 100)), aims.venue.readings
    async with aims.desk():
        posted = asyncio.create_task(aims.post(batch))
        await until(lambda: aims.venue.readings - before > READINGS + 1, "more readings than of what moves")
        assert aims.store.targets.aim(f"{batch.batch_id}/0") is None
        reading(position(stock, 70, unbooked=70))
        assert is_complete(await posted)
    assert legs(aims.outcomes(batch)) == [[("Buy", 30)]]
    await replayed(await aims.batch_handle(batch).fetch_history(), workflow=TargetBatchWorkflow)


async def test_rows_whose_time_is_over_are_refused_however_old_the_reading_is(
    aims: Range, reading: Any
) -> None:
    stock = aims.stock()
    reading(read_ns=time.time_ns() - LONG_AGO_NS)
    async with aims.desk():
        [aimed] = await aims.target((stock, 100), seconds=2)
    assert aimed.refusal.message.startswith("Nobody came to it before")
    assert aims.orders(stock) == []


async def test_a_long_batch_reads_the_account_again_on_its_way(
    aims: Range, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target_batch, "FRESH", timedelta(0))
    monkeypatch.setattr(target_batch, "PORTION", 1)
    monkeypatch.setattr(target_batch, "AT_ONCE", 1)
    stocks, before = [aims.stock() for _ in range(3)], aims.venue.readings
    async with aims.desk():
        aimed = await aims.target(*((stock, 10) for stock in stocks))
    assert legs(aimed) == [[("Buy", 10)]] * 3
    assert aims.venue.readings - before == 1 + len(stocks)


async def test_who_waits_too_long_learns_where_the_batch_is(aims: Range) -> None:
    batch = aims.batch((aims.stock(), 1), (aims.stock(), 1))
    stuck = Dying(Targets(aims.world.client), 1, BEFORE, "ask")
    async with aims.desk_over(targets=stuck):
        early = await aims.post(batch, patience=timedelta(seconds=1))
    assert (early.planned, early.away, is_complete(early)) == (0, None, False)
    assert aims.store.targets.batch(batch.batch_id) == batch
    async with aims.desk():
        assert is_complete(await aims.batch_handle(batch).result())


async def test_rows_that_nobody_comes_to_in_time_are_refused(aims: Range) -> None:
    stock = aims.stock()
    async with aims.desk():
        [aimed] = await aims.target((stock, 100), seconds=0)
    assert aimed.refusal.code == Code.UNAVAILABLE
    assert aims.orders(stock) == []


async def test_twenty_batches_at_once_wait_for_nobody_but_their_targets(aims: Range) -> None:
    stocks = [aims.stock() for _ in range(10)]
    async with aims.desk():
        posted = [aims.target(*((stock, 10) for stock in stocks)) for _ in range(20)]
        outcomes = await asyncio.gather(*posted)
    assert {len(aims.orders(stock)) for stock in stocks} == {1}
    assert sum(len(planned) for outcome in outcomes for planned in legs(outcome)) == len(stocks)
