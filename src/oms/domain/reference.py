"""What orders refer to: instruments, portfolios, accounts, prices."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, BeforeValidator, Field, model_validator

from oms.domain.identifiers import Name
from oms.domain.model import Model, Open
from oms.domain.numbers import Amount, Price, Quantity, plain
from oms.domain.terms import SecType, Venue


def _a_day(value: Any) -> Any:
    """A day as it is written, never a number: pydantic would take 20260619 for seconds since 1970."""
    if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise ValueError("it is a day such as 2026-06-19") from error


Day = Annotated[date, BeforeValidator(_a_day)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", examples=["USD"])]
ContractMonth = Annotated[str, Field(pattern=r"^\d{4}(0[1-9]|1[0-2])$", examples=["202703"])]
"""YYYYMM: the month that a derivative is named after. Its last day may be in another one, so only a venue tells it."""


class InstrumentTerms(Model):
    """An instrument as the caller describes it. Two descriptions with equal `natural_key` are one instrument."""

    symbol: Name
    sec_type: SecType = SecType.STOCK
    exchange: Name = "SMART"
    primary_exchange: Name | None = None
    currency: Currency = "USD"
    conid: Annotated[int, Field(gt=0)] | None = None
    multiplier: Quantity = Decimal(1)
    tick_size: Quantity = Decimal("0.01")
    lot_size: Quantity = Decimal(1)
    expiry: Day | None = None
    contract_month: ContractMonth | None = None
    strike: Price | None = None
    right: Annotated[str, Field(pattern=r"^[CP]$")] | None = None
    issuer: Name | None = None
    sector: Name | None = None
    country: Name | None = None
    mic: Annotated[str, Field(pattern=r"^[A-Z0-9]{4}$")] | None = None

    @property
    def natural_key(self) -> str:
        """What makes two descriptions the same instrument."""
        parts = (
            self.symbol,
            self.sec_type,
            self.exchange,
            self.currency,
            self.expiry,
            None if self.strike is None else plain(self.strike),
            self.right,
        )
        return "|".join("" if part is None else str(part) for part in parts)

    @model_validator(mode="after")
    def _derivatives_are_complete(self) -> Self:
        if self.sec_type in (SecType.OPTION, SecType.FUTURE) and self.expiry is None:
            raise ValueError(f"expiry is required for {self.sec_type}")
        if self.sec_type is SecType.OPTION and (self.strike is None or self.right is None):
            raise ValueError("strike and right are required for OPT")
        return self


class Instrument(InstrumentTerms):
    instrument_id: Name


class InstrumentQuestion(Open):
    """An instrument as somebody names it who has no id of it; what is absent may be anything."""

    symbol: Name
    sec_type: SecType = SecType.STOCK
    exchange: Name | None = None
    primary_exchange: Name | None = None
    currency: Currency | None = None
    expiry: Day | None = None
    contract_month: ContractMonth | None = None
    strike: Price | None = None
    right: Annotated[str, Field(pattern=r"^[CP]$")] | None = None
    conid: Annotated[int, Field(gt=0)] | None = None
    multiplier: Quantity | None = None

    def fits(self, terms: InstrumentTerms) -> bool:
        """Whether the instrument has everything that is asked for."""
        return all(getattr(terms, name) == value for name, value in self if value is not None)


class InstrumentsFound(Open):
    """What a venue knows under a question: `count` instruments, the first of them in `found`. `away`: nobody answered."""

    found: tuple[InstrumentTerms, ...] = ()
    count: int = 0
    away: str | None = None


class Portfolio(Model):
    portfolio_id: Name
    name: Name
    base_currency: Currency = "USD"
    net_asset_value: Amount = Decimal(0)
    default_account_id: Name


class Account(Model):
    account_id: Name
    name: Name
    custodian: Name = "PAPER"
    broker_account: Name
    venue: Venue = Venue.IBKR


class QuotedPrice(Model):
    instrument_id: Name
    price: Price
    as_of: AwareDatetime
