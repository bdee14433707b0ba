"""What a venue takes: types, times in force, hours, strategies. All of it is refused before anything is sent."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from oms.domain import commands as cmd
from oms.domain.errors import Code
from oms.domain.handling import Handling, ungrouped
from oms.domain.reserving import held_in_advance
from oms.domain.rules.book import Proposal
from oms.domain.strategies import STRATEGIES, strategy_fault
from oms.domain.terms import OrderType, Role, SecType, State, TimeInForce
from oms.domain.tickets import ticket
from oms.domain.venues import IBKR_ABILITIES, unsupported
from tests.domain.orders import AAPL, NOW, Desk, request, straight_through

T, OT = TimeInForce, OrderType
STANDING = {T.DAY, T.GTC, T.GTD}
TAKEN: dict[OrderType, set[TimeInForce]] = {
    OT.MARKET: set(T) - {T.FOK},
    OT.LIMIT: set(T),
    OT.STOP: STANDING,
    OT.STOP_LIMIT: STANDING,
    OT.TRAILING_STOP: STANDING,
    OT.TRAILING_STOP_LIMIT: STANDING,
    OT.MID_PRICE: {T.DAY},
    OT.PREVIOUSLY_QUOTED: set(),
}
"""Written out a second time by hand. MOC and LOC are AtTheClose, MOO and LOO are AtTheOpen."""
TERMS: dict[OrderType, dict[str, Any]] = {
    OT.MARKET: {"limit_price": None},
    OT.LIMIT: {},
    OT.STOP: {"limit_price": None, "stop_price": "9"},
    OT.STOP_LIMIT: {"stop_price": "9"},
    OT.TRAILING_STOP: {"limit_price": None, "handling": {"trail_amount": "0.5"}},
    OT.TRAILING_STOP_LIMIT: {
        "limit_price": None,
        "handling": {"trail_percent": "2", "limit_offset": "0.1"},
    },
    OT.MID_PRICE: {},
}


def of_type(order_type: OrderType, time_in_force: TimeInForce = T.DAY, **terms: Any) -> dict[str, Any]:
    expires = {"expires_at": NOW + timedelta(days=1)} if time_in_force is T.GTD else {}
    return {
        "order_type": order_type,
        "time_in_force": time_in_force,
        **TERMS.get(order_type, {"limit_price": None}),
        **expires,
        **terms,
    }


# -- types and times -------------------------------------------------------------------------------


@pytest.mark.parametrize("order_type", list(OT))
@pytest.mark.parametrize("time_in_force", list(T))
def test_a_placement_is_taken_exactly_where_the_table_says(
    order_type: OrderType, time_in_force: TimeInForce
) -> None:
    desk = Desk(**of_type(order_type, time_in_force)).send_to_trader()
    place = cmd.CreatePlacement(placement_id="PLC-1", venue="IBKR", quantity=100)
    if time_in_force in TAKEN[order_type]:
        desk.command(place, Role.TRADER)
        assert desk.placement().handling == desk.order.request.handling
    else:
        refusal = desk.refusal(place, Role.TRADER)
        assert (refusal.code, "nothing was sent" in refusal.message) == (Code.UNSUPPORTED_BY_VENUE, True)


@pytest.mark.parametrize("order_type", list(OT))
@pytest.mark.parametrize("time_in_force", list(T))
def test_automation_rejects_what_no_gateway_takes(order_type: OrderType, time_in_force: TimeInForce) -> None:
    desk = straight_through(**of_type(order_type, time_in_force)).drive()
    taken = time_in_force in TAKEN[order_type]
    assert desk.state is (State.ROUTED if taken else State.REJECTED)


@pytest.mark.parametrize("sec_type", list(SecType))
def test_mid_price_is_for_stocks_and_an_auction_for_what_has_one(sec_type: SecType) -> None:
    instrument = AAPL.model_copy(update={"sec_type": sec_type})
    mid = unsupported("IBKR", instrument, OT.MID_PRICE, T.DAY)
    assert (mid is None) == (sec_type is SecType.STOCK)
    auctioned = {
        T.AT_THE_OPEN: (SecType.STOCK, SecType.OPTION),
        T.AT_THE_CLOSE: (SecType.STOCK, SecType.FUTURE),
    }
    for auction, kinds in auctioned.items():
        refused = unsupported("IBKR", instrument, OT.LIMIT, auction)
        assert (refused is None) == (sec_type in kinds)
    for order_type in (OT.MARKET, OT.LIMIT, OT.STOP, OT.STOP_LIMIT, OT.TRAILING_STOP, OT.TRAILING_STOP_LIMIT):
        assert unsupported("IBKR", instrument, order_type, T.DAY) is None


def test_every_type_of_the_order_book_is_in_the_table_or_is_no_order_of_ibkrs() -> None:
    assert set(OT) - IBKR_ABILITIES.keys() == {OT.PREVIOUSLY_QUOTED}
    assert "no gateway" in (unsupported("BRIDGE", AAPL, OT.LIMIT, T.DAY) or "")


# -- what a type needs -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order_type", "terms"),
    [
        (OT.TRAILING_STOP, {"handling": {}}),
        (OT.TRAILING_STOP, {"limit_price": "10"}),
        (OT.TRAILING_STOP, {"handling": {"trail_amount": "1", "trail_percent": "1"}}),
        (OT.TRAILING_STOP, {"handling": {"trail_percent": "100"}}),
        (OT.TRAILING_STOP, {"handling": {"trail_amount": "1", "limit_offset": "1"}}),
        (OT.TRAILING_STOP_LIMIT, {"handling": {"trail_amount": "1"}}),
        (OT.LIMIT, {"handling": {"trail_amount": "1"}}),
        (OT.LIMIT, {"handling": {"limit_offset": "1"}}),
        (OT.MID_PRICE, {"stop_price": "9"}),
        (
            OT.LIMIT,
            {"handling": {"oca_group": "G", "bracket": {"bracket_id": "B", "role": "parent", "size": 2}}},
        ),
    ],
)
def test_distances_belong_to_the_types_that_have_them(order_type: OrderType, terms: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        request(**of_type(order_type, **terms))


@pytest.mark.parametrize(
    ("adjustment", "is_good"),
    [
        ({"trigger_price": "12", "trail_amount": "1"}, True),
        ({"trigger_price": "12", "trail_percent": "1"}, True),
        ({"trigger_price": "12"}, False),
        ({"trigger_price": "12", "trail_amount": "1", "trail_percent": "1"}, False),
        ({"trigger_price": "0", "trail_amount": "1"}, False),
        ({"trigger_price": "12", "trail_percent": "100"}, False),
        ({"trail_amount": "1"}, False),
    ],
)
def test_an_adjustment_trails_one_way_from_a_trigger(adjustment: dict[str, str], is_good: bool) -> None:
    terms = of_type(OT.STOP, handling={"adjustment": adjustment})
    if is_good:
        assert request(**terms).handling.adjustment is not None
    else:
        with pytest.raises(ValidationError):
            request(**terms)


@pytest.mark.parametrize("order_type", [one for one in OT if one is not OT.STOP])
def test_only_a_stop_begins_to_trail(order_type: OrderType) -> None:
    plain = of_type(order_type)
    given = {"trigger_price": "12", "trail_amount": "1"}
    handling = {**plain.get("handling", {}), "adjustment": given}
    with pytest.raises(ValidationError, match=f"adjustment does not belong on a {order_type} order"):
        request(**{**plain, "handling": handling})


def test_a_placement_takes_the_adjustment_of_its_order_where_it_is_a_stop_too() -> None:
    adjusted = {"adjustment": {"trigger_price": "12", "trail_amount": "1"}}
    desk = Desk(**of_type(OT.STOP, handling=adjusted)).send_to_trader()
    desk.place("50").place("50", order_type="Market")
    assert desk.placement().handling == Handling.model_validate(adjusted)
    assert desk.placement("PLC-2").handling == Handling()
    told = ticket(desk.order, desk.placement())
    assert told.handling.adjustment == desk.placement().handling.adjustment


def test_the_last_moment_to_send_travels_to_the_gateway_and_groups_it_leaves_alone() -> None:
    handling = {"send_by": NOW.isoformat(), "oca_group": "G"}
    desk = Desk(handling=handling).send_to_trader().place()
    assert ticket(desk.order, desk.placement()).handling.send_by == NOW
    alone = ungrouped(desk.placement().handling)
    assert (alone.send_by, alone.oca_group) == (NOW, None)


def test_the_children_of_a_bracket_may_end_one_another() -> None:
    bracket = {"bracket_id": "B", "role": "child", "size": 4}
    paired = request(handling={"bracket": bracket, "oca_group": "B-exits"}).handling
    assert (paired.oca_group, paired.bracket and paired.bracket.size) == ("B-exits", 4)


def test_an_order_begins_before_it_ends() -> None:
    late = {"good_after": (NOW + timedelta(days=2)).isoformat()}
    with pytest.raises(ValidationError, match="not before expires_at"):
        request(**of_type(OT.LIMIT, T.GTD, handling=late))
    desk = Desk(**of_type(OT.LIMIT, T.GTD)).send_to_trader()
    place = cmd.CreatePlacement(
        placement_id="PLC-1", venue="IBKR", quantity=100, handling=Handling.model_validate(late)
    )
    assert desk.refused(place, Role.TRADER) is Code.INVALID_ORDER_TYPE


@pytest.mark.parametrize(
    ("order_type", "time_in_force", "handling", "taken"),
    [
        (OT.LIMIT, T.DAY, {"outside_rth": True}, True),
        (OT.LIMIT, T.IOC, {"outside_rth": True}, True),
        (OT.MARKET, T.DAY, {"outside_rth": True}, True),
        (OT.MARKET, T.IOC, {"outside_rth": True}, False),
        (OT.LIMIT, T.AT_THE_OPEN, {"outside_rth": True}, False),
        (OT.MARKET, T.AT_THE_CLOSE, {"outside_rth": True}, False),
        (OT.LIMIT, T.GTC, {"good_after": NOW}, True),
        (OT.LIMIT, T.FOK, {"good_after": NOW}, False),
        (OT.MARKET, T.AT_THE_OPEN, {"good_after": NOW}, False),
    ],
)
def test_hours_go_with_orders_that_stand(
    order_type: OrderType, time_in_force: TimeInForce, handling: dict[str, Any], taken: bool
) -> None:
    desk = Desk(**of_type(order_type, time_in_force, handling=handling)).send_to_trader()
    place = cmd.CreatePlacement(placement_id="PLC-1", venue="IBKR", quantity=100)
    if taken:
        desk.command(place, Role.TRADER)
    else:
        assert desk.refused(place, Role.TRADER) is Code.UNSUPPORTED_BY_VENUE


def test_a_placement_takes_of_the_orders_terms_what_its_own_type_has() -> None:
    trailing = Desk(**of_type(OT.TRAILING_STOP_LIMIT)).send_to_trader()
    trailing.place("50", order_type="Limit", limit_price="9")
    assert trailing.placement().handling == Handling()
    trailing.place("50", order_type="TrailingStop")
    assert trailing.placement("PLC-2").handling == Handling(trail_percent=2)
    capped = Desk().send_to_trader().place("100", order_type="MidPrice")
    assert capped.placement().limit_price == 10
    market = cmd.CreatePlacement(
        placement_id="PLC-1",
        venue="IBKR",
        quantity=1,
        order_type="TrailingStop",
        handling=Handling(trail_amount=1),
    )
    assert Desk().send_to_trader().refused(market, Role.TRADER) is Code.VALIDATION_FAILED, "it has no limit"


# -- strategies ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "params"),
    [
        ("Adaptive", {"priority": "Patient"}),
        ("VWAP", {}),
        ("VWAP", {"max_percent": "50", "allow_past_end": "true", "no_take_liquidity": "false"}),
        ("VWAP", {"start": "2026-01-05T15:00:00Z", "end": "2026-01-05T11:00:00-05:00"}),
        ("TWAP", {"kind": "Matching Same Side"}),
        ("ArrivalPrice", {"max_percent": "0.1", "urgency": "Get Done", "force_completion": "true"}),
        ("PercentOfVolume", {"percent": "12.5"}),
    ],
)
def test_a_strategy_with_its_parameters_is_taken(strategy: str, params: dict[str, str]) -> None:
    desk = Desk().send_to_trader().place("100", strategy=strategy, params=params)
    assert (desk.placement().strategy, desk.placement().params) == (strategy, params)


@pytest.mark.parametrize(
    ("strategy", "params", "says"),
    [
        ("Iceberg", {}, "there are Adaptive, VWAP"),
        ("Adaptive", {}, "needs priority"),
        ("Adaptive", {"priority": "urgent"}, "one of Urgent, Normal, Patient"),
        ("VWAP", {"speed": "slow"}, "has no parameter 'speed'"),
        ("VWAP", {"max_percent": "0"}, "above 0 and at most 50"),
        ("VWAP", {"max_percent": "50.1"}, "above 0 and at most 50"),
        ("VWAP", {"max_percent": "NaN"}, "above 0 and at most 50"),
        ("VWAP", {"max_percent": "ten"}, "must be a decimal"),
        ("VWAP", {"start": "tomorrow"}, "RFC 3339"),
        ("VWAP", {"start": "2026-01-05T15:00:00"}, "offset from UTC"),
        ("VWAP", {"start": "2026-01-05T15:00:00Z", "end": "2026-01-05T15:00:00Z"}, "not before end"),
        ("TWAP", {"allow_past_end": "yes"}, "one of true, false"),
        ("PercentOfVolume", {}, "needs percent"),
        (None, {"percent": "10"}, "params without a strategy"),
    ],
)
def test_what_a_strategy_does_not_know_is_refused(
    strategy: str | None, params: dict[str, str], says: str
) -> None:
    place = cmd.CreatePlacement(
        placement_id="PLC-1", venue="IBKR", quantity=100, strategy=strategy, params=params
    )
    refusal = Desk().send_to_trader().refusal(place, Role.TRADER)
    assert refusal.code is Code.VALIDATION_FAILED
    assert says in refusal.message
    rejected = straight_through(
        route={"venue": "IBKR", "account": "DU1", "strategy": strategy, "params": params}
    ).drive()
    assert rejected.state is State.REJECTED
    assert says in (rejected.order.reason or "")


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_a_strategy_works_market_and_limit_orders_for_the_day(strategy: str) -> None:
    params = {"Adaptive": {"priority": "Normal"}, "PercentOfVolume": {"percent": "5"}}.get(strategy, {})
    for order_type in OT:
        for time_in_force in T:
            fault = strategy_fault(strategy, params, order_type, time_in_force)
            assert (fault is None) == (order_type in (OT.MARKET, OT.LIMIT) and time_in_force is T.DAY)


# -- what an order is worth to compliance ------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "last", "worth"),
    [
        ({"order_type": "Market"}, "10", "10"),
        ({"order_type": "Limit", "limit_price": "8"}, "10", "8"),
        ({"order_type": "StopLimit", "limit_price": "8", "stop_price": "9"}, "10", "8"),
        ({"order_type": "Stop", "stop_price": "12"}, "10", "10"),
        ({"order_type": "MidPrice"}, "10", "10"),
        ({"order_type": "MidPrice", "limit_price": "8"}, "10", "10"),
        ({"order_type": "MidPrice", "limit_price": "12"}, "10", "10"),
        ({"order_type": "MidPrice", "limit_price": "12"}, None, None),
        ({"order_type": "TrailingStop", "handling": {"trail_amount": "2"}}, "10", "10"),
        ({"order_type": "TrailingStop", "handling": {"trail_percent": "5"}, "stop_price": "13"}, "10", "10"),
        ({"order_type": "TrailingStop", "handling": {"trail_percent": "5"}}, None, None),
    ],
)
def test_an_order_is_worth_its_limit_or_what_the_market_says(
    terms: dict[str, Any], last: str | None, worth: str | None
) -> None:
    given = {"direction": "Buy", "order_id": "ORD-1", "instrument": AAPL, "quantity": 1, **terms}
    valued = Proposal.model_validate(given).valued_at(None if last is None else Decimal(last))
    assert valued == (None if worth is None else Decimal(worth))


@pytest.mark.parametrize(
    ("order_type", "prices", "held"),
    [
        ("Limit", {"limit_price": "8"}, "8"),
        ("MidPrice", {"limit_price": "0.01"}, None),
        ("TrailingStop", {"handling": {"trail_amount": "2"}, "stop_price": "13"}, None),
    ],
)
def test_what_an_order_holds_of_a_limit_is_valued_as_it_was_checked(
    order_type: str, prices: dict[str, Any], held: str | None
) -> None:
    desk = Desk(order_type=order_type, **{"limit_price": None, **prices})
    (part,) = held_in_advance(desk.order)
    proposal = Proposal.model_validate(
        {"direction": "Buy", "order_id": "ORD-1", "instrument": AAPL, "quantity": 1, "order_type": order_type}
        | prices
    )
    assert part.price == (None if held is None else Decimal(held))
    assert proposal.valued_at(Decimal(10)) == (part.price or Decimal(10))
