"""Fetch, keep, compare: against the paper Flex service over HTTP, with real books on both sides."""

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import ActivityEnvironment

from oms.activities.flex import FlexActivities
from oms.domain.breaks import BreakCategory
from oms.domain.facts import Charged, Executed, PlacementReported
from oms.domain.reference import Account
from oms.domain.statements import CompareAsk, Compared, Fetched, FlexAsk
from oms.domain.terms import PlacementStatus, TimeInForce
from oms.gateways.flex import FlexClient, FlexSettings
from oms.gateways.flex.reader import identity, read_statement
from oms.gateways.ibkr.records import record_of
from oms.paper.flex import FlexPlan, FlexService
from oms.store import InboxMessage, IntentState, Store
from tests.activities.flex_desk import GATEWAY, breaks, compared, deliver, fetched, in_doubt, order, ref
from tests.flexing import ACCOUNT, HURRIED, NOON, QUERY, Broker, service, serving
from tests.store.building import APPLE

ZONE = "US/Eastern"
CONID = 265598


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    return Broker(tmp_path / "paper.db")


@pytest.fixture
def flex(broker: Broker) -> FlexService:
    return service(broker.file)


@pytest.fixture
def at(flex: FlexService) -> Iterator[FlexSettings]:
    with serving(flex) as settings:
        yield settings


@pytest.fixture
async def activities(at: FlexSettings, store: Store) -> AsyncIterator[FlexActivities]:
    store.reference.put_account(Account(account_id="ACCT-001", name="One", broker_account=ACCOUNT))
    store.reference.put_instrument(APPLE, APPLE.instrument_id)
    client = FlexClient(at, HURRIED)
    yield FlexActivities(store, client, QUERY, ZONE)
    await client.close()


# -- fetching ---------------------------------------------------------------------------------------------------------


async def test_a_statement_is_kept_once(activities: FlexActivities, store: Store, broker: Broker) -> None:
    broker.trades("100")
    first = await fetched(activities)
    assert (first.fresh, len(first.statement_ids)) == (1, 1)
    assert await fetched(activities) == Fetched(statement_ids=first.statement_ids, fresh=0)
    assert len(store.statements.list()) == 1


async def test_after_a_crash_the_reference_is_not_asked_for_again(
    activities: FlexActivities, broker: Broker, flex: FlexService
) -> None:
    broker.trades("1")
    beats: list[Any] = []
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *told: beats.append(told[0])
    await environment.run(activities.fetch_statement, FlexAsk())
    assert beats[0] is None
    flex.follow(FlexPlan(send=(1012,), in_progress=0))
    again = ActivityEnvironment()
    again.info = replace(again.info, heartbeat_details=[beats[-1]])
    told: Fetched = await again.run(activities.fetch_statement, FlexAsk())
    assert len(told.statement_ids) == 1


async def test_a_refusal_is_final_and_says_what_to_do(activities: FlexActivities, flex: FlexService) -> None:
    flex.follow(FlexPlan(send=(1012,)))
    with pytest.raises(ApplicationError, match="make a new token") as raised:
        await fetched(activities)
    assert (raised.value.type, raised.value.non_retryable) == ("FlexRefused", True)


async def test_a_busy_service_is_tried_again_later(at: FlexSettings, store: Store, flex: FlexService) -> None:
    flex.follow(FlexPlan(in_progress=1000))
    client = FlexClient(at, replace(HURRIED, patience=0))
    with pytest.raises(ApplicationError, match="1019") as raised:
        await fetched(FlexActivities(store, client, QUERY, ZONE))
    await client.close()
    assert (raised.value.type, raised.value.non_retryable) == ("FlexBusy", False)
    assert raised.value.category is ApplicationErrorCategory.BENIGN
    assert raised.value.next_retry_delay == timedelta(minutes=2)


# -- comparing --------------------------------------------------------------------------------------------------------


async def test_books_alike_are_clean(activities: FlexActivities, store: Store, broker: Broker) -> None:
    tale = order(store)
    exec_id = broker.trades("100", order_ref=ref(tale))
    tale.hear(tale.execution(100, "150.25", exec_id)).charged(exec_id).recorded(store)
    found = await compared(activities)
    assert (found.trades, found.matched, found.is_clean) == (1, 1, True)
    assert breaks(store) == ()


async def test_an_execution_that_was_missed_is_booked_exactly_once(
    activities: FlexActivities, store: Store, broker: Broker
) -> None:
    tale = order(store)
    exec_id = broker.trades("100", order_ref=ref(tale))
    found = await compared(activities)
    assert (found.given, found.waiting, found.differences) == (2, 1, 0)
    executed, charged = (row.fact for row in store.inbox.undelivered(GATEWAY))
    assert isinstance(executed, Executed)
    assert (executed.exec_id, executed.quantity, executed.price) == (exec_id, 100, Decimal("150.25"))
    assert isinstance(charged, Charged)
    assert (charged.exec_id, charged.commission) == (exec_id, Decimal("1.05"))
    assert (await compared(activities)).given == 0
    deliver(store, tale)
    assert tale.order.executed_quantity == 100
    after = await compared(activities)
    assert (after.matched, after.is_clean) == (1, True)
    assert breaks(store) == ()


async def test_the_gateways_own_word_and_the_statements_are_one(
    activities: FlexActivities, store: Store, broker: Broker
) -> None:
    """The natural key is the gateway's: what it heard meanwhile is not given again."""
    tale = order(store)
    exec_id = broker.trades("100", order_ref=ref(tale), commission="1.05")
    await compared(activities)
    fact = tale.execution(100, "150.25", exec_id)
    row = InboxMessage(f"exec/{exec_id}", tale.id, fact, fact.ts_init_ns)
    assert store.inbox.add(GATEWAY, [row]) == 0


async def test_what_an_order_never_books_becomes_a_break_and_clears_when_it_does(
    activities: FlexActivities, store: Store, broker: Broker
) -> None:
    tale = order(store)
    broker.trades("100", order_ref=ref(tale))
    await compared(activities)
    assert breaks(store) == ()
    found = await compared(activities, overdue=True)
    assert (found.opened, found.differences) == (2, 2)
    (trade,) = breaks(store, BreakCategory.TRADE)
    assert f"given to {tale.id}, which has not booked it" in trade.detail
    deliver(store, tale)
    assert (await compared(activities)).cleared == 2
    assert breaks(store) == ()


async def test_a_foreign_trade_is_one_break_that_persists_as_one(
    activities: FlexActivities, store: Store, broker: Broker
) -> None:
    order(store)
    exec_id = broker.trades("-7", order_ref="somebody else")
    first = await compared(activities)
    assert (first.given, first.opened) == (0, 2)
    (trade,) = breaks(store, BreakCategory.TRADE)
    assert (trade.source, trade.account, trade.subject) == (f"flex/{QUERY}", ACCOUNT, exec_id)
    assert (trade.ours, trade.theirs) == ("", "-7")
    (position,) = breaks(store, BreakCategory.POSITION)
    assert (position.subject, position.ours, position.theirs) == (f"AAPL STK USD {CONID}", "0", "-7")
    again = await compared(activities)
    assert (again.opened, again.cleared, again.differences) == (0, 0, 2)
    assert {one.break_id for one in breaks(store)} == {trade.break_id, position.break_id}
    store.breaks.resolve(trade.break_id, "ops", "the treasurer's hedge", time.time_ns())
    assert (await compared(activities)).opened == 0
    assert breaks(store, BreakCategory.TRADE) == ()


async def test_a_break_stands_when_the_next_statement_is_of_other_days(
    activities: FlexActivities, store: Store, broker: Broker
) -> None:
    """A statement that does not look at a day says nothing about it."""
    order(store)
    exec_id = broker.trades("3")
    await compared(activities)
    (before,) = breaks(store, BreakCategory.TRADE)
    tuesday = date(2026, 3, 3)
    found = await compared(activities, from_date=tuesday, to_date=tuesday)
    assert (found.trades, found.cleared) == (0, 0)
    assert breaks(store, BreakCategory.TRADE)[0].break_id == before.break_id
    assert before.subject == exec_id


async def test_what_we_booked_and_the_broker_did_not_is_a_break_until_it_does(
    activities: FlexActivities, store: Store, broker: Broker
) -> None:
    broker.trades("1", account="DU2")
    tale = order(store)
    executed = tale.execution(100, "150.25", "00025b46.63f8f39c.77.01")
    tale.hear(executed).recorded(store)
    found = await compared(activities)
    (trade,) = breaks(store, BreakCategory.TRADE)
    assert (found.opened, trade.ours, trade.theirs) == (2, "100", "")
    broker.trades("100", order_ref=ref(tale), exec_id=executed.exec_id)
    tale.charged(executed.exec_id).recorded(store)
    assert (await compared(activities)).cleared == 2


async def test_a_price_and_a_commission_that_differ_are_one_break_with_both_sides(
    activities: FlexActivities, store: Store, broker: Broker
) -> None:
    tale = order(store)
    exec_id = broker.trades("100", "150.25", order_ref=ref(tale), commission="1.05")
    tale.hear(tale.execution(100, "150.20", exec_id)).charged(exec_id, "1.00").recorded(store)
    await compared(activities)
    (one,) = breaks(store)
    assert (one.category, one.ours, one.theirs) == (BreakCategory.TRADE, "150.2", "150.25")
    assert "commission 1 in our books, 1.05 at the broker" in one.detail


async def test_a_correction_at_the_broker_reaches_the_order(
    activities: FlexActivities, store: Store, broker: Broker
) -> None:
    tale = order(store)
    first = broker.trades("100", order_ref=ref(tale), commission="2")
    tale.hear(tale.execution(100, "150.25", first)).charged(first, "2").recorded(store)
    second = broker.corrects(first, "90", "150.20", commission="1.80")
    assert (await compared(activities)).given == 2
    deliver(store, tale)
    (execution,) = tale.order.ledger.executions.values()
    assert (execution.exec_id, execution.quantity) == (second, 90)
    assert (await compared(activities)).is_clean


async def test_an_execution_that_the_broker_took_back_is_a_break_and_never_a_change(
    activities: FlexActivities, store: Store, broker: Broker
) -> None:
    tale = order(store)
    exec_id = broker.trades("100", order_ref=ref(tale))
    tale.hear(tale.execution(100, "150.25", exec_id)).charged(exec_id).recorded(store)
    broker.corrects(exec_id, "0", "150.25", commission="0")
    found = await compared(activities)
    assert (found.given, found.opened) == (0, 2)
    assert "took the execution back" in breaks(store, BreakCategory.TRADE)[0].detail
    assert tale.order.executed_quantity == 100


# -- doubts of earlier days -------------------------------------------------------------------------------------------


async def test_a_doubt_of_an_earlier_day_ends_with_the_statement(
    activities: FlexActivities, store: Store, broker: Broker
) -> None:
    tale = in_doubt(store)
    broker.trades("100", order_ref=ref(tale))
    assert tale.order.exceptions
    assert (await compared(activities)).given == 3
    intent = store.intents.by_ref(ref(tale))
    assert intent is not None
    assert (intent.state, record_of(intent).seen) == (IntentState.DONE, True)
    assert (record_of(intent).status, record_of(intent).filled) == (PlacementStatus.FILLED, 100)
    deliver(store, tale)
    assert (tale.order.executed_quantity, tale.order.exceptions) == (100, ())
    assert (await compared(activities)).is_clean


@pytest.mark.parametrize(
    ("time_in_force", "status", "state"),
    [
        (TimeInForce.DAY, PlacementStatus.EXPIRED, IntentState.DONE),
        (TimeInForce.GTC, PlacementStatus.WORKING, IntentState.ACKNOWLEDGED),
    ],
)
async def test_a_part_ends_an_order_whose_day_is_over_and_shows_another_to_be_alive(
    activities: FlexActivities,
    store: Store,
    broker: Broker,
    time_in_force: TimeInForce,
    status: PlacementStatus,
    state: IntentState,
) -> None:
    tale = in_doubt(store, time_in_force=time_in_force)
    broker.trades("40", order_ref=ref(tale))
    monday = date(2026, 3, 2)
    await compared(activities, from_date=monday, to_date=monday)
    intent = store.intents.by_ref(ref(tale))
    assert intent is not None
    assert (intent.state, record_of(intent).status) == (state, status)
    (report,) = (
        row.fact for row in store.inbox.undelivered(GATEWAY) if isinstance(row.fact, PlacementReported)
    )
    assert (report.status, report.filled_quantity) == (status, 40)


async def test_an_execution_in_the_statements_of_two_queries_counts_once(
    at: FlexSettings, activities: FlexActivities, store: Store, broker: Broker
) -> None:
    tale = in_doubt(store, time_in_force=TimeInForce.GTC)
    first = broker.trades("50", order_ref=ref(tale))
    monday = date(2026, 3, 2)
    await fetched(activities, from_date=monday, to_date=monday)
    broker.corrects(first, "40", "150.25")
    client = FlexClient(at, HURRIED)
    await compared(FlexActivities(store, client, "800970", ZONE), from_date=monday, to_date=monday)
    await client.close()
    (trade,) = store.statements.executed(ref(tale))
    intent = store.intents.by_ref(ref(tale))
    assert intent is not None
    assert (trade.quantity, intent.state) == (40, IntentState.ACKNOWLEDGED)
    assert (record_of(intent).status, record_of(intent).filled) == (PlacementStatus.WORKING, 40)


async def test_a_statement_without_the_order_proves_nothing(
    activities: FlexActivities, store: Store, broker: Broker
) -> None:
    tale = in_doubt(store)
    broker.trades("1", account="DU2")
    await compared(activities)
    intent = store.intents.by_ref(ref(tale))
    assert intent is not None
    assert intent.state is IntentState.IN_DOUBT
    assert store.inbox.undelivered(GATEWAY) == []


# -- what is not compared is said -------------------------------------------------------------------------------------


async def test_an_account_that_is_not_ours_is_said_and_not_compared(
    activities: FlexActivities, store: Store, broker: Broker, flex: FlexService
) -> None:
    broker.trades("5", account="DU999")
    flex._accounts = ("DU999",)
    found = await compared(activities)
    assert found.notes == ("account DU999 is not in our books; nothing was compared",)
    assert (found.is_clean, breaks(store)) == (False, ())


async def test_trades_from_before_our_books_are_said_and_are_no_breaks(
    activities: FlexActivities, store: Store, broker: Broker
) -> None:
    broker.now = NOON - timedelta(days=3)
    broker.trades("5")
    order(store)
    found = await compared(activities)
    assert found.notes == ("1 trades are older than our books",)
    assert breaks(store, BreakCategory.TRADE) == ()
    assert breaks(store, BreakCategory.POSITION)[0].theirs == "5"


async def test_a_section_that_is_absent_is_no_answer_and_never_zero(
    activities: FlexActivities, store: Store, broker: Broker
) -> None:
    tale = order(store)
    tale.hear(tale.execution(100, "150.25", "a.01")).recorded(store)
    broker.trades("1")
    await compared(activities)
    standing = {one.break_id for one in breaks(store)}
    assert len(standing) == 3
    (name,) = (await fetched(activities)).statement_ids
    body = store.statements.body(name)
    for section in ("Trades", "OpenPositions"):
        begin, end = body.index(f"<{section}>".encode()), body.index(f"</{section}>".encode())
        body = body[:begin] + body[end + len(section) + 3 :]
    bare = read_statement(body, QUERY, ZONE)
    later = bare.model_copy(update={"generated_at": datetime(2026, 3, 3, 18, 0, tzinfo=UTC)})
    name, _ = store.statements.keep(later, body, identity(body), 1)
    found: Compared = await ActivityEnvironment().run(
        activities.compare_statement, CompareAsk(statement_id=name)
    )
    assert [note.partition(";")[0] for note in found.notes] == [
        "the query has no Trades section",
        "the query has no Open Positions section",
    ]
    assert {one.break_id for one in breaks(store)} == standing


async def test_holdings_are_compared_with_the_latest_statement_only(
    activities: FlexActivities, store: Store, broker: Broker
) -> None:
    order(store)
    broker.trades("5")
    await compared(activities)
    sunday = date(2026, 3, 1)
    found = await compared(activities, from_date=sunday, to_date=sunday)
    assert found.notes == ("a statement up to 2026-03-03 is known; holdings are compared with that one",)
    assert len(breaks(store, BreakCategory.POSITION)) == 1


async def test_an_execution_after_the_end_of_the_statement_is_neither_missing_nor_held(
    activities: FlexActivities, store: Store, broker: Broker
) -> None:
    tale = order(store)
    exec_id = broker.trades("60", order_ref=ref(tale))
    tale.hear(tale.execution(60, "150.25", exec_id)).charged(exec_id).recorded(store)
    late = tale.execution(40, "150.25", "later.01")
    tomorrow = int((NOON + timedelta(days=1, hours=1)).timestamp()) * 1_000_000_000
    tale.hear(late.model_copy(update={"ts_event_ns": tomorrow})).recorded(store)
    assert (await compared(activities)).is_clean
