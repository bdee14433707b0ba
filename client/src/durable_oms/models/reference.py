"""What orders refer to: instruments, portfolios, accounts, prices; and positions, which follow from fills."""

from datetime import date, datetime
from decimal import Decimal

from durable_oms.models.record import Record


class Instrument(Record):
    instrument_id: str
    symbol: str
    sec_type: str = "STK"
    exchange: str = "SMART"
    primary_exchange: str | None = None
    currency: str = "USD"
    conid: int | None = None
    multiplier: Decimal = Decimal(1)
    tick_size: Decimal = Decimal("0.01")
    lot_size: Decimal = Decimal(1)
    expiry: date | None = None
    contract_month: str | None = None
    strike: Decimal | None = None
    right: str | None = None
    issuer: str | None = None
    sector: str | None = None
    country: str | None = None
    mic: str | None = None


class Portfolio(Record):
    portfolio_id: str
    name: str
    base_currency: str = "USD"
    net_asset_value: Decimal = Decimal(0)
    default_account_id: str


class Account(Record):
    account_id: str
    name: str
    custodian: str = "PAPER"
    broker_account: str
    venue: str = "IBKR"


class Tenant(Record):
    """Whom signed commands are for: their orders are opened in `portfolio_id`, and they may name `accounts`."""

    tenant: str
    portfolio_id: str
    accounts: tuple[str, ...] = ()


class Price(Record):
    instrument_id: str
    price: Decimal
    as_of: datetime


class Position(Record):
    """A holding. `quantity` is signed; `cost` is quantity times average price, without multiplier."""

    portfolio_id: str
    account_id: str
    instrument_id: str
    quantity: Decimal
    cost: Decimal
    average_price: Decimal | None = None


class GroupMember(Record):
    """An account for a portfolio, or a group, with its weight among the members."""

    account_id: str | None = None
    portfolio_id: str | None = None
    group_id: str | None = None
    weight: Decimal = Decimal(1)
    minimum: Decimal | None = None


class AccountGroup(Record):
    """Accounts and groups that an order is spread over by weight."""

    group_id: str
    name: str
    members: tuple[GroupMember, ...]


class LineProblem(Record):
    """Why a line was not kept."""

    code: str
    field: str | None = None
    detail: str


class ImportedLine(Record):
    line: int
    ok: bool
    id: str | None = None
    problem: LineProblem | None = None


class Imported(Record):
    """What became of a file, line by line. Good lines are kept whatever became of the others."""

    accepted: int
    rejected: int
    lines: tuple[ImportedLine, ...]
