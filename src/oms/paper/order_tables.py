"""Field tables of placeOrder, openOrder and completedOrder.

Names are the TWS API's own; the order of the parts is the order on the wire. A part may begin or end
with a server version. Source: TWS API, EClient.placeOrder and EOrderDecoder, versions 157 to 178.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from oms.paper.wire import UNSET_DOUBLE, decimal_of

_LAST_VERSION = 10_000


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    default: str = ""
    since: int = 0
    before: int = _LAST_VERSION


@dataclass(frozen=True, slots=True)
class Rows:
    """A count, then that many tuples of ``width`` values."""

    name: str
    width: int


@dataclass(frozen=True, slots=True)
class Conditions:
    """A count, then conditions whose width their type gives, then two flags if there were any."""


@dataclass(frozen=True, slots=True)
class When:
    """Parts that are there only if the values before them say so."""

    holds: Callable[[Mapping[str, str]], bool]
    parts: "tuple[Part, ...]"
    since: int = 0


Part = Field | Rows | Conditions | When


def _fields(names: str, *, since: int = 0, before: int = _LAST_VERSION) -> tuple[Field, ...]:
    """Single fields from words; ``name=text`` gives what is written when the order has no value."""
    pairs = [word.partition("=") for word in names.split()]
    return tuple(Field(name, default, since, before) for name, _, default in pairs)


def _present(name: str) -> Callable[[Mapping[str, str]], bool]:
    return lambda values: values.get(name, "") != ""


def _order_type(*types: str) -> Callable[[Mapping[str, str]], bool]:
    return lambda values: values.get("orderType", "") in types


def _scaled(values: Mapping[str, str]) -> bool:
    increment = decimal_of(values.get("scalePriceIncrement", ""))
    return increment is not None and increment > 0


_CONTRACT = "conId symbol secType lastTradeDateOrContractMonth strike right=? multiplier exchange"
_DELTA_NEUTRAL_SHORT = (
    "deltaNeutralConId=0 deltaNeutralShortSale=0 deltaNeutralShortSaleSlot=0 deltaNeutralDesignatedLocation"
)
_DELTA_NEUTRAL = (
    "deltaNeutralConId=0 deltaNeutralSettlingFirm deltaNeutralClearingAccount deltaNeutralClearingIntent"
    " deltaNeutralOpenClose=? deltaNeutralShortSale=0 deltaNeutralShortSaleSlot=0"
    " deltaNeutralDesignatedLocation"
)
_SCALE = (
    "scalePriceAdjustValue scalePriceAdjustInterval scaleProfitOffset scaleAutoReset=0 scaleInitPosition"
    " scaleInitFillQty scaleRandomPercent=0"
)
_PEG_BENCH = When(
    _order_type("PEG BENCH", "PEGBENCH"),
    _fields(
        "referenceContractId isPeggedChangeAmountDecrease peggedChangeAmount referenceChangeAmount"
        " referenceExchangeId"
    ),
)
_DELTA_NEUTRAL_CONTRACT = When(
    lambda values: values.get("dncPresent") == "1", _fields("dncConId dncDelta dncPrice")
)
_SCALE_PART = When(_scaled, _fields(_SCALE))
_HEDGE = When(_present("hedgeType"), _fields("hedgeParam"))
_ALGO = When(_present("algoStrategy"), (Rows("algoParams", 2),))
_COMBO = (Rows("comboLegs", 8), Rows("orderComboLegs", 1), Rows("smartComboRoutingParams", 2))

PLACE: tuple[Part, ...] = (
    *_fields(
        "orderId conId symbol secType lastTradeDateOrContractMonth strike right multiplier exchange"
        " primaryExchange currency localSymbol tradingClass secIdType secId action totalQuantity orderType"
        " lmtPrice auxPrice tif ocaGroup account openClose origin orderRef transmit parentId blockOrder"
        " sweepToFill displaySize triggerMethod outsideRth hidden"
    ),
    When(lambda values: values["secType"] == "BAG", _COMBO),
    *_fields("_ discretionaryAmt goodAfterTime goodTillDate faGroup faMethod faPercentage"),
    *_fields("faProfile", before=177),
    *_fields(
        "modelCode shortSaleSlot designatedLocation exemptCode ocaType rule80A settlingFirm allOrNone minQty"
        " percentOffset eTradeOnly firmQuoteOnly nbboPriceCap auctionStrategy startingPrice stockRefPrice"
        " delta stockRangeLower stockRangeUpper overridePercentageConstraints volatility volatilityType"
        " deltaNeutralOrderType deltaNeutralAuxPrice"
    ),
    When(_present("deltaNeutralOrderType"), _fields(_DELTA_NEUTRAL)),
    *_fields(
        "continuousUpdate referencePriceType trailStopPrice trailingPercent scaleInitLevelSize"
        " scaleSubsLevelSize scalePriceIncrement"
    ),
    _SCALE_PART,
    *_fields("scaleTable activeStartTime activeStopTime hedgeType"),
    _HEDGE,
    *_fields("optOutSmartRouting clearingAccount clearingIntent notHeld dncPresent"),
    _DELTA_NEUTRAL_CONTRACT,
    *_fields("algoStrategy"),
    _ALGO,
    *_fields("algoId whatIf orderMiscOptions solicited randomizeSize randomizePrice"),
    _PEG_BENCH,
    Conditions(),
    *_fields(
        "adjustedOrderType triggerPrice lmtPriceOffset adjustedStopPrice adjustedStopLimitPrice"
        " adjustedTrailingAmount adjustableTrailingUnit extOperator softDollarName softDollarValue cashQty"
        " mifid2DecisionMaker mifid2DecisionAlgo mifid2ExecutionTrader mifid2ExecutionAlgo"
        " dontUseAutoPriceForHedge isOmsContainer discretionaryUpToLimitPrice usePriceMgmtAlgo"
    ),
    *_fields("duration", since=158),
    *_fields("postToAts", since=160),
    *_fields("autoCancelParent", since=162),
    *_fields("advancedErrorOverride", since=166),
    *_fields("manualOrderTime", since=169),
    When(lambda values: values["exchange"] == "IBKRATS", _fields("minTradeQty"), since=170),
    When(
        _order_type("PEG BEST", "PEGBEST"),
        (
            *_fields("minCompeteSize competeAgainstBestOffset"),
            When(
                lambda values: values["competeAgainstBestOffset"] == "Infinity",
                _fields("midOffsetAtWhole midOffsetAtHalf"),
            ),
        ),
        since=170,
    ),
    When(_order_type("PEG MID", "PEGMID"), _fields("midOffsetAtWhole midOffsetAtHalf"), since=170),
)

_TAIL_170 = _fields(
    "minTradeQty minCompeteSize competeAgainstBestOffset midOffsetAtWhole midOffsetAtHalf", since=170
)

OPEN: tuple[Part, ...] = (
    *_fields(f"orderId {_CONTRACT} currency localSymbol tradingClass"),
    *_fields(
        "action totalQuantity orderType lmtPrice=0.0 auxPrice=0.0 tif=DAY ocaGroup account openClose origin=0"
        " orderRef clientId permId outsideRth=0 hidden=0 discretionaryAmt=0 goodAfterTime sharesAllocation"
        " faGroup faMethod faPercentage"
    ),
    *_fields("faProfile", before=177),
    *_fields(
        "modelCode goodTillDate rule80A percentOffset settlingFirm shortSaleSlot=0 designatedLocation"
        " exemptCode=-1 auctionStrategy=0 startingPrice stockRefPrice delta stockRangeLower stockRangeUpper"
        " displaySize=2147483647 blockOrder=0 sweepToFill=0 allOrNone=0 minQty ocaType=0 eTradeOnly=0"
        " firmQuoteOnly=0 nbboPriceCap parentId=0 triggerMethod=0 volatility volatilityType=0"
        " deltaNeutralOrderType=None deltaNeutralAuxPrice"
    ),
    *_fields(_DELTA_NEUTRAL),
    *_fields(
        "continuousUpdate=0 referencePriceType=0 trailStopPrice trailingPercent basisPoints basisPointsType"
        " comboLegsDescrip"
    ),
    *_COMBO,
    *_fields("scaleInitLevelSize=2147483647 scaleSubsLevelSize=2147483647 scalePriceIncrement"),
    _SCALE_PART,
    *_fields("hedgeType"),
    _HEDGE,
    *_fields("optOutSmartRouting=0 clearingAccount clearingIntent=IB notHeld=0 dncPresent=0"),
    _DELTA_NEUTRAL_CONTRACT,
    *_fields("algoStrategy"),
    _ALGO,
    *_fields("solicited=0 whatIf=0 status"),
    *(
        Field(f"{amount}{moment}", UNSET_DOUBLE)
        for moment in ("Before", "Change", "After")
        for amount in ("initMargin", "maintMargin", "equityWithLoan")
    ),
    *_fields(
        "commission minCommission maxCommission commissionCurrency warningText randomizeSize=0"
        " randomizePrice=0"
    ),
    _PEG_BENCH,
    Conditions(),
    Field("adjustedOrderType", "None"),
    *(
        Field(name, UNSET_DOUBLE)
        for name in (
            "triggerPrice",
            "trailStopPrice",
            "lmtPriceOffset",
            "adjustedStopPrice",
            "adjustedStopLimitPrice",
            "adjustedTrailingAmount",
        )
    ),
    *_fields(
        "adjustableTrailingUnit=0 softDollarName softDollarValue softDollarDisplayName cashQty=0"
        " dontUseAutoPriceForHedge=0 isOmsContainer=0 discretionaryUpToLimitPrice=0 usePriceMgmtAlgo=0"
    ),
    *_fields("duration", since=159),
    *_fields("postToAts", since=160),
    *_fields("autoCancelParent=0", since=162),
    *_TAIL_170,
)

COMPLETED: tuple[Part, ...] = (
    *_fields(f"{_CONTRACT} currency localSymbol tradingClass"),
    *_fields(
        "action totalQuantity orderType lmtPrice=0.0 auxPrice=0.0 tif=DAY ocaGroup account openClose origin=0"
        " orderRef permId outsideRth=0 hidden=0 discretionaryAmt=0 goodAfterTime faGroup faMethod"
        " faPercentage"
    ),
    *_fields("faProfile", before=177),
    *_fields(
        "modelCode goodTillDate rule80A percentOffset settlingFirm shortSaleSlot=0 designatedLocation"
        " exemptCode=-1 startingPrice stockRefPrice delta stockRangeLower stockRangeUpper"
        " displaySize=2147483647 sweepToFill=0 allOrNone=0 minQty ocaType=0 triggerMethod=0 volatility"
        " volatilityType=0 deltaNeutralOrderType=None deltaNeutralAuxPrice"
    ),
    *_fields(_DELTA_NEUTRAL_SHORT),
    *_fields("continuousUpdate=0 referencePriceType=0 trailStopPrice trailingPercent comboLegsDescrip"),
    *_COMBO,
    *_fields("scaleInitLevelSize=2147483647 scaleSubsLevelSize=2147483647 scalePriceIncrement"),
    _SCALE_PART,
    *_fields("hedgeType"),
    _HEDGE,
    *_fields("clearingAccount clearingIntent=IB notHeld=0 dncPresent=0"),
    _DELTA_NEUTRAL_CONTRACT,
    *_fields("algoStrategy"),
    _ALGO,
    *_fields("solicited=0 status randomizeSize=0 randomizePrice=0"),
    _PEG_BENCH,
    Conditions(),
    Field("trailStopPrice", UNSET_DOUBLE),
    Field("lmtPriceOffset", UNSET_DOUBLE),
    *_fields(
        "cashQty=0 dontUseAutoPriceForHedge=0 isOmsContainer=0 autoCancelDate filledQuantity"
        " refFuturesConId=0 autoCancelParent=0 shareholder imbalanceOnly=0 routeMarketableToBbo=0"
        " parentPermId=0 completedTime completedStatus"
    ),
    *_TAIL_170,
)
