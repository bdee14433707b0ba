"""The built-in compliance rules, pure: a rule, a proposal and what the book holds give a result.

A rule that cannot be computed (no price, no net asset value) fails: a gate that does not know does not open.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import ValidationError

from oms.domain.commands import (
    MAX_VIOLATIONS,
    FailPostTradeCompliance,
    FailPreTradeCompliance,
    PassPostTradeCompliance,
    PassPreTradeCompliance,
    RuleResult,
)
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import Name
from oms.domain.model import Model, Open
from oms.domain.numbers import Amount, Exact, Quantity, add, multiply, plain, ratio
from oms.domain.order import Order
from oms.domain.reference import Instrument
from oms.domain.terms import Severity


class MaxOrderNotional(Model):
    """The notional of one order, in the instrument's currency, is at most `max_notional`."""

    max_notional: Quantity


class RestrictedList(Model):
    """No order in these instruments, nor in any instrument of these issuers."""

    instrument_ids: tuple[Name, ...] = ()
    issuers: tuple[Name, ...] = ()


class ConcentrationLimit(Model):
    """The position after the trade is at most `max_pct` (a fraction: 0.05 is 5 %) of net asset value."""

    max_pct: Quantity
    scope: Literal["single_name"] = "single_name"


PARAMETERS: dict[str, type[Model]] = {
    "max_order_notional": MaxOrderNotional,
    "restricted_list": RestrictedList,
    "concentration_limit": ConcentrationLimit,
}
"""Every rule type and the shape of its parameters."""


class Rule(Open):
    """One rule at one version. `target_accounts` names portfolios or accounts; empty means all."""

    rule_id: Name
    rule_type: str
    name: Name
    severity: Severity = Severity.HARD
    parameters: dict[str, Any]
    target_accounts: tuple[str, ...] = ()
    active: bool = True
    version: int = 1
    created_by: str
    created_at: datetime


class Proposal(Open):
    """What is to be checked: a trade not done yet, or (post-trade) the trade as executed.

    `position`: signed units held without this trade. `price`: the limit price, else the last known price.
    """

    instrument: Instrument
    signed_quantity: Exact
    price: Exact | None
    position: Exact
    net_asset_value: Amount


def check_parameters(rule_type: str, parameters: Mapping[str, Any]) -> Model:
    """The typed parameters of a rule. Raises Refused: VALIDATION_FAILED with the field."""
    shape = PARAMETERS.get(rule_type)
    if shape is None:
        raise Refused(
            Code.VALIDATION_FAILED,
            f"{rule_type!r} is not a rule type; there are {', '.join(sorted(PARAMETERS))}.",
            field="rule_type",
            allowed=sorted(PARAMETERS),
        )
    try:
        return shape.model_validate(dict(parameters))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(("parameters", *map(str, first["loc"])))
        raise Refused(Code.VALIDATION_FAILED, f"{field}: {first['msg']}.", field=field) from error


def evaluate(rules: Sequence[Rule], proposal: Proposal) -> tuple[RuleResult, ...]:
    """What each active rule says of `proposal`, in the order given."""
    return tuple(_evaluate(rule, proposal) for rule in rules if rule.active)


class _Said(Open):
    passed: bool
    description: str
    limit: str | None = None
    used: str | None = None
    proposed: str | None = None


def _evaluate(rule: Rule, proposal: Proposal) -> RuleResult:
    try:
        parameters = check_parameters(rule.rule_type, rule.parameters)
    except Refused as unreadable:
        said = _Said(passed=False, description=f"the rule cannot be read: {unreadable.message}"[:1000])
    else:
        said = _CHECKS[type(parameters)](parameters, proposal)
    return RuleResult(
        rule_id=rule.rule_id,
        rule_name=rule.name,
        rule_type=rule.rule_type,
        rule_version=rule.version,
        severity=rule.severity,
        **said.model_dump(),
    )


def _max_order_notional(rule: MaxOrderNotional, proposal: Proposal) -> _Said:
    if proposal.price is None:
        return _Said(
            passed=False,
            description=f"no price for {proposal.instrument.symbol}",
            limit=plain(rule.max_notional),
        )
    notional = _value(abs(proposal.signed_quantity), proposal)
    return _Said(
        passed=notional <= rule.max_notional,
        description=f"order notional {plain(notional)} against a limit of {plain(rule.max_notional)}",
        limit=plain(rule.max_notional),
        used="0",
        proposed=plain(notional),
    )


def _restricted_list(rule: RestrictedList, proposal: Proposal) -> _Said:
    instrument = proposal.instrument
    named = instrument.instrument_id in rule.instrument_ids
    issuer = instrument.issuer is not None and instrument.issuer in rule.issuers
    what = f"issuer {instrument.issuer}" if issuer and not named else instrument.symbol
    return _Said(
        passed=not (named or issuer), description=f"{what} is {'' if named or issuer else 'not '}restricted"
    )


def _concentration(rule: ConcentrationLimit, proposal: Proposal) -> _Said:
    limit = plain(rule.max_pct)
    if proposal.price is None:
        return _Said(passed=False, description=f"no price for {proposal.instrument.symbol}", limit=limit)
    if proposal.net_asset_value <= 0:
        return _Said(passed=False, description="the portfolio has no net asset value", limit=limit)
    held = ratio(_value(abs(proposal.position), proposal), proposal.net_asset_value)
    after_quantity = add(proposal.position, proposal.signed_quantity)
    value = _value(abs(after_quantity), proposal)
    after = ratio(value, proposal.net_asset_value)
    shrinks = abs(after_quantity) < abs(proposal.position)
    return _Said(
        passed=value <= multiply(rule.max_pct, proposal.net_asset_value) or shrinks,
        description=f"{proposal.instrument.symbol} would be {plain(after)} of net asset value, the limit is {limit}",
        limit=limit,
        used=plain(held),
        proposed=plain(after),
    )


def _value(quantity: Decimal, proposal: Proposal) -> Decimal:
    return multiply(multiply(quantity, proposal.price or Decimal(0)), proposal.instrument.multiplier)


_CHECKS: dict[type, Callable[[Any, Proposal], _Said]] = {
    MaxOrderNotional: _max_order_notional,
    RestrictedList: _restricted_list,
    ConcentrationLimit: _concentration,
}


class Verdict(Open):
    """What the engine says of one order version."""

    order_version: int
    results: tuple[RuleResult, ...] = ()

    @property
    def violations(self) -> tuple[RuleResult, ...]:
        return tuple(r for r in self.results if not r.passed and r.severity is Severity.HARD)


def pre_trade_command(verdict: Verdict) -> PassPreTradeCompliance | FailPreTradeCompliance:
    """The verdict as the command that any compliance plugin would give."""
    if verdict.violations:
        return FailPreTradeCompliance(
            violations=tuple(r.violation() for r in verdict.violations[:MAX_VIOLATIONS]),
            order_version=verdict.order_version,
            results=verdict.results,
        )
    return PassPreTradeCompliance(order_version=verdict.order_version, results=verdict.results)


def post_trade_command(verdict: Verdict) -> PassPostTradeCompliance | FailPostTradeCompliance:
    """The verdict as the command that any compliance plugin would give."""
    if verdict.violations:
        return FailPostTradeCompliance(
            violations=tuple(r.violation() for r in verdict.violations[:MAX_VIOLATIONS]),
            order_version=verdict.order_version,
            results=verdict.results,
        )
    return PassPostTradeCompliance(order_version=verdict.order_version, results=verdict.results)


def proposed_trade(order: Order) -> tuple[Decimal, Decimal | None]:
    """Signed quantity and the order's own price, before the trade: the whole order at its limit."""
    return multiply(order.ordered_quantity, Decimal(order.direction.sign)), order.limit_price


def executed_trade(order: Order) -> tuple[Decimal, Decimal | None]:
    """Signed quantity and average price, after the trade."""
    return multiply(order.executed_quantity, Decimal(order.direction.sign)), order.average_price
