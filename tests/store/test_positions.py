"""Positions follow from fills and allocations, exactly."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.store.building import NOON, Tale, new_id

from oms.domain.reference import Instrument
from oms.domain.terms import Direction
from oms.store import Position, Store

LATER = NOON + timedelta(hours=1)


def _traded(direction: Direction, quantity: object, price: object, **more: object) -> Tale:
    wanted = {"ordered_quantity": Decimal(str(quantity)), "direction": direction, **more}
    return Tale(**wanted).placed().filled(quantity, price)  # type: ignore[arg-type]


def _position(store: Store, portfolio_id: str = "PORT-001", account_id: str | None = None) -> Position:
    (position,) = store.positions(portfolio_id, account_id)
    return position


def test_nothing_traded_is_nothing_held(store: Store) -> None:
    Tale().placed().recorded(store)
    assert store.positions() == []
    assert store.holdings("PORT-001") == {}


def test_a_purchase_and_a_part_sold(store: Store) -> None:
    _traded(Direction.BUY, 100, 10).recorded(store)
    _traded(Direction.BUY, 100, 20, at=LATER).recorded(store)
    assert _position(store) == Position(
        portfolio_id="PORT-001",
        account_id="ACCT-001",
        instrument_id="INS-AAPL",
        quantity=Decimal(200),
        cost=Decimal(3000),
        average_price=Decimal(15),
    )
    _traded(Direction.SELL, 50, 99, at=LATER + timedelta(hours=1)).recorded(store)
    sold = _position(store)
    assert (sold.quantity, sold.cost, sold.average_price) == (150, 2250, 15)
    assert store.holdings("PORT-001") == {"INS-AAPL": Decimal(150)}


def test_a_short_position_and_one_that_turns(store: Store) -> None:
    _traded(Direction.SELL_SHORT, 40, 10).recorded(store)
    short = _position(store)
    assert (short.quantity, short.cost, short.average_price) == (-40, -400, 10)
    _traded(Direction.BUY_TO_COVER, 50, 12, at=LATER).recorded(store)
    long = _position(store)
    assert (long.quantity, long.cost, long.average_price) == (10, 120, 12)


def test_a_flat_position_has_no_cost(store: Store) -> None:
    _traded(Direction.BUY, 3, "0.1").recorded(store)
    _traded(Direction.SELL, 3, "0.3", at=LATER).recorded(store)
    flat = _position(store)
    assert (flat.quantity, flat.cost, flat.average_price) == (0, 0, None)


def test_numbers_no_float_could_hold(store: Store) -> None:
    _traded(Direction.BUY, "10000000000000000000.000000000000000001", "0.1").recorded(store)
    _traded(Direction.SELL, "10000000000000000000", "0.1", at=LATER).recorded(store)
    assert _position(store).quantity == Decimal("0.000000000000000001")
    assert store.holdings("PORT-001") == {"INS-AAPL": Decimal("0.000000000000000001")}


def test_a_cost_longer_than_any_price(store: Store) -> None:
    quantity, price = "12345678901234567890.123456", "98765432109876543210.5"
    _traded(Direction.BUY, quantity, price).recorded(store)
    position = _position(store)
    assert Fraction(position.cost) == Fraction(quantity) * Fraction(price)
    assert (position.quantity, position.average_price) == (Decimal(quantity), Decimal(price))
    assert f'"cost":"{position.cost:f}"' in position.model_dump_json()


def test_allocations_divide_an_order_among_accounts(store: Store) -> None:
    tale = _traded(Direction.BUY, 100, 10).allocated("A1", 60).allocated("A2", 30).recorded(store)
    held = {p.account_id: (p.quantity, p.cost, p.average_price) for p in store.positions("PORT-001")}
    assert held == {"A1": (60, 600, 10), "A2": (30, 300, 10), "ACCT-001": (10, 100, 10)}
    assert _position(store, account_id="A2").quantity == 30
    assert [p.account_id for p in store.positions(account_id="A1")] == ["A1"]
    assert store.positions(account_id="A9") == []
    assert store.holdings("PORT-001", exclude_order_id=tale.id).get("INS-AAPL", 0) == 0


def test_an_allocation_may_carry_quantity_to_another_portfolio(store: Store) -> None:
    tale = _traded(Direction.BUY, 100, 10).allocated("A2", 30, "PORT-002").recorded(store)
    assert [(p.portfolio_id, p.quantity) for p in store.positions()] == [("PORT-001", 70), ("PORT-002", 30)]
    assert store.positions("PORT-002") == store.positions(account_id="A2")
    assert store.holdings("PORT-001") == {"INS-AAPL": Decimal(70)}
    assert store.holdings("PORT-002") == {"INS-AAPL": Decimal(30)}
    assert store.holdings("PORT-002", exclude_order_id=tale.id) == {"INS-AAPL": Decimal(0)}
    assert store.holdings("PORT-001", exclude_order_id=tale.id) == {"INS-AAPL": Decimal(0)}


def test_a_short_sale_divided_among_accounts(store: Store) -> None:
    _traded(Direction.SELL_SHORT, 90, "20.5").allocated("A1", 60).allocated("A2", 30).recorded(store)
    _traded(Direction.BUY_TO_COVER, 30, 18, at=LATER).allocated("A1", 10).allocated("A2", 20).recorded(store)
    held = {p.account_id: (p.quantity, p.cost, p.average_price) for p in store.positions("PORT-001")}
    assert held == {
        "A1": (-50, Decimal(-1025), Decimal("20.5")),
        "A2": (-10, Decimal(-205), Decimal("20.5")),
    }
    assert store.holdings("PORT-001") == {"INS-AAPL": Decimal(-60)}


def test_one_account_may_be_long_and_another_short(store: Store) -> None:
    _traded(Direction.BUY, 100, 10).allocated("A1", 100).recorded(store)
    _traded(Direction.SELL_SHORT, 40, 12, at=LATER).allocated("A2", 40).recorded(store)
    held = {p.account_id: (p.quantity, p.cost, p.average_price) for p in store.positions("PORT-001")}
    assert held == {"A1": (100, 1000, 10), "A2": (-40, -480, 12)}
    assert store.holdings("PORT-001") == {"INS-AAPL": Decimal(60)}


def test_a_correction_and_a_bust_move_the_position(store: Store) -> None:
    tale = Tale().placed()
    first, second = tale.execution(60, 10, "E1.01"), tale.execution(40, 20, "E2.01")
    tale.hear(first).hear(second).recorded(store)
    assert (_position(store).quantity, _position(store).cost) == (100, 1400)
    tale.hear(tale.execution(50, 12, "E1.02")).recorded(store)
    corrected = _position(store)
    assert (corrected.quantity, corrected.cost) == (90, 1400)
    assert corrected.average_price == Decimal("15.555555555556")
    tale.busted("E2.01").recorded(store)
    busted = _position(store)
    assert (busted.quantity, busted.cost, busted.average_price) == (50, 600, 12)
    tale.busted("E1.02").recorded(store)
    assert store.positions() == []
    assert store.holdings("PORT-001").get("INS-AAPL", Decimal(0)) == 0


def test_a_bust_after_the_allocation_falls_to_the_default_account(store: Store) -> None:
    """What was allocated stands until somebody changes it; together the accounts hold what was executed."""
    tale = Tale().placed()
    tale.hear(tale.execution(60, 10, "E1.01")).hear(tale.execution(40, 10, "E2.01"))
    tale.allocated("A1", 80).allocated("A2", 20).recorded(store)
    held = {p.account_id: p.quantity for p in store.positions("PORT-001")}
    assert held == {"A1": 80, "A2": 20}
    tale.busted("E2.01").recorded(store)
    held = {p.account_id: p.quantity for p in store.positions("PORT-001")}
    assert held == {"A1": 80, "A2": 20, "ACCT-001": -40}
    assert store.holdings("PORT-001") == {"INS-AAPL": Decimal(60)}


def test_holdings_leave_one_order_out(store: Store) -> None:
    first = _traded(Direction.BUY, 100, 10).recorded(store)
    _traded(Direction.BUY, 7, 10).recorded(store)
    elsewhere = _traded(Direction.BUY, 1, 10, portfolio_id="PORT-002").recorded(store)
    assert store.holdings("PORT-001", first.id) == {"INS-AAPL": Decimal(7)}
    assert store.holdings("PORT-001", elsewhere.id) == {"INS-AAPL": Decimal(107)}
    assert store.holdings("PORT-001", "ORD-unknown") == {"INS-AAPL": Decimal(107)}


TRADES = st.lists(
    st.tuples(
        st.sampled_from(list(Direction)),
        st.decimals("0.000001", "1000", places=6),
        st.decimals("0.01", "500", places=2),
        st.sampled_from([None, 0, 1, 3]),
    ),
    max_size=6,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trades=TRADES)
def test_positions_conserve_what_was_executed(
    store: Store, trades: list[tuple[Direction, Decimal, Decimal, int | None]]
) -> None:
    portfolio, instrument = new_id("PORT"), Instrument(instrument_id=new_id("INS"), symbol="X")
    total = Decimal(0)
    for number, (direction, quantity, price, parts) in enumerate(trades):
        at = NOON + timedelta(minutes=number)
        tale = _traded(direction, quantity, price, portfolio_id=portfolio, instrument=instrument, at=at)
        for part in range(parts or 0):
            tale.allocated(f"A{part}", (quantity / 4).quantize(Decimal("1e-7")))
        tale.recorded(store)
        total += direction.sign * quantity
    own = [p for p in store.positions() if p.instrument_id == instrument.instrument_id]
    assert sum((Fraction(p.quantity) for p in own), Fraction()) == Fraction(total)
    assert all(p.cost * p.quantity >= 0 for p in own)
    moved = sum((p.quantity for p in own if p.portfolio_id == portfolio), Decimal(0))
    assert store.holdings(portfolio).get(instrument.instrument_id, Decimal(0)) == moved
