"""Signed commands: for whom they are, what became of them, and what keeps a repetition apart from another command."""

from typing import Any

from sqlalchemy import BigInteger, Index, Text
from sqlmodel import Field

from oms.store.columns import ExactJson
from oms.store.tables.base import Row, table_of


class TenantRow(Row, table=True):
    """A tenant. No two have the same portfolio; `body` is the tenant as JSON."""

    __tablename__ = "tenants"
    tenant: str = Field(primary_key=True)
    portfolio_id: str = Field(unique=True)
    body: str = Field(sa_type=Text)


class CommandRow(Row, table=True):
    """A signed command, kept for ever. Message ids sort by arrival; `orders` and `refusal` are JSON."""

    __tablename__ = "commands"
    __table_args__ = (Index("ix_commands_tenant", "tenant", "message_id"),)
    idem_key: str = Field(primary_key=True)
    message_id: str = Field(unique=True)
    tenant: str
    kind: str
    digest: str
    key_name: str
    status: str
    payload: dict[str, Any] = Field(sa_type=ExactJson)
    received_ns: int = Field(sa_type=BigInteger)
    updated_ns: int = Field(sa_type=BigInteger)
    orders: str = Field(sa_type=Text)
    refusal: str | None = Field(default=None, sa_type=Text)
    detail: str | None = Field(default=None, sa_type=Text)


class CommandOrderRow(Row, table=True):
    """Which command an order is of, and its place there. Written before the order is opened."""

    __tablename__ = "command_orders"
    __table_args__ = (Index("ix_command_orders_message", "message_id", "order_index"),)
    order_id: str = Field(primary_key=True)
    message_id: str
    tenant: str
    order_index: int
    part: str


class CommandWindowRow(Row, table=True):
    """The command that a repetition without a key of its own is, until its window has passed."""

    __tablename__ = "command_windows"
    tenant: str = Field(primary_key=True)
    digest: str = Field(primary_key=True)
    idem_key: str
    received_ns: int = Field(sa_type=BigInteger)


class NonceRow(Row, table=True):
    """Who has used a nonce: the idem_key of one command, for ever."""

    __tablename__ = "nonces"
    nonce: str = Field(primary_key=True)
    holder: str
    claimed_ns: int = Field(sa_type=BigInteger)


tenants = table_of(TenantRow)
commands = table_of(CommandRow)
command_orders = table_of(CommandOrderRow)
command_windows = table_of(CommandWindowRow)
nonces = table_of(NonceRow)
