"""Orders, executions and the facts the matching engine reports. All values are immutable snapshots."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from oms.paper.instructions import PLAIN, Instructions
from oms.paper.instruments import Instrument
from oms.paper.order_layout import OrderFields
from oms.paper.wire import decimal_of

ZERO = Decimal(0)

PRE_SUBMITTED = "PreSubmitted"
SUBMITTED = "Submitted"
FILLED = "Filled"
CANCELLED = "Cancelled"
INACTIVE = "Inactive"
HELD = "Held"
"""Not a TWS status: an order sent with transmit 0, which no list shows and no message reports."""

FINISHED = frozenset({FILLED, CANCELLED, INACTIVE})

OrderKey = tuple[int, int]
"""(client id, order id): the identity of an order at the socket."""


@dataclass(frozen=True, slots=True)
class OrderTerms:
    """What a client asked for. ``attributes`` holds every field as sent, the others are the ones we act on.

    ``good_till`` is aware and set for GTD orders only. ``side`` is BUY or SELL. ``quantity`` is smaller than
    what was sent after a fill elsewhere in the order's OCA group.
    """

    client_id: int
    order_id: int
    instrument: Instrument
    account: str
    order_ref: str
    side: str
    quantity: Decimal
    order_type: str
    limit: Decimal | None
    stop: Decimal | None
    tif: str
    good_till: datetime | None
    oca_group: str
    oca_type: int
    parent_id: int
    transmit: bool
    attributes: OrderFields
    instructions: Instructions = PLAIN

    @property
    def key(self) -> OrderKey:
        return self.client_id, self.order_id

    @property
    def parent_key(self) -> OrderKey | None:
        """The order it is attached to, None for an order by itself."""
        return (self.client_id, self.parent_id) if self.parent_id else None

    @property
    def sent_quantity(self) -> Decimal:
        """What the client last asked for, whatever its OCA group made of it."""
        return decimal_of(self.attributes.get("totalQuantity")) or self.quantity


@dataclass(frozen=True, slots=True)
class PaperOrder:
    """One order at the paper broker.

    ``cost`` is the sum of price times quantity over its executions, ``commission`` in USD.
    ``rested``: it was not marketable when last looked at, so it trades passively at its limit.
    ``expires``: when a DAY order of a market with hours, or a GTD order, is cancelled.
    ``trail_stop``: where a trailing stop stands now. ``looks``: how often its algorithm has worked it.
    """

    terms: OrderTerms
    perm_id: int
    status: str
    placed_at: datetime
    why_held: str = ""
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    last_price: Decimal = ZERO
    commission: Decimal = ZERO
    triggered: bool = False
    rested: bool = False
    expires: datetime | None = None
    completed_at: datetime | None = None
    completed_status: str = ""
    trail_stop: Decimal | None = None
    looks: int = 0

    @property
    def key(self) -> OrderKey:
        return self.terms.key

    @property
    def remaining(self) -> Decimal:
        return self.terms.quantity - self.filled

    @property
    def average_price(self) -> Decimal:
        """Average execution price, rounded to 8 places; 0 before the first execution."""
        return round(self.cost / self.filled, 8) if self.filled else ZERO

    @property
    def least_fill(self) -> Decimal:
        """The smallest quantity it may trade now: all of it (FOK, allOrNone), minQty at first, or 0."""
        sent = self.terms.attributes
        if self.terms.tif == "FOK" or sent.get("allOrNone") == "1":
            return self.remaining
        smallest = ZERO if self.filled else decimal_of(sent.get("minQty")) or ZERO
        return min(smallest, self.remaining)

    @property
    def live(self) -> bool:
        return self.status not in FINISHED

    def finished(self, status: str, text: str, now: datetime) -> "PaperOrder":
        """This order ended in a final status; ``text`` is what completedOrder says about it."""
        return replace(self, status=status, why_held="", completed_at=now, completed_status=text)


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution as the broker books it. ``side`` is BUY or SELL, ``cumulative`` includes this one.

    ``realized`` is the realised profit in USD net of commission, None when it opened a position.
    ``passive`` tells whether it added liquidity.
    """

    exec_id: str
    client_id: int
    order_id: int
    perm_id: int
    account: str
    instrument: Instrument
    side: str
    quantity: Decimal
    price: Decimal
    time: datetime
    cumulative: Decimal
    average_price: Decimal
    commission: Decimal
    order_ref: str
    passive: bool = False
    realized: Decimal | None = None

    @property
    def signed_quantity(self) -> Decimal:
        return self.quantity if self.side == "BUY" else -self.quantity


@dataclass(frozen=True, slots=True)
class OrderKept:
    """An order changed without anything to tell (it is held back by transmit 0)."""

    order: PaperOrder


@dataclass(frozen=True, slots=True)
class OrderReported:
    """The order's current state is to be reported."""

    order: PaperOrder


@dataclass(frozen=True, slots=True)
class OrderExecuted:
    """An execution, and the order as it stands after it."""

    order: PaperOrder
    execution: Execution


@dataclass(frozen=True, slots=True)
class OrderRefused:
    """An error message about an order; what it means for the order has been reported before."""

    client_id: int
    order_id: int
    code: int
    text: str


Fact = OrderKept | OrderReported | OrderExecuted | OrderRefused


def commission(quantity: Decimal, price: Decimal, multiplier: int = 1) -> Decimal:
    """USD for one execution: 0.005 a unit, at least 1.00, but never more than 1 % of the trade value."""
    fee = max(quantity * Decimal("0.005"), Decimal("1.00"))
    return min(fee, quantity * price * multiplier / 100).quantize(Decimal("0.0001")).normalize() + ZERO


def corrected_id(exec_id: str) -> str:
    """The id of a correction: the last segment bumped (...01 becomes ...02). Source: TWS API, Execution."""
    base, _, version = exec_id.rpartition(".")
    return f"{base}.{int(version) + 1:02d}"
