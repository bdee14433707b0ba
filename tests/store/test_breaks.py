"""Breaks open, follow, clear by evidence and end by a person, each told once in the control journal."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.store.building import NS

from oms.domain.breaks import BreakCategory, BreakStatus, Difference, Outcome
from oms.domain.control import ControlKind
from oms.domain.errors import Code, Refused
from oms.domain.terms import Role
from oms.store import Store

APPLE = "AAPL STK USD 265598"
FORD = "F STK USD 9599491"


def difference(subject: str = APPLE, ours: str = "100", theirs: str = "150", **more: Any) -> Difference:
    return Difference(subject=subject, ours=ours, theirs=theirs, detail=f"{theirs}, not {ours}", **more)


def observed(store: Store, second: int, *differences: Difference, account: str = "DU1") -> Outcome:
    return store.breaks.observe("ibkr", account, BreakCategory.POSITION, differences, NS + second)


def told(store: Store) -> list[tuple[ControlKind, str, str]]:
    return [(event.kind, event.subject, event.actor) for event in store.control.stream(0)]


def test_a_difference_opens_one_break_that_follows_it(store: Store) -> None:
    (opened,) = observed(store, 1, difference(instrument_id="INS-1")).opened
    assert opened.break_id.startswith("BRK-")
    assert (opened.ours, opened.theirs, opened.owner, opened.opened_ns) == ("100", "150", Role.OPS, NS + 1)
    again = observed(store, 2, difference(theirs="160", instrument_id="INS-1"))
    assert (again.opened, again.cleared) == ([], [])
    (standing,) = store.breaks.list()
    assert standing == store.breaks.get(opened.break_id)
    assert (standing.theirs, standing.opened_ns, standing.seen_ns) == ("160", NS + 1, NS + 2)
    assert standing.instrument_id == "INS-1"
    assert told(store) == [(ControlKind.BREAK_OPENED, opened.break_id, "system")]


def test_what_a_later_comparison_no_longer_finds_is_cleared(store: Store) -> None:
    (opened,) = observed(store, 1, difference()).opened
    (cleared,) = observed(store, 2).cleared
    assert (cleared.break_id, cleared.status, cleared.closed_ns) == (
        opened.break_id,
        BreakStatus.CLEARED,
        NS + 2,
    )
    assert observed(store, 3) == Outcome()
    (anew,) = observed(store, 4, difference()).opened
    assert anew.break_id != opened.break_id
    assert [kind for kind, *_ in told(store)] == [
        ControlKind.BREAK_OPENED,
        ControlKind.BREAK_CLEARED,
        ControlKind.BREAK_OPENED,
    ]


def test_one_comparison_says_nothing_of_others(store: Store) -> None:
    observed(store, 1, difference())
    observed(store, 2, account="DU2")
    store.breaks.observe("ibkr", "DU1", BreakCategory.TRADE, [], NS + 3)
    store.breaks.observe("flex", "DU1", BreakCategory.POSITION, [], NS + 4)
    assert [one.status for one in store.breaks.list()] == [BreakStatus.OPEN]
    assert (store.breaks.count_open(), store.breaks.count_open("ibkr"), store.breaks.count_open("flex")) == (
        1,
        1,
        0,
    )


def test_a_resolved_break_opens_again_only_for_another_gap(store: Store) -> None:
    (opened,) = observed(store, 1, difference()).opened
    resolved = store.breaks.resolve(opened.break_id, "olga", "shares lent out", NS + 2)
    assert (resolved.status, resolved.closed_by, resolved.reason) == (
        BreakStatus.RESOLVED,
        "olga",
        "shares lent out",
    )
    assert observed(store, 3, difference()).opened == []
    assert observed(store, 4, difference(ours="110", theirs="160")).opened == []
    assert store.breaks.get(opened.break_id) == resolved
    (anew,) = observed(store, 5, difference(ours="110", theirs="170")).opened
    assert anew.break_id != opened.break_id
    assert told(store)[1] == (ControlKind.BREAK_RESOLVED, opened.break_id, "olga")


def test_a_resolved_difference_that_went_away_opens_again(store: Store) -> None:
    (opened,) = observed(store, 1, difference()).opened
    store.breaks.resolve(opened.break_id, "olga", "known", NS + 2)
    assert observed(store, 3).cleared == []
    assert len(observed(store, 4, difference()).opened) == 1


def test_texts_that_are_no_numbers_are_compared_as_they_are(store: Store) -> None:
    (opened,) = observed(store, 1, difference("E1", "", "10 @ 5")).opened
    store.breaks.resolve(opened.break_id, "olga", "known", NS + 2)
    assert observed(store, 3, difference("E1", "", "10 @ 5")).opened == []
    assert len(observed(store, 4, difference("E1", "", "11 @ 5")).opened) == 1


def test_only_an_open_break_is_resolved(store: Store) -> None:
    with pytest.raises(Refused) as refused:
        store.breaks.resolve("BRK-1", "olga", "why not", NS)
    assert refused.value.code is Code.BREAK_NOT_FOUND
    (opened,) = observed(store, 1, difference()).opened
    store.breaks.resolve(opened.break_id, "olga", "known", NS + 2)
    with pytest.raises(Refused) as refused:
        store.breaks.resolve(opened.break_id, "otto", "again", NS + 3)
    assert (refused.value.code, refused.value.facts["state"]) == (Code.INVALID_STATE, BreakStatus.RESOLVED)
    assert store.breaks.get("BRK-1") is None


def test_breaks_are_listed_newest_first(store: Store) -> None:
    first = observed(store, 1_000_000, difference()).opened
    second = observed(store, 2_000_000, difference(), difference(FORD)).opened
    other = observed(store, 3_000_000, difference(), account="DU2").opened
    every = [one.break_id for one in (*other, *second, *first)]
    breaks = store.breaks
    assert [one.break_id for one in breaks.list()] == every
    assert [one.break_id for one in breaks.list(limit=2)] == every[:2]
    assert [one.break_id for one in breaks.list(before=every[0])] == every[1:]
    assert [one.break_id for one in breaks.list(account="DU2")] == every[:1]
    breaks.resolve(every[2], "olga", "known", NS)
    assert [one.break_id for one in breaks.list(status=BreakStatus.OPEN)] == every[:2]
    assert breaks.list(category=BreakCategory.CASH) == ()


def test_of_many_who_compare_at_once_one_opens_the_break(url: str) -> None:
    stores = [Store(url), Store(url)]
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda n: observed(stores[n % 2], n, difference()), range(8)))
    assert sum(len(outcome.opened) for outcome in outcomes) == 1
    assert len(stores[0].breaks.list()) == 1
    for store in stores:
        store.close()


def test_whatever_a_broker_writes_can_be_kept(store: Store) -> None:
    (opened,) = observed(
        store, 1, Difference(subject="A\x00B", ours="1", theirs="2", detail="x\ud800")
    ).opened
    assert (opened.subject, opened.detail) == ("A\\x00B", "x\\ud800")
    assert observed(store, 2, Difference(subject="A\x00B", ours="1", theirs="2", detail="x")).opened == []
