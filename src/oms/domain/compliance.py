"""Compliance as an order meets it: the verdict, the commands it becomes, and how a rule is changed.

The rule types and the engine are in `oms.domain.rules`.
"""

from collections.abc import Mapping
from typing import Any

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
from oms.domain.model import Open
from oms.domain.rules.registry import check_parameters
from oms.domain.rules.rule import Rule
from oms.domain.terms import Severity

__all__ = ["Rule", "Verdict", "changed", "check_parameters", "post_trade_command", "pre_trade_command"]

_CHANGEABLE = frozenset({"name", "severity", "parameters", "target_accounts", "active"})
_LOCKED = frozenset({"rule_id", "rule_type", "deployment_id", "created_by", "created_at"})


class Verdict(Open):
    """What the engine says of one order version: the result of every rule, in the order they were applied."""

    order_version: int
    results: tuple[RuleResult, ...] = ()

    @property
    def violations(self) -> tuple[RuleResult, ...]:
        """What stops the order."""
        return self._failed(Severity.HARD)

    @property
    def warnings(self) -> tuple[RuleResult, ...]:
        """What was exceeded and stops nothing."""
        return self._failed(Severity.SOFT)

    def _failed(self, severity: Severity) -> tuple[RuleResult, ...]:
        return tuple(r for r in self.results if not r.passed and r.severity is severity)


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


def changed(rule: Rule, changes: Mapping[str, Any]) -> Rule:
    """`rule` with `changes`, one version later; the rule itself where they change nothing.

    `parameters` are replaced as a whole, never merged: what a rule says is what its last change says.
    Raises Refused: FIELD_LOCKED for what a rule keeps for ever, VALIDATION_FAILED for what does not fit.
    """
    for field in changes:
        _check_may_change(field)
    new = dict(changes)
    if "parameters" in new:
        new["parameters"] = _as_kept(rule, new["parameters"])
    try:
        after = Rule.model_validate({**dict(rule), **new})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise Refused(Code.VALIDATION_FAILED, f"{field}: {first['msg']}.", field=field) from error
    return rule if after == rule else after.model_copy(update={"version": rule.version + 1})


def _check_may_change(field: str) -> None:
    if field in _LOCKED:
        raise Refused(
            Code.FIELD_LOCKED,
            f"{field} of a rule never changes; make a new rule.",
            field=field,
            allowed=sorted(_CHANGEABLE),
        )
    if field not in _CHANGEABLE:
        raise Refused(
            Code.VALIDATION_FAILED,
            f"{field} is not a field of a rule that can be changed; there are {', '.join(sorted(_CHANGEABLE))}.",
            field=field,
            allowed=sorted(_CHANGEABLE),
        )


def _as_kept(rule: Rule, parameters: Any) -> dict[str, Any]:
    if not isinstance(parameters, Mapping):
        raise Refused(Code.VALIDATION_FAILED, "parameters: must be an object.", field="parameters")
    return check_parameters(rule.rule_type, parameters).model_dump(mode="json")
