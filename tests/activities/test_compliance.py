"""The engine over a real order book: which rules apply, what is held, at what price."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from oms.activities.compliance import ComplianceActivities
from oms.domain.commands import RequestPreTradeCompliance
from oms.domain.compliance import Rule, Verdict
from oms.domain.reference import QuotedPrice
from oms.domain.terms import Severity
from oms.store import Store, tables
from tests.activities.running import run
from tests.domain.orders import AAPL, NOW, ORDER_ID, Desk
from tests.store.building import Tale


def rule(rule_id: str = "R-1", **given: Any) -> Rule:
    terms = {
        "rule_type": "max_order_notional",
        "name": "Notional",
        "parameters": {"max_notional": "500"},
        "created_by": "compliance",
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return Rule(rule_id=rule_id, **{**terms, **given})


def waiting(**request: Any) -> Tale:
    """An order of its own that waits for its check."""
    return Tale(instrument=AAPL, **request).do(RequestPreTradeCompliance())


def reservations(store: Store) -> list[Any]:
    with store.database.read() as connection:
        return list(connection.execute(tables.reservations.select()))


async def pre_trade(store: Store, desk: Desk | Tale) -> Verdict:
    verdict: Verdict = await run(ComplianceActivities(store).evaluate_pre_trade, desk.order)
    return verdict


async def post_trade(store: Store, desk: Desk) -> Verdict:
    verdict: Verdict = await run(ComplianceActivities(store).evaluate_post_trade, desk.order)
    return verdict


async def test_without_rules_an_order_passes_and_the_verdict_names_the_version(store: Store) -> None:
    desk = Desk().request_pre_trade()
    assert await pre_trade(store, desk) == Verdict(order_version=2)


@pytest.mark.parametrize(
    ("targets", "applies"),
    [((), True), (("PORT-001",), True), (("ACCT-001",), True), (("PORT-002", "ACCT-002"), False)],
)
async def test_rules_apply_by_portfolio_and_account(
    store: Store, targets: tuple[str, ...], applies: bool
) -> None:
    store.rules.put(rule(target_accounts=targets))
    verdict = await pre_trade(store, Desk().request_pre_trade())
    assert [r.rule_id for r in verdict.violations] == (["R-1"] if applies else [])


async def test_a_deactivated_rule_says_nothing_and_a_soft_one_does_not_stop(store: Store) -> None:
    store.rules.put(rule("R-old"))
    store.rules.deactivate("R-old")
    store.rules.put(rule("R-soft", severity=Severity.SOFT))
    verdict = await pre_trade(store, Desk().request_pre_trade())
    assert ([r.rule_id for r in verdict.results], verdict.violations) == (["R-soft"], ())
    assert not verdict.results[0].passed


def concentration(limit: str) -> Rule:
    return rule(rule_type="concentration_limit", name="Concentration", parameters={"max_pct": limit})


async def test_what_the_portfolio_holds_counts(store: Store) -> None:
    """500 held and 100 bought at 10 are 6 % of 100 000."""
    Tale(instrument=AAPL, ordered_quantity=Decimal(500)).placed().filled(500, "10").recorded(store)
    store.rules.put(concentration("0.055"))
    (result,) = (await pre_trade(store, Desk().request_pre_trade())).violations
    assert (result.used, result.proposed, result.limit) == ("0.05", "0.06", "0.055")


async def test_the_orders_own_fills_are_not_counted_twice(store: Store) -> None:
    desk = Desk().request_post_trade()
    store.journal.record(desk.order, desk.journal)
    store.rules.put(concentration("0.01"))
    verdict = await post_trade(store, desk)
    assert verdict.order_version == desk.order.post_trade.version
    assert (verdict.results[0].used, verdict.results[0].proposed) == ("0", "0.01")
    assert verdict.violations == ()
    assert store.holdings("PORT-001") == {AAPL.instrument_id: Decimal(100)}
    assert desk.order.order_id == ORDER_ID


async def test_post_trade_looks_at_what_was_executed(store: Store) -> None:
    store.rules.put(rule(parameters={"max_notional": "399"}))
    desk = Desk().request_post_trade("40")
    (result,) = (await post_trade(store, desk)).violations
    assert result.proposed == "400"


async def test_the_price_is_the_orders_own_else_the_last_one_else_none(store: Store) -> None:
    store.rules.put(rule())
    limit = await pre_trade(store, waiting(order_type="Limit", limit_price=Decimal(10)))
    unknown = await pre_trade(store, waiting())
    store.reference.put_prices([QuotedPrice(instrument_id=AAPL.instrument_id, price="7", as_of=NOW)])
    quoted = await pre_trade(store, waiting())
    assert limit.results[0].proposed == "1000"
    assert not unknown.results[0].passed, "a gate that does not know does not open"
    assert "no price" in unknown.results[0].description
    assert quoted.results[0].proposed == "700"


async def test_an_unknown_portfolio_has_no_net_asset_value_and_fails(store: Store) -> None:
    store.rules.put(concentration("0.5"))
    verdict = await pre_trade(store, Desk(portfolio_id="PORT-404").request_pre_trade())
    assert "no net asset value" in verdict.violations[0].description


async def test_evaluating_twice_is_evaluating_once(store: Store) -> None:
    """The second run finds the verdict of the first, whatever became of the rules in between."""
    store.rules.put(rule(parameters={"max_notional": "1000"}))
    desk = Desk().request_pre_trade()
    first = await pre_trade(store, desk)
    store.rules.put(rule(parameters={"max_notional": "1"}, version=2))
    assert await pre_trade(store, desk) == first
    assert first.violations == ()
    assert [held.quantity for held in reservations(store)] == [100]
    assert store.journal.head() == 0


async def test_post_trade_is_judged_once_and_holds_nothing(store: Store) -> None:
    desk = Desk().request_post_trade()
    store.journal.record(desk.order, desk.journal)
    store.rules.put(rule(parameters={"max_notional": "1"}))
    first = await post_trade(store, desk)
    store.rules.deactivate("R-1")
    assert await post_trade(store, desk) == first
    assert [result.rule_id for result in first.violations] == ["R-1"]
    assert reservations(store) == []
