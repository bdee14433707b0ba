"""Batches that were kept and that nobody carries out: posted again they go on, in the time that they had."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.common import RetryPolicy

from oms.api import targeting
from oms.domain.errors import Code
from oms.domain.programs.targets import AccountRead, BrokerPosition, TargetBatch
from oms.domain.programs.words import RowStatus
from oms.gateways.errors import GatewayNotReady
from oms.workflows import ports
from tests.stack import temporal_server, until
from tests.workflows.aiming import Range, a_range, is_complete, legs
from tests.workflows.venue import ACCOUNT
from tests.workflows.world import quiet

LESS_THAN_EVER = timedelta(microseconds=1)


@pytest.fixture(scope="module")
async def aims(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Range]:
    quiet()
    folder: Path = tmp_path_factory.mktemp("target-batches-left")
    async with temporal_server() as server, a_range(await server.client(), folder) as made:
        yield made


async def taken(aims: Range, batch: TargetBatch) -> TargetBatch:
    """The batch as the API takes it."""
    context: Any = SimpleNamespace(store=aims.store, temporal=aims.world.client)
    return await targeting.take(context, batch)


async def followed(aims: Range, batch: TargetBatch) -> list[Any]:
    """Status and error of each row as the API shows them."""
    context: Any = SimpleNamespace(store=aims.store, temporal=aims.world.client)
    return [row.told() for row in await targeting.followed(context, batch)]


def unsure(aims: Range, monkeypatch: pytest.MonkeyPatch, *, kept: bool) -> None:
    """The store takes a batch, or does not, and its answer is lost; nobody tries for long."""
    keep = aims.store.targets.open_batch

    def lost(batch: TargetBatch) -> TargetBatch:
        if kept:
            keep(batch)
        raise ConnectionError("the connection broke before the answer")

    monkeypatch.setattr(aims.store.targets, "open_batch", lost)
    monkeypatch.setattr(ports, "BESIDE_THE_WORKFLOW", RetryPolicy(maximum_attempts=1))


async def test_a_batch_that_nobody_carries_out_goes_on_when_it_is_posted_again(
    aims: Range, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However late: the rows have a time of their own."""
    stock = aims.stock()
    batch = aims.store.targets.open_batch(aims.batch((stock, 100)))
    monkeypatch.setattr(targeting, "_BEGUN_WITHIN", LESS_THAN_EVER)
    async with aims.desk():
        for _ in range(2):
            assert await taken(aims, aims.batch((stock, 100), batch_id=batch.batch_id)) == batch
            assert legs(aims.outcomes(batch)) == [[("Buy", 100)]]
    assert len(aims.orders(stock)) == 1


async def test_rows_that_have_their_outcome_keep_it(aims: Range) -> None:
    first, second = aims.stock(filled=True), aims.stock()
    batch = aims.store.targets.open_batch(aims.batch((first, 100), (second, 10)))
    async with aims.desk():
        await aims.ask(aims.aim(first, 100, aim_id=f"{batch.batch_id}/0"))
        await until(lambda: aims.held(first) == 100, "the fill")
        moves = BrokerPosition(
            conid=1,
            symbol=first,
            sec_type="STK",
            currency="USD",
            quantity=100,
            unbooked=100,
            steady=False,
            instrument_id=f"INS-{first}",
        )
        aims.venue.accounts[ACCOUNT] = AccountRead(account=ACCOUNT, positions=(moves,))
        try:
            await taken(aims, batch)
        finally:
            aims.venue.accounts.clear()
    assert legs(aims.outcomes(batch)) == [[("Buy", 100)], [("Buy", 10)]]
    assert [each.refusal for each in aims.outcomes(batch)] == [None, None]
    assert (len(aims.orders(first)), len(aims.orders(second))) == (1, 1)


async def test_after_its_time_every_row_is_refused_by_itself(aims: Range) -> None:
    stock = aims.stock()
    batch = aims.store.targets.open_batch(aims.batch((stock, 100), seconds=0))
    async with aims.desk():
        await taken(aims, batch)
    [aimed] = aims.outcomes(batch)
    assert (aimed.refusal.code, aims.orders(stock)) == (Code.UNAVAILABLE, [])


async def test_a_batch_stays_taken_whoever_is_away(aims: Range) -> None:
    stock = aims.stock()
    batch = aims.store.targets.open_batch(aims.batch((stock, 100)))
    aims.venue.accounts[ACCOUNT] = GatewayNotReady("the session is being restored")
    async with aims.desk():
        assert await taken(aims, batch) == batch
        assert await followed(aims, batch) == [(RowStatus.PRE_SUBMITTED, None)]
        aims.venue.accounts.clear()
        await taken(aims, batch)
    assert legs(aims.outcomes(batch)) == [[("Buy", 100)]]


async def test_a_batch_that_was_kept_without_an_answer_is_carried_out(
    aims: Range, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = aims.stock()
    batch = aims.batch((stock, 100))
    unsure(aims, monkeypatch, kept=True)
    async with aims.desk_over():
        done = await aims.post(batch)
    assert (done.away, is_complete(done)) == (None, True)
    assert legs(aims.outcomes(batch)) == [[("Buy", 100)]]


async def test_a_batch_that_was_not_kept_is_away(aims: Range, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = aims.batch((aims.stock(), 100))
    unsure(aims, monkeypatch, kept=False)
    async with aims.desk_over():
        done = await aims.post(batch)
    assert (done.away, done.planned) == ("the order book's store is away", 0)
    assert aims.store.targets.batch(batch.batch_id) is None


async def test_a_batch_that_is_kept_is_never_said_not_to_be(
    aims: Range, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that knows of nothing kept says that the broker is away; another one had kept the batch."""
    stock = aims.stock()
    batch = aims.batch((stock, 100))
    read = aims.venue.read_account

    async def away_at_first(account: str) -> AccountRead:
        if aims.store.targets.batch(batch.batch_id) is not None:
            return await read(account)
        aims.store.targets.open_batch(batch)
        monkeypatch.setattr(aims.venue, "read_account", read)
        raise GatewayNotReady("the session is being restored")

    monkeypatch.setattr(aims.venue, "read_account", away_at_first)
    async with aims.desk():
        assert await taken(aims, batch) == batch
    assert legs(aims.outcomes(batch)) == [[("Buy", 100)]]


async def test_what_nobody_carried_out_in_its_time_says_so(aims: Range) -> None:
    done, left = aims.stock(), aims.stock()
    batch = aims.store.targets.open_batch(aims.batch((done, 100), (left, 100), seconds=-60))
    async with aims.desk():
        await aims.ask(aims.aim(done, 100, aim_id=f"{batch.batch_id}/0"))
        await until(lambda: aims.store.targets.aim(f"{batch.batch_id}/0"), "the plan")
        await until(lambda: aims.orders(done), "the order")
    (_, none), (status, error) = await followed(aims, batch)
    assert (none, status) == (None, RowStatus.ERROR)
    assert error.startswith("Not carried out: nobody came to it before 20")
    lately = aims.store.targets.open_batch(aims.batch((left, 100), seconds=-1))
    assert await followed(aims, lately) == [(RowStatus.PRE_SUBMITTED, None)]


async def test_what_waits_for_a_worker_is_not_given_up(aims: Range) -> None:
    stock = aims.stock()
    batch = aims.store.targets.open_batch(aims.batch((stock, 100), seconds=-60))
    handle = await aims.world.client.start_workflow(
        targeting.TARGET_BATCH_WORKFLOW,
        targeting.TargetBatchInput(batch=batch, kept=True),
        id=targeting.target_batch_workflow_id(batch.batch_id),
        task_queue=targeting.DESK_QUEUE,
    )
    assert await followed(aims, batch) == [(RowStatus.PRE_SUBMITTED, None)]
    async with aims.desk():
        await handle.result()
    [(status, error)] = await followed(aims, batch)
    assert (status, error.startswith("Nobody came to it before")) == (RowStatus.ERROR, True)
