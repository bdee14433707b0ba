"""IB algorithms by themselves: what they accept, and how they cut an order into slices."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.paper.test_matching import NOON, Bench, instrument, terms

from oms.paper.instructions import Algo, Instructions
from oms.paper.instruments import find
from oms.paper.market import Market, MarketSettings
from oms.paper.matching import MatchingEngine, Numbers
from oms.paper.orders import OrderExecuted, OrderTerms

MINUTE = timedelta(minutes=1)


def wire(moment: datetime) -> str:
    return moment.strftime("%Y%m%d-%H:%M:%S")


def algo(name: str, quantity: int = 1000, **tags: str) -> OrderTerms:
    return terms(
        1, quantity=Decimal(quantity), instructions=Instructions(algo=Algo(name, tuple(tags.items())))
    )


def fills(bench: Bench) -> list[Decimal]:
    return [fact.execution.quantity for fact in bench.facts if isinstance(fact, OrderExecuted)]


def work(bench: Bench, order: OrderTerms, steps: int, apart: timedelta = MINUTE) -> list[Decimal]:
    """Place an order and let the market take steps; the quantities it traded in."""
    bench.take(bench.engine.place(order, NOON))
    for step in range(1, steps + 1):
        bench.take(bench.engine.step(NOON + step * apart))
    return fills(bench)


@pytest.mark.parametrize(
    ("order", "most_steps"),
    [
        (algo("Adaptive", adaptivePriority="Urgent"), 3),
        (algo("Adaptive", adaptivePriority="Normal"), 6),
        (algo("Adaptive"), 6),
        (algo("Adaptive", adaptivePriority="Patient"), 12),
        (algo("ArrivalPx", riskAversion="Get Done"), 3),
        (algo("ArrivalPx", riskAversion="Aggressive"), 5),
        (algo("ArrivalPx", riskAversion="Passive", maxPctVol="0.5"), 12),
        (algo("Vwap"), 10),
        (algo("Twap", strategyType="Marketable"), 10),
        (algo("PctVol", pctVol="0.1"), 5),
    ],
)
def test_an_algorithm_completes_its_order_in_several_executions(order: OrderTerms, most_steps: int) -> None:
    bench = Bench()
    traded = work(bench, order, most_steps)
    assert bench.status(1) == "Filled"
    assert (len(traded) >= 3, sum(traded)) == (True, 1000)
    assert all(quantity % 1 == 0 for quantity in traded)


def test_slices_depend_on_the_seed_and_on_nothing_else() -> None:
    first, again = (work(Bench(), algo("Vwap"), 10) for _ in range(2))
    assert first == again
    assert len(set(first)) > 2
    other = Bench()
    other.market = Market(6, MarketSettings(moving=False))
    other.engine = MatchingEngine(other.market, Numbers(0, 0), other.known.get)
    assert work(other, algo("Vwap"), 10) != first


def test_patience_takes_longer() -> None:
    urgent, patient = Bench(), Bench()
    work(urgent, algo("Adaptive", adaptivePriority="Urgent"), 1)
    work(patient, algo("Adaptive", adaptivePriority="Patient"), 1)
    assert urgent.known[1, 1].filled > 3 * patient.known[1, 1].filled


def test_a_schedule_follows_the_clock_where_an_end_is_given() -> None:
    bench = Bench()
    begin, end = NOON + 10 * MINUTE, NOON + 30 * MINUTE
    order = algo("Twap", startTime=wire(begin), endTime=wire(end), allowPastEndTime="1")
    assert work(bench, order, 9) == []
    assert bench.status(1) == "PreSubmitted"
    for minute in range(10, 21):
        bench.take(bench.engine.step(NOON + minute * MINUTE))
    assert bench.status(1) == "Submitted"
    assert 300 < bench.known[1, 1].filled < 700
    for minute in range(21, 31):
        bench.take(bench.engine.step(NOON + minute * MINUTE))
    assert bench.status(1) == "Filled"


@pytest.mark.parametrize(
    ("tags", "status"),
    [({}, "Cancelled"), ({"forceCompletion": "1"}, "Filled"), ({"allowPastEndTime": "1"}, "Submitted")],
)
def test_what_is_left_at_the_end_of_its_time(tags: dict[str, str], status: str) -> None:
    bench = Bench()
    order = algo("ArrivalPx", 100_000, endTime=wire(NOON + 5 * MINUTE), maxPctVol="0.1", **tags)
    traded = work(bench, order, 5)
    # A tenth of the 2,400 that the market turns over in one step.
    assert set(traded[:4]) == {Decimal(240)}
    assert bench.status(1) == status
    assert bench.known[1, 1].filled == (100_000 if status == "Filled" else 240 * len(traded))
    assert bench.codes() == ([202] if status == "Cancelled" else [])


@pytest.mark.parametrize(
    ("order", "prices"),
    [
        (algo("Twap", strategyType="Matching Midpoint"), {"228.50"}),
        (algo("Twap", strategyType="Matching Same Side"), {"228.48"}),
        (algo("Twap", strategyType="Marketable"), {"228.52"}),
        (algo("Vwap", noTakeLiq="1"), {"228.48"}),
    ],
)
def test_where_an_algorithm_trades(order: OrderTerms, prices: set[str]) -> None:
    bench = Bench()
    work(bench, order, 3)
    told = {fact.execution.price for fact in bench.facts if isinstance(fact, OrderExecuted)}
    assert told == {Decimal(price) for price in prices}


def test_an_algorithm_keeps_to_the_limit() -> None:
    bench = Bench()
    low = {"order_type": "LMT", "limit": Decimal("228.51"), "instructions": algo("Adaptive").instructions}
    bench.take(bench.engine.place(terms(1, **low), NOON))
    bench.take(bench.engine.step(NOON))
    assert (bench.status(1), fills(bench)) == ("Submitted", [])
    bench.market.set_quote(instrument("AAPL").con_id, Decimal("228.40"), Decimal("228.50"))
    for _ in range(6):
        bench.take(bench.engine.step(NOON))
    assert bench.status(1) == "Filled"


def test_an_algorithm_cannot_be_changed_but_its_order_can() -> None:
    bench = Bench()
    bench.take(bench.engine.place(algo("Vwap"), NOON))
    bench.take(bench.engine.place(algo("Vwap", maxPctVol="0.1"), NOON))
    bench.take(bench.engine.place(terms(1, quantity=Decimal(1000)), NOON))
    assert bench.codes() == [440, 440]
    bench.take(bench.engine.place(algo("Vwap", 500), NOON))
    assert (bench.codes(), bench.known[1, 1].terms.quantity) == ([440, 440], 500)
    for _ in range(10):
        bench.take(bench.engine.step(NOON))
    assert (bench.status(1), sum(fills(bench))) == ("Filled", 500)


EARLIER = wire(NOON - MINUTE)


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (algo("Guess"), 439),
        (algo("Adaptive", urgency="Urgent"), 443),
        (algo("Adaptive", adaptivePriority="Soon"), 441),
        (algo("Vwap", maxPctVol="0.51"), 441),
        (algo("Vwap", maxPctVol="0"), 441),
        (algo("Vwap", maxPctVol="much"), 441),
        (algo("Vwap", noTakeLiq="true"), 441),
        (algo("Vwap", pctVol="0.1"), 443),
        (algo("Twap", strategyType="Matching Nothing"), 441),
        (algo("Twap", startTime="soon"), 441),
        (algo("Twap", endTime=EARLIER), 441),
        (algo("Twap", startTime=wire(NOON + MINUTE), endTime=wire(NOON + MINUTE)), 441),
        (algo("ArrivalPx", riskAversion="Careful"), 441),
        (algo("PctVol", pctVol="-0.1"), 441),
        (algo("PctVol", allowPastEndTime="1"), 443),
    ],
)
def test_tags_and_values_that_are_not_accepted(order: OrderTerms, code: int) -> None:
    bench = Bench()
    bench.take(bench.engine.place(order, NOON))
    assert (bench.codes(), bench.known) == ([code], {})


@pytest.mark.parametrize(
    "changes",
    [
        {"order_type": "STP", "stop": Decimal(100)},
        {"tif": "GTC"},
        {"instrument": find(990100003)[0]},
        {"instrument": find(symbol="EUR")[0]},
    ],
)
def test_orders_that_the_algorithm_does_not_work(changes: dict[str, Any]) -> None:
    bench = Bench()
    bench.take(bench.engine.place(terms(1, instructions=algo("Vwap").instructions, **changes), NOON))
    assert bench.codes() == [442]


def test_adaptive_works_an_option() -> None:
    bench = Bench()
    bench.take(
        bench.engine.place(
            terms(1, instrument=find(990100003)[0], instructions=algo("Adaptive").instructions), NOON
        )
    )
    for _ in range(6):
        bench.take(bench.engine.step(NOON))
    assert bench.status(1) == "Filled"
