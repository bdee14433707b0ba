"""What compliance keeps: every version of a rule, verdicts, what orders in flight hold of a limit, limits that are over."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Index, Text
from sqlmodel import Field

from oms.store.columns import Exact, Instant
from oms.store.tables.base import Row, table_of


class RuleVersionRow(Row, table=True):
    """A rule as it was at one version; `body` is the rule as JSON."""

    __tablename__ = "rule_versions"
    rule_id: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    changed_by: str
    changed_at: datetime = Field(sa_type=Instant)
    reason: str | None = Field(default=None, sa_type=Text)
    body: str = Field(sa_type=Text)


class VerdictRow(Row, table=True):
    """What the engine said of an order version at a gate, for each portfolio: asked again it says the same.

    `quantity` and `limit_price` are what was checked; `body` is the results as JSON.
    """

    __tablename__ = "verdicts"
    __table_args__ = (Index("ix_verdicts_portfolio", "portfolio_id", "at"),)
    order_id: str = Field(primary_key=True)
    gate: str = Field(primary_key=True)
    order_version: int = Field(primary_key=True)
    portfolio_id: str = Field(primary_key=True)
    instrument_id: str
    direction: str
    quantity: Decimal = Field(sa_type=Exact)
    limit_price: Decimal | None = Field(default=None, sa_type=Exact)
    at: datetime = Field(sa_type=Instant)
    body: str = Field(sa_type=Text)


class ReservationRow(Row, table=True):
    """What an order that may still trade holds of a portfolio's limits: `oms.domain.reserving.Held`."""

    __tablename__ = "reservations"
    __table_args__ = (Index("ix_reservations_portfolio", "portfolio_id", "instrument_id", "direction"),)
    order_id: str = Field(primary_key=True)
    portfolio_id: str = Field(primary_key=True)
    instrument_id: str
    direction: str
    quantity: Decimal = Field(sa_type=Exact)
    price: Decimal | None = Field(default=None, sa_type=Exact)
    unallocated: Decimal = Field(sa_type=Exact)


class BreachRow(Row, table=True):
    """A limit that a portfolio is over now, with no order involved; `body` is the rule's result as JSON."""

    __tablename__ = "breaches"
    rule_id: str = Field(primary_key=True)
    portfolio_id: str = Field(primary_key=True)
    since: datetime = Field(sa_type=Instant)
    body: str = Field(sa_type=Text)


rule_versions = table_of(RuleVersionRow)
verdicts = table_of(VerdictRow)
reservations = table_of(ReservationRow)
breaches = table_of(BreachRow)
