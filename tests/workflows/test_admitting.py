"""The door for orders that the system opens by itself: what forbids a new one does not make an opened one unknown."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oms.domain.decide import Opening
from oms.domain.errors import Code, Refused
from oms.domain.halts import Halt, HaltScope
from oms.domain.identifiers import ORDER, identifier, uuid7, workflow_id
from oms.domain.reference import InstrumentQuestion
from oms.domain.terms import Role
from oms.workflows.contract import ORDER_WORKFLOW, OrderInput
from tests.domain import orders
from tests.stack import temporal_server
from tests.workflows.commanding import FUTURE, prepare
from tests.workflows.desk import book_of
from tests.workflows.world import World, a_world, quiet

FIRM = Halt(scope=HaltScope.FIRM, subject="", reason="a drill", by="risk", since=orders.NOW)


@pytest.fixture(scope="module")
async def desks(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A world without a worker."""
    quiet()
    folder: Path = tmp_path_factory.mktemp("admitting")
    async with temporal_server() as server, a_world(await server.client(), folder) as made:
        prepare(made)
        yield made


def opening(**terms: object) -> Opening:
    order_id = identifier(ORDER, uuid7(time.time_ns() // 1_000_000, uuid.uuid4().bytes))
    return orders.opening(**terms).model_copy(update={"order_id": order_id})


async def test_what_was_opened_is_answered_whatever_forbids_it_now(desks: World) -> None:
    book, opened = book_of(desks), opening()
    async with desks.working():
        first = await book.admit(opened)
        desks.store.halts.set(FIRM)
        try:
            again = await book.admit(opened)
            with pytest.raises(Refused) as refused:
                await book.admit(opening())
            with pytest.raises(Refused) as tried:
                await book.check(opening())
        finally:
            desks.store.halts.lift(HaltScope.FIRM, "", "risk", "over")
    assert (first.order_id, again.order_id) == (opened.order_id, opened.order_id)
    assert refused.value.code is tried.value.code is Code.HALTED
    assert len([e for e in desks.store.journal.of_order(opened.order_id) if e.kind == "order_created"]) == 1


async def test_an_order_that_temporal_has_and_the_store_has_not_is_opened(desks: World) -> None:
    """Whoever opened it died before the order was in the journal; then trading was halted."""
    book, opened = book_of(desks), opening()
    await desks.client.start_workflow(
        ORDER_WORKFLOW, OrderInput(opening=opened), id=workflow_id(opened.order_id), task_queue=desks.queue
    )
    desks.store.halts.set(FIRM)
    try:
        asking = asyncio.create_task(book.admit(opened))
        async with desks.working():
            assert (await asking).order_id == opened.order_id
    finally:
        desks.store.halts.lift(HaltScope.FIRM, "", "risk", "over")


async def test_a_check_opens_nothing(desks: World) -> None:
    wanted = opening()
    await book_of(desks).check(wanted)
    assert desks.store.orders.get(wanted.order_id) is None
    with pytest.raises(Refused) as large:
        await book_of(desks).check(opening(metadata={"note": "x" * 200_000}))
    assert large.value.code is Code.PAYLOAD_TOO_LARGE


async def test_a_known_instrument_is_found_and_an_unknown_one_is_looked_up_for_a_pm_only(
    desks: World,
) -> None:
    book, question = book_of(desks), InstrumentQuestion(symbol="ES", sec_type=FUTURE.sec_type)
    found = await book.instrument(question, "DU123456", orders.ACTORS[Role.VIEWER])
    assert found.instrument_id == "INS-ES"
    with pytest.raises(Refused) as refused:
        await book.instrument(InstrumentQuestion(symbol="NONE"), "DU123456", orders.ACTORS[Role.VIEWER])
    assert refused.value.code is Code.INVALID_INSTRUMENT
