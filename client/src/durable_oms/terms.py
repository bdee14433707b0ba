"""The order book's closed vocabularies. Each word is text: `"Buy"` and `Direction.BUY` are the same argument."""

from enum import StrEnum


class State(StrEnum):
    """The 18 states of an order."""

    CREATED = "CREATED"
    PENDING_PRE_TRADE_COMPLIANCE = "PENDING_PRE_TRADE_COMPLIANCE"
    PRE_TRADE_COMPLIANCE_PASSED = "PRE_TRADE_COMPLIANCE_PASSED"
    PRE_TRADE_COMPLIANCE_FAILED = "PRE_TRADE_COMPLIANCE_FAILED"
    SENT_TO_TRADER = "SENT_TO_TRADER"
    ROUTED = "ROUTED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CLOSED = "CLOSED"
    SENT_TO_OPERATIONS = "SENT_TO_OPERATIONS"
    PENDING_POST_TRADE_COMPLIANCE = "PENDING_POST_TRADE_COMPLIANCE"
    POST_TRADE_COMPLIANCE_PASSED = "POST_TRADE_COMPLIANCE_PASSED"
    POST_TRADE_COMPLIANCE_FAILED = "POST_TRADE_COMPLIANCE_FAILED"
    CONFIRMED = "CONFIRMED"
    SETTLED = "SETTLED"
    RECONCILED = "RECONCILED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"


class Direction(StrEnum):
    BUY = "Buy"
    SELL = "Sell"
    SELL_SHORT = "SellShort"
    BUY_TO_COVER = "BuyToCover"


class OrderType(StrEnum):
    MARKET = "Market"
    LIMIT = "Limit"
    STOP = "Stop"
    STOP_LIMIT = "StopLimit"
    PREVIOUSLY_QUOTED = "PreviouslyQuoted"
    TRAILING_STOP = "TrailingStop"
    TRAILING_STOP_LIMIT = "TrailingStopLimit"
    MID_PRICE = "MidPrice"


class TimeInForce(StrEnum):
    DAY = "Day"
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTD = "GTD"
    AT_THE_OPEN = "AtTheOpen"
    AT_THE_CLOSE = "AtTheClose"


class Severity(StrEnum):
    """HARD stops an order; SOFT lets it pass with a warning kept on it."""

    HARD = "HARD"
    SOFT = "SOFT"


class PlacementStatus(StrEnum):
    """What is known of a placement. IN_DOUBT: sent, and nobody knows."""

    PENDING = "PENDING"
    SENT = "SENT"
    IN_DOUBT = "IN_DOUBT"
    WORKING = "WORKING"
    HELD = "HELD"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    CANCEL_PENDING = "CANCEL_PENDING"
    FILLED = "FILLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    CANCELED = "CANCELED"
