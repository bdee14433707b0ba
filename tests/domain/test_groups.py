"""Account groups: down to their accounts, and never a group inside itself."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from oms.domain.allocating import MAX_ACCOUNTS, Branch, Hierarchy, WeightTarget, spread
from oms.domain.errors import Code, Refused
from oms.domain.groups import MAX_DEPTH, AccountGroup, expand, refuse_cycles, resolve


def group(name: str, *members: Any) -> AccountGroup:
    """Members: a name that begins with G is a group, any other an account for P; (name, weight) gives a weight."""
    made = []
    for member in members:
        named, weight = member if isinstance(member, tuple) else (member, 1)
        thing = {"group_id": named} if named[0] == "G" else {"account_id": named, "portfolio_id": "P"}
        made.append({**thing, "weight": weight})
    return AccountGroup.model_validate({"group_id": name, "name": name, "members": made})


def known(*groups: AccountGroup) -> dict[str, AccountGroup]:
    return {one.group_id: one for one in groups}


def refused(asked: Any) -> Refused:
    with pytest.raises(Refused) as found:
        asked()
    return found.value


def test_a_group_becomes_a_tree_of_accounts() -> None:
    tree = expand("G1", known(group("G1", ("A1", 2), ("G2", 3)), group("G2", "A2")), Decimal(5))
    assert tree == Branch(
        group_id="G1",
        weight=5,
        members=(
            WeightTarget(account_id="A1", portfolio_id="P", weight=2),
            Branch(
                group_id="G2",
                weight=3,
                members=(WeightTarget(account_id="A2", portfolio_id="P", weight=1),),
            ),
        ),
    )


def test_members_that_are_asked_for_are_spread_over() -> None:
    groups = known(group("G1", "A1", "A2"))
    asked = group("G9", ("G1", 2), "A3").members
    portions = spread(Hierarchy(accounts=resolve(asked, groups)), Decimal(120), Decimal(1))
    assert [(p.account_id, p.quantity) for p in portions] == [("A1", 40), ("A2", 40), ("A3", 40)]


def test_a_group_never_contains_itself() -> None:
    around = refused(
        lambda: refuse_cycles(group("G1", "G2"), known(group("G2", "A1", "G3"), group("G3", "G1")))
    )
    assert (around.code, around.facts["path"]) == (Code.CIRCULAR_HIERARCHY, ["G1", "G2", "G3", "G1"])
    assert "G1 -> G2 -> G3 -> G1" in around.message
    itself = refused(lambda: refuse_cycles(group("G1", "A1", "G1"), {}))
    assert itself.facts["path"] == ["G1", "G1"]


def test_two_ways_to_one_group_are_no_circle() -> None:
    groups = known(group("G2", "G4"), group("G3", "G4"), group("G4", "A1"))
    refuse_cycles(group("G1", "G2", "G3"), groups)
    twice = refused(lambda: expand("G1", {**groups, "G1": group("G1", "G2", "G3")}))
    assert (twice.code, twice.facts["path"]) == (Code.VALIDATION_FAILED, ["G1", "G3", "G4"])


def test_a_group_that_nobody_knows_is_refused() -> None:
    for asked in (
        lambda: refuse_cycles(group("G1", "G2"), known(group("G2", "G3"))),
        lambda: expand("G3", {}),
        lambda: resolve(group("G1", "G3").members, {}),
    ):
        found = refused(asked)
        assert (found.code, found.facts["group_id"]) == (Code.GROUP_NOT_FOUND, "G3")


def test_expanding_ends_whatever_the_groups_are() -> None:
    circle = refused(lambda: expand("G1", known(group("G1", "G2"), group("G2", "G1"))))
    assert circle.code is Code.CIRCULAR_HIERARCHY
    deep = known(*(group(f"G{n}", f"G{n + 1}") for n in range(1, 2000)), group("G2000", "A1"))
    assert refused(lambda: expand("G1", deep)).code is Code.VALIDATION_FAILED
    refuse_cycles(group("G0", "G1"), deep)
    last = known(*(group(f"G{n}", f"G{n + 1}") for n in range(1, MAX_DEPTH)), group(f"G{MAX_DEPTH}", "A1"))
    assert expand("G1", last).group_id == "G1"
    crowd = group("G1", *(f"A{n}" for n in range(MAX_ACCOUNTS)))
    crowded = known(crowd, group("G2", "G1", "B1"))
    assert "500 accounts" in refused(lambda: expand("G2", crowded)).message


@pytest.mark.parametrize(
    "member",
    [
        {},
        {"account_id": "A1"},
        {"portfolio_id": "P"},
        {"account_id": "A1", "portfolio_id": "P", "group_id": "G2"},
        {"portfolio_id": "P", "group_id": "G2"},
        {"group_id": "G2", "minimum": 5},
        {"group_id": "G2", "weight": 0},
    ],
)
def test_a_member_names_an_account_or_a_group(member: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AccountGroup.model_validate({"group_id": "G1", "name": "n", "members": [member]})


def test_a_member_is_named_once() -> None:
    with pytest.raises(ValidationError, match="A1 for P is named 2 times"):
        group("G1", "A1", "A1")
    with pytest.raises(ValidationError, match="G2 is named 2 times"):
        group("G1", "G2", "A1", "G2")


@given(edges=st.lists(st.tuples(st.integers(0, 6), st.sets(st.integers(0, 6), max_size=4)), max_size=25))
def test_groups_that_were_put_one_by_one_never_form_a_circle(edges: list[tuple[int, set[int]]]) -> None:
    groups = known(*(group(f"G{n}", f"A{n}") for n in range(7)))
    for parent, children in edges:
        put = group(f"G{parent}", f"A{parent}", *(f"G{child}" for child in sorted(children)))
        if _outcome(refuse_cycles, put, groups) is None:
            groups[put.group_id] = put
    for name in groups:
        assert _outcome(expand, name, groups) in (None, Code.VALIDATION_FAILED)


def _outcome(asked: Callable[..., object], *given: object) -> Code | None:
    try:
        asked(*given)
    except Refused as found:
        return found.code
    return None
