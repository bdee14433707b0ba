"""What-if, headroom, and requests that wait for a verdict from outside."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select

from oms.domain.model import Model
from oms.domain.rules import registry
from oms.domain.rules.book import Book, Proposal
from oms.domain.rules.rule_type import Finding, RuleType
from oms.domain.terms import Role
from oms.store import tables
from tests.api.desk import Desk
from tests.api.holding import COMPLIANCE, Held, new_held


@pytest.fixture
async def held(desk: Desk) -> Held:
    return await new_held(desk)


def counts(desk: Desk) -> dict[str, int]:
    """How many rows each table has."""
    with desk.context.store.database.snapshot() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in tables.metadata.sorted_tables
        }


# -- what-if --------------------------------------------------------------------------------------


async def test_proposed_orders_are_judged_together_and_in_order(held: Held) -> None:
    rule_id = await held.rule("max_position", {"max_quantity": "250"})
    results = await held.what_if({}, {"ordered_quantity": "100"}, {"ordered_quantity": "51"}, {})
    assert [result["passed"] for result in results] == [True, True, False, False]
    (violation,) = results[2]["violations"]
    assert (violation["rule_id"], violation["limit"], violation["severity"]) == (rule_id, "250", "HARD")
    (said,) = [rule for rule in results[0]["rules"] if rule["rule_id"] == rule_id]
    assert (said["passed"], said["used"], said["proposed"]) == (True, "0", "100")


async def test_what_if_keeps_nothing(held: Held) -> None:
    await held.rule("max_position", {"max_quantity": "150"})
    await held.rule("max_daily_turnover", {"max_notional": "1000000"})
    await held.rule("duplicate_order", {"window_seconds": 60})
    before = counts(held.desk)
    first, again = await held.what_if({}, {}), await held.what_if({}, {})
    assert [result["passed"] for result in first] == [True, False]
    assert [result["violations"] for result in again] == [result["violations"] for result in first]
    assert counts(held.desk) == before


async def test_a_soft_rule_warns(held: Held) -> None:
    rule_id = await held.rule("max_order_quantity", {"max_quantity": "10"}, severity="SOFT")
    (result,) = await held.what_if({})
    assert (result["passed"], result["violations"]) == (True, [])
    assert [warning["rule_id"] for warning in result["warnings"]] == [rule_id]


async def test_the_type_follows_from_the_prices(held: Held) -> None:
    await held.rule("max_order_notional", {"max_notional": "10000"})
    results = await held.what_if(
        {}, {"limit_price": "101"}, {"order_type": "Limit", "limit_price": "99"}, {"stop_price": "90"}
    )
    assert [result["passed"] for result in results] == [True, False, True, True]


class WideTrail(RuleType[Model]):
    """A rule about what a venue is told."""

    name = "wide_trail"
    parameters = Model

    def check(self, parameters: Model, book: Book, proposal: Proposal) -> Finding:  # noqa: ARG002
        return Finding((proposal.handling.trail_percent or 0) <= 5, "a trail of five per cent at most")


async def test_rules_see_how_a_proposed_order_is_handled(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {**registry.rule_types(), WideTrail.name: WideTrail()}
    monkeypatch.setattr(registry, "rule_types", lambda: known)
    rule_id = await held.rule(WideTrail.name, {})
    results = await held.what_if(
        {"order_type": "TrailingStop", "handling": {"trail_percent": "5"}},
        {"order_type": "TrailingStop", "handling": {"trail_percent": "6", "outside_rth": True}},
        {"handling": {}},
    )
    assert [result["passed"] for result in results] == [True, False, True]
    assert [violation["rule_id"] for violation in results[1]["violations"]] == [rule_id]
    gone = await held.desk.ask(Role.COMPLIANCE, "DELETE", f"{COMPLIANCE}/rules/{rule_id}")
    assert gone.status_code == 200, gone.text


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"portfolio_id": "PORT-none"}, "INVALID_PORTFOLIO", "proposed_orders.1.portfolio_id"),
        ({"instrument_id": "INS-none"}, "INVALID_INSTRUMENT", "proposed_orders.1.instrument_id"),
        ({"order_type": "Limit"}, "INVALID_ORDER_TYPE", "proposed_orders.1.limit_price"),
        (
            {"order_type": "Market", "limit_price": "1"},
            "INVALID_ORDER_TYPE",
            "proposed_orders.1.limit_price",
        ),
        ({"order_type": "TrailingStop"}, "INVALID_ORDER_TYPE", "proposed_orders.1.handling.trail_amount"),
        (
            {"order_type": "TrailingStopLimit", "handling": {"trail_percent": "1"}},
            "INVALID_ORDER_TYPE",
            "proposed_orders.1.handling.limit_offset",
        ),
        (
            {"handling": {"trail_percent": "1"}},
            "INVALID_ORDER_TYPE",
            "proposed_orders.1.handling.trail_percent",
        ),
        ({"handling": {"nonsense": "1"}}, "VALIDATION_FAILED", "proposed_orders.1.handling.nonsense"),
        ({"ordered_quantity": "0"}, "VALIDATION_FAILED", "proposed_orders.1.ordered_quantity"),
        ({"direction": "Sideways"}, "VALIDATION_FAILED", "proposed_orders.1.direction"),
    ],
)
async def test_a_proposed_order_that_cannot_be(
    held: Held, changes: dict[str, Any], code: str, field: str
) -> None:
    body = {"proposed_orders": [held.order(), held.order(**changes)]}
    refused = await held.desk.post(f"{COMPLIANCE}/what-if", body)
    assert (refused.status_code, refused.json()["code"], refused.json()["field"]) == (422, code, field)


async def test_what_if_stays_within_the_keys_reach(held: Held) -> None:
    body = {"proposed_orders": [held.order()]}
    refused = await held.desk.post(f"{COMPLIANCE}/what-if", body, "secret-second")
    assert (refused.status_code, refused.json()["code"]) == (422, "INVALID_PORTFOLIO")
    none = await held.desk.post(f"{COMPLIANCE}/what-if", {"proposed_orders": []})
    assert (none.status_code, none.json()["field"]) == (422, "proposed_orders")


# -- headroom -------------------------------------------------------------------------------------


async def test_headroom_counts_what_is_held(held: Held) -> None:
    rule_id = await held.rule("gross_exposure", {"max_notional": "50000"})
    await held.holds("320")
    one = (await held.headroom(rule_id)).json()
    assert one == {
        "rule_id": rule_id,
        "portfolio_id": held.portfolio_id,
        "current_value": "32000",
        "limit_value": "50000",
        "headroom": "18000",
        "headroom_pct": "0.36",
    }
    items = (await held.headroom()).json()["items"]
    assert one in items
    await held.quote("200")
    assert Decimal((await held.headroom(rule_id)).json()["headroom"]) == -14000


async def test_headroom_that_is_not_there(held: Held) -> None:
    restricted = await held.rule("restricted_list", {"issuers": ["X"]})
    refused = await held.headroom(restricted)
    assert (refused.status_code, refused.json()["code"], refused.json()["field"]) == (
        422,
        "VALIDATION_FAILED",
        "rule_id",
    )
    assert "no limit" in refused.json()["detail"]
    unknown = await held.headroom("R-none")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "RULE_NOT_FOUND")
    path = f"{COMPLIANCE}/headroom?portfolio_id={held.portfolio_id}"
    for answer in (
        await held.desk.get(path, "secret-second"),
        await held.desk.get(f"{COMPLIANCE}/headroom?portfolio_id=PORT-none"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "PORTFOLIO_NOT_FOUND")
    assert (await held.desk.get(f"{COMPLIANCE}/headroom")).json()["field"] == "portfolio_id"


# -- requests -------------------------------------------------------------------------------------


async def test_an_unanswered_request_is_visible_with_its_age(desk: Desk) -> None:
    async def waiting(secret: Role | str = Role.VIEWER) -> list[dict[str, Any]]:
        answer = await desk.get(f"{COMPLIANCE}/requests?limit=500", secret)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    since = datetime.now(UTC)
    first, second = (await desk.order())["order_id"], (await desk.order())["order_id"]
    for order_id in (first, second):
        await desk.command(order_id, "pre-trade-compliance/request")
    await desk.ask(Role.OPS, "PATCH", f"/v1/orders/{first}", {"metadata": {"compliance": "external"}})
    ours = [item for item in await waiting() if item["order_id"] in (first, second)]
    assert [item["order_id"] for item in ours] == [first, second]
    request = ours[0]
    assert (request["gate"], request["order_version"]) == ("pre_trade", 2)
    assert since <= datetime.fromisoformat(request["since"]) <= datetime.now(UTC)
    assert 0 <= request["age_seconds"] < 60
    assert first not in {item["order_id"] for item in await waiting("secret-second")}
    metrics = (await desk.client.get("/metrics")).text
    count = next(
        line for line in metrics.splitlines() if line.startswith('oms_compliance_requests{gate="pre')
    )
    assert float(count.split()[-1]) >= 2
    assert 'oms_compliance_oldest_request_seconds{gate="pre_trade"}' in metrics
    await desk.command(first, "pre-trade-compliance/pass", Role.COMPLIANCE, {"order_version": 2})
    assert first not in {item["order_id"] for item in await waiting()}
    await desk.command(second, "pre-trade-compliance/pass", Role.COMPLIANCE)
