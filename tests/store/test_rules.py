"""Every version of a rule is kept with who, when and why, and told of; lists find the ones that apply."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.store.building import NOON

from oms.domain.control import ControlKind
from oms.domain.rules.rule import Rule
from oms.store import BadCursor, Store, Taken


def made(rule_id: str = "RUL-1", **given: Any) -> Rule:
    terms = {
        "rule_type": "max_position",
        "name": "Position",
        "parameters": {"max_quantity": "100"},
        "created_by": "risk",
        "created_at": NOON,
    }
    return Rule(rule_id=rule_id, **{**terms, **given})


def told(store: Store) -> list[tuple[str, str, str, str | None]]:
    return [(event.kind, event.subject, event.actor, event.reason) for event in store.control.stream(0)]


def test_every_version_is_kept_with_who_and_why(store: Store) -> None:
    began = datetime.now(UTC)
    first = store.rules.put(made(), by="carol", reason="a new mandate")
    second = store.rules.put(first.model_copy(update={"name": "Later", "version": 2}), by="dave")
    store.rules.deactivate("RUL-1", by="erin", reason="the mandate ended")
    versions = store.rules.versions("RUL-1")
    assert [(each.rule.version, each.changed_by, each.reason) for each in versions] == [
        (1, "carol", "a new mandate"),
        (2, "dave", None),
        (3, "erin", "the mandate ended"),
    ]
    assert [each.rule for each in versions[:2]] == [first, second]
    assert versions[2].rule == second.model_copy(update={"version": 3, "active": False})
    assert all(began <= each.changed_at <= datetime.now(UTC) for each in versions)
    assert store.rules.versions("RUL-9") == ()


def test_every_change_is_told_once(store: Store) -> None:
    first = store.rules.put(made(), reason="new")
    store.rules.put(made(), reason="again")
    with pytest.raises(Taken):
        store.rules.put(made(name="Another"))
    store.rules.put(first.model_copy(update={"name": "Later", "version": 2}), by="dave", reason="wider")
    for _ in range(2):
        store.rules.deactivate("RUL-1", by="erin", reason="over")
    assert store.rules.deactivate("RUL-9", by="erin") is None
    assert told(store) == [
        (ControlKind.RULE_CREATED, "RUL-1", "risk", "new"),
        (ControlKind.RULE_UPDATED, "RUL-1", "dave", "wider"),
        (ControlKind.RULE_DELETED, "RUL-1", "erin", "over"),
    ]
    assert [event.data["rule"]["version"] for event in store.control.stream(0)] == [1, 2, 3]


def test_a_rule_made_active_again_is_an_update(store: Store) -> None:
    store.rules.put(made(active=False))
    store.rules.put(made(version=2), by="dave")
    assert [kind for kind, *_ in told(store)] == [ControlKind.RULE_CREATED, ControlKind.RULE_UPDATED]


def test_lists_by_portfolio_and_type(store: Store) -> None:
    everybody = store.rules.put(made("RUL-1"))
    one = store.rules.put(made("RUL-2", target_accounts=("PORT-001",)))
    ban = store.rules.put(
        made("RUL-3", rule_type="short_sale_ban", parameters={}, target_accounts=("PORT-001", "PORT-002"))
    )
    store.rules.deactivate("RUL-2")

    def listed(**wanted: Any) -> list[str]:
        return [rule.rule_id for rule in store.rules.list(**wanted).items]

    assert listed() == [ban.rule_id, one.rule_id, everybody.rule_id]
    assert listed(portfolio_id="PORT-002") == ["RUL-3", "RUL-1"]
    assert listed(portfolio_id="PORT-001", active=True) == ["RUL-3", "RUL-1"]
    assert listed(portfolio_id="PORT-009") == ["RUL-1"]
    assert listed(rule_type="max_position") == ["RUL-2", "RUL-1"]
    assert listed(rule_type="max_position", portfolio_id="PORT-001", active=False) == ["RUL-2"]
    assert listed(rule_type="price_collar") == []


def test_a_filtered_list_goes_on_where_its_page_ended(store: Store) -> None:
    for number in range(9):
        store.rules.put(made(f"RUL-{number}", target_accounts=(f"PORT-{number % 3}",)))
    first = store.rules.list(2, portfolio_id="PORT-1")
    second = store.rules.list(2, cursor=first.next_cursor, portfolio_id="PORT-1")
    assert [rule.rule_id for rule in (*first.items, *second.items)] == ["RUL-7", "RUL-4", "RUL-1"]
    assert second.next_cursor is None
    assert [rule.rule_id for rule in store.rules.list(2, 1, portfolio_id="PORT-1").items] == [
        "RUL-4",
        "RUL-1",
    ]
    with pytest.raises(BadCursor):
        store.rules.list(cursor="x", portfolio_id="PORT-1")


def test_rules_apply_as_they_are_now_whoever_changed_them(url: str) -> None:
    """Each program keeps what it has parsed; what another one changed is seen at once."""
    here, there = Store(url), Store(url)
    first = here.rules.put(made(target_accounts=("ACCT-1", "ACCT-2")))
    assert there.rules.applying_to("PORT-001", "ACCT-1", "ACCT-9") == (first,)
    second = here.rules.put(first.model_copy(update={"name": "Later", "version": 2}))
    assert there.rules.applying_to("PORT-001", "ACCT-2") == (second,)
    assert there.rules.applying_to("PORT-001", None) == ()
    here.rules.deactivate("RUL-1")
    assert there.rules.applying_to("PORT-001", "ACCT-2") == ()
    for store in (here, there):
        store.close()
