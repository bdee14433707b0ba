"""What happens beside the orders: halts, rule changes, limits that are over, baskets, account groups."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, Text
from sqlmodel import Field

from oms.store.columns import Instant
from oms.store.tables.base import Row, table_of


class ControlEventRow(Row, table=True):
    """One line of the control journal. Positions count from 1 without a hole; `body` is the event as JSON."""

    __tablename__ = "control_journal"
    __table_args__ = (Index("ix_control_journal_kind", "kind", "position"),)
    position: int = Field(primary_key=True, sa_type=BigInteger)
    kind: str
    subject: str
    portfolio_id: str | None = None
    order_id: str | None = None
    ts_ns: int = Field(sa_type=BigInteger)
    body: str = Field(sa_type=Text)


class HaltRow(Row, table=True):
    """Trading that is halted now. `subject` names the portfolio, account or venue; it is empty for the firm."""

    __tablename__ = "halts"
    scope: str = Field(primary_key=True)
    subject: str = Field(primary_key=True)
    reason: str = Field(sa_type=Text)
    halted_by: str
    since: datetime = Field(sa_type=Instant)


class BasketRow(Row, table=True):
    """A basket by its name; which orders are in it is said by the orders."""

    __tablename__ = "baskets"
    __table_args__ = (Index("ix_baskets_newest", "created_at", "basket_id"),)
    basket_id: str = Field(primary_key=True)
    name: str
    created_by: str
    created_at: datetime = Field(sa_type=Instant)


class GroupRow(Row, table=True):
    """A group of accounts and groups; `body` is the group as JSON."""

    __tablename__ = "account_groups"
    __table_args__ = (Index("ix_account_groups_newest", "created_at", "group_id"),)
    group_id: str = Field(primary_key=True)
    created_at: datetime = Field(sa_type=Instant)
    body: str = Field(sa_type=Text)


class InvariantRow(Row, table=True):
    """The last finding about one business invariant; `body` is the finding as JSON."""

    __tablename__ = "invariants"
    name: str = Field(primary_key=True)
    broken: bool
    checked_at: datetime = Field(sa_type=Instant)
    body: str = Field(sa_type=Text)


control_journal = table_of(ControlEventRow)
halts = table_of(HaltRow)
baskets = table_of(BasketRow)
account_groups = table_of(GroupRow)
invariants = table_of(InvariantRow)
