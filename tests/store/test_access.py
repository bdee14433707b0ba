"""Compliance rules, API keys and idempotency keys."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from tests.store.building import NOON

from oms.domain.compliance import Rule
from oms.domain.terms import Role
from oms.store import BadCursor, Store, Taken

FAR = datetime(2999, 1, 1, tzinfo=UTC)


def _rule(number: int, **more: Any) -> Rule:
    return Rule(
        rule_id=f"RUL-{number}",
        rule_type="max_order_notional",
        name=f"Rule {number}",
        parameters={"max_notional": "1000000.000000000000000001"},
        created_by="risk",
        created_at=NOON + timedelta(seconds=number),
        **more,
    )


def test_rules_are_kept_and_listed(store: Store) -> None:
    rules = [store.rules.put(_rule(number)) for number in range(3)]
    assert store.rules.get("RUL-1") == rules[1]
    assert store.rules.get("RUL-9") is None
    assert store.rules.put(rules[1]) == rules[1]
    page = store.rules.list(limit=2)
    assert (*page.items, *store.rules.list(limit=2, cursor=page.next_cursor).items) == tuple(rules[::-1])
    with pytest.raises(BadCursor):
        store.rules.list(cursor="x")


def test_a_rule_moves_on_by_version(store: Store) -> None:
    rule = store.rules.put(_rule(1))
    later = store.rules.put(rule.model_copy(update={"name": "Later", "version": 2}))
    assert store.rules.get("RUL-1") == later
    for stale in (rule, rule.model_copy(update={"name": "At once", "version": 2})):
        with pytest.raises(Taken):
            store.rules.put(stale)
    assert store.rules.get("RUL-1") == later


def test_of_two_changes_at_once_one_wins(url: str) -> None:
    stores = [Store(url), Store(url)]
    rule = stores[0].rules.put(_rule(1))

    def change(number: int) -> bool:
        try:
            stores[number % 2].rules.put(rule.model_copy(update={"name": str(number), "version": 2}))
        except Taken:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(change, range(8))) == 1
    for store in stores:
        store.close()


def test_a_new_rule_put_by_two_at_once_has_one_winner(url: str) -> None:
    stores = [Store(url), Store(url)]

    def put(number: int) -> bool:
        try:
            stores[number % 2].rules.put(_rule(1, severity="SOFT" if number % 2 else "HARD"))
        except Taken:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(put, range(8)))
    kept = stores[0].rules.get("RUL-1")
    assert kept is not None
    # Those who put what is kept succeed; the others are told.
    assert won == [(_rule(1, severity="SOFT" if n % 2 else "HARD") == kept) for n in range(8)]
    for store in stores:
        store.close()


def test_a_deactivated_rule_stays_and_applies_to_nobody(store: Store) -> None:
    store.rules.put(_rule(1))
    gone = store.rules.deactivate("RUL-1")
    assert gone is not None
    assert (gone.active, gone.version) == (False, 2)
    assert store.rules.deactivate("RUL-1") == gone
    assert store.rules.deactivate("RUL-2") is None
    assert store.rules.applying_to("P1", "A1") == ()
    assert store.rules.list(active=False).items == (gone,)
    assert store.rules.list(active=True).items == ()


def test_rules_apply_to_whom_they_name(store: Store) -> None:
    everybody = store.rules.put(_rule(1))
    portfolio = store.rules.put(_rule(2, target_accounts=("P1",)))
    account = store.rules.put(_rule(3, target_accounts=("A1", "A2")))
    assert store.rules.applying_to("P1", "A1") == (everybody, portfolio, account)
    assert store.rules.applying_to("P1") == (everybody, portfolio)
    assert store.rules.applying_to("P2", "A2") == (everybody, account)


def test_a_key_is_found_by_its_secret_alone(store: Store) -> None:
    key = store.keys.create("desk", [Role.PM, Role.TRADER], "s3cret", ["P1"], ["A1"], FAR)
    assert store.keys.find("s3cret") == key
    assert key.portfolios == ("P1",)
    for other in ("S3cret", "s3cret ", "", "desk", "\ud800"):
        assert store.keys.find(other) is None


def test_the_secret_is_nowhere_in_the_database(store: Store) -> None:
    store.keys.create("desk", [Role.PM], "s3cret")
    with store.database.read() as connection:
        row = connection.execute(text("SELECT * FROM keys")).one()
    assert "s3cret" not in repr(row)


def test_a_revoked_key_and_an_expired_one_are_not_found(store: Store) -> None:
    store.keys.create("a", [Role.PM], "one")
    store.keys.create("b", [Role.PM], "two", expires_at=NOON)
    assert store.keys.find("two", now=NOON - timedelta(seconds=1)) is not None
    assert store.keys.find("two", now=NOON) is None
    assert store.keys.find("two") is None or datetime.now(UTC) < NOON
    revoked = store.keys.revoke("a")
    assert revoked is not None
    assert revoked.revoked_at is not None
    assert store.keys.find("one") is None
    assert store.keys.revoke("a") == revoked
    assert store.keys.revoke("c") is None
    assert [key.name for key in store.keys.list()] == ["a", "b"]
    assert store.keys.get("a") == revoked
    assert store.keys.get("c") is None


def test_names_and_secrets_are_given_once(store: Store) -> None:
    store.keys.create("a", [Role.PM], "one")
    for name, secret in (("a", "two"), ("b", "one")):
        with pytest.raises(Taken):
            store.keys.create(name, [Role.OPS], secret)
    with pytest.raises(ValueError, match="system"):
        store.keys.create("c", [Role.SYSTEM], "three")


def test_a_request_is_answered_once(store: Store) -> None:
    first = store.idempotency.begin("desk", "k1", "print", "ORD-1")
    assert (first.is_new, first.status) == (True, None)
    second = store.idempotency.begin("desk", "k1", "other", "ORD-2")
    assert (second.is_new, second.fingerprint, second.resource_id) == (False, "print", "ORD-1")
    store.idempotency.finish("desk", "k1", 201, b'{"a": "\xff"}', {"Location": "/v1/orders/ORD-1"})
    store.idempotency.finish("desk", "k1", 500, b"late", {})
    kept = store.idempotency.begin("desk", "k1", "print", "ORD-3")
    assert (kept.status, kept.body, kept.headers) == (201, b'{"a": "\xff"}', {"Location": "/v1/orders/ORD-1"})
    assert not store.idempotency.begin("desk", "k1", "print", "ORD-4").is_new
    assert store.idempotency.begin("other key", "k1", "print", "ORD-5").is_new


def test_of_many_equal_requests_one_is_new(url: str) -> None:
    stores = [Store(url), Store(url)]
    with ThreadPoolExecutor(16) as threads:
        records = list(
            threads.map(
                lambda n: stores[n % 2].idempotency.begin("desk", "k", "print", f"ORD-{n}"), range(16)
            )
        )
    assert sum(record.is_new for record in records) == 1
    assert len({record.resource_id for record in records}) == 1
    for store in stores:
        store.close()


def test_old_requests_are_forgotten(store: Store) -> None:
    begun = store.idempotency.begin("desk", "k1", "print", "ORD-1")
    assert store.idempotency.forget_before(begun.created_at) == 0
    assert store.idempotency.forget_before(begun.created_at + timedelta(microseconds=1)) == 1
    assert store.idempotency.begin("desk", "k1", "print", "ORD-2").is_new
