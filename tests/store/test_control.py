"""The control journal has no hole and hides nothing; a halt and its line in it are one."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from tests.store.building import NOON, NS, straight_through

from oms.domain.control import ControlEvent, ControlKind
from oms.domain.halts import Halt, HaltScope
from oms.store import Store
from oms.store.control import STREAM

FIRM = Halt(scope=HaltScope.FIRM, reason="a fat finger", by="carol", since=NOON)
PORTFOLIO = Halt(scope=HaltScope.PORTFOLIO, subject="PORT-001", reason="a breach", by="carol", since=NOON)


def event(subject: str = "RUL-1", kind: ControlKind = ControlKind.RULE_CREATED, **more: Any) -> ControlEvent:
    return ControlEvent(kind=kind, subject=subject, actor="carol", ts_ns=NS, **more)


def append(store: Store, *events: ControlEvent) -> None:
    with store.database.write() as connection:
        store.control.append(connection, events)


def append_and_fail(store: Store, *events: ControlEvent) -> None:
    """A transaction that fails after it took its positions."""
    with store.database.write() as connection:
        store.control.append(connection, events)
        raise RuntimeError("the caller failed")


def test_what_is_appended_is_read_at_its_place(store: Store) -> None:
    first = event(
        "RUL-1",
        portfolio_id="PORT-001",
        order_id="ORD-1",
        reason="nul \x00, half a pair \\ud800",
        data={"limit": "0.1", "deep": {"list": [1, None, "é"]}},
    )
    append(store, first, event("RUL-2"))
    append(store, event("RUL-3", position=77))
    read = store.control.stream(0)
    assert read[0] == first.model_copy(update={"position": 1})
    assert [(one.position, one.subject) for one in read] == [(1, "RUL-1"), (2, "RUL-2"), (3, "RUL-3")]
    assert store.control.head() == 3


def test_nothing_appended_is_nothing_written(store: Store) -> None:
    append(store)
    assert (store.control.head(), store.control.stream(0)) == (0, [])


def test_an_event_is_there_only_with_its_transaction(store: Store) -> None:
    append(store, event("RUL-1"))
    with pytest.raises(RuntimeError, match="the caller failed"):
        append_and_fail(store, event("RUL-lost"), event("RUL-lost"))
    append(store, event("RUL-2"))
    assert [(one.position, one.subject) for one in store.control.stream(0)] == [(1, "RUL-1"), (2, "RUL-2")]


def test_stream_goes_on_after_a_position_and_filters(store: Store) -> None:
    append(
        store,
        event("RUL-1"),
        event("RUL-2", ControlKind.LIMIT_BREACHED, portfolio_id="PORT-001"),
        event("RUL-2", ControlKind.LIMIT_CLEARED, portfolio_id="PORT-001"),
        event("RUL-3", ControlKind.LIMIT_BREACHED, portfolio_id="PORT-002"),
    )

    def places(after: int = 0, limit: int = 500, **wanted: Any) -> list[int]:
        return [one.position for one in store.control.stream(after, limit, **wanted)]

    assert places() == [1, 2, 3, 4]
    assert places(after=2) == [3, 4]
    assert places(after=1, limit=2) == [2, 3]
    assert places(after=4) == []
    assert places(kinds=[ControlKind.LIMIT_BREACHED]) == [2, 4]
    assert places(kinds={ControlKind.RULE_CREATED, ControlKind.LIMIT_CLEARED}) == [1, 3]
    assert places(portfolio_ids=["PORT-001"]) == [2, 3]
    assert places(portfolio_ids=["PORT-001"], kinds=[ControlKind.LIMIT_BREACHED]) == [2]
    assert places(portfolio_ids=[]) == []
    assert places(kinds=[]) == []


def test_the_last_of_a_kind_about_a_subject(store: Store) -> None:
    append(store, event("A", reason="old"), event("A", reason="new"), event("B"))
    append(store, event("A", ControlKind.RULE_DELETED))
    last = store.control.last(ControlKind.RULE_CREATED, "A")
    assert last is not None
    assert (last.position, last.reason) == (2, "new")
    assert store.control.last(ControlKind.RULE_UPDATED, "A") is None


def _follow(store: Store, total: int) -> list[ControlEvent]:
    seen: list[ControlEvent] = []
    deadline = time.monotonic() + 60
    while len(seen) < total and time.monotonic() < deadline:
        seen += store.control.stream(seen[-1].position if seen else 0, limit=20)
    return seen


def _write(store: Store, writer: int, batches: int) -> None:
    """Batches of one to three events; every fourth transaction fails after it took its positions."""
    for number in range(batches):
        batch = [event(f"{writer}", data={"batch": number, "part": part}) for part in range(1 + number % 3)]
        if number % 4 == 3:
            with pytest.raises(RuntimeError, match="the caller failed"):
                append_and_fail(store, *batch)
        else:
            append(store, *batch)


def test_a_reader_that_follows_never_misses_an_event(url: str) -> None:
    """Twelve writers over two stores (as two processes would be), some of whose transactions fail; three readers."""
    stores, writers, batches = [Store(url), Store(url)], 12, 12
    wanted = [
        {"batch": number, "part": part}
        for number in range(batches)
        if number % 4 != 3
        for part in range(1 + number % 3)
    ]
    total = writers * len(wanted)
    with ThreadPoolExecutor(15) as threads:
        followers = [threads.submit(_follow, stores[n % 2], total) for n in range(3)]
        for writing in [threads.submit(_write, stores[n % 2], n, batches) for n in range(writers)]:
            writing.result()
        seen = [follower.result() for follower in followers]
    assert [one.position for one in seen[0]] == list(range(1, total + 1))
    assert seen[0] == seen[1] == seen[2]
    assert stores[0].control.head() == total
    for writer in range(writers):
        assert [one.data for one in seen[0] if one.subject == f"{writer}"] == wanted
    for store in stores:
        store.close()


def test_both_journals_in_one_transaction_by_many_at_once(url: str) -> None:
    """Order journal first, control journal second: nobody waits for each other for ever."""
    stores = [Store(url), Store(url)]
    advance = text("UPDATE stream_head SET position = position + 1 WHERE name = 'journal'")
    start = threading.Barrier(10)

    def both(number: int) -> None:
        store = stores[number % 2]
        start.wait()
        for _ in range(10):
            with store.database.write() as connection:
                connection.execute(advance)
                store.control.append(connection, [event(f"{number}")])

    def alone(number: int) -> None:
        start.wait()
        straight_through().recorded(stores[number % 2])
        append(stores[number % 2], event(f"{number}"))

    with ThreadPoolExecutor(10) as threads:
        running = [threads.submit(both if number < 6 else alone, number) for number in range(10)]
        for one in running:
            one.result(timeout=60)
    assert [one.position for one in stores[0].control.stream(0)] == list(range(1, 65))
    for store in stores:
        store.close()


def test_the_two_streams_count_apart(store: Store) -> None:
    tale = straight_through().recorded(store)
    append(store, event())
    assert (store.control.head(), store.journal.head()) == (1, len(tale.events))
    assert STREAM == "control"


# -- halts ---------------------------------------------------------------------------------------------


def test_a_halt_stands_with_who_and_why_and_in_the_journal(store: Store) -> None:
    assert store.halts.all() == ()
    assert store.halts.set(PORTFOLIO) == PORTFOLIO
    assert store.halts.all() == (PORTFOLIO,)
    (line,) = store.control.stream(0)
    assert (line.kind, line.subject, line.portfolio_id) == (
        ControlKind.HALTED,
        "portfolio/PORT-001",
        "PORT-001",
    )
    assert (line.actor, line.reason, line.ts_ns) == ("carol", "a breach", NS)
    assert Halt.model_validate(line.data) == PORTFOLIO


def test_halts_survive_the_process(url: str) -> None:
    first = Store(url)
    first.halts.set(FIRM)
    first.halts.set(PORTFOLIO)
    first.close()
    second = Store(url)
    assert set(second.halts.all()) == {FIRM, PORTFOLIO}
    second.halts.lift(HaltScope.FIRM, "", "oscar", "all clear")
    second.close()
    third = Store(url)
    assert third.halts.all() == (PORTFOLIO,)
    third.close()


def test_a_halt_that_stands_is_set_once_and_keeps_its_own_reason(store: Store) -> None:
    store.halts.set(FIRM)
    again = Halt(scope="firm", reason="me too", by="oscar", since=NOON + timedelta(minutes=5))
    assert store.halts.set(again) == FIRM
    assert store.halts.all() == (FIRM,)
    assert store.control.head() == 1


def test_lifting_says_by_whom_and_why(store: Store) -> None:
    store.halts.set(PORTFOLIO)
    assert store.halts.lift(HaltScope.PORTFOLIO, "PORT-001", "oscar", "the breach is gone") == PORTFOLIO
    assert store.halts.all() == ()
    line = store.control.stream(1)[0]
    assert (line.kind, line.subject, line.portfolio_id) == (
        ControlKind.RESUMED,
        "portfolio/PORT-001",
        "PORT-001",
    )
    assert (line.actor, line.reason) == ("oscar", "the breach is gone")
    assert Halt.model_validate(line.data) == PORTFOLIO
    assert store.halts.last_lift(HaltScope.PORTFOLIO, "PORT-001") == line


def test_lifting_what_does_not_stand_writes_nothing(store: Store) -> None:
    store.halts.set(PORTFOLIO)
    assert store.halts.lift(HaltScope.FIRM, "", "oscar", "why not") is None
    assert store.halts.lift(HaltScope.PORTFOLIO, "PORT-002", "oscar", "why not") is None
    assert store.halts.last_lift(HaltScope.FIRM, "") is None
    assert store.halts.all() == (PORTFOLIO,)
    assert store.control.head() == 1


def test_a_halt_that_cannot_be_written_down_does_not_stand(store: Store) -> None:
    store.halts.set(FIRM)
    # Turn the counter back, so that the line in the journal, the last statement, fails.
    with store.database.write() as connection:
        connection.execute(text("UPDATE stream_head SET position = 0 WHERE name = 'control'"))
    with pytest.raises(Exception, match=r"(?i)unique"):
        store.halts.set(PORTFOLIO)
    with pytest.raises(Exception, match=r"(?i)unique"):
        store.halts.lift(HaltScope.FIRM, "", "oscar", "all clear")
    assert store.halts.all() == (FIRM,)


def test_halted_and_lifted_by_many_at_once(url: str) -> None:
    """Whoever is told that the halt is his set it, whoever is told what he lifted lifted it; the journal agrees."""
    stores = [Store(url), Store(url)]
    start = threading.Barrier(8)

    def halt_and_lift(number: int) -> tuple[int, int]:
        store, halted, lifted = stores[number % 2], 0, 0
        mine = FIRM.model_copy(update={"by": f"desk-{number}"})
        start.wait()
        for _ in range(12):
            halted += store.halts.set(mine).by == mine.by
            lifted += store.halts.lift(HaltScope.FIRM, "", f"desk-{number}", "over") is not None
        return halted, lifted

    with ThreadPoolExecutor(8) as threads:
        counts = list(threads.map(halt_and_lift, range(8)))
    kinds = [line.kind for line in stores[0].control.stream(0)]
    assert kinds == [ControlKind.HALTED, ControlKind.RESUMED] * (len(kinds) // 2)
    assert sum(halted for halted, _ in counts) >= kinds.count(ControlKind.HALTED) > 0
    assert sum(lifted for _, lifted in counts) == kinds.count(ControlKind.RESUMED)
    assert stores[0].halts.all() == ()
    for store in stores:
        store.close()
