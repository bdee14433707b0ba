"""What signed commands carry, in their producers' own field names. docs/commands.md describes every field."""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AliasGenerator,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    model_validator,
)
from pydantic.alias_generators import to_camel

from oms.domain.identifiers import Name
from oms.domain.model import Model
from oms.domain.numbers import Price, Quantity, plain
from oms.domain.programs.envelopes import CommandKind
from oms.domain.programs.findings import checked, invalid
from oms.domain.programs.tenants import DEFAULT_TENANT, TenantName
from oms.domain.programs.times import Instant
from oms.domain.terms import SecType

MAX_ORDERS = 200
"""So many entries one command may carry."""


def _whole(value: Any) -> Any:
    """A whole number as JSON writes one; no text and no truth value, which Python would take for a number."""
    if isinstance(value, bool | str):
        raise ValueError("must be a whole number")  # noqa: TRY004 - pydantic tells ValueErrors
    return value


def _as_json(value: Any) -> Any:
    """Fractions as JSON numbers, or as their text where a number of most readers would lose a digit."""
    if isinstance(value, Decimal):
        number = float(value)
        return number if Decimal(repr(number)) == value else plain(value)
    if isinstance(value, Mapping):
        return {key: _as_json(item) for key, item in value.items()}
    return [_as_json(item) for item in value] if isinstance(value, list | tuple) else value


Whole = Annotated[int, BeforeValidator(_whole)]
Hint = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,128}$")]
"""A name that a producer gives its command, so that sending it again is the same command."""


class Camel(Model):
    """A part whose fields are spelled as the broker's library spells them."""

    model_config = ConfigDict(alias_generator=AliasGenerator(alias=to_camel), serialize_by_alias=True)


class ContractIn(Camel):
    """An instrument. Without a conId lastTradeDateOrContractMonth is required for FUT and OPT: YYYYMM or YYYYMMDD."""

    sec_type: SecType = SecType.FUTURE
    symbol: Name
    last_trade_date_or_contract_month: Annotated[str, Field(pattern=r"^(\d{6}|\d{8})?$")] | None = None
    exchange: Name = "SMART"
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    strike: Price | None = None
    right: Literal["C", "P"] | None = None
    multiplier: Quantity | None = None
    con_id: Annotated[Whole, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        named, derived = self.con_id is not None, self.sec_type in (SecType.FUTURE, SecType.OPTION)
        if derived and not named and not self.last_trade_date_or_contract_month:
            raise ValueError(f"lastTradeDateOrContractMonth is required for {self.sec_type}")
        if not derived and self.last_trade_date_or_contract_month:
            raise ValueError(f"lastTradeDateOrContractMonth does not belong on {self.sec_type}")
        has_strike = self.strike is not None or self.right is not None
        if has_strike and self.sec_type is not SecType.OPTION:
            raise ValueError(f"strike and right do not belong on {self.sec_type}")
        if self.sec_type is SecType.OPTION and not named and (self.strike is None or self.right is None):
            raise ValueError("strike and right are required for OPT")
        return self


class OrderIn(Camel):
    """An order's terms. Times: RFC 3339, or IB's `YYYYMMDD HH:MM:SS [zone]` (UTC where no zone is named).

    goodTillDate makes the order good until then, whatever `tif` says.
    """

    action: Literal["BUY", "SELL"]
    total_quantity: Annotated[Whole, Field(gt=0, le=10**9)]
    order_type: Literal["MKT", "LMT"] = "MKT"
    lmt_price: Price | None = None
    tif: Literal["DAY", "GTC"] = "DAY"
    outside_rth: StrictBool = False
    good_after_time: Instant | None = None
    good_till_date: Instant | None = None

    @model_validator(mode="after")
    def _terms_fit(self) -> Self:
        is_limit = self.order_type == "LMT"
        if is_limit and self.lmt_price is None:
            raise ValueError("lmtPrice is required for LMT")
        if not is_limit and self.lmt_price is not None:
            raise ValueError("lmtPrice does not belong on MKT: it would limit nothing")
        begins, ends = self.good_after_time, self.good_till_date
        if begins is not None and ends is not None and begins >= ends:
            raise ValueError("goodAfterTime is not before goodTillDate")
        return self


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

    quantity: Annotated[Whole, Field(gt=0)]
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
    """One entry of `orders`. `refs`: the producer's own words, kept on its orders."""

    contract: ContractIn
    order: OrderIn
    bracket: BracketSpec | None = None
    runner: RunnerSpec | None = None
    refs: Annotated[dict[Name, JsonValue], Field(max_length=40), BeforeValidator(_as_json)] = {}
    exit_policy: ExitPolicy = ExitPolicy.BRACKET

    @model_validator(mode="after")
    def _exits_fit(self) -> Self:
        if self.bracket is not None:
            _gains_above_losses(self.order, self.bracket)
        if self.exit_policy is ExitPolicy.RUNNER:
            _runner_fits(self.order, self.bracket, self.runner)
        return self


def _gains_above_losses(order: OrderIn, bracket: BracketSpec) -> None:
    gain, loss = bracket.take_profit_price, bracket.stop_loss_price
    if gain is None or loss is None:
        return
    if order.action == "BUY" and gain <= loss:
        raise ValueError("bracket: takeProfitPrice must be above stopLossPrice for a BUY")
    if order.action == "SELL" and gain >= loss:
        raise ValueError("bracket: takeProfitPrice must be below stopLossPrice for a SELL")


def _runner_fits(order: OrderIn, bracket: BracketSpec | None, runner: RunnerSpec | None) -> None:
    if runner is None:
        raise ValueError("exit_policy runner needs a runner")
    if bracket is None or bracket.take_profit_price is None or bracket.stop_loss_price is None:
        raise ValueError("exit_policy runner needs a bracket with takeProfitPrice and stopLossPrice")
    if runner.quantity >= order.total_quantity:
        raise ValueError(
            "runner: quantity must be below totalQuantity, so that something is left for the target"
        )


class SubmitOrders(Model):
    """The body of POST /oms/orders, and the payload of `oms.submit`.

    asof: the instant that the producer's data is of; it becomes the source time of the orders.
    """

    asof: Instant | None = None
    orders: Annotated[tuple[SubmittedOrder, ...], Field(min_length=1, max_length=MAX_ORDERS)]
    tenant: TenantName = DEFAULT_TENANT
    idem_hint: Hint | None = None
    dry_run: StrictBool = False


class Flatten(Model):
    """The body of POST /oms/flatten, and the payload of `oms.flatten`. account: null is the tenant's own."""

    account: Name | None = None
    sec_types: Annotated[tuple[SecType, ...], Field(min_length=1)] = (SecType.FUTURE,)
    exclude: Annotated[tuple[Name, ...], Field(max_length=1000)] = ()
    cancel_open_first: StrictBool = True
    wait_seconds: Annotated[Whole, Field(ge=0, le=3600)] = 30
    tenant: TenantName = DEFAULT_TENANT
    idem_hint: Hint | None = None
    dry_run: StrictBool = False


class Ping(Model):
    """The body of POST /oms/ping, and the payload of `oms.ping`."""

    echo: Annotated[str, Field(max_length=1000)] = ""
    tenant: TenantName = DEFAULT_TENANT
    idem_hint: Hint | None = None


Payload = Ping | SubmitOrders | Flatten
_KINDS: Mapping[CommandKind, type[Payload]] = {
    CommandKind.PING: Ping,
    CommandKind.SUBMIT: SubmitOrders,
    CommandKind.FLATTEN: Flatten,
}


def payload(kind: CommandKind, given: Mapping[str, Any], tenant: str | None = None) -> Payload:
    """What a command of this kind carries. `tenant`: the envelope's own, which then holds.

    Raises Refused: VALIDATION_FAILED with the path of the field, also for a payload that names another tenant.
    """
    if tenant is None:
        return checked(_KINDS[kind], given)
    if given.get("tenant", tenant) != tenant:
        raise invalid("tenant", f"the envelope is for {tenant}, its payload is not", tenant=tenant)
    return checked(_KINDS[kind], {**given, "tenant": tenant})
