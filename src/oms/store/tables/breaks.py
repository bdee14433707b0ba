"""Where other books differ from ours, and the orders at a broker that are not ours."""

from decimal import Decimal

from sqlalchemy import BigInteger, Index, Text
from sqlmodel import Field

from oms.store.columns import Exact
from oms.store.tables.base import Row, table_of


class BreakRow(Row, table=True):
    """A break. `standing`: the last comparison found its difference, whether a person has resolved it or not."""

    __tablename__ = "breaks"
    __table_args__ = (
        Index("ix_breaks_compared", "source", "account", "category", "standing"),
        Index("ix_breaks_status", "status", "break_id"),
    )
    break_id: str = Field(primary_key=True)
    category: str
    source: str
    account: str
    subject: str
    instrument_id: str | None = None
    ours: str = Field(sa_type=Text)
    theirs: str = Field(sa_type=Text)
    detail: str = Field(sa_type=Text)
    status: str
    standing: bool
    owner: str
    opened_ns: int = Field(sa_type=BigInteger)
    seen_ns: int = Field(sa_type=BigInteger)
    closed_ns: int | None = Field(default=None, sa_type=BigInteger)
    closed_by: str | None = None
    reason: str | None = Field(default=None, sa_type=Text)


class ForeignOrderRow(Row, table=True):
    """An order at the broker that this system did not place. `key`: its permanent id there, else its client's number."""

    __tablename__ = "foreign_orders"
    __table_args__ = (
        Index("ix_foreign_orders_seen", "gateway", "working", "last_seen_ns"),
        Index("ix_foreign_orders_account", "account", "working", "key"),
    )
    gateway: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    account: str
    client_id: int = Field(sa_type=BigInteger)
    order_id: int = Field(sa_type=BigInteger)
    perm_id: int = Field(sa_type=BigInteger)
    order_ref: str = Field(sa_type=Text)
    symbol: str
    sec_type: str
    conid: int = Field(sa_type=BigInteger)
    action: str
    quantity: Decimal | None = Field(default=None, sa_type=Exact)
    order_type: str
    status: str
    working: bool
    filled: Decimal | None = Field(default=None, sa_type=Exact)
    origin: str
    first_seen_ns: int = Field(sa_type=BigInteger)
    last_seen_ns: int = Field(sa_type=BigInteger)


class ForeignExecutionRow(Row, table=True):
    """An execution of such an order, as the broker told it. `ts_ns` is the broker's own time."""

    __tablename__ = "foreign_executions"
    __table_args__ = (Index("ix_foreign_executions_traded", "gateway", "account", "ts_ns"),)
    gateway: str = Field(primary_key=True)
    exec_id: str = Field(primary_key=True)
    key: str
    account: str
    conid: int = Field(sa_type=BigInteger)
    side: str
    quantity: Decimal = Field(sa_type=Exact)
    price: Decimal = Field(sa_type=Exact)
    ts_ns: int = Field(sa_type=BigInteger)


breaks = table_of(BreakRow)
foreign_orders = table_of(ForeignOrderRow)
foreign_executions = table_of(ForeignExecutionRow)
