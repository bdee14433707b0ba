"""What each order type does with the market, by itself: trailing stops, midpoints, auctions, hours."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.paper.test_matching import NOON, Bench, instrument, terms

from oms.paper.hours import TradingHours
from oms.paper.instructions import Instructions, Trail
from oms.paper.instruments import find
from oms.paper.orders import OrderKept, OrderRefused, OrderReported, OrderTerms

EVENING = NOON + timedelta(hours=5)  # 17:00 in New York


def trailing(order_id: int = 1, side: str = "SELL", **trail: Decimal) -> OrderTerms:
    kind = "TRAIL LIMIT" if "offset" in trail else "TRAIL"
    return terms(order_id, side=side, order_type=kind, instructions=Instructions(trail=Trail(**trail)))


def priced(bench: Bench, bid: str, ask: str, now: datetime = NOON) -> None:
    """The market comes to a price, and orders look at it."""
    bench.market.set_quote(instrument("AAPL").con_id, Decimal(bid), Decimal(ask))
    bench.take(bench.engine.step(now))


def stop_of(bench: Bench, order_id: int = 1) -> Decimal | None:
    return bench.known[1, order_id].trail_stop


def test_a_trailing_stop_to_sell_follows_the_bid_up_and_never_back() -> None:
    bench = Bench()
    bench.take(bench.engine.place(trailing(amount=Decimal(2)), NOON))
    assert (bench.status(1), bench.known[1, 1].why_held) == ("PreSubmitted", "trigger")
    assert stop_of(bench) == Decimal("226.48")
    for bid, stop in (("230.00", "228.00"), ("229.00", "228.00"), ("231.50", "229.50"), ("229.51", "229.50")):
        priced(bench, bid, "240.00")
        assert stop_of(bench) == Decimal(stop)
        assert bench.status(1) == "PreSubmitted"
    priced(bench, "229.50", "240.00")
    assert bench.status(1) == "Filled"
    assert bench.known[1, 1].average_price == Decimal("229.50")


def test_a_trailing_stop_to_buy_follows_the_offer_down() -> None:
    bench = Bench()
    bench.take(bench.engine.place(trailing(side="BUY", percent=Decimal(1)), NOON))
    # 1 % above 228.52 is 230.8052: the stop is never tighter than asked.
    assert stop_of(bench) == Decimal("230.81")
    priced(bench, "199.00", "200.00")
    assert stop_of(bench) == Decimal("202.00")
    priced(bench, "200.00", "201.99")
    assert stop_of(bench) == Decimal("202.00")
    priced(bench, "202.00", "202.05")
    assert bench.status(1) == "Filled"


def test_a_trailing_stop_moves_without_a_word() -> None:
    bench = Bench()
    bench.take(bench.engine.place(trailing(amount=Decimal(2)), NOON))
    bench.facts.clear()
    priced(bench, "230.00", "230.02")
    priced(bench, "230.00", "230.02")
    assert [type(fact) for fact in bench.facts] == [OrderKept]


def test_a_trail_begins_where_it_is_told_to() -> None:
    bench = Bench()
    bench.take(bench.engine.place(trailing(amount=Decimal(2), starts=Decimal(220)), NOON))
    bench.take(bench.engine.place(trailing(2, amount=Decimal(2), starts=Decimal("227.00")), NOON))
    assert (stop_of(bench), stop_of(bench, 2)) == (Decimal(220), Decimal("227.00"))
    priced(bench, "226.90", "226.92")
    assert [bench.status(n) for n in (1, 2)] == ["PreSubmitted", "Filled"]
    assert stop_of(bench) == Decimal("224.90")


def test_the_limit_of_a_trailing_stop_limit_hangs_on_its_stop() -> None:
    bench = Bench()
    bench.take(bench.engine.place(trailing(amount=Decimal(2), offset=Decimal("0.50")), NOON))
    bench.take(bench.engine.place(trailing(2, "BUY", amount=Decimal(2), offset=Decimal("0.50")), NOON))
    priced(bench, "232.00", "232.02")
    assert (stop_of(bench), bench.status(2)) == (Decimal("230.00"), "Submitted")
    # 230.52 + 0.50 is below the offer: it was triggered and rests.
    assert bench.known[1, 2].triggered
    priced(bench, "229.00", "229.02")
    assert bench.status(1) == "Submitted"
    priced(bench, "229.49", "231.00")
    assert bench.status(1) == "Submitted"
    priced(bench, "229.50", "231.00")
    assert (bench.status(1), bench.known[1, 1].average_price) == ("Filled", Decimal("229.50"))
    assert (bench.status(2), bench.known[1, 2].average_price) == ("Filled", Decimal("231.02"))


@pytest.mark.parametrize(
    ("changed", "stop"),
    [
        ({"amount": Decimal(2)}, "228.00"),  # the same again goes on
        ({"amount": Decimal(2), "starts": Decimal("228.00")}, "228.00"),  # as openOrder shows it
        ({"amount": Decimal(5)}, "225.00"),  # another distance starts from the market
        ({"amount": Decimal(2), "starts": Decimal("228.50")}, "228.50"),  # another stop is taken
    ],
)
def test_a_modify_of_a_trail(changed: dict[str, Decimal], stop: str) -> None:
    bench = Bench()
    bench.take(bench.engine.place(trailing(amount=Decimal(2), starts=Decimal("220.00")), NOON))
    priced(bench, "230.00", "230.02")
    bench.take(bench.engine.place(trailing(**changed), NOON))
    assert (stop_of(bench), bench.status(1)) == (Decimal(stop), "PreSubmitted")


def test_a_triggered_trail_stays_triggered_when_it_is_sent_again() -> None:
    bench = Bench()
    sent = trailing(amount=Decimal(2), offset=Decimal("0.10"), starts=Decimal("228.00"))
    bench.take(bench.engine.place(sent, NOON))
    priced(bench, "225.00", "225.02")
    assert bench.status(1) == "Submitted"
    again = replace(
        sent,
        quantity=Decimal(50),
        instructions=trailing(amount=Decimal(2), offset=Decimal("0.10")).instructions,
    )
    bench.take(bench.engine.place(again, NOON))
    assert (bench.status(1), bench.known[1, 1].triggered, stop_of(bench)) == (
        "Submitted",
        True,
        Decimal("228.00"),
    )


def test_a_midprice_order_trades_at_the_midpoint_and_keeps_its_cap() -> None:
    bench = Bench()
    aapl = instrument("AAPL").con_id
    bench.market.set_quote(aapl, Decimal("228.40"), Decimal("228.51"))
    bench.take(bench.engine.place(terms(1, order_type="MIDPRICE"), NOON))
    bench.take(bench.engine.place(terms(2, order_type="MIDPRICE", side="SELL"), NOON))
    # The midpoint is 228.455: half a tick for the order, on both sides.
    assert [bench.known[1, n].average_price for n in (1, 2)] == [Decimal("228.45"), Decimal("228.46")]
    assert bench.market.quote(aapl).last == Decimal("228.46")
    bench.take(bench.engine.place(terms(3, order_type="MIDPRICE", limit=Decimal("228.44")), NOON))
    assert bench.status(3) == "Submitted"
    priced(bench, "228.38", "228.48")
    assert (bench.status(3), bench.known[1, 3].average_price) == ("Filled", Decimal("228.43"))


def test_a_limit_on_open_and_a_market_on_close() -> None:
    bench = Bench(TradingHours())
    bench.take(bench.engine.place(terms(1, order_type="LMT", limit=Decimal(100), tif="OPG"), EVENING))
    bench.take(bench.engine.place(terms(2, order_type="LMT", limit=Decimal(300), tif="OPG"), EVENING))
    bench.take(bench.engine.place(terms(3, order_type="MOC"), EVENING))
    monday = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
    bench.take(bench.engine.step(monday - timedelta(minutes=1)))
    assert [bench.status(n) for n in (1, 2, 3)] == ["PreSubmitted"] * 3
    bench.take(bench.engine.step(monday))
    assert [bench.status(n) for n in (1, 2, 3)] == ["Cancelled", "Filled", "PreSubmitted"]
    bench.take(bench.engine.step(monday + timedelta(hours=6, minutes=30)))
    assert bench.status(3) == "Filled"


def test_extended_hours_are_for_those_who_ask() -> None:
    bench = Bench(TradingHours())
    asked = Instructions(outside_rth=True)
    high = {"order_type": "LMT", "limit": Decimal(300)}
    bench.take(bench.engine.place(terms(1, **high), EVENING))
    bench.take(bench.engine.place(terms(2, instructions=asked, **high), EVENING))
    bench.take(bench.engine.place(terms(3, instructions=asked), EVENING))
    assert [bench.status(n) for n in (1, 2, 3)] == ["PreSubmitted", "Filled", "PreSubmitted"]
    # Extended hours end at 20:00; what was for them ends with them, what was not stays for the next session.
    bench.take(bench.engine.place(terms(4, order_type="LMT", limit=Decimal(1), instructions=asked), EVENING))
    bench.take(bench.engine.step(EVENING + timedelta(hours=3)))
    assert [bench.status(n) for n in (1, 3, 4)] == ["PreSubmitted", "PreSubmitted", "Cancelled"]
    bench.take(bench.engine.step(datetime(2026, 11, 23, 14, 30, tzinfo=UTC)))
    assert [bench.status(n) for n in (1, 3)] == ["Filled", "Filled"]
    assert 2109 in bench.codes()


def test_a_stop_triggers_in_extended_hours_where_it_asked_for_them() -> None:
    bench = Bench(TradingHours())
    stop = {"order_type": "STP", "stop": Decimal(220), "side": "SELL"}
    bench.take(bench.engine.place(terms(1, **stop), EVENING))
    bench.take(bench.engine.place(terms(2, instructions=Instructions(outside_rth=True), **stop), EVENING))
    priced(bench, "219.00", "219.02", EVENING)
    assert [bench.status(n) for n in (1, 2)] == ["PreSubmitted", "Filled"]


@pytest.mark.parametrize(
    ("changes", "wakes_as"),
    [
        ({}, "Filled"),
        ({"order_type": "LMT", "limit": Decimal(100)}, "Submitted"),
        ({"order_type": "STP", "stop": Decimal(300)}, "PreSubmitted"),
    ],
)
def test_an_order_sleeps_until_its_time(changes: dict[str, Any], wakes_as: str) -> None:
    bench = Bench()
    later = NOON + timedelta(minutes=30)
    sent = terms(1, instructions=Instructions(good_after=later), **changes)
    bench.take(bench.engine.place(sent, NOON))
    bench.take(bench.engine.step(later - timedelta(seconds=1)))
    assert (bench.status(1), bench.known[1, 1].why_held) == ("PreSubmitted", "")
    bench.facts.clear()
    bench.take(bench.engine.step(later))
    assert bench.status(1) == wakes_as
    assert bench.known[1, 1].why_held == ("trigger" if wakes_as == "PreSubmitted" else "")
    assert bench.facts


def test_a_trail_that_sleeps_starts_from_the_market_of_its_time() -> None:
    bench = Bench()
    later = NOON + timedelta(minutes=30)
    sent = trailing(amount=Decimal(2))
    bench.take(
        bench.engine.place(replace(sent, instructions=replace(sent.instructions, good_after=later)), NOON)
    )
    assert stop_of(bench) is None
    priced(bench, "250.00", "250.02")
    priced(bench, "210.00", "210.02", later)
    assert stop_of(bench) == Decimal("208.00")


def test_a_day_order_for_later_is_good_for_the_day_on_which_it_begins() -> None:
    bench = Bench(TradingHours())
    monday = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
    sent = terms(1, order_type="LMT", limit=Decimal(1), instructions=Instructions(good_after=monday))
    bench.take(bench.engine.place(sent, NOON))
    bench.take(bench.engine.step(NOON + timedelta(hours=4)))
    assert bench.status(1) == "PreSubmitted"
    bench.take(bench.engine.step(monday))
    assert bench.status(1) == "Submitted"
    bench.take(bench.engine.step(monday + timedelta(hours=6)))
    assert bench.status(1) == "Cancelled"


OPTION = find(990100003)[0]
EURO = find(symbol="EUR")[0]
FUTURE = find(symbol="ES")[0]
TRAIL = Instructions(trail=Trail(amount=Decimal(1)))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"order_type": "REL"}, 387),
        ({"order_type": "MIDPRICE", "instrument": OPTION}, 387),
        ({"order_type": "MIDPRICE", "tif": "GTC"}, 201),
        ({"order_type": "MIDPRICE", "limit": Decimal("1.001")}, 110),
        ({"order_type": "MOC", "instrument": EURO}, 387),
        ({"order_type": "LOC", "limit": Decimal(5), "instrument": OPTION}, 387),
        ({"order_type": "MOC", "tif": "GTC"}, 201),
        ({"tif": "OPG", "instrument": EURO}, 201),
        ({"order_type": "STP", "stop": Decimal(1), "tif": "IOC"}, 201),
        ({"order_type": "TRAIL"}, 201),
        ({"order_type": "TRAIL", "instructions": Instructions(trail=Trail())}, 201),
        ({"order_type": "TRAIL", "instructions": Instructions(trail=Trail(Decimal(1), Decimal(1)))}, 201),
        ({"order_type": "TRAIL", "instructions": Instructions(trail=Trail(Decimal(-1)))}, 201),
        ({"order_type": "TRAIL", "instructions": Instructions(trail=Trail(percent=Decimal(100)))}, 201),
        ({"order_type": "TRAIL", "instructions": Instructions(trail=Trail(Decimal("0.001")))}, 110),
        (
            {
                "order_type": "TRAIL",
                "instructions": Instructions(trail=Trail(Decimal(1), starts=Decimal("5.001"))),
            },
            110,
        ),
        ({"order_type": "TRAIL", "instructions": TRAIL, "tif": "FOK"}, 201),
        ({"order_type": "TRAIL LIMIT", "instructions": TRAIL}, 201),
        ({"instrument": OPTION, "quantity": Decimal("1.5")}, 201),
        ({"instrument": OPTION, "order_type": "LMT", "limit": Decimal("3.01")}, 110),
        ({"instrument": EURO, "order_type": "LMT", "limit": Decimal("1.05501")}, 110),
    ],
)
def test_what_the_broker_does_not_take(changes: dict[str, Any], code: int) -> None:
    bench = Bench()
    bench.take(bench.engine.place(terms(1, **changes), NOON))
    assert bench.codes() == [code]
    assert not bench.engine.live


@pytest.mark.parametrize(
    ("limit", "taken"), [("2.99", True), ("3.00", True), ("3.05", True), ("3.04", False)]
)
def test_an_option_has_a_wider_tick_from_three_on(limit: str, taken: bool) -> None:
    bench = Bench()
    bench.take(bench.engine.place(terms(1, instrument=OPTION, order_type="LMT", limit=Decimal(limit)), NOON))
    assert bool(bench.engine.live) is taken


@pytest.mark.parametrize(
    ("limit", "taken"), [("0.8455", True), ("0.84555", False), ("1.01", True), ("1.005", False)]
)
def test_a_stock_has_a_finer_tick_below_one(limit: str, taken: bool) -> None:
    bench = Bench()
    dime = terms(
        1, instrument=instrument("DIME"), order_type="LMT", limit=Decimal(limit), tif="GTC", side="SELL"
    )
    found = bench.engine.problem(dime, NOON)
    assert (found is None) is taken


def test_a_modify_to_the_same_values_changes_nothing() -> None:
    bench = Bench()
    thin = {"instrument": instrument("THIN"), "order_type": "LMT", "limit": Decimal("12.10")}
    bench.take(bench.engine.place(terms(1, quantity=Decimal(300), **thin), NOON))
    bench.market.set_quote(instrument("THIN").con_id, Decimal(12), Decimal("12.05"), Decimal(50))
    before = bench.known[1, 1]
    bench.facts.clear()
    bench.take(bench.engine.place(terms(1, quantity=Decimal(300), **thin), NOON))
    # Not even a fill: looking at it is the market's business.
    assert bench.facts == [OrderReported(before)]


def test_a_modify_that_comes_too_soon_is_a_duplicate() -> None:
    bench = Bench()
    bench.engine.modify_after = timedelta(seconds=1)
    low = {"order_type": "LMT", "limit": Decimal(100)}
    bench.take(bench.engine.place(terms(1, **low), NOON))
    bench.take(bench.engine.place(terms(1, quantity=Decimal(50), **low), NOON + timedelta(milliseconds=900)))
    assert (bench.codes(), bench.known[1, 1].terms.quantity) == ([103], 100)
    bench.take(bench.engine.place(terms(1, quantity=Decimal(50), **low), NOON + timedelta(seconds=1)))
    assert (bench.codes(), bench.known[1, 1].terms.quantity) == ([103], 50)


def test_a_small_currency_order_is_told_that_it_is_an_odd_lot() -> None:
    bench = Bench()
    bench.take(bench.engine.place(terms(1, instrument=EURO, quantity=Decimal(10_000)), NOON))
    (told,) = [fact for fact in bench.facts if isinstance(fact, OrderRefused)]
    assert (told.code, bench.status(1)) == (399, "Filled")


def test_somebody_trades_with_a_live_order() -> None:
    bench = Bench()
    bench.take(bench.engine.place(terms(1, order_type="LMT", limit=Decimal(100)), NOON))
    bench.take(bench.engine.trade((1, 1), Decimal(60), Decimal(100), NOON))
    assert (bench.known[1, 1].filled, bench.status(1)) == (60, "Submitted")
    with pytest.raises(ValueError, match="40 left"):
        bench.engine.trade((1, 1), Decimal(41), Decimal(100), NOON)
    bench.take(bench.engine.trade((1, 1), Decimal(40), Decimal(100), NOON))
    assert bench.status(1) == "Filled"
    with pytest.raises(KeyError):
        bench.engine.trade((1, 1), Decimal(1), Decimal(100), NOON)
