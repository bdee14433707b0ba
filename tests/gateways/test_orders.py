"""Tickets as wire orders and instruments as contracts."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from ib_async import Contract
from tests.gateways.rig import stock, ticket

from oms.domain.reference import Instrument
from oms.domain.terms import Direction, OrderType, SecType, TimeInForce
from oms.domain.venues import unsupported
from oms.gateways.ibkr.contracts import UnknownContract, chosen, contract_of
from oms.gateways.ibkr.orders import UnsupportedOrder, order_of

PRICES = {"limit_price": Decimal("10.5"), "stop_price": Decimal(11)}


@pytest.mark.parametrize(
    ("order_type", "wire", "limit", "stop"),
    [
        (OrderType.MARKET, "MKT", None, None),
        (OrderType.LIMIT, "LMT", "10.5", None),
        (OrderType.STOP, "STP", None, "11"),
        (OrderType.STOP_LIMIT, "STP LMT", "10.5", "11"),
    ],
)
def test_order_types_and_their_prices(
    order_type: OrderType, wire: str, limit: str | None, stop: str | None
) -> None:
    order = order_of(ticket(order_type=order_type, **PRICES), 7)
    unset = order_of(ticket(), 1).lmtPrice
    assert (order.orderId, order.orderType) == (7, wire)
    assert order.lmtPrice == (limit or unset)
    assert order.auxPrice == (stop or unset)


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
                placement = ticket(
                    order_type=order_type, time_in_force=time_in_force, expires_at=expires, **PRICES
                )
                assert order_of(placement, 1).orderType


@pytest.mark.parametrize(
    "changes",
    [
        {"order_type": OrderType.LIMIT},
        {"order_type": OrderType.STOP},
        {"order_type": OrderType.PREVIOUSLY_QUOTED},
        {"time_in_force": TimeInForce.GTD},
        {"order_type": OrderType.STOP, "time_in_force": TimeInForce.AT_THE_CLOSE, **PRICES},
    ],
)
def test_what_ibkr_has_no_order_for_is_refused_in_a_sentence(changes: dict[str, object]) -> None:
    with pytest.raises(UnsupportedOrder, match=" "):
        order_of(ticket(**changes), 1)


def test_contracts_are_asked_for_by_id_or_by_description() -> None:
    assert contract_of(stock().model_copy(update={"conid": 265598})) == Contract(
        conId=265598, exchange="SMART"
    )
    future = Instrument(
        instrument_id="I", symbol="ES", sec_type=SecType.FUTURE, exchange="CME", expiry=date(2027, 3, 19)
    )
    assert contract_of(future).lastTradeDateOrContractMonth == "20270319"
    euro = Instrument(instrument_id="I", symbol="EUR", sec_type=SecType.CASH)
    assert (contract_of(euro).exchange, contract_of(euro).currency) == ("IDEALPRO", "USD")


def test_one_contract_is_chosen_and_routed_as_asked() -> None:
    wanted = Contract(secType="STK", symbol="X", exchange="SMART", primaryExchange="NYSE")
    here = Contract(secType="STK", conId=1, symbol="X", exchange="NYSE", primaryExchange="NYSE")
    there = Contract(secType="STK", conId=2, symbol="X", exchange="LSE", primaryExchange="LSE")
    option = Contract(secType="OPT", conId=3, symbol="X", exchange="CBOE")
    assert (chosen(wanted, [here, there, option]).conId, chosen(wanted, [here]).exchange) == (1, "SMART")
    for found in ([], [option], [there, Contract(secType="STK", conId=4)]):
        with pytest.raises(UnknownContract):
            chosen(wanted, found)
