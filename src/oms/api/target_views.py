"""What the target surface takes and answers: the keys, words and types that its clients know (docs/targets.md)."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, WithJsonSchema, model_validator
from starlette.responses import Response

from oms.api.exact_json import Number, Second, exact_answer
from oms.api.views import View
from oms.domain.executions import Filled
from oms.domain.identifiers import Name
from oms.domain.model import Model
from oms.domain.numbers import ZERO, Amount, Price, total
from oms.domain.order import Order
from oms.domain.programs.aiming import CANCELED_WITH_ITS_BATCH
from oms.domain.programs.targets import (
    AccountRead,
    Aimed,
    BrokerPosition,
    Plan,
    RowStatus,
    TargetBatch,
    TargetRow,
)
from oms.domain.programs.words import row_status
from oms.domain.terms import SecType

MAX_ROWS = 1000
Action = Literal["BUY", "SELL"]
R = TypeVar("R", "PlacedView", "FollowedView")
_CANCELLED = RowStatus.CANCELLED


_NUMBER = WithJsonSchema({"type": "number"})


class TargetBody(TargetRow):
    """Hold `quantity` of `symbol`; negative is short, 0 closes. Numbers are JSON numbers.

    With `limit_price` the order is a limit at exactly that price; with `expected_price` and `tolerance_pct` it is one
    so many percent above it for a purchase and below it for a sale; one of the two alone is refused. Otherwise it is
    a market order.
    """

    symbol: Annotated[Name, Field(examples=["AAPL"])]
    quantity: Annotated[Amount, _NUMBER]
    limit_price: Annotated[Price, _NUMBER] | None = None
    expected_price: Annotated[Price, _NUMBER] | None = None
    tolerance_pct: Annotated[Amount, Field(ge=0, lt=100), _NUMBER] | None = Field(None, validate_default=True)


class TargetsBody(Model):
    """Target positions of one account. Without `account_id` the default account is meant."""

    account_id: Annotated[Name, Field(examples=["DU123456"])] | None = None
    orders: Annotated[tuple[TargetBody, ...], Field(min_length=1, max_length=MAX_ROWS)]

    @model_validator(mode="after")
    def _one_target_for_a_symbol(self) -> Self:
        seen: dict[str, int] = {}
        for number, row in enumerate(self.orders):
            first = seen.setdefault(row.symbol.strip().upper(), number)
            if first != number:
                raise ValueError(
                    f"orders.{number}.symbol: {row.symbol} is the target of orders.{first} already; "
                    "one batch has one target for a symbol"
                )
        return self

    @property
    def rows(self) -> tuple[TargetRow, ...]:
        return tuple(TargetRow(**row.model_dump()) for row in self.orders)


class PlacedView(View):
    """One row as it was taken. Null is what is not known yet, and what a row without an order does not have.

    `error` is there where the status is `error`, and nowhere else.
    """

    symbol: str
    current_pos: Number | None
    desired_pos: Number
    delta: Number | None
    action: Action | None
    qty: Number | None
    order_type: Literal["MKT", "LMT"]
    ibkr_order_id: int | None
    status: RowStatus
    error: str | None = None


class FollowedView(View):
    """One row as it is now. Its three counts are zero until something is executed and charged."""

    symbol: str
    ibkr_order_id: int | None
    status: RowStatus
    filled_qty: Number
    avg_fill_price: Number
    commission: Number
    delta: Number | None
    action: Action | None
    error: str | None = None


class BatchView(View):
    batch_id: str = Field(examples=["a1b2c3d4e5f67890"])
    account_id: str = Field(examples=["DU123456"])
    submitted_at: Second


class PlacedBatchView(BatchView):
    results: list[PlacedView]


class FollowedBatchView(BatchView):
    orders: list[FollowedView]


class ListedBatchView(View):
    """A batch in the list; `client` is the name of the key that posted it."""

    batch_id: str
    account_id: str
    client: str
    submitted_at: Second


class BatchesView(View):
    batches: list[ListedBatchView]


class CanceledView(View):
    """`cancelled`: the venue was asked, or had canceled it; whether it was in time the batch tells."""

    ibkr_order_id: int | None
    cancelled: bool


class CanceledBatchView(View):
    batch_id: str
    results: list[CanceledView]


class HeldView(View):
    symbol: str
    quantity: Number
    avg_cost: Number
    conid: int


class PositionsView(View):
    """What the broker holds for the account in stocks, and what it says the account is worth."""

    account_id: str
    positions: list[HeldView]
    net_liquidation: Number | None
    updated_at: Second


class TargetsHealthView(View):
    """`accounts`: whether each account's session with the broker is in sync and would send an order now."""

    status: Literal["ok"]
    accounts: dict[str, bool]


@dataclass(frozen=True)
class Standing:
    """A row, what became of it so far, and its orders as the order book has them, in the order of their legs."""

    row: TargetRow
    aimed: Aimed | None
    orders: tuple[Order, ...] = ()

    @property
    def plan(self) -> Plan | None:
        """What the row came to, once that is settled."""
        plan = self.aimed.plan if self.aimed is not None else None
        return plan if plan is not None and not plan.ends else None

    @property
    def ibkr_order_id(self) -> int | None:
        """The broker's own number of the order that was sent last: an order through zero is two."""
        ids = [number for order in self.orders if (number := broker_number(order)) is not None]
        return ids[-1] if ids else None

    @property
    def action(self) -> Action | None:
        """Which way the row trades; None where it does not."""
        if self.plan is None or not self.plan.delta:
            return None
        return "BUY" if self.plan.delta > 0 else "SELL"

    @property
    def lacks_an_order(self) -> bool:
        """Whether an order of the row is decided and not in the order book, whether or not it will come."""
        return self.plan is not None and len(self.orders) < len(self.plan.legs)

    @property
    def is_undecided(self) -> bool:
        """Whether somebody still has to see to the row: it has no plan, or not all of its orders, and no refusal."""
        return not self._is_refused and (self.plan is None or self.lacks_an_order)

    @property
    def _is_refused(self) -> bool:
        return self.aimed is not None and self.aimed.refusal is not None

    def told(self) -> tuple[RowStatus, str | None]:
        """The row's status in the surface's own words, and the text of an error."""
        refusal = self.aimed.refusal if self.aimed is not None else None
        if refusal is not None and refusal != CANCELED_WITH_ITS_BATCH:
            return RowStatus.ERROR, refusal.message
        if refusal is None and (self.plan is None or self.lacks_an_order):
            return RowStatus.PRE_SUBMITTED, None
        status, text = row_status(self.orders) if self.orders or refusal is None else (_CANCELLED, None)
        if refusal is not None and status is RowStatus.FILLED and self.lacks_an_order:
            return _CANCELLED, None
        return status, text if status is RowStatus.ERROR else None

    @property
    def is_known(self) -> bool:
        """Whether the broker has numbered every order of the row, or nothing more will come of it."""
        status, _ = self.told()
        waits = status in (RowStatus.PRE_SUBMITTED, RowStatus.SUBMITTED)
        numbered = bool(self.orders) and all(broker_number(order) is not None for order in self.orders)
        return not waits or (numbered and self.plan is not None and not self.lacks_an_order)


def broker_number(order: Order) -> int | None:
    """The number by which the broker knows the order for good; None until it has said so."""
    ids = [number for placement in order.placements for number in placement.venue_order_ids]
    return int(ids[-1]) if ids and ids[-1].isdecimal() else None


def placed_view(standing: Standing) -> PlacedView:
    """A row of the answer to a new batch."""
    row, plan, (status, error) = standing.row, standing.plan, standing.told()
    view = PlacedView.model_construct(
        symbol=row.symbol,
        current_pos=plan.held if plan is not None else None,
        desired_pos=row.quantity,
        delta=plan.delta if plan is not None else None,
        action=standing.action,
        qty=abs(plan.delta) if plan is not None else None,
        order_type="LMT" if is_limited(row) else "MKT",
        ibkr_order_id=standing.ibkr_order_id,
        status=status,
    )
    return _with_error(view, error)


def is_limited(row: TargetRow) -> bool:
    """Whether the row asks for a limit order: with a limit, or with both parts of a tolerance."""
    return row.limit_price is not None or None not in (row.expected_price, row.tolerance_pct)


def followed_view(standing: Standing) -> FollowedView:
    """A row of a batch that is looked at again."""
    plan, filled, (status, error) = standing.plan, _filled(standing.orders), standing.told()
    view = FollowedView.model_construct(
        symbol=standing.row.symbol,
        ibkr_order_id=standing.ibkr_order_id,
        status=status,
        filled_qty=filled.quantity,
        avg_fill_price=filled.average_price or ZERO,
        commission=commission(standing.orders),
        delta=plan.delta if plan is not None else None,
        action=standing.action,
    )
    return _with_error(view, error)


def surface_answer(view: View, status: int = 200, **headers: str) -> Response:
    """`view` with exact numbers and with the fields that were given alone: most rows have no `error`."""
    told: dict[str, Any] = view.model_dump(exclude_unset=True)
    return exact_answer(told, status, **headers)


def _with_error(view: R, text: str | None) -> R:
    """A field that is not given is not answered."""
    return view if text is None else view.model_copy(update={"error": text})


def _filled(orders: Sequence[Order]) -> Filled:
    filled = [order.ledger.filled for order in orders]
    return Filled(
        quantity=total(one.quantity for one in filled), notional=total(one.notional for one in filled)
    )


def commission(orders: Sequence[Order]) -> Decimal:
    """What the broker has charged so far in the instrument's currency; zero before it says so."""
    return total(order.ledger.commission_in(order.instrument.currency) for order in orders)


def listed_view(batch: TargetBatch) -> ListedBatchView:
    """A batch in the list."""
    return ListedBatchView.model_construct(
        batch_id=batch.batch_id,
        account_id=batch.account,
        client=batch.client,
        submitted_at=batch.submitted_at,
    )


def held_views(read: AccountRead) -> list[HeldView]:
    """The account's open stock positions, by symbol."""
    stocks = (one for one in read.positions if one.sec_type == SecType.STOCK and one.quantity)
    return [_held(one) for one in sorted(stocks, key=lambda one: (one.symbol, one.conid))]


def _held(position: BrokerPosition) -> HeldView:
    return HeldView.model_construct(
        symbol=position.symbol,
        quantity=position.quantity,
        avg_cost=position.average_cost or ZERO,
        conid=position.conid,
    )
