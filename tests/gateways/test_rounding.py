"""Prices on the tick: never worse than asked, less than a tick away, and on the tick once and for all."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ib_async import Contract, ContractDetails, PriceIncrement
from tests.gateways.rig import Rig, eventually, resting, status, stock, ticket

from oms.domain.handling import Handling
from oms.domain.reference import Instrument
from oms.domain.terms import Direction, OrderType, PlacementStatus, SecType
from oms.domain.venues import PlacementTicket
from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr.contracts import Contracts
from oms.gateways.ibkr.rounding import Band, Ticks, Unroundable, on_tick, ticks

CENTS = ticks(Decimal("0.01"))
TABLE = ticks(
    Decimal("0.0001"),
    [
        Band(Decimal(0), Decimal("0.0001")),
        Band(Decimal(1), Decimal("0.01")),
        Band(Decimal(100), Decimal("0.05")),
    ],
)

prices = st.decimals(Decimal("0.000000001"), Decimal(100_000), allow_nan=False, allow_infinity=False)
steps = st.sampled_from(
    [Decimal(text) for text in ("0.0001", "0.005", "0.01", "0.05", "0.25", "1", "0.0078125", "7")]
)


@st.composite
def tables(draw: st.DrawFn) -> Ticks:
    """Increments that get coarser with the price; an edge need not be a price of the band above it."""
    edges = sorted(draw(st.sets(st.integers(1, 2_000), max_size=3)))
    sizes = sorted(draw(st.lists(steps, min_size=len(edges) + 1, max_size=len(edges) + 1)))
    lows = [Decimal(0), *(Decimal(edge) for edge in edges)]
    return ticks(sizes[0], [Band(low, tick) for low, tick in zip(lows, sizes, strict=True)])


@given(price=prices, tick=steps, up=st.booleans())
def test_one_tick_never_the_wrong_way_less_than_one_away_and_only_once(
    price: Decimal, tick: Decimal, up: bool
) -> None:
    sent, used = Ticks(tick).rounded(price, up=up)
    assert used == tick
    assert sent % tick == 0
    assert (sent >= price) if up else (sent <= price)
    assert abs(sent - price) < tick
    assert Ticks(tick).rounded(sent, up=up) == Ticks(tick).rounded(sent, up=not up) == (sent, tick)


@given(price=prices, increments=tables(), up=st.booleans())
def test_bands_never_the_wrong_way_and_only_once(price: Decimal, increments: Ticks, up: bool) -> None:
    sent, tick = increments.rounded(price, up=up)
    assert (sent >= price) if up else (sent <= price)
    assert sent % tick == 0
    assert abs(sent - price) < increments.at(sent) + increments.at(price)
    assert increments.rounded(sent, up=up)[0] == sent


@given(price=prices, up=st.booleans())
def test_where_edges_are_prices_of_both_bands_it_is_less_than_a_tick(price: Decimal, up: bool) -> None:
    sent, tick = TABLE.rounded(price, up=up)
    assert abs(sent - price) < max(tick, TABLE.at(sent))
    assert sent == 0 or sent % TABLE.at(sent) == 0


@pytest.mark.parametrize(
    ("price", "down", "up"),
    [
        ("0.12345", "0.1234", "0.1235"),
        ("0.99995", "0.9999", "1"),
        ("1.005", "1", "1.01"),
        ("99.999", "99.99", "100"),
        ("100.07", "100.05", "100.1"),
        ("100.10", "100.1", "100.1"),
    ],
)
def test_a_price_is_rounded_by_the_band_it_is_in(price: str, down: str, up: str) -> None:
    assert TABLE.rounded(Decimal(price), up=False)[0] == Decimal(down)
    assert TABLE.rounded(Decimal(price), up=True)[0] == Decimal(up)


def test_a_band_without_an_increment_says_nothing() -> None:
    assert ticks(Decimal("0.01"), [Band(Decimal(0), Decimal(0))]) == CENTS


def sent(placement: PlacementTicket, increments: Ticks = CENTS) -> dict[str, Decimal | None]:
    rounded = on_tick(placement, increments).ticket
    return {
        "limit_price": rounded.limit_price,
        "stop_price": rounded.stop_price,
        "trail_amount": rounded.handling.trail_amount,
        "limit_offset": rounded.handling.limit_offset,
    }


BOTH = {"limit_price": Decimal("10.005"), "stop_price": Decimal("11.005")}


@pytest.mark.parametrize(
    ("direction", "limit", "stop"),
    [
        (Direction.BUY, "10", "11.01"),
        (Direction.BUY_TO_COVER, "10", "11.01"),
        (Direction.SELL, "10.01", "11"),
        (Direction.SELL_SHORT, "10.01", "11"),
    ],
)
def test_limits_are_never_worse_and_stops_never_earlier(direction: Direction, limit: str, stop: str) -> None:
    order = ticket(order_type=OrderType.STOP_LIMIT, direction=direction, **BOTH)
    assert sent(order) | {"limit_price": Decimal(limit), "stop_price": Decimal(stop)} == sent(order)


@pytest.mark.parametrize("direction", Direction)
def test_a_trail_is_never_tighter_and_a_limit_never_further_from_its_stop(direction: Direction) -> None:
    handling = Handling(trail_amount=Decimal("0.512"), limit_offset=Decimal("0.038"))
    order = ticket(order_type=OrderType.TRAILING_STOP_LIMIT, direction=direction, handling=handling)
    assert (sent(order)["trail_amount"], sent(order)["limit_offset"]) == (Decimal("0.52"), Decimal("0.03"))


def test_a_distance_takes_the_tick_of_the_price_where_it_begins() -> None:
    handling = Handling(trail_amount=Decimal("0.512"))
    terms = {"order_type": OrderType.TRAILING_STOP, "handling": handling}
    assert sent(ticket(**terms), TABLE)["trail_amount"] == Decimal("0.512")
    assert sent(ticket(**terms, stop_price=Decimal(150)), TABLE)["trail_amount"] == Decimal("0.55")


def test_what_was_rounded_is_said_and_what_was_not_is_left() -> None:
    order = ticket(
        order_type=OrderType.STOP_LIMIT, limit_price=Decimal("10.005"), stop_price=Decimal("11.50")
    )
    (rounding,) = on_tick(order, CENTS).roundings
    assert (rounding.field, rounding.asked, rounding.sent, rounding.tick) == (
        "limit_price",
        Decimal("10.005"),
        Decimal(10),
        Decimal("0.01"),
    )
    plain = ticket(order_type=OrderType.LIMIT, limit_price=Decimal("10.50"))
    assert on_tick(plain, CENTS) == (plain, ())
    percent = ticket(order_type=OrderType.TRAILING_STOP, handling=Handling(trail_percent=Decimal("2.3456")))
    assert on_tick(percent, CENTS) == (percent, ())


@pytest.mark.parametrize(
    "order",
    [
        ticket(order_type=OrderType.LIMIT, limit_price=Decimal("0.004")),
        ticket(order_type=OrderType.STOP, direction=Direction.SELL, stop_price=Decimal("0.004")),
        ticket(
            order_type=OrderType.TRAILING_STOP_LIMIT,
            handling=Handling(trail_amount=Decimal(1), limit_offset=Decimal("0.004")),
        ),
    ],
    ids=["limit", "stop", "offset"],
)
def test_a_price_that_would_become_nothing_is_refused_in_a_sentence(order: PlacementTicket) -> None:
    with pytest.raises(Unroundable, match=r"0\.004 is less than one tick of 0\.01"):
        on_tick(order, CENTS)


# Where the tick comes from

DETAILS = ContractDetails(
    contract=Contract(secType="STK", conId=7, symbol="X", exchange="SMART"),
    minTick=0.0001,
    validExchanges="NYSE,SMART",
    marketRuleIds="26,557",
)


async def described(_wanted: Contract) -> list[ContractDetails]:
    return [DETAILS]


async def test_bands_come_from_the_rule_of_the_exchange_and_are_asked_for_once() -> None:
    asked: list[int] = []

    async def rule(number: int) -> list[PriceIncrement]:
        asked.append(number)
        return [PriceIncrement(0.0, 0.0001), PriceIncrement(1.0, 0.01)]

    contracts = Contracts(described, rule)
    for symbol in ("X", "Y"):
        known = await contracts.qualified(stock(symbol))
        assert known.ticks.at(Decimal("0.5")) == Decimal("0.0001")
        assert known.ticks.at(Decimal(5)) == Decimal("0.01")
    assert asked == [557]


async def test_without_an_answer_the_smallest_increment_holds() -> None:
    async def silent(_number: int) -> None:
        return None

    async def late(_number: int) -> None:
        raise TimeoutError

    for rule in (silent, late, None):
        assert (await Contracts(described, rule).qualified(stock())).ticks == Ticks(Decimal("0.0001"))


async def test_a_connection_that_breaks_is_no_answer_and_it_is_asked_again() -> None:
    answers: list[Any] = [ConnectionError("gone"), [PriceIncrement(0.0, 0.5)]]

    async def rule(_number: int) -> list[PriceIncrement]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    contracts = Contracts(described, rule)
    with pytest.raises(GatewayNotReady):
        await contracts.qualified(stock())
    assert (await contracts.qualified(stock())).ticks.at(Decimal(5)) == Decimal("0.5")


async def test_a_future_is_rounded_to_its_own_tick_over_the_wire(rig: Rig) -> None:
    gateway = await rig.gateway()
    future = Instrument(
        instrument_id="I", symbol="ES", sec_type=SecType.FUTURE, exchange="CME", expiry=date(2027, 3, 19)
    )
    order = resting(quantity="1", instrument=future, limit_price=Decimal("10.30"))
    assert status(await gateway.place(order)) is PlacementStatus.WORKING
    assert rig.sent(order)["lmtPrice"] == "10.25"
    (fact,) = await eventually(lambda: rig.orders.rounded(order))
    assert fact.roundings[0].tick == Decimal("0.25")
