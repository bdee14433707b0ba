"""The order state machine by itself: whatever happens, quantities conserve and finished stays finished."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from oms.paper.hours import TradingHours
from oms.paper.instructions import Algo, Instructions, Trail
from oms.paper.instruments import Instrument, find
from oms.paper.live_orders import LiveOrders
from oms.paper.market import Market, MarketSettings
from oms.paper.matching import MatchingEngine, Numbers
from oms.paper.order_layout import OrderFields
from oms.paper.orders import (
    FINISHED,
    Fact,
    OrderExecuted,
    OrderKept,
    OrderKey,
    OrderRefused,
    OrderReported,
    OrderTerms,
    PaperOrder,
    commission,
    corrected_id,
)
from oms.paper.trailing import limit_of

NOON = datetime(2026, 11, 20, 17, 0, tzinfo=UTC)  # a Friday, 12:00 in New York


def instrument(symbol: str) -> Instrument:
    return find(symbol=symbol)[0]


def terms(order_id: int, **changes: Any) -> OrderTerms:
    values: dict[str, Any] = {
        "client_id": 1,
        "order_id": order_id,
        "instrument": instrument("AAPL"),
        "account": "DU1",
        "order_ref": f"r{order_id}",
        "side": "BUY",
        "quantity": Decimal(100),
        "order_type": "MKT",
        "limit": None,
        "stop": None,
        "tif": "DAY",
        "good_till": None,
        "oca_group": "",
        "oca_type": 0,
        "parent_id": 0,
        "transmit": True,
        "attributes": OrderFields({"totalQuantity": str(changes.get("quantity", 100))}),
    }
    return OrderTerms(**(values | changes))


class Bench:
    """An engine with the memory of finished orders a ledger would have."""

    def __init__(self, hours: TradingHours | None = None, *, moving: bool = False) -> None:
        self.market = Market(5, MarketSettings(moving=moving, volatility=0.004))
        self.known: dict[OrderKey, PaperOrder] = {}
        self.engine = MatchingEngine(self.market, Numbers(0, 0), self.known.get, hours)
        self.facts: list[Fact] = []

    def take(self, facts: list[Fact]) -> list[Fact]:
        for fact in facts:
            if isinstance(fact, OrderKept | OrderReported | OrderExecuted):
                before = self.known.get(fact.order.key)
                assert before is None or before.live, "a finished order changed"
                self.known[fact.order.key] = fact.order
        self.facts += facts
        return facts

    def status(self, order_id: int) -> str:
        return self.known[1, order_id].status

    def codes(self) -> list[int]:
        return [f.code for f in self.facts if isinstance(f, OrderRefused)]


def test_day_orders_end_with_the_session() -> None:
    bench = Bench(TradingHours())
    bench.take(bench.engine.place(terms(1, order_type="LMT", limit=Decimal(100)), NOON))
    bench.take(bench.engine.place(terms(2, order_type="LMT", limit=Decimal(100), tif="GTC"), NOON))
    bench.take(bench.engine.place(terms(3, order_type="MOC"), NOON))
    bench.take(bench.engine.step(NOON + timedelta(hours=3, minutes=59)))
    assert [bench.status(n) for n in (1, 2, 3)] == ["Submitted", "Submitted", "PreSubmitted"]
    bench.take(bench.engine.step(NOON + timedelta(hours=4)))
    assert [bench.status(n) for n in (1, 2, 3)] == ["Cancelled", "Submitted", "Filled"]
    assert bench.codes() == [202]


def test_orders_sent_while_closed_wait_for_the_opening() -> None:
    bench = Bench(TradingHours())
    evening = NOON + timedelta(hours=6)
    bench.take(bench.engine.place(terms(1), evening))
    bench.take(bench.engine.place(terms(2, tif="OPG"), evening))
    assert bench.codes() == [399, 399]
    monday = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
    bench.take(bench.engine.step(monday - timedelta(seconds=1)))
    assert [bench.status(n) for n in (1, 2)] == ["PreSubmitted", "PreSubmitted"]
    bench.take(bench.engine.step(monday))
    assert [bench.status(n) for n in (1, 2)] == ["Filled", "Filled"]


def test_a_limit_order_that_waited_is_reported_when_it_starts_to_work() -> None:
    bench = Bench(TradingHours())
    bench.take(
        bench.engine.place(
            terms(1, order_type="LMT", limit=Decimal(100), tif="GTC"), NOON + timedelta(days=1)
        )
    )
    assert bench.status(1) == "PreSubmitted"
    bench.facts.clear()
    bench.take(bench.engine.step(NOON + timedelta(days=3)))
    bench.take(bench.engine.step(NOON + timedelta(days=3)))
    assert [type(fact) for fact in bench.facts] == [OrderReported]
    assert bench.status(1) == "Submitted"


def test_limit_on_close_needs_its_price() -> None:
    bench = Bench()
    bench.take(bench.engine.place(terms(1, order_type="LOC", limit=Decimal(100)), NOON))
    bench.take(bench.engine.place(terms(2, order_type="LOC", limit=Decimal(300)), NOON))
    bench.take(bench.engine.step(NOON))
    assert [bench.status(n) for n in (1, 2)] == ["Cancelled", "Filled"]


def test_a_modify_must_match_the_order() -> None:
    bench = Bench()
    bench.take(bench.engine.place(terms(1, order_type="LMT", limit=Decimal(100)), NOON))
    bench.take(bench.engine.place(terms(1, order_type="LMT", limit=Decimal(100), side="SELL"), NOON))
    assert bench.codes() == [105]
    bench.take(bench.engine.place(terms(1, order_type="MKT"), NOON))
    assert bench.status(1) == "Filled"


def test_a_modify_to_the_filled_quantity_completes_the_order() -> None:
    bench = Bench()
    thin = {"instrument": instrument("THIN"), "order_type": "LMT", "limit": Decimal("12.10")}
    bench.take(bench.engine.place(terms(1, quantity=Decimal(300), **thin), NOON))
    assert bench.known[1, 1].filled == 100
    bench.take(bench.engine.place(terms(1, quantity=Decimal(100), **thin), NOON))
    assert bench.status(1) == "Filled"
    assert not bench.engine.live


def test_a_child_of_a_filled_parent_works_at_once() -> None:
    bench = Bench()
    bench.take(bench.engine.place(terms(1), NOON))
    bench.take(bench.engine.place(terms(2, parent_id=1, side="SELL"), NOON))
    assert bench.status(2) == "Filled"


def test_commission_model() -> None:
    assert commission(Decimal(1000), Decimal(50)) == 5
    assert commission(Decimal(10), Decimal(50)) == 1
    assert commission(Decimal(1), Decimal(8)) == Decimal("0.08")
    assert commission(Decimal(0), Decimal(0)) == 0
    assert corrected_id("0001.02.01.01") == "0001.02.01.02"
    assert corrected_id("0001.02.01.09") == "0001.02.01.10"


PRICES = st.integers(22600, 23100).map(lambda cents: Decimal(cents) / 100)
DISTANCES = st.none() | st.integers(1, 300).map(lambda cents: Decimal(cents) / 100)
INSTRUCTIONS = st.builds(
    Instructions,
    trail=st.builds(Trail, amount=DISTANCES, percent=DISTANCES, starts=st.none() | PRICES, offset=DISTANCES),
    algo=st.none() | st.sampled_from([Algo("Twap"), Algo("PctVol"), Algo("Guess")]),
    good_after=st.none() | st.integers(0, 400).map(lambda minutes: NOON + timedelta(minutes=minutes)),
    outside_rth=st.booleans(),
)
ORDERS = st.builds(
    terms,
    st.integers(1, 6),
    side=st.sampled_from(["BUY", "SELL"]),
    quantity=st.integers(0, 4000).map(Decimal),
    order_type=st.sampled_from(
        ["MKT", "LMT", "STP", "STP LMT", "TRAIL", "TRAIL LIMIT", "MIDPRICE", "MOC", "LOC", "REL"]
    ),
    limit=st.none() | PRICES,
    stop=st.none() | PRICES,
    tif=st.sampled_from(["", "DAY", "GTC", "IOC", "FOK", "OPG", "XXX"]),
    oca_group=st.sampled_from(["", "", "g"]),
    oca_type=st.sampled_from([1, 2, 3]),
    parent_id=st.sampled_from([0, 0, 1, 2]),
    transmit=st.sampled_from([True, True, False]),
    instrument=st.sampled_from([instrument("AAPL"), instrument("THIN")]),
    instructions=INSTRUCTIONS,
)
ACTIONS = st.lists(
    st.one_of(
        ORDERS.map(lambda t: ("place", t)),
        st.integers(1, 7).map(lambda n: ("cancel", n)),
        st.integers(1, 90).map(lambda n: ("step", n)),
        st.just(("cancel_all", 0)),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(ACTIONS, st.sampled_from([None, TradingHours()]))
def test_whatever_happens_quantities_conserve(
    actions: list[tuple[str, Any]], hours: TradingHours | None
) -> None:
    bench = Bench(hours, moving=True)
    now = NOON
    for kind, argument in actions:
        if kind == "place":
            bench.take(bench.engine.place(argument, now))
        elif kind == "cancel":
            bench.take(bench.engine.cancel((1, argument), now))
        elif kind == "cancel_all":
            bench.take(bench.engine.cancel_all(now))
        else:
            now += timedelta(minutes=argument)
            bench.market.move(sorted(bench.engine.traded()))
            bench.take(bench.engine.step(now))

    executed: dict[OrderKey, Decimal] = defaultdict(Decimal)
    execution_ids = []
    for fact in bench.facts:
        if isinstance(fact, OrderExecuted):
            e = fact.execution
            executed[e.client_id, e.order_id] += e.quantity
            execution_ids.append(e.exec_id)
            assert e.quantity > 0
            assert e.cumulative == executed[e.client_id, e.order_id]
            limit = fact.order.terms.limit
            if fact.order.terms.order_type == "TRAIL LIMIT":
                limit = limit_of(fact.order)
            if limit is not None and fact.order.terms.order_type not in {"MKT", "STP", "TRAIL", "MOC"}:
                assert e.price <= limit if e.side == "BUY" else e.price >= limit
    assert len(set(execution_ids)) == len(execution_ids)
    perm_ids = [o.perm_id for o in bench.known.values()]
    assert len(set(perm_ids)) == len(perm_ids)
    for key, order in bench.known.items():
        assert order.filled == executed[key] <= order.terms.quantity
        assert order.live == (key in bench.engine.live)
        assert (order.status == "Filled") <= (order.remaining == 0)
        assert order.status not in FINISHED or order.completed_at is not None
        if order.live:
            assert bench.engine.live[key] == order
    check_relatives(bench.engine.live)


def check_relatives(live: LiveOrders) -> None:
    """What the live orders are found by is what they say."""
    orders = list(live.values())
    assert live.contracts() == {o.terms.instrument.con_id for o in orders}
    for order in orders:
        children = [o.key for o in orders if o.terms.parent_key == order.key]
        assert sorted(o.key for o in live.children(order.key)) == sorted(children)
        group = (order.terms.account, order.terms.oca_group)
        others = [
            o.key for o in orders if (o.terms.account, o.terms.oca_group) == group and o.key != order.key
        ]
        assert sorted(o.key for o in live.oca_others(order)) == sorted(others if group[1] else [])
        assert order.key in live.of_contract(order.terms.instrument.con_id)
