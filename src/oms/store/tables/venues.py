"""The gateways' own books: facts on their way in, intents on their way out, health and leases."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, Text, UniqueConstraint
from sqlmodel import Field

from oms.store.columns import Instant
from oms.store.tables.base import Row, RowNumber, table_of


class InboxRecord(Row, table=True):
    """A message from a venue. Statuses: NEW, DELIVERED, ORPHAN (no such order), UNREADABLE."""

    __tablename__ = "inbox"
    __table_args__ = (
        UniqueConstraint("gateway", "natural_key"),
        Index("ix_inbox_waiting", "gateway", "status", "id"),
        Index("ix_inbox_status", "status", "id"),
    )
    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    gateway: str
    natural_key: str
    order_id: str | None = None
    fact: str | None = Field(default=None, sa_type=Text)
    raw: str | None = Field(default=None, sa_type=Text)
    reason: str | None = Field(default=None, sa_type=Text)
    status: str
    ts_init_ns: int = Field(sa_type=BigInteger)


class IntentRow(Row, table=True):
    """One wire order, written before the wire call. `ticket` is the placement ticket as JSON."""

    __tablename__ = "intents"
    __table_args__ = (
        UniqueConstraint("gateway", "client_id", "broker_order_id"),
        Index("ix_intents_broker", "client_id", "broker_order_id"),
        Index("ix_intents_state", "client_id", "state"),
    )
    placement_id: str = Field(primary_key=True)
    order_id: str
    gateway: str
    client_id: int = Field(sa_type=BigInteger)
    broker_order_id: int = Field(sa_type=BigInteger)
    order_ref: str = Field(index=True)
    account: str
    state: str
    ticket: str = Field(sa_type=Text)
    detail: str | None = Field(default=None, sa_type=Text)
    created_ns: int = Field(sa_type=BigInteger)
    updated_ns: int = Field(sa_type=BigInteger)


class PermIdRow(Row, table=True):
    """The broker's permanent ids of a placement, in the order they were learned."""

    __tablename__ = "intent_perm_ids"
    placement_id: str = Field(primary_key=True, foreign_key="intents.placement_id", ondelete="CASCADE")
    perm_id: int = Field(primary_key=True, sa_type=BigInteger, index=True)
    ordinal: int


class BrokerIdRow(Row, table=True):
    """The highest broker order id that was ever handed out for a session."""

    __tablename__ = "broker_order_ids"
    gateway_key: str = Field(primary_key=True)
    last: int = Field(sa_type=BigInteger)


class GatewayRow(Row, table=True):
    """The last report of a gateway process; `body` is the report as JSON."""

    __tablename__ = "gateways"
    name: str = Field(primary_key=True)
    updated_ns: int = Field(sa_type=BigInteger)
    body: str = Field(sa_type=Text)


class LeaseRow(Row, table=True):
    """Who may do something that only one may do, and until when."""

    __tablename__ = "leases"
    name: str = Field(primary_key=True)
    holder: str
    expires_at: datetime = Field(sa_type=Instant)


inbox = table_of(InboxRecord)
intents = table_of(IntentRow)
intent_perm_ids = table_of(PermIdRow)
broker_order_ids = table_of(BrokerIdRow)
gateways = table_of(GatewayRow)
leases = table_of(LeaseRow)
