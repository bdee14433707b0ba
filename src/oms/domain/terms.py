"""The closed vocabularies of the order book.

Spelling follows the order book's own words (CANCELED with one L); see docs/lifecycle.md.
"""

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


class Role(StrEnum):
    """What a key may do. `system` is the OMS itself and is never given to a key."""

    PM = "pm"
    TRADER = "trader"
    OPS = "ops"
    COMPLIANCE = "compliance"
    ADMIN = "admin"
    VIEWER = "viewer"
    OPERATOR = "operator"
    SYSTEM = "system"


class Direction(StrEnum):
    BUY = "Buy"
    SELL = "Sell"
    SELL_SHORT = "SellShort"
    BUY_TO_COVER = "BuyToCover"

    @property
    def sign(self) -> int:
        """+1 where the position grows, -1 where it shrinks."""
        return 1 if self in (Direction.BUY, Direction.BUY_TO_COVER) else -1


class OrderType(StrEnum):
    MARKET = "Market"
    LIMIT = "Limit"
    STOP = "Stop"
    STOP_LIMIT = "StopLimit"
    PREVIOUSLY_QUOTED = "PreviouslyQuoted"
    TRAILING_STOP = "TrailingStop"
    TRAILING_STOP_LIMIT = "TrailingStopLimit"
    MID_PRICE = "MidPrice"

    @property
    def needs_limit_price(self) -> bool:
        return self in (OrderType.LIMIT, OrderType.STOP_LIMIT)

    @property
    def needs_stop_price(self) -> bool:
        return self in (OrderType.STOP, OrderType.STOP_LIMIT)

    @property
    def may_have_limit_price(self) -> bool:
        """A mid-price order takes a limit as its cap."""
        return self.needs_limit_price or self is OrderType.MID_PRICE

    @property
    def may_have_stop_price(self) -> bool:
        """A trailing order takes a stop price to begin with."""
        return self.needs_stop_price or self.trails

    @property
    def trails(self) -> bool:
        return self in (OrderType.TRAILING_STOP, OrderType.TRAILING_STOP_LIMIT)


class TimeInForce(StrEnum):
    DAY = "Day"
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTD = "GTD"
    AT_THE_OPEN = "AtTheOpen"
    AT_THE_CLOSE = "AtTheClose"


class SecType(StrEnum):
    STOCK = "STK"
    FUTURE = "FUT"
    OPTION = "OPT"
    CASH = "CASH"


class Automation(StrEnum):
    MANUAL = "manual"
    STRAIGHT_THROUGH = "straight_through"


class ComplianceMode(StrEnum):
    BUILTIN = "builtin"
    EXTERNAL = "external"


class ComplianceStatus(StrEnum):
    NOT_REQUESTED = "NOT_REQUESTED"
    PENDING = "PENDING"
    PASSED = "PASSED"
    FAILED = "FAILED"
    OVERRIDDEN = "OVERRIDDEN"


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


class ExceptionCode(StrEnum):
    """What an order can carry that somebody has to look at."""

    LATE_FILL = "LATE_FILL"
    OVERFILL = "OVERFILL"
    FILL_CORRECTED = "FILL_CORRECTED"
    FILL_BUSTED = "FILL_BUSTED"
    PLACEMENT_IN_DOUBT = "PLACEMENT_IN_DOUBT"
    PLACEMENT_REJECTED = "PLACEMENT_REJECTED"
    SETTLEMENT_FAILED = "SETTLEMENT_FAILED"
    BREAK_OPEN = "BREAK_OPEN"
    CONFIRM_MISMATCH = "CONFIRM_MISMATCH"


class LinkKind(StrEnum):
    """How two orders are tied: a merge, a split, an unfilled part that goes on, or two legs through a flat position."""

    MERGED = "MERGED"
    SPLIT = "SPLIT"
    REMAINDER = "REMAINDER"
    CROSSES_ZERO = "CROSSES_ZERO"


class SettlementStatus(StrEnum):
    NOT_DUE = "NOT_DUE"
    SCHEDULED = "SCHEDULED"
    INSTRUCTED = "INSTRUCTED"
    SETTLED = "SETTLED"
    FAILED = "FAILED"


class Venue(StrEnum):
    IBKR = "IBKR"
    OPTIONS = "OPTIONS"
    BRIDGE = "BRIDGE"
