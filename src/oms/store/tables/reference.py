"""What orders refer to, and the rules they are held to."""

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, Index, Text
from sqlmodel import Field

from oms.store.columns import Exact, Instant
from oms.store.tables.base import Row, table_of


class InstrumentRow(Row, table=True):
    """An instrument; `body` is the whole of it as JSON. One row for each natural key."""

    __tablename__ = "instruments"
    __table_args__ = (
        Index("ix_instruments_newest", "created_at", "instrument_id"),
        Index("ix_instruments_symbol", "symbol", "sec_type"),
        Index("ix_instruments_conid", "conid"),
    )
    instrument_id: str = Field(primary_key=True)
    natural_key: str = Field(unique=True)
    symbol: str
    sec_type: str
    exchange: str
    currency: str
    expiry: date | None = None
    strike: Decimal | None = Field(default=None, sa_type=Exact)
    option_right: str | None = None
    conid: int | None = Field(default=None, sa_type=BigInteger)
    created_at: datetime = Field(sa_type=Instant)
    body: str = Field(sa_type=Text)


class PortfolioRow(Row, table=True):
    __tablename__ = "portfolios"
    __table_args__ = (Index("ix_portfolios_newest", "created_at", "portfolio_id"),)
    portfolio_id: str = Field(primary_key=True)
    created_at: datetime = Field(sa_type=Instant)
    body: str = Field(sa_type=Text)


class AccountRow(Row, table=True):
    __tablename__ = "accounts"
    __table_args__ = (Index("ix_accounts_newest", "created_at", "account_id"),)
    account_id: str = Field(primary_key=True)
    created_at: datetime = Field(sa_type=Instant)
    body: str = Field(sa_type=Text)


class PriceRow(Row, table=True):
    """The latest known price of an instrument."""

    __tablename__ = "prices"
    instrument_id: str = Field(primary_key=True)
    price: Decimal = Field(sa_type=Exact)
    as_of: datetime = Field(sa_type=Instant)


class RuleRow(Row, table=True):
    """A compliance rule; a deactivated one stays. `body` is the rule as JSON."""

    __tablename__ = "rules"
    __table_args__ = (
        Index("ix_rules_newest", "created_at", "rule_id"),
        Index("ix_rules_active", "active"),
    )
    rule_id: str = Field(primary_key=True)
    version: int
    active: bool
    created_at: datetime = Field(sa_type=Instant)
    body: str = Field(sa_type=Text)


instruments = table_of(InstrumentRow)
portfolios = table_of(PortfolioRow)
accounts = table_of(AccountRow)
prices = table_of(PriceRow)
rules = table_of(RuleRow)
