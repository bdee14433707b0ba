"""The gateways' books: inbox, intents, reports, leases."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.store.building import APPLE, NS, new_id

from oms.domain.facts import Charged, Executed, PlacementReported
from oms.domain.terms import Direction, OrderType, PlacementStatus, TimeInForce
from oms.domain.venues import PlacementTicket
from oms.store import (
    GatewayReport,
    InboxMessage,
    InboxStatus,
    Intent,
    IntentState,
    LeaseLost,
    Store,
    StoreError,
    Taken,
    tables,
)
from oms.store.gateways import Leases

FILL = Executed(
    placement_id="PLC-1",
    exec_id="E1.01",
    quantity=Decimal("12345678901234567890.123456789012345678"),
    price=Decimal("150.25"),
    currency="USD",
    venue="IBKR",
    ts_event_ns=NS,
    ts_init_ns=NS + 1,
)


def _message(key: str, **more: Any) -> InboxMessage:
    return InboxMessage(**{"natural_key": key, "order_id": "ORD-1", "fact": FILL, "ts_init_ns": NS, **more})


def test_a_message_is_kept_once(store: Store) -> None:
    assert store.inbox.add("ibkr", [_message("a"), _message("b"), _message("a")]) == 2
    assert store.inbox.add("ibkr", [_message("b"), _message("c")]) == 1
    assert store.inbox.add("other", [_message("a")]) == 1
    assert store.inbox.add("ibkr", []) == 0
    rows = store.inbox.undelivered("ibkr")
    assert [(row.gateway, row.order_id, row.fact, row.ts_init_ns) for row in rows] == [
        ("ibkr", "ORD-1", FILL, NS)
    ] * 3


def test_every_kind_of_fact_comes_back(store: Store) -> None:
    times = {"ts_event_ns": NS, "ts_init_ns": NS}
    facts = [
        FILL,
        Charged(exec_id="E1.01", commission=Decimal("-0.5"), currency="USD", **times),
        PlacementReported(placement_id="PLC-1", status=PlacementStatus.WORKING, **times),
    ]
    store.inbox.add("ibkr", [_message(str(n), fact=fact, order_id=None) for n, fact in enumerate(facts)])
    rows = store.inbox.undelivered("ibkr")
    assert [row.fact for row in rows] == facts
    assert [row.id for row in rows] == sorted(row.id for row in rows)
    assert store.inbox.undelivered("ibkr", limit=2) == rows[:2]


def test_delivered_and_orphaned_messages_wait_no_more(store: Store) -> None:
    inbox = store.inbox
    inbox.add("ibkr", [_message(key, ts_init_ns=NS + n) for n, key in enumerate("abcd")])
    ids = [row.id for row in inbox.undelivered("ibkr")]
    assert inbox.oldest_undelivered_ns("ibkr") == NS
    inbox.delivered(ids[:2])
    inbox.delivered(ids[:1])
    inbox.delivered([])
    inbox.orphan([ids[1], ids[2]], "no such \x00 order")
    assert [row.id for row in inbox.undelivered("ibkr")] == ids[3:]
    assert inbox.oldest_undelivered_ns("ibkr") == NS + 3
    assert inbox.counts("ibkr") == {
        InboxStatus.NEW: 1,
        InboxStatus.DELIVERED: 2,
        InboxStatus.ORPHAN: 1,
        InboxStatus.UNREADABLE: 0,
    }
    assert [(row.id, row.reason, row.fact) for row in inbox.parked()] == [
        (ids[2], "no such \\x00 order", FILL)
    ]
    assert inbox.add("ibkr", [_message("a")]) == 0
    inbox.delivered(ids[2:])
    assert inbox.parked() == []
    assert inbox.oldest_undelivered_ns("ibkr") is None


def test_what_nobody_can_read_is_kept_at_once(store: Store) -> None:
    unreadable = _message("a", fact=None, raw="{\x00\ud800", reason="not JSON", order_id=None)
    assert store.inbox.add("ibkr", [unreadable, _message("b")]) == 2
    assert len(store.inbox.undelivered("ibkr")) == 1
    parked = store.inbox.parked()
    assert [(row.status, row.raw, row.reason, row.natural_key) for row in parked] == [
        (InboxStatus.UNREADABLE, "{\\x00\\ud800", "not JSON", "a")
    ]


def test_many_callbacks_at_once_keep_each_message_once(url: str) -> None:
    stores = [Store(url), Store(url)]
    with ThreadPoolExecutor(10) as threads:
        new = threads.map(
            lambda n: stores[n % 2].inbox.add("ibkr", [_message(str(key)) for key in range(n, n + 20)]),
            range(10),
        )
        assert sum(new) == 29
    assert len(stores[0].inbox.undelivered("ibkr")) == 29
    for store in stores:
        store.close()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=6))
def test_any_repetition_is_kept_once_in_the_order_of_arrival(store: Store, batches: list[list[int]]) -> None:
    gateway = new_id("GW")
    for batch in batches:
        store.inbox.add(gateway, [_message(str(key), order_id=f"ORD-{key}") for key in batch])
    arrived = dict.fromkeys(key for batch in batches for key in batch)
    assert [row.order_id for row in store.inbox.undelivered(gateway)] == [f"ORD-{key}" for key in arrived]


def _intent(number: int = 1, **more: Any) -> Intent:
    ticket = PlacementTicket(
        order_id="ORD-1",
        placement_id=f"PLC-{number}",
        venue="IBKR",
        account="DU1",
        instrument=APPLE,
        direction=Direction.BUY,
        quantity=Decimal("0.000000000000000001"),
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.DAY,
    )
    given = {
        "placement_id": f"PLC-{number}",
        "order_id": "ORD-1",
        "gateway": "ibkr",
        "client_id": 7,
        "broker_order_id": 100 + number,
        "order_ref": f"ref-{number}",
        "account": "DU1",
        "state": IntentState.SENDING,
        "ticket": ticket,
        "created_ns": NS + number,
        "updated_ns": NS + number,
    }
    return Intent(**{**given, **more})


def test_an_intent_is_written_once(store: Store) -> None:
    intent = _intent(perm_ids=(9, 3))
    assert store.intents.open(intent) == (intent, True)
    assert store.intents.open(_intent(broker_order_id=999)) == (intent, False)
    found = store.intents
    assert found.get("PLC-1") == found.by_ref("ref-1") == found.by_broker_id(7, 101) == intent
    assert found.by_perm_id(3) == found.by_perm_id(9) == found.by_broker_id(7, 101, "ibkr") == intent
    assert (
        found.get("PLC-2")
        is found.by_ref("ref-2")
        is found.by_broker_id(8, 101)
        is found.by_perm_id(4)
        is None
    )
    assert found.by_broker_id(7, 101, "other") is None


def test_a_broker_order_id_stands_for_one_placement(store: Store) -> None:
    store.intents.open(_intent(1))
    with pytest.raises(Taken, match="101"):
        store.intents.open(_intent(2, broker_order_id=101))
    assert store.intents.get("PLC-2") is None
    assert store.intents.open(_intent(2, broker_order_id=101, gateway="other"))[1]


def test_an_intent_learns(store: Store) -> None:
    store.intents.open(_intent())
    store.intents.update("PLC-1", state=IntentState.ACKNOWLEDGED, perm_ids=(5,))
    store.intents.update("PLC-1", perm_ids=(5, 4), detail="moved")
    intent = store.intents.update("PLC-1")
    assert (intent.state, intent.perm_ids, intent.detail) == (IntentState.ACKNOWLEDGED, (5, 4), "moved")
    assert intent.updated_ns > NS
    assert store.intents.get("PLC-1") == intent
    with pytest.raises(StoreError):
        store.intents.update("PLC-2", state=IntentState.DONE)


def test_intents_by_state(store: Store) -> None:
    for number, state in enumerate(IntentState):
        store.intents.open(_intent(number, state=state))
    store.intents.open(_intent(50, client_id=8))
    found = store.intents.in_state(7, IntentState.IN_DOUBT, IntentState.SENDING)
    assert [intent.placement_id for intent in found] == ["PLC-0", "PLC-2"]
    assert store.intents.in_state(7, IntentState.SENDING, gateway="other") == []
    assert store.intents.in_state(7) == []


def test_of_many_who_open_one_intent_one_wrote_it(url: str) -> None:
    stores = [Store(url), Store(url)]
    with ThreadPoolExecutor(12) as threads:
        answers = list(
            threads.map(lambda n: stores[n % 2].intents.open(_intent(broker_order_id=200 + n)), range(12))
        )
    assert sum(is_new for _, is_new in answers) == 1
    assert len({intent.broker_order_id for intent, _ in answers}) == 1
    for store in stores:
        store.close()


def test_broker_order_ids_never_repeat(url: str) -> None:
    stores = [Store(url), Store(url)]
    with ThreadPoolExecutor(20) as threads:
        ids = list(
            threads.map(lambda n: stores[n % 2].intents.next_broker_order_id("ibkr/7", 100), range(200))
        )
    assert sorted(ids) == list(range(100, 300))
    for store in stores:
        store.close()


def test_broker_order_ids_never_go_back(store: Store) -> None:
    def following(at_least: int, key: str = "ibkr/7") -> int:
        return store.intents.next_broker_order_id(key, at_least)

    assert [following(1), following(1), following(500), following(3), following(501)] == [1, 2, 500, 501, 502]
    assert following(3) == 503
    assert following(1, "ibkr/8") == 1


def _report(seconds: int, **more: Any) -> GatewayReport:
    given = {
        "name": "ibkr",
        "venue": "IBKR",
        "accounts": ("DU1",),
        "connected": True,
        "gate_open": False,
        "detail": "reconciling",
        "in_doubt": 1,
        "queue": 2,
        "oldest_undelivered_ns": NS,
        "updated_ns": NS + seconds,
    }
    return GatewayReport(**{**given, **more})


def test_the_last_report_of_each_gateway(store: Store) -> None:
    store.gateways.report(_report(5))
    store.gateways.report(_report(9, queue=0))
    store.gateways.report(_report(7))
    store.gateways.report(_report(1, name="a"))
    assert store.gateways.all() == [_report(1, name="a"), _report(9, queue=0)]


def _run_out(store: Store, name: str = "ibkr") -> None:
    """Let the lease's time be over."""
    with store.database.write() as connection:
        past = datetime.now(UTC) - timedelta(seconds=1)
        is_it = tables.leases.c.name == name
        connection.execute(tables.leases.update().where(is_it).values(expires_at=past))


def test_a_lease_has_one_holder_until_it_runs_out(store: Store) -> None:
    leases = store.leases
    assert leases.acquire("ibkr", "one", 10)
    assert not leases.acquire("ibkr", "two", 10)
    assert leases.acquire("ibkr", "one", 10)
    assert leases.holder("ibkr") == "one"
    _run_out(store)
    assert leases.holder("ibkr") is None
    assert leases.acquire("ibkr", "two", 10)
    leases.release("ibkr", "one")
    assert not leases.acquire("ibkr", "one", 10)
    leases.release("ibkr", "two")
    assert leases.acquire("ibkr", "one", 10)


def test_a_lease_is_renewed_only_by_who_had_it_to_the_last(store: Store) -> None:
    leases = store.leases
    assert not leases.acquire("ibkr", "one", 10, only_renew=True)
    assert leases.acquire("ibkr", "one", 10)
    assert leases.acquire("ibkr", "one", 10, only_renew=True)
    _run_out(store)
    assert leases.acquire("ibkr", "one", 10, only_renew=True)
    assert not leases.acquire("ibkr", "two", 10)
    leases.release("ibkr", "one")
    assert not leases.acquire("ibkr", "one", 10, only_renew=True)


def test_a_host_whose_clock_is_wrong_takes_no_lease_from_another(store: Store) -> None:
    """On PostgreSQL the database's clock is the one that counts; SQLite has one host."""
    tomorrow = Leases(store.database, lambda: datetime.now(UTC) + timedelta(days=1))
    assert store.leases.acquire("ibkr", "one", 10)
    assert tomorrow.acquire("ibkr", "two", 10) is store.database.is_sqlite
    assert (tomorrow.holder("ibkr") == "one") is not store.database.is_sqlite


def test_what_is_written_behind_a_lost_lease_is_not_kept(store: Store) -> None:
    leases = store.leases
    assert leases.acquire("ibkr", "one", 10)
    with leases.fenced("ibkr", "one"):
        store.gateways.report(_report(1))
        _run_out(store)
        store.gateways.report(_report(2))
    assert leases.acquire("ibkr", "two", 10)
    with leases.fenced("ibkr", "one"), pytest.raises(LeaseLost, match="lost the lease ibkr to two"):
        store.gateways.report(_report(3))
    leases.release("ibkr", "two")
    with leases.fenced("ibkr", "one"), pytest.raises(LeaseLost, match="nobody"):
        store.gateways.report(_report(3))
    assert store.gateways.all() == [_report(2)]
    store.gateways.report(_report(4))


def test_of_many_who_want_a_lease_one_gets_it(url: str) -> None:
    stores = [Store(url), Store(url)]
    with ThreadPoolExecutor(12) as threads:
        got = list(threads.map(lambda n: stores[n % 2].leases.acquire("ibkr", str(n), 10), range(12)))
    assert sum(got) == 1
    for store in stores:
        store.close()
