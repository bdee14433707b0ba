"""Compliance as an order meets it: verdicts, the commands they become, and how a rule is changed."""

from typing import Any

import pytest

from oms.domain import commands as cmd
from oms.domain.compliance import (
    Rule,
    Verdict,
    changed,
    check_parameters,
    post_trade_command,
    pre_trade_command,
)
from oms.domain.errors import Code, Refused
from oms.domain.rules.engine import evaluate
from oms.domain.terms import Severity
from tests.domain.books import book, order, rule

NOTIONAL = rule("max_order_notional", {"max_notional": "1000"})
CONCENTRATION = rule("concentration_limit", {"max_pct": "0.05", "scope": "single_name"})


def verdict(*rules: Rule, quantity: str) -> Verdict:
    return Verdict(order_version=3, results=evaluate(rules, book(), order(quantity=quantity)))


def test_a_soft_rule_warns_and_does_not_stop() -> None:
    said = verdict(NOTIONAL.model_copy(update={"severity": Severity.SOFT}), quantity="9999")
    assert said.violations == ()
    assert [warning.rule_id for warning in said.warnings] == ["R-1"]
    for command in (pre_trade_command(said), post_trade_command(said)):
        assert command.kind.startswith("pass_")
        assert not command.results[0].passed


def test_a_hard_rule_stops_and_says_why() -> None:
    said = verdict(NOTIONAL, CONCENTRATION, quantity="400")
    assert said.warnings == ()
    for command in (pre_trade_command(said), post_trade_command(said)):
        assert isinstance(command, cmd.FailPreTradeCompliance | cmd.FailPostTradeCompliance)
        (violation,) = command.violations
        assert (violation.rule_id, violation.limit, violation.proposed) == ("R-1", "1000", "4000")
        assert (command.order_version, len(command.results)) == (3, 2)


def test_a_verdict_can_be_read_again_with_every_number() -> None:
    said = verdict(NOTIONAL, CONCENTRATION, quantity="400")
    assert Verdict.model_validate_json(said.model_dump_json()) == said
    assert said.results[0].inputs == {"quantity": "400", "price": "10", "multiplier": "1", "rate": "1"}


def test_any_number_of_violations_makes_one_verdict() -> None:
    said = verdict(*[NOTIONAL] * 300, quantity="400")
    for command in (pre_trade_command(said), post_trade_command(said)):
        assert len(command.results) == 300


@pytest.mark.parametrize(
    ("rule_type", "parameters", "field"),
    [
        ("no_such_rule", {}, "rule_type"),
        ("max_order_notional", {}, "parameters.max_notional"),
        ("max_order_notional", {"max_notional": "0"}, "parameters.max_notional"),
        ("concentration_limit", {"max_pct": "0.05", "scope": "planet"}, "parameters.scope"),
        ("concentration_limit", {"max_pct": "0.05", "maxpct": "1"}, "parameters.maxpct"),
        ("restricted_list", {"issuers": [""]}, "parameters.issuers.0"),
        ("short_sale_ban", {"max": 1}, "parameters.max"),
        ("duplicate_order", {"window_seconds": 0}, "parameters.window_seconds"),
        ("duplicate_order", {"window_seconds": 86401}, "parameters.window_seconds"),
        ("duplicate_order", {"window_seconds": "1.5"}, "parameters.window_seconds"),
        ("message_rate", {"max_per_second": -1}, "parameters.max_per_second"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_by_name(
    rule_type: str, parameters: dict[str, Any], field: str
) -> None:
    with pytest.raises(Refused) as refused:
        check_parameters(rule_type, parameters)
    assert refused.value.code is Code.VALIDATION_FAILED
    assert refused.value.facts["field"] == field


# -- changing a rule ---------------------------------------------------------------------------------------


def test_a_change_is_the_next_version() -> None:
    after = changed(CONCENTRATION, {"parameters": {"max_pct": 0.1}, "active": False})
    expected = {
        "parameters": {"max_pct": "0.1", "scope": "single_name"},
        "active": False,
        "version": 2,
    }
    assert after == CONCENTRATION.model_copy(update=expected)
    assert CONCENTRATION.version == 1


def test_parameters_are_replaced_as_a_whole() -> None:
    by_issuer = rule("concentration_limit", {"max_pct": "0.05", "scope": "issuer"})
    assert changed(by_issuer, {"parameters": {"max_pct": "0.1"}}).parameters["scope"] == "single_name"
    with pytest.raises(Refused) as refused:
        changed(by_issuer, {"parameters": {"scope": "sector"}})
    assert refused.value.facts["field"] == "parameters.max_pct"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"name": "A rule"},
        {"parameters": {"max_pct": "0.050"}},
        {"target_accounts": []},
        {"severity": "HARD"},
    ],
)
def test_a_change_of_nothing_is_no_version(changes: dict[str, Any]) -> None:
    assert changed(CONCENTRATION, changes) is CONCENTRATION


@pytest.mark.parametrize("field", ["rule_id", "rule_type", "deployment_id", "created_by", "created_at"])
def test_what_a_rule_keeps_for_ever_is_locked(field: str) -> None:
    same = CONCENTRATION.model_dump().get(field)
    for value in (same, "other"):
        with pytest.raises(Refused) as refused:
            changed(CONCENTRATION, {"active": False, field: value})
        assert (refused.value.code, refused.value.facts["field"]) == (Code.FIELD_LOCKED, field)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"parameters": {"max_pct": "-1"}}, "parameters.max_pct"),
        ({"parameters": None}, "parameters"),
        ({"parameters": [1]}, "parameters"),
        ({"name": ""}, "name"),
        ({"severity": "MILD"}, "severity"),
        ({"active": None}, "active"),
        ({"target_accounts": [7]}, "target_accounts.0"),
        ({"version": 9}, "version"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_change_that_does_not_fit_is_refused_by_name(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused) as refused:
        changed(CONCENTRATION, changes)
    assert (refused.value.code, refused.value.facts["field"]) == (Code.VALIDATION_FAILED, field)
