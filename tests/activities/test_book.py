"""Recording: twice is once, and where the journal holds something else it is the journal's word that counts."""

from oms.activities.book import BookActivities
from oms.domain import commands as cmd
from oms.domain.order import JournalBatch, Recording
from oms.domain.terms import Role
from oms.store import Store
from tests.activities.running import run
from tests.domain.orders import Desk


def batch(desk: Desk, first: int) -> JournalBatch:
    return JournalBatch(order=desk.order, events=tuple(desk.journal[first - 1 :]))


async def record(store: Store, what: JournalBatch) -> Recording:
    answer: Recording = await run(BookActivities(store).record, what)
    return answer


async def test_twice_is_once(store: Store) -> None:
    desk = Desk()
    created = batch(desk, 1)
    assert await record(store, created) == Recording()
    assert await record(store, created) == Recording()
    assert store.journal.head() == 1
    assert store.orders.get(desk.order.order_id) == desk.order


async def test_a_batch_that_overlaps_writes_what_is_new(store: Store) -> None:
    desk = Desk()
    await record(store, batch(desk, 1))
    desk.request_pre_trade()
    assert await record(store, batch(desk, 1)) == Recording()
    assert store.journal.head() == 2
    assert store.orders.get(desk.order.order_id) == desk.order


async def test_other_events_in_the_journal_are_the_answer_and_nothing_is_written(store: Store) -> None:
    ours, theirs = Desk(), Desk()
    await record(store, batch(ours, 1))
    theirs.command(cmd.CancelOrder(reason="written by the worker that died"), Role.PM)
    await record(store, batch(theirs, 2))
    ours.request_pre_trade()
    assert await record(store, batch(ours, 2)) == Recording(instead=tuple(theirs.journal[1:]))
    assert store.journal.of_order(ours.order.order_id) == theirs.journal
    assert store.orders.get(ours.order.order_id) == theirs.order


async def test_a_journal_that_goes_on_after_the_batch_is_the_answer(store: Store) -> None:
    desk = Desk()
    await record(store, batch(desk, 1))
    first = batch(desk.request_pre_trade(), 2)
    await record(store, first)
    desk.command(cmd.PassPreTradeCompliance(), Role.COMPLIANCE)
    await record(store, batch(desk, 3))
    assert await record(store, first) == Recording(instead=tuple(desk.journal[1:]))
    assert store.orders.get(desk.order.order_id) == desk.order
