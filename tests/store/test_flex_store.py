"""What a broker's statements say, kept once; what our books have of an account; evidence given in one piece."""

import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.store.building import APPLE, NOON, Tale

from oms.domain.breaks import BreakCategory, Difference
from oms.domain.facts import Executed
from oms.domain.identifiers import order_ref
from oms.domain.reference import Account
from oms.domain.statements import Contract, Statement, StatementPosition, TradeRow, standing_trades
from oms.domain.terms import Direction, OrderType, TimeInForce
from oms.domain.venues import PlacementTicket
from oms.store import InboxMessage, Intent, IntentState, Store
from oms.store.evidence import Ending

SOURCE, ACCOUNT = "flex/1", "DU1"
AAPL = Contract(conid=265598, symbol="AAPL", sec_type="STK", currency="USD")
DAY = date(2026, 3, 2)
MADE = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)


def row(exec_id: str, **changes: Any) -> TradeRow:
    given = {
        "account": ACCOUNT,
        "contract": AAPL,
        "trade_id": f"T-{exec_id.partition('.')[0]}",
        "exec_id": exec_id,
        "order_ref": "ref",
        "quantity": Decimal(10),
        "price": Decimal("1.5"),
        "trade_date": DAY,
        "ts_event_ns": 1,
    }
    return TradeRow(**{**given, **changes})


def statement(*rows: TradeRow, **changes: Any) -> Statement:
    given = {
        "source": SOURCE,
        "account": ACCOUNT,
        "from_date": DAY,
        "to_date": DAY,
        "generated_at": MADE,
        "zone": "US/Eastern",
        "trades": standing_trades(rows),
        "positions": (StatementPosition(account=ACCOUNT, contract=AAPL, quantity=Decimal(10)),),
    }
    return Statement(**{**given, **changes})


def keep(store: Store, made: Statement, mark: bytes = b"one") -> tuple[str, bool]:
    return store.statements.keep(made, b"<xml/>", mark, 7)


# -- statements -------------------------------------------------------------------------------------------------------


def test_the_same_statement_twice_is_one(store: Store) -> None:
    first, is_new = keep(store, statement(row("a.01")))
    assert is_new
    assert keep(store, statement(row("a.01"))) == (first, False)
    (kept,) = store.statements.list()
    assert (kept.statement_id, kept.source, kept.account) == (first, SOURCE, ACCOUNT)
    assert (kept.from_date, kept.to_date, kept.generated_at, kept.rows) == (DAY, DAY, MADE, 2)
    assert store.statements.body(first) == b"<xml/>"


def test_made_again_later_it_says_so_and_never_goes_back(store: Store) -> None:
    name, _ = keep(store, statement())
    later = statement(generated_at=MADE + timedelta(hours=1))
    assert store.statements.keep(later, b"<later/>", b"one", 8) == (name, False)
    keep(store, statement())
    kept = store.statements.get(name)
    assert kept is not None
    assert (kept.generated_at, kept.fetched_ns) == (MADE + timedelta(hours=1), 7)
    assert store.statements.body(name) == b"<later/>"


def test_another_content_other_days_or_another_account_is_another_statement(store: Store) -> None:
    names = {
        keep(store, statement())[0],
        keep(store, statement(), b"two")[0],
        keep(store, statement(to_date=DAY + timedelta(days=1)))[0],
        keep(store, statement(account="DU2"))[0],
        keep(store, statement(source="flex/2"))[0],
    }
    assert len(names) == 5
    assert len(store.statements.list(ACCOUNT)) == 4
    latest = store.statements.latest(SOURCE, ACCOUNT)
    assert latest is not None
    assert latest.to_date == DAY + timedelta(days=1)


def test_an_unknown_statement_is_none(store: Store) -> None:
    assert store.statements.get("STM-1") is None
    assert store.statements.latest(SOURCE, ACCOUNT) is None
    with pytest.raises(KeyError):
        store.statements.body("STM-1")


def test_of_an_execution_the_highest_revision_stands_in_any_order(store: Store) -> None:
    keep(store, statement(row("a.02", quantity=Decimal(9)), row("b.01")), b"younger")
    keep(store, statement(row("a.01")), b"older")
    told = {trade.key: trade.exec_id for trade in store.statements.trades(SOURCE, ACCOUNT, ["a", "b", "c"])}
    assert told == {"a": "a.02", "b": "b.01"}
    assert store.statements.trades(SOURCE, "DU2", ["a"]) == ()
    assert {trade.exec_id for trade in store.statements.executed("ref")} == {"a.02", "b.01"}


def test_what_a_later_statement_takes_back_is_taken_back_here(store: Store) -> None:
    keep(store, statement(row("a.01")), b"monday")
    back = row("", trade_id="", cancels="T-a", order_ref="")
    keep(store, statement(back, to_date=DAY + timedelta(days=1)), b"tuesday")
    (trade,) = store.statements.trades(SOURCE, ACCOUNT, ["a"])
    assert (trade.exec_id, trade.canceled, trade.quantity) == ("a.01", True, 0)
    keep(store, statement(row("a.01")), b"monday again")
    assert store.statements.trades(SOURCE, ACCOUNT, ["a"])[0].canceled


def test_many_trades_are_found_among_many(store: Store) -> None:
    rows = [row(f"x{number}.01") for number in range(1200)]
    keep(store, statement(*rows))
    assert len(store.statements.trades(SOURCE, ACCOUNT, [f"x{n}" for n in range(1200)])) == 1200


def test_the_subjects_that_stand_are_those_of_the_last_comparison(store: Store) -> None:
    def observed(*subjects: str) -> None:
        found = [Difference(subject=name, ours="", theirs="1", detail="d") for name in subjects]
        store.breaks.observe(SOURCE, ACCOUNT, BreakCategory.TRADE, found, time.time_ns())

    observed("a", "b")
    observed("b", "c")
    assert store.statements.standing(SOURCE, ACCOUNT, BreakCategory.TRADE) == {"b", "c"}
    assert store.statements.standing(SOURCE, ACCOUNT, BreakCategory.POSITION) == frozenset()


# -- our books --------------------------------------------------------------------------------------------------------


def test_executions_are_those_of_the_account_and_the_time_and_those_that_are_named(store: Store) -> None:
    store.reference.put_instrument(APPLE, APPLE.instrument_id)
    tale = Tale().placed()
    first, second = tale.execution(40, "150.25", "a.01"), tale.execution(60, "150.50", "b.01")
    second = second.model_copy(update={"ts_event_ns": first.ts_event_ns + 1_000})
    tale.hear(first).hear(second).charged("a.01", "0.50").recorded(store)
    booked = store.booked.executions("DU1", first.ts_event_ns, second.ts_event_ns)
    (execution,) = booked.values()
    assert (execution.exec_id, execution.order_id, execution.key) == ("a.01", tale.id, "a")
    assert (execution.quantity, execution.price, execution.commission) == (
        40,
        Decimal("150.25"),
        Decimal("0.5"),
    )
    assert execution.instrument == APPLE
    assert store.booked.executions("DU2", 0, 2**62) == {}
    assert set(store.booked.executions("DU2", 0, 2**62, ["b", "nobody"])) == {"b"}


def test_holdings_are_of_the_placements_account_until_a_moment(store: Store) -> None:
    for direction, quantity in (("Buy", 100), ("Sell", 30), ("SellShort", 5), ("BuyToCover", 2)):
        Tale(direction=direction, ordered_quantity=Decimal(quantity)).placed().filled().recorded(store)
    later = Tale(at=NOON + timedelta(days=1)).placed().filled().recorded(store)
    moment = int((NOON + timedelta(hours=1)).timestamp()) * 1_000_000_000
    (holding,) = store.booked.holdings("DU1", moment)
    assert (holding.instrument.instrument_id, holding.quantity) == (APPLE.instrument_id, 67)
    assert store.booked.holdings("DU1", later.now_ns + 1)[0].quantity == 167
    assert store.booked.holdings("DU2", later.now_ns + 1) == []


def test_books_begin_with_the_first_order(store: Store) -> None:
    assert store.booked.begins_ns() is None
    Tale(at=NOON + timedelta(days=1)).recorded(store)
    Tale().recorded(store)
    assert store.booked.begins_ns() == int(NOON.timestamp()) * 1_000_000_000


def test_an_account_is_known_by_our_reference_data(store: Store) -> None:
    store.reference.put_account(Account(account_id="ACCT-1", name="One", broker_account="DU1"))
    assert (store.booked.knows("DU1"), store.booked.knows("DU2")) == (True, False)


# -- evidence ---------------------------------------------------------------------------------------------------------


def intent(store: Store) -> Intent:
    tale = Tale().placed()
    placement_id = tale.order.placements[-1].placement_id
    ticket = PlacementTicket(
        order_id=tale.id,
        placement_id=placement_id,
        venue="IBKR",
        account="DU1",
        instrument=APPLE,
        direction=Direction.BUY,
        quantity=Decimal(100),
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.DAY,
    )
    made, _ = store.intents.open(
        Intent(
            placement_id=placement_id,
            order_id=tale.id,
            gateway="ibkr/17",
            client_id=17,
            broker_order_id=1,
            order_ref=order_ref(placement_id),
            account="DU1",
            state=IntentState.IN_DOUBT,
            ticket=ticket,
            created_ns=1,
            updated_ns=1,
        )
    )
    return made


def message(key: str, order_id: str) -> InboxMessage:
    fact = Executed(
        placement_id="P",
        exec_id=key,
        quantity="1",
        price="1",
        currency="USD",
        venue="IBKR",
        ts_event_ns=1,
        ts_init_ns=1,
    )
    return InboxMessage(key, order_id, fact, 1)


def test_evidence_is_one_row_each_and_ends_a_doubt_once(store: Store) -> None:
    doubtful = intent(store)
    ends = Ending(doubtful, IntentState.DONE, "{}", message("end", doubtful.order_id))
    told = [message("exec/a.01", doubtful.order_id)]
    assert store.evidence.give("ibkr/17", told, ends, 5) == (2, True)
    assert store.evidence.give("ibkr/17", told, ends, 6) == (0, False)
    after = store.intents.get(doubtful.placement_id)
    assert after is not None
    assert (after.state, after.updated_ns, after.detail) == (IntentState.DONE, 5, "{}")
    assert len(store.inbox.undelivered("ibkr/17")) == 2


def test_an_intent_that_its_gateway_has_moved_meanwhile_stays_where_it_is(store: Store) -> None:
    doubtful = intent(store)
    store.intents.update(doubtful.placement_id, state=IntentState.ACKNOWLEDGED)
    ends = Ending(doubtful, IntentState.DONE, "{}", message("end", doubtful.order_id))
    assert store.evidence.give("ibkr/17", [message("exec/a.01", doubtful.order_id)], ends, 5) == (1, False)
    after = store.intents.get(doubtful.placement_id)
    assert after is not None
    assert after.state is IntentState.ACKNOWLEDGED


def test_nothing_to_give_is_nothing_written(store: Store) -> None:
    assert store.evidence.give("ibkr/17", [], None, 5) == (0, False)
