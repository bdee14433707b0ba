"""Account groups: put twice is once, listed newest first, and no circle however many put at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from oms.domain.errors import Code, Refused
from oms.domain.groups import AccountGroup, Member, expand
from oms.store import BadCursor, Store


def group(name: str, *members: str) -> AccountGroup:
    """Members that begin with G are groups, any others accounts."""
    made = tuple(
        Member(group_id=m) if m.startswith("G") else Member(account_id=m, portfolio_id="P") for m in members
    )
    return AccountGroup(group_id=name, name=f"Group {name}", members=made)


def test_put_twice_is_once_and_the_later_description_stays(store: Store) -> None:
    assert store.groups.get("G1") is None
    store.groups.put(group("G1", "A1"))
    store.groups.put(group("G1", "A1"))
    later = store.groups.put(group("G1", "A1", "A2"))
    assert store.groups.get("G1") == later
    assert store.groups.all() == {"G1": later}


def test_groups_are_listed_newest_first(store: Store) -> None:
    for number in range(5):
        store.groups.put(group(f"G{number}", "A1"))
    store.groups.put(group("G0", "A2"))
    first = store.groups.page(limit=2)
    assert [g.group_id for g in first.items] == ["G4", "G3"]
    second = store.groups.page(limit=2, cursor=first.next_cursor)
    third = store.groups.page(limit=2, cursor=second.next_cursor)
    assert [g.group_id for g in (*second.items, *third.items)] == ["G2", "G1", "G0"]
    assert third.next_cursor is None
    assert [g.group_id for g in store.groups.page(limit=1, offset=4).items] == ["G0"]
    with pytest.raises(BadCursor):
        store.groups.page(cursor="nonsense")


def test_a_circle_is_refused_and_nothing_is_kept(store: Store) -> None:
    store.groups.put(group("G1", "A1"))
    store.groups.put(group("G2", "G1"))
    store.groups.put(group("G3", "G2"))
    with pytest.raises(Refused) as circle:
        store.groups.put(group("G1", "G3"))
    assert (circle.value.code, circle.value.facts["path"]) == (
        Code.CIRCULAR_HIERARCHY,
        ["G1", "G3", "G2", "G1"],
    )
    assert store.groups.get("G1") == group("G1", "A1")


def test_a_member_that_nobody_knows_is_refused(store: Store) -> None:
    with pytest.raises(Refused) as unknown:
        store.groups.put(group("G1", "G9"))
    assert (unknown.value.code, unknown.value.facts) == (Code.GROUP_NOT_FOUND, {"group_id": "G9"})
    assert store.groups.get("G1") is None


def test_people_who_put_groups_into_each_other_at_once_make_no_circle(store: Store) -> None:
    names = [f"G{number}" for number in range(8)]
    for name in names:
        store.groups.put(group(name, "A1"))

    def put(number: int) -> Code | None:
        try:
            store.groups.put(group(names[number], names[(number + 1) % len(names)]))
        except Refused as refused:
            return refused.code
        return None

    with ThreadPoolExecutor(len(names)) as threads:
        outcomes = list(threads.map(put, range(len(names))))
    assert outcomes.count(Code.CIRCULAR_HIERARCHY) == 1
    assert outcomes.count(None) == len(names) - 1
    known = store.groups.all()
    assert all(expand(name, known) for name in names)
