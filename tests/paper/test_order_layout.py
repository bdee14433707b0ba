"""Whole orders through the unmodified client's own encoder and decoder, at every server version."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import ib_async as iba
import pytest
from ib_async.client import Client
from ib_async.decoder import Decoder

from oms.paper.order_layout import OrderFields, completed_order, open_order, read_place_order
from oms.paper.wire import WireError

VERSIONS = range(157, 179)

# Fields of a plain stock order by server version, message id included (TWS API).
COUNTS = {
    157: (110, 128, 96),
    158: (111, 128, 96),
    159: (111, 129, 96),
    160: (112, 130, 96),
    161: (112, 130, 96),
    **dict.fromkeys(range(162, 166), (113, 131, 96)),
    **dict.fromkeys(range(166, 169), (114, 131, 96)),
    169: (115, 131, 96),
    **dict.fromkeys(range(170, 177), (115, 136, 101)),
    177: (114, 135, 100),
    178: (114, 135, 100),
}

# Not in placeOrder, or assigned by the gateway: not part of a round trip.
ASSIGNED = {"clientId", "permId", "filledQuantity", "parentPermId", "autoCancelDate", "shareholder"}
NEVER_SENT = ASSIGNED | {
    "basisPoints",
    "basisPointsType",
    "refFuturesConId",
    "imbalanceOnly",
    "routeMarketableToBbo",
}
# In placeOrder but not told back by openOrder.
ONE_WAY = {
    "overridePercentageConstraints",
    "scaleTable",
    "activeStartTime",
    "activeStopTime",
    "algoId",
    "orderMiscOptions",
    "extOperator",
    "mifid2DecisionMaker",
    "mifid2DecisionAlgo",
    "mifid2ExecutionTrader",
    "mifid2ExecutionAlgo",
    "advancedErrorOverride",
    "manualOrderTime",
    "transmit",
}
# In openOrder but not in completedOrder.
NOT_COMPLETED = {
    "orderId",
    "auctionStrategy",
    "blockOrder",
    "eTradeOnly",
    "firmQuoteOnly",
    "nbboPriceCap",
    "parentId",
    "deltaNeutralSettlingFirm",
    "deltaNeutralClearingAccount",
    "deltaNeutralClearingIntent",
    "deltaNeutralOpenClose",
    "optOutSmartRouting",
    "whatIf",
    "adjustedOrderType",
    "triggerPrice",
    "adjustedStopPrice",
    "adjustedStopLimitPrice",
    "adjustedTrailingAmount",
    "adjustableTrailingUnit",
    "softDollarTier",
    "discretionaryUpToLimitPrice",
    "usePriceMgmtAlgo",
    "duration",
    "postToAts",
}
SINCE = {
    "duration": 159,
    "postToAts": 160,
    "autoCancelParent": 162,
    **dict.fromkeys(
        ("minTradeQty", "minCompeteSize", "competeAgainstBestOffset", "midOffsetAtWhole", "midOffsetAtHalf"),
        170,
    ),
}


class Recorder:
    """Takes what the client's decoder reports."""

    def __init__(self) -> None:
        self.orders: list[Any] = []

    def openOrder(self, *told: Any) -> None:  # noqa: N802 - the client's name
        self.orders.append(told[1:])

    def completedOrder(self, *told: Any) -> None:  # noqa: N802 - the client's name
        self.orders.append(told)


def sent(order: iba.Order, contract: iba.Contract, version: int) -> list[str]:
    """The fields of placeOrder as the unmodified client writes them."""
    messages: list[str] = []
    client = Client(None)
    client._serverVersion = version
    client.connState = Client.CONNECTED
    client.sendMsg = messages.append
    client.placeOrder(77, contract, order)
    (message,) = messages
    return message.split("\0")[:-1]


def decoded(fields: list[str], version: int) -> tuple[iba.Contract, iba.Order, iba.OrderState]:
    """What the unmodified client understands of an openOrder or completedOrder."""
    recorder = Recorder()
    decoder = Decoder(recorder, version)
    getattr(decoder, {"5": "openOrder", "101": "completedOrder"}[fields[0]])(list(fields))
    (told,) = recorder.orders
    return told  # type: ignore[no-any-return]


def distinct_values() -> Iterator[Any]:
    number = 1000
    while True:
        number += 1
        yield number


def full_order(order_type: str = "LMT") -> iba.Order:
    """An order with a different value in every attribute (booleans: all true)."""
    numbers = distinct_values()
    order = iba.Order()
    for field in dataclasses.fields(order):
        default = getattr(order, field.name)
        if isinstance(default, bool):
            value: Any = True
        elif isinstance(default, int):
            value = next(numbers)
        elif isinstance(default, float):
            value = next(numbers) + 0.25
        elif isinstance(default, str):
            value = f"{field.name[:9]}-{next(numbers)}"
        else:
            continue
        setattr(order, field.name, value)
    order.orderType = order_type
    order.softDollarTier = iba.SoftDollarTier("tier", "value", "")
    order.algoParams = [iba.TagValue("speed", "11"), iba.TagValue("depth", "12")]
    order.conditions = [
        iba.PriceCondition(1, "a", True, 91.5, 9101, "SMART", 3),
        iba.TimeCondition(3, "o", False, "20261120 10:00:00"),
        iba.MarginCondition(4, "a", True, 31),
        iba.ExecutionCondition(5, "o", "STK", "NYSE", "IBM"),
        iba.VolumeCondition(6, "a", False, 6001, 6002, "ARCA"),
        iba.PercentChangeCondition(7, "o", True, 7.5, 7002, "BATS"),
    ]
    return order


def full_contract() -> iba.Contract:
    return iba.Contract(
        conId=501,
        symbol="SYM",
        secType="OPT",
        lastTradeDateOrContractMonth="20270115",
        strike=502.5,
        right="C",
        multiplier="100",
        exchange="IBKRATS",
        currency="EUR",
        localSymbol="LOCAL",
        tradingClass="CLASS",
        deltaNeutralContract=iba.DeltaNeutralContract(503, 0.5, 504.5),
    )


CONTRACT_FIELDS = [
    "conId",
    "symbol",
    "secType",
    "lastTradeDateOrContractMonth",
    "strike",
    "right",
    "multiplier",
    "exchange",
    "currency",
    "localSymbol",
    "tradingClass",
    "deltaNeutralContract",
]


def differences(before: iba.Order, after: iba.Order, left_out: set[str]) -> dict[str, tuple[Any, Any]]:
    found = {}
    for field in dataclasses.fields(before):
        was, is_now = getattr(before, field.name), getattr(after, field.name)
        if field.name not in left_out and was != is_now:
            found[field.name] = (was, is_now)
    return found


def left_out(order: iba.Order, version: int) -> set[str]:
    out = NEVER_SENT | ONE_WAY | {name for name, since in SINCE.items() if version < since}
    # Combo details travel only with secType BAG, tested apart; volatility only with VOL orders.
    out |= {"orderComboLegs", "smartComboRoutingParams"}
    if version >= 177:
        out |= {"faProfile"}
    if "BENCH" not in order.orderType:
        out |= {
            "referenceContractId",
            "isPeggedChangeAmountDecrease",
            "peggedChangeAmount",
            "referenceChangeAmount",
            "referenceExchangeId",
        }
    if "BEST" not in order.orderType:
        out |= {"minCompeteSize", "competeAgainstBestOffset"}
    if "MID" not in order.orderType and order.competeAgainstBestOffset != math.inf:
        out |= {"midOffsetAtWhole", "midOffsetAtHalf"}
    if not order.orderType.startswith("VOL"):
        out |= {"volatility"}
    return out


@pytest.mark.parametrize("version", VERSIONS)
def test_field_counts_of_a_stock_order(version: int) -> None:
    fields = sent(iba.MarketOrder("BUY", 100), iba.Stock("AAPL", "SMART", "USD"), version)
    order = read_place_order(fields[1:], version)
    counts = len(fields), len(open_order(order, {}, version)), len(completed_order(order, {}, version))
    assert counts == COUNTS[version]


@pytest.mark.parametrize("order_type", ["LMT", "VOL", "PEG BENCH", "PEG BEST", "PEG MID"])
@pytest.mark.parametrize("version", VERSIONS)
def test_every_attribute_comes_back(version: int, order_type: str) -> None:
    before, contract = full_order(order_type), full_contract()
    fields = OrderFields.load(read_place_order(sent(before, contract, version)[1:], version).dump())
    missing = left_out(before, version)

    told_contract, after, state = decoded(open_order(fields, {"status": "Submitted"}, version), version)
    # The decoder is the only other reader of the order id: it was set by placeOrder.
    assert after.orderId == 77
    assert differences(before, after, missing | {"orderId"}) == {}
    assert state.status == "Submitted"
    assert [getattr(told_contract, n) for n in CONTRACT_FIELDS] == [
        getattr(contract, n) for n in CONTRACT_FIELDS
    ]

    done = {"status": "Filled", "filledQuantity": "9", "completedTime": "T", "completedStatus": "S"}
    told_contract, after, state = decoded(completed_order(fields, done, version), version)
    assert differences(before, after, missing | NOT_COMPLETED) == {}
    assert (after.filledQuantity, state.status, state.completedTime, state.completedStatus) == (
        9,
        "Filled",
        "T",
        "S",
    )
    assert [getattr(told_contract, n) for n in CONTRACT_FIELDS] == [
        getattr(contract, n) for n in CONTRACT_FIELDS
    ]


@pytest.mark.parametrize("bit", range(6))
@pytest.mark.parametrize("version", [157, 178])
def test_no_flag_stands_for_its_neighbour(version: int, bit: int) -> None:
    """Flags numbered through: in one of six rounds any two of them differ."""
    before = full_order()
    flags = [f.name for f in dataclasses.fields(before) if isinstance(getattr(before, f.name), bool)]
    for number, name in enumerate(flags):
        setattr(before, name, bool(number >> bit & 1))
    fields = read_place_order(sent(before, full_contract(), version)[1:], version)
    missing = left_out(before, version)
    _, after, _ = decoded(open_order(fields, {}, version), version)
    assert differences(before, after, missing | {"orderId"}) == {}
    _, after, _ = decoded(completed_order(fields, {}, version), version)
    assert differences(before, after, missing | NOT_COMPLETED) == {}


@pytest.mark.parametrize("version", [157, 178])
def test_a_combo_comes_back(version: int) -> None:
    contract = iba.Bag(symbol="SPREAD", exchange="SMART", currency="USD")
    contract.comboLegs = [
        iba.ComboLeg(11, 1, "BUY", "NYSE", 1, 2, "here", -1),
        iba.ComboLeg(12, 3, "SELL", "ARCA", 0, 1, "", 4),
    ]
    order = iba.LimitOrder("BUY", 5, 1.5)
    order.orderComboLegs = [iba.OrderComboLeg(1.25), iba.OrderComboLeg(2.5)]
    order.smartComboRoutingParams = [iba.TagValue("NonGuaranteed", "1")]
    fields = read_place_order(sent(order, contract, version)[1:], version)
    for message in (open_order(fields, {}, version), completed_order(fields, {}, version)):
        told, after, _ = decoded(message, version)
        assert told.comboLegs == contract.comboLegs
        assert after.orderComboLegs == order.orderComboLegs
        assert after.smartComboRoutingParams == order.smartComboRoutingParams
        assert (after.orderType, after.lmtPrice) == ("LMT", 1.5)


def test_a_pegged_order_with_an_infinite_offset() -> None:
    before = full_order("PEG BEST")
    before.competeAgainstBestOffset = math.inf
    fields = read_place_order(sent(before, full_contract(), 178)[1:], 178)
    _, after, _ = decoded(open_order(fields, {}, 178), 178)
    assert differences(before, after, left_out(before, 178) | {"orderId"}) == {}


@pytest.mark.parametrize("version", [157, 178])
def test_an_order_rebuilt_from_open_order_can_be_sent_back(version: int) -> None:
    """It carries the text None for deltaNeutralOrderType, and with it eight more fields."""
    fields = read_place_order(sent(iba.LimitOrder("SELL", 3, 7.25), iba.Stock("IBM"), version)[1:], version)
    contract, order, _ = decoded(open_order(fields, {}, version), version)
    assert order.deltaNeutralOrderType == "None"
    again = read_place_order(sent(order, contract, version)[1:], version)
    assert (again.get("action"), again.get("totalQuantity"), again.get("lmtPrice")) == ("SELL", "3.0", "7.25")


def test_a_message_of_any_wrong_length_is_refused() -> None:
    fields = sent(iba.MarketOrder("BUY", 1), iba.Stock("AAPL"), 178)[1:]
    for length in range(len(fields)):
        with pytest.raises(WireError):
            read_place_order(fields[:length], 178)
    with pytest.raises(WireError):
        read_place_order([*fields, ""], 178)


@pytest.mark.parametrize(("index", "text"), [(88, "-1"), (88, "999999999"), (88, "x"), (88, "1")])
def test_impossible_condition_counts_are_refused(index: int, text: str) -> None:
    fields = sent(iba.MarketOrder("BUY", 1), iba.Stock("AAPL"), 178)[1:]
    fields[index] = text
    with pytest.raises(WireError):
        read_place_order(fields, 178)
