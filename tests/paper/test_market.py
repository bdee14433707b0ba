"""The market model, trading hours, accounts and the ledger, each by itself."""

import sqlite3
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.paper.test_matching import NOON, instrument, terms

from oms.paper.accounts import Accounts, Position
from oms.paper.hours import TradingHours, moment_of
from oms.paper.ib_book import read_executions, read_orders
from oms.paper.instruments import catalogue, find
from oms.paper.ledger import Ledger
from oms.paper.market import Market, MarketSettings
from oms.paper.orders import Execution, PaperOrder

AAPL = 265598


def path(market: Market, steps: int) -> list[tuple[Decimal, Decimal, Decimal, Decimal]]:
    walked = []
    for _ in range(steps):
        market.move([AAPL])
        quote = market.quote(AAPL)
        walked.append((quote.bid, quote.ask, quote.bid_size, quote.ask_size))
    return walked


def test_a_path_depends_on_the_seed_and_the_step_only() -> None:
    whole = path(Market(1, MarketSettings()), 60)
    assert len(set(whole)) > 30
    assert whole != path(Market(2, MarketSettings()), 60)
    first = Market(1, MarketSettings())
    assert path(first, 25) == whole[:25]
    restarted = Market(1, MarketSettings(), {AAPL: first.quote(AAPL)})
    assert path(restarted, 35) == whole[25:]


def test_prices_stay_on_the_tick_uncrossed_and_near_their_start() -> None:
    market = Market(3, MarketSettings(volatility=0.001))
    for con_id, traded in catalogue().items():
        for _ in range(50):
            market.move([con_id])
            quote = market.quote(con_id)
            assert 0 < quote.bid < quote.ask
            assert traded.on_tick(quote.bid)
            assert traded.on_tick(quote.ask)
            assert abs(quote.middle / traded.price - 1) < Decimal("0.05")
            assert quote.bid_size > 0


def test_the_catalogue() -> None:
    stocks = [i for i in catalogue().values() if i.security_type == "STK"]
    assert len(stocks) >= 25
    assert all(i.long_name.isascii() and "\\" not in i.long_name for i in catalogue().values())
    assert all(i.on_tick(i.price) for i in catalogue().values())
    assert find(AAPL, exchange="NYSE") == []
    assert find(symbol="AAPL", currency="EUR") == []
    assert find() == []
    assert [i.symbol for i in find(local_symbol="EUR.USD")] == ["EUR"]


def test_a_price_set_by_hand_holds_until_released() -> None:
    market = Market(1, MarketSettings())
    market.set_quote(AAPL, Decimal("10.00"), Decimal("10.02"), Decimal(30))
    market.move([AAPL])
    market.take(AAPL, "BUY", Decimal(20))
    quote = market.quote(AAPL)
    assert (quote.bid, quote.ask, quote.bid_size, quote.ask_size, quote.last) == (
        Decimal("10.00"),
        Decimal("10.02"),
        30,
        10,
        Decimal("10.02"),
    )
    market.take(AAPL, "SELL", Decimal(50))
    assert market.quote(AAPL).bid_size == 0
    market.release(AAPL)
    market.move([AAPL])
    assert market.quote(AAPL).bid > Decimal("10.02")
    assert market.quote(AAPL).bid_size > 0


def test_trading_hours() -> None:
    eastern = ZoneInfo("America/New_York")
    hours = TradingHours(holidays=frozenset({date(2026, 11, 26)}))
    assert hours.is_open(NOON)
    assert not hours.is_open(NOON - timedelta(hours=3))
    assert not hours.is_open(NOON + timedelta(hours=4))
    assert not hours.is_open(NOON + timedelta(days=1))
    friday, monday, wednesday, after = (datetime(2026, 11, d, 16, tzinfo=eastern) for d in (20, 23, 25, 27))
    assert hours.close_after(NOON) == friday
    assert hours.close_after(friday) == monday
    assert hours.close_after(NOON + timedelta(days=1)) == monday
    assert hours.close_after(wednesday) == after


def test_time_texts() -> None:
    assert moment_of("20261120-15:00:00") == datetime(2026, 11, 20, 15, tzinfo=UTC)
    assert moment_of("20261120 10:00:00 US/Eastern") == datetime(2026, 11, 20, 15, tzinfo=UTC)
    assert moment_of("20261120  10:00:00") == datetime(2026, 11, 20, 15, tzinfo=UTC)
    assert moment_of("20261120") > datetime(2026, 11, 21, 4, 59, tzinfo=UTC)
    for text in ("", "soon", "20261120 10:00:00 Mars/Base", "20261120 10:00:00 US", "20261320", "1 2 3 4"):
        with pytest.raises(ValueError, match=r"time|format|data|zone"):
            moment_of(text)


def executed(number: int, side: str, quantity: Decimal, price: Decimal) -> Execution:
    return Execution(
        exec_id=f"{number:08x}.00000001.01.01",
        client_id=1,
        order_id=number,
        perm_id=number,
        account="DU1",
        instrument=instrument("AAPL"),
        side=side,
        quantity=quantity,
        price=price,
        time=NOON,
        cumulative=quantity,
        average_price=price,
        commission=Decimal("1.00"),
        order_ref=f"r{number}",
    )


TRADES = st.lists(
    st.tuples(
        st.sampled_from(["BUY", "SELL"]),
        st.integers(1, 500).map(Decimal),
        st.integers(100, 300).map(Decimal),
    ),
    max_size=20,
)


@given(TRADES)
def test_money_is_conserved(trades: list[tuple[str, Decimal, Decimal]]) -> None:
    """Cash out plus the position at cost is profit realised: nothing appears or disappears."""
    market = Market(1, MarketSettings(cash=Decimal(0), moving=False))
    accounts = Accounts(("DU1",), market)
    quantity, opened = Decimal(0), Decimal(0)
    for number, (side, size, price) in enumerate(trades):
        execution = accounts.book(executed(number, side, size, price))
        quantity += execution.signed_quantity
        if execution.realized is None:
            opened += execution.commission
    held = accounts.positions.get(("DU1", AAPL), Position("DU1", instrument("AAPL")))
    assert held.quantity == quantity
    assert abs(accounts.cash["DU1"] + held.quantity * held.average + opened - held.realized) < Decimal(
        "0.001"
    )


def test_a_correction_leaves_what_a_right_first_report_would_have() -> None:
    market = Market(1, MarketSettings())
    wrong, right = Accounts(("DU1",), market), Accounts(("DU1",), market)
    first, second = (
        executed(1, "BUY", Decimal(100), Decimal(10)),
        executed(2, "SELL", Decimal(40), Decimal(12)),
    )
    corrected = replace(first, price=Decimal(9), exec_id=first.exec_id[:-1] + "2")
    for accounts, executions in ((wrong, (first, second)), (right, (corrected, second))):
        for execution in executions:
            accounts.book(execution)
    wrong.correct(first, corrected, [corrected, second])
    assert (wrong.positions, wrong.cash) == (right.positions, right.cash)


def test_the_ledger_gives_back_what_it_was_given(tmp_path: Path) -> None:
    file = tmp_path / "a file with % and ?.db"
    ledger = Ledger(file)
    order = PaperOrder(
        terms(1, order_type="LMT", limit=Decimal("1.10"), good_till=NOON), 5, "Submitted", NOON, expires=NOON
    )
    done = PaperOrder(terms(2), 6, "Submitted", NOON, filled=Decimal("0.5"), cost=Decimal("1E+2")).finished(
        "Filled", "ok", NOON
    )
    execution = replace(
        executed(1, "BUY", Decimal("0.5"), Decimal("1.10")), realized=Decimal("-1.5"), passive=True
    )
    position = Position("DU1", instrument("AAPL"), Decimal(5), Decimal("1.1"), Decimal(-2))
    quote = Market(1, MarketSettings()).quote(AAPL)
    ledger.put_order(order)
    ledger.put_order(done)
    ledger.put_execution(execution)
    ledger.put_position(position)
    ledger.put_quote(AAPL, quote)
    ledger.put_cash("DU1", Decimal("12.34"))
    ledger.put_highest_order_id(1, 2)
    ledger.put_counter("execution", 9)
    assert ledger.order((1, 1)) == order
    ledger.close()

    kept = Ledger(file)
    assert kept.live_orders() == [order]
    assert kept.completed_orders(NOON) == [done]
    assert kept.completed_orders(NOON + timedelta(seconds=1)) == []
    assert kept.executions() == kept.executions(NOON) == [execution] == [kept.execution(execution.exec_id)]
    assert kept.positions() == [position]
    assert kept.quotes() == {AAPL: quote}
    assert kept.cash() == {"DU1": Decimal("12.34")}
    assert kept.highest_order_ids() == {1: 2}
    assert (kept.highest_perm_id(), kept.counters()) == (6, {"execution": 9})
    assert [(e.exec_id, e.symbol, e.quantity) for e in read_executions(file)] == [
        (execution.exec_id, "AAPL", Decimal("0.5"))
    ]
    assert [(o.order_id, o.status, o.filled) for o in read_orders(file)] == [
        (1, "Submitted", 0),
        (2, "Filled", Decimal("0.5")),
    ]
    kept.close()
    assert len(read_orders(file)) == 2


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    file = tmp_path / "earlier.db"
    ledger = Ledger(file)
    order = PaperOrder(terms(1), 5, "Submitted", NOON)
    ledger.put_order(order)
    ledger.close()
    with sqlite3.connect(file) as db:
        db.execute("ALTER TABLE orders DROP COLUMN trail_stop")
        db.execute("ALTER TABLE orders DROP COLUMN looks")
    db.close()
    kept = Ledger(file)
    assert kept.live_orders() == [order]
    trails = replace(order, trail_stop=Decimal("1.5"), looks=3)
    kept.put_order(trails)
    assert kept.live_orders() == [trails]
    kept.close()
