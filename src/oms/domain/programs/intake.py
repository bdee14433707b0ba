"""What signed commands carry, in their producers' own field names. docs/commands.md describes every field."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AliasGenerator, ConfigDict, Field, JsonValue, model_validator
from pydantic.alias_generators import to_camel

from oms.domain.identifiers import Name
from oms.domain.model import Model
from oms.domain.numbers import Price, Quantity
from oms.domain.programs.tenants import DEFAULT_TENANT, TenantName
from oms.domain.terms import SecType

MAX_ORDERS = 200
"""So many entries one command may carry."""


class Camel(Model):
    """A part whose fields are spelled as the broker's library spells them."""

    model_config = ConfigDict(alias_generator=AliasGenerator(alias=to_camel), serialize_by_alias=True)


class ContractIn(Camel):
    """An instrument. lastTradeDateOrContractMonth is required for FUT and OPT: YYYYMM or YYYYMMDD."""

    sec_type: SecType = SecType.FUTURE
    symbol: Name
    last_trade_date_or_contract_month: Annotated[str, Field(pattern=r"^(\d{6}|\d{8})?$")] | None = None
    exchange: Name = "SMART"
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    strike: Price | None = None
    right: Literal["C", "P"] | None = None
    multiplier: Quantity | None = None
    con_id: Annotated[int, Field(gt=0)] | None = None


class OrderIn(Camel):
    """An order's terms. Times: RFC 3339, or IB's `YYYYMMDD HH:MM:SS [zone]` (UTC where no zone is named)."""

    action: Literal["BUY", "SELL"]
    total_quantity: Annotated[int, Field(gt=0, le=10**9)]
    order_type: Literal["MKT", "LMT"] = "MKT"
    lmt_price: Price | None = None
    tif: Literal["DAY", "GTC"] = "DAY"
    outside_rth: bool = False
    good_after_time: datetime | str | None = None
    good_till_date: datetime | str | None = None


class BracketSpec(Camel):
    """The exits of an entry, one cancelling the other: at least one of a take profit and a stop loss."""

    take_profit_price: Price | None = None
    stop_loss_price: Price | None = None
    stop_loss_limit_price: Price | None = None
    tif: Literal["DAY", "GTC"] = "GTC"

    @model_validator(mode="after")
    def _has_an_exit(self) -> Self:
        if self.take_profit_price is None and self.stop_loss_price is None:
            raise ValueError("a bracket needs takeProfitPrice or stopLossPrice")
        if self.stop_loss_limit_price is not None and self.stop_loss_price is None:
            raise ValueError("stopLossLimitPrice needs stopLossPrice")
        return self


class RunnerSpec(Camel):
    """The part that is left to run after the first target: `quantity` of the entry, behind a trailing stop.

    Exactly one of trailAmount (in price units) and trailPercent.
    """

    quantity: Annotated[int, Field(gt=0)]
    trail_amount: Price | None = None
    trail_percent: Annotated[Price, Field(lt=100)] | None = None

    @model_validator(mode="after")
    def _trails_one_way(self) -> Self:
        if (self.trail_amount is None) == (self.trail_percent is None):
            raise ValueError("a runner needs exactly one of trailAmount and trailPercent")
        return self


class ExitPolicy(StrEnum):
    """Which exits apply: `none`; `bracket` (where one is given); `runner` (needs both a bracket and a runner)."""

    NONE = "none"
    BRACKET = "bracket"
    RUNNER = "runner"


class SubmittedOrder(Model):
    """One entry of `orders`."""

    contract: ContractIn
    order: OrderIn
    bracket: BracketSpec | None = None
    runner: RunnerSpec | None = None
    refs: Annotated[dict[Name, JsonValue], Field(max_length=40)] = {}
    exit_policy: ExitPolicy = ExitPolicy.BRACKET


class SubmitOrders(Model):
    """The body of POST /oms/orders, and the payload of `oms.submit`.

    asof: the instant that the producer's data is of; it becomes the source time of the orders.
    """

    asof: datetime | str | None = None
    orders: Annotated[tuple[SubmittedOrder, ...], Field(min_length=1, max_length=MAX_ORDERS)]
    tenant: TenantName = DEFAULT_TENANT
    idem_hint: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,128}$")] | None = None
    dry_run: bool = False


class Flatten(Model):
    """The body of POST /oms/flatten, and the payload of `oms.flatten`. account: null is the tenant's own."""

    account: Name | None = None
    sec_types: Annotated[tuple[SecType, ...], Field(min_length=1)] = (SecType.FUTURE,)
    exclude: Annotated[tuple[Name, ...], Field(max_length=1000)] = ()
    cancel_open_first: bool = True
    wait_seconds: Annotated[int, Field(ge=0, le=3600)] = 30
    tenant: TenantName = DEFAULT_TENANT
    idem_hint: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,128}$")] | None = None
    dry_run: bool = False


class Ping(Model):
    """The body of POST /oms/ping, and the payload of `oms.ping`."""

    echo: Annotated[str, Field(max_length=1000)] = ""
    tenant: TenantName = DEFAULT_TENANT
    idem_hint: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,128}$")] | None = None
