"""The journal records each event once, in one stream that has no hole and hides nothing."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.store.building import NOON, Tale, straight_through

from oms.domain import commands as cmd
from oms.domain.events import Event
from oms.domain.order import Order
from oms.domain.terms import Direction, State
from oms.store import JournalAhead, JournalConflict, JournalGap, Store, rebuild

ROOT = Path(__file__).parents[2]


def _projected(store: Store, order_id: str) -> tuple[object, ...]:
    orders = store.orders
    return (
        orders.get(order_id),
        orders.fills(order_id),
        orders.placements(order_id),
        orders.allocations(order_id),
    )


def test_what_is_recorded_is_read(store: Store) -> None:
    tale = straight_through().recorded(store)
    assert store.journal.of_order(tale.id) == tale.events
    assert store.orders.get(tale.id) == tale.order
    assert store.journal.head() == len(tale.events)
    assert store.journal.of_order("ORD-unknown") == []


def test_record_answers_the_position_of_the_last_event(store: Store) -> None:
    tale = straight_through()
    answered = [store.journal.record(order, events) for order, events in tale.batches]
    assert answered == [events[-1].seq for _, events in tale.batches]
    assert store.journal.record(tale.order, []) == 0


def test_the_same_batch_again_changes_nothing(store: Store) -> None:
    tale = straight_through().recorded(store)
    before = (_projected(store, tale.id), store.journal.stream(0), store.journal.head())
    *earlier, (order, events) = tale.batches
    assert store.journal.record(order, events) == events[-1].seq
    for order, events in earlier:
        with pytest.raises(JournalAhead):
            store.journal.record(order, events)
    assert (_projected(store, tale.id), store.journal.stream(0), store.journal.head()) == before


def test_an_overlap_writes_only_what_is_new(store: Store) -> None:
    tale = straight_through()
    for order, events in tale.batches[:5]:
        store.journal.record(order, events)
    assert store.journal.record(tale.order, tale.events) == len(tale.events)
    assert [streamed.event for streamed in store.journal.stream(0)] == tale.events
    assert store.orders.get(tale.id) == tale.order
    assert rebuild(store, write=False).is_clean


def test_an_old_batch_never_moves_the_projection_back(store: Store) -> None:
    tale = straight_through().recorded(store)
    for order, events in reversed(tale.batches[:-1]):
        with pytest.raises(JournalAhead):
            store.journal.record(order, events)
    assert store.orders.get(tale.id) == tale.order
    assert store.orders.placements(tale.id) == tale.order.placements


def test_another_event_at_a_recorded_place_is_a_conflict(store: Store) -> None:
    tale = straight_through().recorded(store)
    order, events = tale.batches[1]
    other = [events[0].model_copy(update={"correlation_id": "another"}), *events[1:]]
    with pytest.raises(JournalConflict, match=f"event {other[0].seq}"):
        store.journal.record(order, other)
    assert store.journal.of_order(tale.id) == tale.events
    assert store.journal.head() == len(tale.events)


def test_a_conflict_writes_nothing_of_its_batch(store: Store) -> None:
    tale = Tale().recorded(store)
    fork = tale.batches[0][0]
    tale.do(cmd.RequestPreTradeCompliance()).recorded(store)
    canceled = Tale.took(_as_tale(fork), _canceled(fork))
    with pytest.raises(JournalConflict):
        store.journal.record(canceled.order, canceled.events)
    assert store.orders.get(tale.id) == tale.order
    assert store.journal.of_order(tale.id) == tale.events


def _as_tale(order: Order) -> Tale:
    tale = Tale()
    tale.order, tale.batches = order, []
    return tale


def _canceled(order: Order) -> list[Event]:
    return _as_tale(order).do(cmd.CancelOrder(reason="fork")).events


def test_a_missing_event_is_a_gap(store: Store) -> None:
    tale = straight_through()
    store.journal.record(*tale.batches[0])
    order, events = tale.batches[2]
    with pytest.raises(JournalGap, match="1 is the last recorded"):
        store.journal.record(order, events)
    assert store.orders.get(tale.id) == tale.batches[0][0]
    assert store.journal.head() == 1


def test_a_batch_must_be_one(store: Store) -> None:
    tale, other = straight_through(), straight_through()
    with pytest.raises(ValueError, match="does not belong"):
        store.journal.record(tale.order, [tale.events[0], *tale.events[2:]])
    with pytest.raises(ValueError, match="does not belong"):
        store.journal.record(tale.order, other.events)
    with pytest.raises(ValueError, match="do not lead to"):
        store.journal.record(tale.order, tale.events[:3])
    assert store.journal.head() == 0


def test_an_event_recorded_before_a_field_was_added_is_still_the_same(store: Store) -> None:
    tale = Tale().recorded(store)
    older = tale.events[0].model_dump(mode="json")
    del older["happening"]["request"]["metadata"]
    with store.database.write() as connection:
        connection.execute(
            text("UPDATE journal SET body = :body"),
            {"body": Event.model_validate(older).model_dump_json(exclude_unset=True)},
        )
    assert store.journal.record(*tale.batches[0]) == 1


def test_stream_goes_on_after_a_position_and_filters(store: Store) -> None:
    buy = straight_through().recorded(store)
    sale = straight_through(direction=Direction.SELL, portfolio_id="PORT-002", basket_id="BSK-1").recorded(
        store
    )
    journal, total = store.journal, len(buy.events) + len(sale.events)
    assert [s.position for s in journal.stream(0)] == list(range(1, total + 1))
    assert [s.position for s in journal.stream(3, limit=2)] == [4, 5]
    assert journal.stream(total) == []
    ids = {
        name: {s.event.order_id for s in journal.stream(0, **{name: value})}
        for name, value in {
            "portfolio_ids": ["PORT-002", "PORT-003"],
            "portfolio_id": "PORT-002",
            "direction": Direction.SELL,
            "basket_id": "BSK-1",
        }.items()
    }
    assert set(map(frozenset, ids.values())) == {frozenset({sale.id})}
    assert journal.stream(0, portfolio_ids=[]) == []
    assert journal.stream(0, instrument_id="INS-OTHER") == []
    assert {s.event.state for s in journal.stream(0, state=State.CLOSED)} == {State.CLOSED}
    assert len(journal.stream(0, created_after=NOON)) == 0
    assert len(journal.stream(0, created_before=NOON.replace(hour=13))) == total
    first = journal.stream(len(buy.events), limit=1)[0]
    assert (first.portfolio_id, first.direction, first.instrument_id) == (
        "PORT-002",
        Direction.SELL,
        "INS-AAPL",
    )


def _follow(store: Store, total: int) -> list[int]:
    seen: list[int] = []
    deadline = time.monotonic() + 60
    while len(seen) < total and time.monotonic() < deadline:
        seen += [streamed.position for streamed in store.journal.stream(len(seen), limit=50)]
    return seen


def test_a_reader_that_follows_never_misses_an_event(url: str) -> None:
    """Twenty writers over two stores (as two processes would be), three readers that follow."""
    stores = [Store(url), Store(url)]
    tales = [straight_through() for _ in range(24)]
    total = sum(len(tale.events) for tale in tales)
    with ThreadPoolExecutor(23) as threads:
        followers = [threads.submit(_follow, stores[n % 2], total) for n in range(3)]
        writers = [threads.submit(tale.recorded, stores[n % 2]) for n, tale in enumerate(tales)]
        for writer in writers:
            writer.result()
        for follower in followers:
            assert follower.result() == list(range(1, total + 1))
    assert stores[0].journal.head() == total
    assert all(stores[0].journal.of_order(tale.id) == tale.events for tale in tales)
    assert rebuild(stores[0], write=False).is_clean
    for store in stores:
        store.close()


def test_one_order_recorded_by_many_at_once(url: str) -> None:
    """An activity that is retried while its first attempt still runs."""
    stores, tale = [Store(url), Store(url)], straight_through()
    start = threading.Barrier(8)

    def record_all(number: int) -> list[int]:
        start.wait()
        return [_recorded_or_past(stores[number % 2], order, events) for order, events in tale.batches]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(record_all, range(8)))
    assert answers == [[events[-1].seq for _, events in tale.batches]] * 8
    assert stores[0].orders.get(tale.id) == tale.order
    assert rebuild(stores[0], write=False).is_clean
    for store in stores:
        store.close()


def _recorded_or_past(store: Store, order: Order, events: Sequence[Event]) -> int:
    """The position of a batch that is recorded, by this call or by one that has gone on since."""
    try:
        return store.journal.record(order, events)
    except JournalAhead:
        return order.version


def test_a_failed_record_leaves_no_hole(store: Store) -> None:
    tale, other = straight_through(), straight_through()
    store.journal.record(*tale.batches[0])
    # Turn the counter back, so that the insert of the events, the last statement of all, fails.
    with store.database.write() as connection:
        connection.execute(text("UPDATE stream_head SET position = position - 1"))
    with pytest.raises(Exception, match=r"(?i)unique"):
        store.journal.record(*other.batches[0])
    assert store.orders.get(other.id) is None
    with store.database.write() as connection:
        connection.execute(text("UPDATE stream_head SET position = position + 1"))
    other.recorded(store)
    assert [s.position for s in store.journal.stream(0)] == list(range(1, 2 + len(other.events)))


_RECORDER = """
import sys
from oms.store import Store
from tests.store.building import straight_through
store = Store(sys.argv[1])
while True:
    tale = straight_through()
    for order, events in tale.batches:
        position = store.journal.record(order, events)
        print(tale.id, order.version, position, flush=True)
"""


def test_what_was_answered_survives_kill_9(url: str) -> None:
    recorder = subprocess.Popen(
        [sys.executable, "-c", _RECORDER, url],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}/src{os.pathsep}{ROOT}"},
        text=True,
    )
    assert recorder.stdout is not None
    answered = [recorder.stdout.readline() for _ in range(75)]
    recorder.send_signal(signal.SIGKILL)
    answered += recorder.stdout.read().splitlines(keepends=True)
    recorder.wait()
    whole = [line.split() for line in answered if line.endswith("\n")]
    store = Store(url)
    versions = {order_id: int(version) for order_id, version, _ in whole}
    for order_id, version in versions.items():
        order = store.orders.get(order_id)
        assert order is not None
        assert order.version >= version
    head = store.journal.head()
    # The server may still commit what the dead process had asked for last.
    positions = [streamed.position for streamed in store.journal.stream(0, limit=100_000)]
    assert positions[:head] == list(range(1, head + 1))
    assert len(positions) >= int(whole[-1][2])
    assert rebuild(store, write=False).is_clean
    store.close()
