"""The journal, which is the record, and its projections, which can be rebuilt from it."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, Index, Text
from sqlmodel import Field

from oms.store.columns import Exact, Instant
from oms.store.tables.base import Row, table_of

_ORDER = "orders.order_id"


class StreamHeadRow(Row, table=True):
    """One row: the position of the last event of the stream. Its lock puts commits in the order of positions."""

    __tablename__ = "stream_head"
    name: str = Field(primary_key=True)
    position: int = Field(sa_type=BigInteger)


class EventRow(Row, table=True):
    """One journal event, with the columns the stream filters by. `body` is the event as JSON."""

    __tablename__ = "journal"
    order_id: str = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    position: int = Field(sa_type=BigInteger, unique=True)
    kind: str
    state: str
    portfolio_id: str
    instrument_id: str
    direction: str
    basket_id: str | None = None
    order_created_at: datetime = Field(sa_type=Instant)
    ts_init_ns: int = Field(sa_type=BigInteger)
    body: str = Field(sa_type=Text)


class OrderRow(Row, table=True):
    """An order at its latest version; `body` is the whole order as JSON.

    The indexes serve ListOrders, newest first, by any one filter and by any two; a basket is small enough to be
    read whole. The last one answers what a portfolio holds without touching the rows.
    """

    __tablename__ = "orders"
    __table_args__ = (
        Index("ix_orders_newest", "created_at", "order_id"),
        Index("ix_orders_portfolio", "portfolio_id", "created_at", "order_id"),
        Index("ix_orders_portfolio_state", "portfolio_id", "state", "created_at", "order_id"),
        Index("ix_orders_portfolio_instrument", "portfolio_id", "instrument_id", "created_at", "order_id"),
        Index("ix_orders_instrument", "instrument_id", "created_at", "order_id"),
        Index("ix_orders_instrument_state", "instrument_id", "state", "created_at", "order_id"),
        Index("ix_orders_state", "state", "created_at", "order_id"),
        Index("ix_orders_basket", "basket_id", "created_at", "order_id"),
        Index("ix_orders_direction", "direction", "created_at", "order_id"),
        Index("ix_orders_portfolio_direction", "portfolio_id", "direction", "created_at", "order_id"),
        Index("ix_orders_instrument_direction", "instrument_id", "direction", "created_at", "order_id"),
        Index("ix_orders_state_direction", "state", "direction", "created_at", "order_id"),
        Index("ix_orders_holdings", "portfolio_id", "instrument_id", "direction", "executed_quantity"),
    )
    order_id: str = Field(primary_key=True)
    version: int
    state: str
    portfolio_id: str
    instrument_id: str
    direction: str
    basket_id: str | None = None
    client_order_id: str | None = None
    default_account_id: str
    ordered_quantity: Decimal = Field(sa_type=Exact)
    executed_quantity: Decimal = Field(sa_type=Exact)
    created_at: datetime = Field(sa_type=Instant)
    updated_at: datetime = Field(sa_type=Instant)
    body: str = Field(sa_type=Text)


class ClaimRow(Row, table=True):
    """Which order holds a portfolio's client_order_id. Written before the order exists."""

    __tablename__ = "order_claims"
    portfolio_id: str = Field(primary_key=True)
    client_order_id: str = Field(primary_key=True)
    order_id: str


class FillRow(Row, table=True):
    """An execution that stands. `execution` is what its id identifies; a correction replaces the row, a bust removes it."""

    __tablename__ = "fills"
    __table_args__ = (
        Index("ix_fills_portfolio", "portfolio_id", "instrument_id"),
        Index("ix_fills_traded", "portfolio_id", "ts_event_ns"),
        Index("ix_fills_held", "instrument_id", "placement_id", "direction", "quantity"),
    )
    order_id: str = Field(primary_key=True, foreign_key=_ORDER, ondelete="CASCADE")
    execution: str = Field(primary_key=True)
    exec_id: str
    placement_id: str
    portfolio_id: str
    instrument_id: str
    direction: str
    quantity: Decimal = Field(sa_type=Exact)
    price: Decimal = Field(sa_type=Exact)
    currency: str
    venue: str
    commission: Decimal | None = Field(default=None, sa_type=Exact)
    commission_currency: str | None = None
    ts_event_ns: int = Field(sa_type=BigInteger)
    ts_init_ns: int = Field(sa_type=BigInteger)


class PlacementRow(Row, table=True):
    """A placement of an order; `ordinal` is its place on the order, `body` the placement as JSON."""

    __tablename__ = "placements"
    __table_args__ = (
        Index("ix_placements_account", "account", "order_id"),
        Index("ix_placements_working", "account", "status", "order_id"),
    )
    placement_id: str = Field(primary_key=True)
    order_id: str = Field(foreign_key=_ORDER, ondelete="CASCADE", index=True)
    ordinal: int
    venue: str
    account: str | None = None
    status: str
    body: str = Field(sa_type=Text)


class AllocationRow(Row, table=True):
    """A part of an order's executed quantity given to an account. `moved`: to another portfolio than the order's."""

    __tablename__ = "allocations"
    __table_args__ = (
        Index("ix_allocations_moved_in", "portfolio_id", "moved"),
        Index("ix_allocations_moved_out", "order_portfolio_id", "moved"),
    )
    allocation_id: str = Field(primary_key=True)
    order_id: str = Field(foreign_key=_ORDER, ondelete="CASCADE", index=True)
    ordinal: int
    account_id: str
    portfolio_id: str
    order_portfolio_id: str
    instrument_id: str
    direction: str
    moved: bool
    quantity: Decimal = Field(sa_type=Exact)
    created_at: datetime = Field(sa_type=Instant)
    created_by: str


class ExceptionRow(Row, table=True):
    """An open exception of an order."""

    __tablename__ = "order_exceptions"
    __table_args__ = (Index("ix_order_exceptions_newest", "since", "order_id"),)
    order_id: str = Field(primary_key=True, foreign_key=_ORDER, ondelete="CASCADE")
    code: str = Field(primary_key=True)
    subject: str = Field(primary_key=True)
    portfolio_id: str
    instrument_id: str
    since: datetime = Field(sa_type=Instant)
    detail: str = Field(sa_type=Text)
    owner: str


stream_head = table_of(StreamHeadRow)
journal = table_of(EventRow)
orders = table_of(OrderRow)
order_claims = table_of(ClaimRow)
fills = table_of(FillRow)
placements = table_of(PlacementRow)
allocations = table_of(AllocationRow)
order_exceptions = table_of(ExceptionRow)
