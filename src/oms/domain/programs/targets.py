"""Target positions: what is held, what works already, and what is still to be done. Never beyond the target."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from oms.domain.commands import Actor, CancelOrder, CloseOrder, Command, Metadata
from oms.domain.errands import Refusal, Reply
from oms.domain.identifiers import Name
from oms.domain.lifecycle import STRAIGHT_THROUGH
from oms.domain.model import Model, Open
from oms.domain.numbers import Amount, Exact, Price, Quantity
from oms.domain.order import Order
from oms.domain.reference import Instrument
from oms.domain.terms import Direction, OrderType, State

AIMED_BY = "aim"
"""The metadata key by which an order is known as one that was opened for a target; its value is the aim's id."""


class TargetRow(Model):
    """One row of a batch as it was posted: hold `quantity` of `symbol`, negative is short, 0 closes.

    expected_price and tolerance_pct come together: alone, either would look like a protection and be none.
    """

    symbol: Name
    quantity: Amount
    limit_price: Price | None = None
    expected_price: Price | None = None
    tolerance_pct: Annotated[Amount, Field(ge=0, lt=100)] | None = Field(None, validate_default=True)

    @field_validator("tolerance_pct")
    @classmethod
    def _beside_its_price(cls, tolerance: Decimal | None, info: ValidationInfo) -> Decimal | None:
        given = info.data.get("expected_price") is not None
        if given and tolerance is None:
            raise ValueError("is required with expected_price: one alone protects nothing")
        if tolerance is not None and not given and "expected_price" in info.data:
            raise ValueError("needs expected_price: one alone protects nothing")
        return tolerance


class TargetBatch(Open):
    """A batch as it was posted. account: the broker's name; account_id: ours. `send_by`: nothing leaves after it."""

    batch_id: str
    account: str
    account_id: str
    portfolio_id: str
    client: str
    actor: Actor
    submitted_at: datetime
    send_by: datetime
    rows: tuple[TargetRow, ...]
    correlation_id: str | None = None


class Aim(Open):
    """Bring one instrument in one account to `target`. The same `aim_id` again is the same aim.

    unbooked: what the broker holds and no order of ours made, by the reading of `read_ns`. limit_price, or
    expected_price with tolerance_pct; neither is a market order.
    """

    aim_id: str
    account: str
    account_id: str
    portfolio_id: str
    instrument: Instrument
    contract_id: str | None = None
    """The oldest instrument that is the same contract: by it those that aim at one position find each other."""
    target: Amount
    unbooked: Amount
    read_ns: int = 0
    """When the broker's account was read; 0 where nobody said, and then the reading never gets too old."""
    limit_price: Price | None = None
    expected_price: Price | None = None
    tolerance_pct: Amount | None = None
    send_by: datetime | None = None
    actor: Actor
    ts_event_ns: int
    correlation_id: str | None = None
    portfolio_only: bool = False
    """Only what the portfolio holds in the account counts, because the account is not its alone."""
    metadata: Metadata = {}

    @property
    def position_id(self) -> str:
        """The instrument by which the position is known, however many describe it."""
        return self.contract_id or self.instrument.instrument_id


class WorkingOrder(Open):
    """An order that has not done all it may. `pending`: signed, what may still be executed of it."""

    order_id: str
    pending: Exact
    state: State
    ours: bool
    """Opened for a target of this very account and instrument, so that a new target may end it."""
    is_ending: bool = False
    """It is being canceled or closed already; until that has ended it may still be executed."""
    is_overdue: bool = False
    """The time after which it may not be sent is over, and no venue has acknowledged it: it may never be sent."""


class Exposure(Open):
    """An account's standing in one contract, in one moment: executions booked (signed) and what works beside them."""

    booked: Exact
    working: tuple[WorkingOrder, ...] = ()


class Leg(Open):
    """An order to open for an aim."""

    order_id: str
    direction: Direction
    quantity: Quantity
    order_type: OrderType
    limit_price: Price | None = None


class Plan(Open):
    """What an aim comes to, kept before anything is opened: orders to end first (then the plan is made anew), or legs.

    held: booked and unbooked together, signed. working: signed, what counts towards the target already.
    """

    aim_id: str
    held: Exact
    working: Exact
    delta: Exact
    ends: tuple[str, ...] = ()
    legs: tuple[Leg, ...] = ()


class Aimed(Open):
    """What became of an aim: its plan, and the refusal of a leg (earlier legs stand).

    stale: nothing, and nothing is kept of it, for the account's reading was too old to plan with.
    """

    plan: Plan | None = None
    refusal: Refusal | None = None
    stale: bool = False


class BrokerPosition(Open):
    """What the broker holds of a contract. unbooked: by how much that is more than our executions make.

    steady: two readings showed the same `unbooked`; otherwise executions are on their way.
    """

    conid: int
    symbol: str
    sec_type: str
    currency: str
    quantity: Exact
    average_cost: Exact | None = None
    unbooked: Exact
    steady: bool = True
    instrument_id: str | None = None


class AccountRead(Open):
    """A broker's account as it was read at `read_ns`; `away`: nobody could be asked, and nothing is known."""

    account: str
    positions: tuple[BrokerPosition, ...] = ()
    net_liquidation: Exact | None = None
    currency: str | None = None
    read_ns: int = 0
    away: str | None = None


class RowStatus(StrEnum):
    """The words of the target surface, as its clients know them."""

    SUBMITTED = "Submitted"
    PRE_SUBMITTED = "PreSubmitted"
    FILLED = "Filled"
    CANCELLED = "Cancelled"
    INACTIVE = "Inactive"
    NO_CHANGE = "no_change"
    ERROR = "error"


def ending(order: Order, reason: str = "ended for a new target") -> Command | None:
    """The command that ends what still works of `order`; None where nothing does, or its end was asked for already."""
    if order.cancel_requested or order.close_requested:
        return None
    if order.state in STRAIGHT_THROUGH["cancel"].roles:
        return CancelOrder(reason=reason)
    is_working = order.state is State.PARTIALLY_FILLED and bool(order.live_placements)
    return CloseOrder() if is_working else None


def is_ending(reply: Reply | None, now: Order | None) -> bool:
    """Whether an order that was asked to end takes it: not where it was executed whole, or goes on.

    reply: its answer, None where it has not answered yet, which is asked all the same. now: the order after a refusal:
    somebody else may have ended it meanwhile.
    """
    if now is not None:
        return ending(now) is None and now.unfilled_quantity > 0
    return not (reply is not None and reply.settled and reply.state is State.FILLED)
