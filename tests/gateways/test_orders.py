"""Tickets as wire orders, byte by byte, and instruments as contracts."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from ib_async import Contract, Order
from tests.gateways.rig import EURO, FUTURE, OPTION, Rig, fields_of, resting, status, stock, ticket

from oms.domain.handling import Handling, OcaType
from oms.domain.terms import Direction, OrderType, PlacementStatus, TimeInForce
from oms.domain.venues import PlacementTicket, unsupported
from oms.gateways.ibkr.contracts import UnknownContract, chosen, contract_of
from oms.gateways.ibkr.orders import UnsupportedOrder, oca_name, order_of

PRICES = {"limit_price": Decimal("10.5"), "stop_price": Decimal(11)}
UNSET = Order().lmtPrice
TRAIL = Handling(trail_amount=Decimal("0.5"))
TRAIL_LIMIT = Handling(trail_percent=Decimal("2.5"), limit_offset=Decimal("0.1"))


def handled(order_type: OrderType) -> dict[str, Any]:
    """What an order of this type needs beside its prices."""
    needs = {OrderType.TRAILING_STOP: TRAIL, OrderType.TRAILING_STOP_LIMIT: TRAIL_LIMIT}
    return {"handling": needs[order_type]} if order_type in needs else {}


@pytest.mark.parametrize(
    ("order_type", "wire", "limit", "stop"),
    [
        (OrderType.MARKET, "MKT", None, None),
        (OrderType.LIMIT, "LMT", "10.5", None),
        (OrderType.STOP, "STP", None, "11"),
        (OrderType.STOP_LIMIT, "STP LMT", "10.5", "11"),
        (OrderType.TRAILING_STOP, "TRAIL", None, "0.5"),
        (OrderType.TRAILING_STOP_LIMIT, "TRAIL LIMIT", None, None),
        (OrderType.MID_PRICE, "MIDPRICE", "10.5", None),
    ],
)
def test_order_types_and_their_prices(
    order_type: OrderType, wire: str, limit: str | None, stop: str | None
) -> None:
    order = order_of(ticket(order_type=order_type, **handled(order_type), **PRICES), 7)
    assert (order.orderId, order.orderType) == (7, wire)
    assert order.lmtPrice == (limit or UNSET)
    assert order.auxPrice == (stop or UNSET)


def test_what_a_trailing_order_carries() -> None:
    amount = order_of(ticket(order_type=OrderType.TRAILING_STOP, handling=TRAIL), 1)
    assert (amount.auxPrice, amount.trailingPercent, amount.trailStopPrice) == ("0.5", UNSET, UNSET)
    terms = {"order_type": OrderType.TRAILING_STOP_LIMIT, "handling": TRAIL_LIMIT, "stop_price": Decimal(11)}
    percent = order_of(ticket(**terms), 1)
    assert (percent.auxPrice, percent.trailingPercent) == (UNSET, "2.5")
    assert (percent.trailStopPrice, percent.lmtPriceOffset, percent.lmtPrice) == ("11", "0.1", UNSET)


def test_a_change_does_not_set_a_trail_back_to_where_it_began() -> None:
    terms = {"order_type": OrderType.TRAILING_STOP, "handling": TRAIL, "stop_price": Decimal(11)}
    assert order_of(ticket(**terms, revision=1), 1).trailStopPrice == UNSET


def test_a_mid_price_order_may_go_without_a_cap() -> None:
    assert order_of(ticket(order_type=OrderType.MID_PRICE), 1).lmtPrice == UNSET


def test_hours_groups_and_families() -> None:
    after = datetime(2026, 11, 20, 9, 45, 30, 999, tzinfo=timezone(timedelta(hours=-5)))
    handling = Handling(outside_rth=True, good_after=after, oca_group="exit 1", oca_type=OcaType.REDUCE)
    order = order_of(ticket(handling=handling), 8, parent_id=7, transmit=False)
    assert (order.outsideRth, order.goodAfterTime) == (True, "20261120-14:45:30")
    assert (order.ocaGroup.rpartition("-")[0], order.ocaType) == ("exit 1", 2)
    assert (order.parentId, order.transmit) == (7, False)
    assert order_of(ticket(handling=Handling(oca_group="exit 1")), 1).ocaType == 1


def test_groups_of_the_same_name_are_apart_for_each_portfolio_and_account() -> None:
    owners = [("PORT-A", "DU1"), ("PORT-B", "DU1"), ("PORT-A", "DU2")]
    handling = Handling(oca_group="exit")
    names = {oca_name(ticket(handling=handling, portfolio_id=p, account=a)) for p, a in owners}
    assert len(names) == 3
    assert all(name.startswith("exit-") and len(name) < 48 for name in names)
    assert oca_name(ticket(handling=handling)) == oca_name(ticket(handling=handling))


def test_nothing_that_is_not_asked_for_leaves_its_default() -> None:
    order = order_of(ticket(), 9)
    asked = {"orderId": 9, "action": "BUY", "orderType": "MKT", "tif": "DAY", "totalQuantity": "10"}
    plain = Order(account=order.account, orderRef=order.orderRef, **asked)
    assert vars(order) == vars(plain)
    assert order_of(ticket(), 9) is not order


@pytest.mark.parametrize(
    ("time_in_force", "wire"),
    [
        (TimeInForce.DAY, "DAY"),
        (TimeInForce.GTC, "GTC"),
        (TimeInForce.IOC, "IOC"),
        (TimeInForce.FOK, "FOK"),
        (TimeInForce.AT_THE_OPEN, "OPG"),
    ],
)
def test_times_in_force(time_in_force: TimeInForce, wire: str) -> None:
    assert order_of(ticket(time_in_force=time_in_force), 1).tif == wire


@pytest.mark.parametrize(("order_type", "wire"), [(OrderType.MARKET, "MOC"), (OrderType.LIMIT, "LOC")])
def test_at_the_close_is_an_order_type_at_ibkr(order_type: OrderType, wire: str) -> None:
    order = order_of(ticket(order_type=order_type, time_in_force=TimeInForce.AT_THE_CLOSE, **PRICES), 1)
    assert (order.orderType, order.tif) == (wire, "DAY")


def test_a_good_till_date_is_in_utc() -> None:
    expires = datetime(2026, 11, 20, 16, 30, tzinfo=timezone(timedelta(hours=-5)))
    order = order_of(ticket(time_in_force=TimeInForce.GTD, expires_at=expires), 1)
    assert (order.tif, order.goodTillDate) == ("GTD", "20261120-21:30:00")
    assert expires.astimezone(UTC).hour == 21


@pytest.mark.parametrize(
    ("direction", "action"),
    [
        (Direction.BUY, "BUY"),
        (Direction.BUY_TO_COVER, "BUY"),
        (Direction.SELL, "SELL"),
        (Direction.SELL_SHORT, "SELL"),
    ],
)
def test_directions(direction: Direction, action: str) -> None:
    assert order_of(ticket(direction=direction), 1).action == action


@pytest.mark.parametrize(
    ("number", "text"), [("1E+3", "1000"), ("0.0000001", "0.0000001"), ("0.30", "0.3"), ("100", "100")]
)
def test_numbers_go_out_as_plain_decimals(number: str, text: str) -> None:
    order = order_of(ticket(quantity=number, order_type=OrderType.LIMIT, limit_price=Decimal(number)), 1)
    assert (order.totalQuantity, order.lmtPrice) == (text, text)


def test_account_and_reference_travel_with_the_order() -> None:
    placement = ticket()
    order = order_of(placement, 1)
    assert (order.account, order.orderRef) == (placement.account, placement.order_ref)
    assert len(order.orderRef) == 32
    assert order.transmit


def test_every_order_that_the_domain_sends_here_has_a_wire_order() -> None:
    for order_type in OrderType:
        for time_in_force in TimeInForce:
            if unsupported("IBKR", stock(), order_type, time_in_force) is None:
                expires = datetime(2026, 11, 20, tzinfo=UTC)
                terms = {"order_type": order_type, "time_in_force": time_in_force, "expires_at": expires}
                assert order_of(ticket(**terms, **handled(order_type), **PRICES), 1).orderType


@pytest.mark.parametrize(
    "changes",
    [
        {"order_type": OrderType.LIMIT},
        {"order_type": OrderType.STOP},
        {"order_type": OrderType.PREVIOUSLY_QUOTED},
        {"time_in_force": TimeInForce.GTD},
        {"order_type": OrderType.STOP, "time_in_force": TimeInForce.AT_THE_CLOSE, **PRICES},
        {"order_type": OrderType.STOP, "time_in_force": TimeInForce.IOC, **PRICES},
        {"order_type": OrderType.TRAILING_STOP, "time_in_force": TimeInForce.AT_THE_OPEN, "handling": TRAIL},
        {"order_type": OrderType.TRAILING_STOP},
        {"order_type": OrderType.TRAILING_STOP_LIMIT, "handling": TRAIL},
        {"order_type": OrderType.MID_PRICE, "instrument": FUTURE},
        {"quantity": Decimal("1.5"), "instrument": FUTURE},
        {"quantity": Decimal("1.5"), "instrument": OPTION},
        {"quantity": Decimal("0.5"), "instrument": EURO},
        {"instrument": EURO, "time_in_force": TimeInForce.AT_THE_CLOSE},
        {"strategy": "Sniper"},
        {"strategy": "VWAP", "time_in_force": TimeInForce.GTC},
        {"strategy": "VWAP", "order_type": OrderType.STOP, **PRICES},
    ],
)
def test_what_ibkr_has_no_order_for_is_refused_in_a_sentence(changes: dict[str, object]) -> None:
    with pytest.raises(UnsupportedOrder, match=" "):
        order_of(ticket(**changes), 1)


def test_contracts_are_asked_for_by_id_or_by_description() -> None:
    assert contract_of(stock().model_copy(update={"conid": 265598})) == Contract(
        conId=265598, exchange="SMART"
    )
    assert contract_of(FUTURE).lastTradeDateOrContractMonth == "20270319"
    assert (contract_of(EURO).exchange, contract_of(EURO).currency) == ("IDEALPRO", "USD")


def test_one_contract_is_chosen_and_routed_as_asked() -> None:
    wanted = Contract(secType="STK", symbol="X", exchange="SMART", primaryExchange="NYSE")
    here = Contract(secType="STK", conId=1, symbol="X", exchange="NYSE", primaryExchange="NYSE")
    there = Contract(secType="STK", conId=2, symbol="X", exchange="LSE", primaryExchange="LSE")
    option = Contract(secType="OPT", conId=3, symbol="X", exchange="CBOE")
    assert (chosen(wanted, [here, there, option]).conId, chosen(wanted, [here]).exchange) == (1, "SMART")
    for found in ([], [option], [there, Contract(secType="STK", conId=4)]):
        with pytest.raises(UnknownContract):
            chosen(wanted, found)


# What leaves, and what the broker makes of it


def day(order_type: OrderType, **terms: Any) -> PlacementTicket:
    return ticket(order_type=order_type, **terms)


LIMIT = {"limit_price": Decimal("5.25")}
LATER = datetime(2099, 11, 20, 20, 0, tzinfo=UTC)
ON_THE_WIRE: dict[str, tuple[PlacementTicket, dict[str, str]]] = {
    "LMT GTC outside hours": (
        day(OrderType.LIMIT, **LIMIT, time_in_force=TimeInForce.GTC, handling=Handling(outside_rth=True)),
        {"orderType": "LMT", "tif": "GTC", "lmtPrice": "5.25", "outsideRth": "1"},
    ),
    "LMT GTD": (
        day(OrderType.LIMIT, **LIMIT, time_in_force=TimeInForce.GTD, expires_at=LATER),
        {"orderType": "LMT", "tif": "GTD", "goodTillDate": "20991120-20:00:00"},
    ),
    "LMT good after": (
        day(OrderType.LIMIT, **LIMIT, handling=Handling(good_after=LATER)),
        {"orderType": "LMT", "goodAfterTime": "20991120-20:00:00"},
    ),
    "STP": (
        day(OrderType.STOP, stop_price=Decimal(900)),
        {"orderType": "STP", "auxPrice": "900", "tif": "DAY"},
    ),
    "STP LMT": (
        day(OrderType.STOP_LIMIT, stop_price=Decimal(900), limit_price=Decimal("901.5")),
        {"orderType": "STP LMT", "auxPrice": "900", "lmtPrice": "901.5"},
    ),
    "TRAIL by an amount": (
        day(OrderType.TRAILING_STOP, direction=Direction.SELL, handling=Handling(trail_amount=Decimal(20))),
        {"orderType": "TRAIL", "auxPrice": "20", "action": "SELL"},
    ),
    "TRAIL by a percentage, from a stop": (
        day(
            OrderType.TRAILING_STOP,
            direction=Direction.SELL,
            stop_price=Decimal(100),
            handling=Handling(trail_percent=Decimal(5)),
        ),
        {"orderType": "TRAIL", "trailingPercent": "5", "trailStopPrice": "100"},
    ),
    "TRAIL LIMIT": (
        day(
            OrderType.TRAILING_STOP_LIMIT,
            direction=Direction.SELL,
            stop_price=Decimal(100),
            handling=Handling(trail_amount=Decimal(20), limit_offset=Decimal("0.05")),
        ),
        {"orderType": "TRAIL LIMIT", "auxPrice": "20", "lmtPriceOffset": "0.05", "trailStopPrice": "100"},
    ),
    "MIDPRICE with a cap": (
        day(OrderType.MID_PRICE, **LIMIT),
        {"orderType": "MIDPRICE", "lmtPrice": "5.25", "tif": "DAY"},
    ),
    "MOC": (
        day(OrderType.MARKET, time_in_force=TimeInForce.AT_THE_CLOSE),
        {"orderType": "MOC", "tif": "DAY"},
    ),
    "LOC": (
        day(OrderType.LIMIT, **LIMIT, time_in_force=TimeInForce.AT_THE_CLOSE),
        {"orderType": "LOC", "tif": "DAY", "lmtPrice": "5.25"},
    ),
    "MOO": (
        day(OrderType.MARKET, time_in_force=TimeInForce.AT_THE_OPEN),
        {"orderType": "MKT", "tif": "OPG"},
    ),
    "LOO": (
        day(OrderType.LIMIT, **LIMIT, time_in_force=TimeInForce.AT_THE_OPEN),
        {"orderType": "LMT", "tif": "OPG", "lmtPrice": "5.25"},
    ),
    "IOC": (day(OrderType.LIMIT, **LIMIT, time_in_force=TimeInForce.IOC), {"orderType": "LMT", "tif": "IOC"}),
    "FOK": (day(OrderType.LIMIT, **LIMIT, time_in_force=TimeInForce.FOK), {"orderType": "LMT", "tif": "FOK"}),
    "one of a group": (
        resting(handling=Handling(oca_group="g", oca_type=OcaType.REDUCE)),
        {"ocaType": "2"},
    ),
    "future": (
        resting(quantity="2", instrument=FUTURE, limit_price=Decimal("10.25")),
        {"secType": "FUT", "exchange": "CME", "totalQuantity": "2", "conId": "649180695"},
    ),
    "option": (
        resting(instrument=OPTION, limit_price=Decimal("0.05")),
        {"secType": "OPT", "right": "C", "strike": "220.0", "multiplier": "100", "exchange": "SMART"},
    ),
    "currencies": (
        resting(quantity="25000", instrument=EURO, limit_price=Decimal("0.50005")),
        {"secType": "CASH", "exchange": "IDEALPRO", "totalQuantity": "25000", "lmtPrice": "0.50005"},
    ),
    "adaptive": (
        resting(strategy="Adaptive", params={"priority": "Patient"}),
        {"algoStrategy": "Adaptive", "adaptivePriority": "Patient"},
    ),
}


# An immediate order, or one whose auction is held meanwhile, may be over already; refused it is not.
TAKEN = {
    PlacementStatus.WORKING,
    PlacementStatus.FILLED,
    PlacementStatus.EXPIRED,
    PlacementStatus.CANCELED,
}


async def test_what_leaves_is_what_the_ticket_says_and_the_broker_takes_it(rig: Rig) -> None:
    gateway = await rig.gateway(acknowledge_seconds=3.0)
    for name, (order, expected) in ON_THE_WIRE.items():
        known = status(await gateway.place(order))
        sent = rig.sent(order)
        assert {field: sent.get(field) for field in expected} == expected, name
        assert (sent["account"], sent["orderRef"], sent["transmit"]) == (order.account, order.order_ref, "1")
        assert known in TAKEN, name
        assert len(rig.wired(order)) == 1


async def test_a_market_order_carries_no_price_and_no_leftovers(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket()
    await gateway.place(order)
    (message,) = rig.wired(order)
    sent = fields_of(message)
    told = {"orderId", "conId", "symbol", "secType", "exchange", "currency", "localSymbol", "tradingClass"}
    told |= {
        "strike",
        "primaryExchange",
        "action",
        "totalQuantity",
        "orderType",
        "tif",
        "account",
        "orderRef",
    }
    told |= {"openClose", "transmit", "exemptCode"}
    assert {name for name, text in sent.items() if text not in ("0", "0.0")} <= told | {"strike"}
