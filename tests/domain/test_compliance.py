"""The built-in rules: each passes, fails, and does not open when it cannot know."""

from decimal import Decimal
from typing import Any

import pytest

from oms.domain import commands as cmd
from oms.domain.compliance import (
    PARAMETERS,
    Proposal,
    Rule,
    Verdict,
    check_parameters,
    evaluate,
    executed_trade,
    post_trade_command,
    pre_trade_command,
    proposed_trade,
)
from oms.domain.errors import Code, Refused
from oms.domain.terms import Severity
from tests.domain.orders import AAPL, NOW, Desk


def rule(rule_type: str, parameters: dict[str, Any], **rest: Any) -> Rule:
    given = {"rule_id": "R-1", "name": "A rule", "created_by": "compliance-key", "created_at": NOW, **rest}
    return Rule(rule_type=rule_type, parameters=parameters, **given)


def proposal(quantity: str = "100", price: str | None = "10", **rest: Any) -> Proposal:
    given: dict[str, Any] = {"instrument": AAPL, "position": "0", "net_asset_value": "100000", **rest}
    return Proposal.model_validate({"signed_quantity": quantity, "price": price, **given})


def said(the_rule: Rule, trade: Proposal) -> cmd.RuleResult:
    (result,) = evaluate([the_rule], trade)
    return result


NOTIONAL = rule("max_order_notional", {"max_notional": "1000"})
CONCENTRATION = rule("concentration_limit", {"max_pct": "0.05"})


@pytest.mark.parametrize(
    ("quantity", "price", "passes"),
    [("100", "10", True), ("100", "10.01", False), ("-100", "10", True), ("-101", "10", False)],
)
def test_max_order_notional_looks_at_the_size_whichever_way_it_goes(
    quantity: str, price: str, passes: bool
) -> None:
    result = said(NOTIONAL, proposal(quantity, price))
    assert (result.passed, result.limit) == (passes, "1000")


def test_a_multiplier_is_part_of_the_notional() -> None:
    future = AAPL.model_copy(update={"multiplier": Decimal(50)})
    assert said(NOTIONAL, proposal("1", "20", instrument=future)).proposed == "1000"
    assert not said(NOTIONAL, proposal("1", "20.1", instrument=future)).passed


@pytest.mark.parametrize(
    ("parameters", "passes"),
    [
        ({}, True),
        ({"instrument_ids": ["INS-MSFT"]}, True),
        ({"instrument_ids": ["INS-AAPL"]}, False),
        ({"issuers": ["Apple Inc."]}, False),
        ({"issuers": ["Microsoft"]}, True),
    ],
)
def test_a_restricted_list_names_instruments_or_issuers(parameters: dict[str, Any], passes: bool) -> None:
    result = said(rule("restricted_list", parameters), proposal(price=None))
    assert result.passed is passes
    assert ("not restricted" in result.description) is passes


def test_an_instrument_without_an_issuer_is_not_restricted_by_one() -> None:
    nameless = AAPL.model_copy(update={"issuer": None})
    assert said(rule("restricted_list", {"issuers": ["None"]}), proposal(instrument=nameless)).passed


@pytest.mark.parametrize(
    ("position", "quantity", "passes"),
    [
        ("0", "500", True),
        ("0", "501", False),
        ("400", "100", True),
        ("400", "101", False),
        ("0", "-501", False),
        ("-400", "-101", False),
        ("-600", "100", True),
        ("-600", "-1", False),
        ("600", "-100", True),
        ("700", "-100", True),
        ("-700", "100", True),
        ("600", "-1300", False),
        ("600", "-1100", True),
    ],
)
def test_concentration_looks_at_the_position_after_the_trade_long_or_short(
    position: str, quantity: str, passes: bool
) -> None:
    """A trade that makes the position smaller passes even above the limit: it is the way back."""
    assert said(CONCENTRATION, proposal(quantity, "10", position=position)).passed is passes


def test_concentration_gives_its_numbers_as_fractions() -> None:
    result = said(CONCENTRATION, proposal("100", "10", position="300"))
    assert (result.limit, result.used, result.proposed) == ("0.05", "0.03", "0.04")


def test_a_limit_is_exceeded_by_the_smallest_amount() -> None:
    trade = proposal("500.00000000000001", "10")
    assert said(CONCENTRATION, trade).proposed == "0.05"
    assert not said(CONCENTRATION, trade).passed


@pytest.mark.parametrize("the_rule", [NOTIONAL, CONCENTRATION])
def test_without_a_price_a_rule_about_money_does_not_open(the_rule: Rule) -> None:
    result = said(the_rule, proposal(price=None))
    assert (result.passed, result.description) == (False, "no price for AAPL")


@pytest.mark.parametrize("nav", ["0", "-5"])
def test_without_net_asset_value_a_concentration_limit_does_not_open(nav: str) -> None:
    result = said(CONCENTRATION, proposal("1", "1", net_asset_value=nav))
    assert (result.passed, result.description) == (False, "the portfolio has no net asset value")


@pytest.mark.parametrize(
    "unreadable", [rule("no_such_rule", {}), rule("max_order_notional", {"max_notional": "a lot"})]
)
def test_a_rule_that_nobody_can_read_does_not_open(unreadable: Rule) -> None:
    result = said(unreadable, proposal())
    assert not result.passed
    assert "cannot be read" in result.description


def test_an_inactive_rule_says_nothing() -> None:
    assert evaluate([NOTIONAL.model_copy(update={"active": False})], proposal("9999")) == ()


def test_a_soft_rule_warns_and_does_not_stop() -> None:
    soft = NOTIONAL.model_copy(update={"severity": Severity.SOFT})
    verdict = Verdict(order_version=3, results=evaluate([soft], proposal("9999")))
    assert verdict.violations == ()
    for command in (pre_trade_command(verdict), post_trade_command(verdict)):
        assert command.kind.startswith("pass_")
        assert not command.results[0].passed


def test_a_hard_rule_stops_and_says_why() -> None:
    results = evaluate([NOTIONAL, CONCENTRATION], proposal("400", "10"))
    verdict = Verdict(order_version=3, results=results)
    for command in (pre_trade_command(verdict), post_trade_command(verdict)):
        assert isinstance(command, cmd.FailPreTradeCompliance | cmd.FailPostTradeCompliance)
        (violation,) = command.violations
        assert (violation.rule_id, violation.limit, violation.proposed) == ("R-1", "1000", "4000")
        assert (command.order_version, len(command.results)) == (3, 2)


def test_any_number_of_violations_makes_one_verdict() -> None:
    verdict = Verdict(order_version=3, results=evaluate([NOTIONAL] * 300, proposal("400")))
    for command in (pre_trade_command(verdict), post_trade_command(verdict)):
        assert len(command.results) == 300


@pytest.mark.parametrize(
    ("rule_type", "parameters", "field"),
    [
        ("no_such_rule", {}, "rule_type"),
        ("max_order_notional", {}, "parameters.max_notional"),
        ("max_order_notional", {"max_notional": "0"}, "parameters.max_notional"),
        ("concentration_limit", {"max_pct": "0.05", "scope": "sector"}, "parameters.scope"),
        ("concentration_limit", {"max_pct": "0.05", "maxpct": "1"}, "parameters.maxpct"),
        ("restricted_list", {"issuers": [""]}, "parameters.issuers.0"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_by_name(
    rule_type: str, parameters: dict[str, Any], field: str
) -> None:
    with pytest.raises(Refused) as refused:
        check_parameters(rule_type, parameters)
    assert refused.value.code is Code.VALIDATION_FAILED
    assert refused.value.facts["field"] == field


def test_every_rule_type_can_be_evaluated() -> None:
    shortest = {"max_order_notional": {"max_notional": "1e9"}, "concentration_limit": {"max_pct": "1"}}
    for rule_type in PARAMETERS:
        assert said(rule(rule_type, shortest.get(rule_type, {})), proposal()).passed


@pytest.mark.parametrize(
    ("direction", "sign"), [("Buy", 1), ("Sell", -1), ("SellShort", -1), ("BuyToCover", 1)]
)
def test_the_trade_that_is_checked_carries_its_sign(direction: str, sign: int) -> None:
    desk = Desk(direction=direction)
    assert proposed_trade(desk.order) == (100 * sign, 10)
    assert executed_trade(desk.order) == (0, None)
    desk.fill("40", "A.1").fill("10", "B.1", price="11")
    assert executed_trade(desk.order) == (50 * sign, Decimal("10.2"))
