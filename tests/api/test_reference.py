"""Reference data, compliance rules, prices, positions."""

import uuid
from decimal import Decimal

import pytest

from oms.domain.terms import Role
from tests.api.desk import Desk


async def test_an_instrument_has_one_id(desk: Desk) -> None:
    terms = {"symbol": f"X{uuid.uuid4().hex[:8]}", "currency": "USD", "tick_size": "0.005"}
    first = await desk.post("/v1/instruments", terms)
    assert first.status_code == 201, first.text
    assert first.json()["tick_size"] == "0.005"
    again = await desk.post("/v1/instruments", {**terms, "sector": "Technology"}, Role.TRADER)
    assert again.status_code == 201
    assert again.json()["instrument_id"] == first.json()["instrument_id"]
    one = await desk.get(first.headers["location"])
    assert (one.status_code, one.json()["sector"]) == (200, "Technology")
    listed = (await desk.get(f"/v1/instruments?symbol={terms['symbol']}")).json()["items"]
    assert [i["instrument_id"] for i in listed] == [first.json()["instrument_id"]]
    taken = await desk.post(
        "/v1/instruments", {"symbol": "OTHER", "instrument_id": first.json()["instrument_id"]}
    )
    assert (taken.status_code, taken.json()["field"]) == (422, "instrument_id")


@pytest.mark.parametrize(
    "terms",
    [
        {"symbol": "ES", "sec_type": "FUT"},
        {"symbol": "AAPL", "sec_type": "OPT", "expiry": "2027-01-15"},
        {"symbol": "AAPL", "sec_type": "BOND"},
        {"symbol": ""},
        {"symbol": "A", "currency": "dollar"},
        {"symbol": "A", "tick_size": "0"},
        {"symbol": "A", "expiry": "soon"},
        {"symbol": "A", "conid": 0},
        {},
    ],
)
async def test_an_instrument_that_cannot_be(desk: Desk, terms: dict[str, str]) -> None:
    answer = await desk.post("/v1/instruments", terms)
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED"), answer.text


async def test_portfolios_and_accounts(desk: Desk) -> None:
    name = uuid.uuid4().hex[:8]
    account = {"account_id": f"A-{name}", "name": name, "broker_account": f"DU{name}"}
    portfolio = {"portfolio_id": f"P-{name}", "name": name, "default_account_id": f"A-{name}"}
    early = await desk.post("/v1/portfolios", portfolio)
    assert (early.status_code, early.json()["code"]) == (422, "INVALID_ACCOUNT")
    assert (await desk.post("/v1/accounts", account, Role.TRADER)).status_code == 403
    assert (await desk.post("/v1/accounts", account, Role.ADMIN)).status_code == 201
    assert (await desk.post("/v1/accounts", account, Role.OPS)).status_code == 200
    assert (
        await desk.post("/v1/portfolios", {**portfolio, "net_asset_value": "1000000.50"})
    ).status_code == 201
    read = (await desk.get(f"/v1/portfolios/P-{name}")).json()
    assert (read["net_asset_value"], read["base_currency"]) == ("1000000.5", "USD")
    assert f"A-{name}" in {
        a["account_id"] for a in (await desk.get("/v1/accounts?limit=500")).json()["items"]
    }
    order = await desk.order(portfolio_id=f"P-{name}")
    assert order["route"]["account"] == f"DU{name}"


async def test_rules_have_versions_and_are_never_lost(desk: Desk) -> None:
    rule = {
        "rule_type": "max_order_notional",
        "name": "No order above a million",
        "parameters": {"max_notional": 1000000},
        "target_accounts": ["PORT-none"],
    }
    made = await desk.post("/v1/compliance/rules", rule, Role.COMPLIANCE)
    assert made.status_code == 201, made.text
    assert (made.json()["version"], made.json()["active"], made.json()["severity"]) == (1, True, "HARD")
    assert made.json()["parameters"] == {"max_notional": "1000000"}
    path = made.headers["location"]
    changed = await desk.ask(
        Role.ADMIN, "PATCH", path, {"parameters": {"max_notional": "5"}, "severity": "SOFT"}
    )
    assert (changed.json()["version"], changed.json()["parameters"]) == (2, {"max_notional": "5"})
    same = await desk.ask(Role.ADMIN, "PATCH", path, {"severity": "SOFT"})
    assert same.json()["version"] == 2
    gone = await desk.ask(Role.COMPLIANCE, "DELETE", path)
    assert (gone.status_code, gone.json()["active"], gone.json()["version"]) == (200, False, 3)
    assert (await desk.ask(Role.COMPLIANCE, "DELETE", path)).json()["version"] == 3
    inactive = (await desk.get("/v1/compliance/rules?active=false&limit=500")).json()["items"]
    assert made.json()["rule_id"] in {r["rule_id"] for r in inactive}
    missing = await desk.ask(Role.ADMIN, "PATCH", "/v1/compliance/rules/RUL-none", {"name": "x"})
    assert (missing.status_code, missing.json()["code"]) == (404, "RULE_NOT_FOUND")


async def test_a_named_rule_is_created_once(desk: Desk) -> None:
    rule = {"rule_id": f"R-{uuid.uuid4().hex}", "rule_type": "restricted_list", "name": "n", "parameters": {}}
    assert (await desk.post("/v1/compliance/rules", rule, Role.ADMIN)).status_code == 201
    assert (await desk.post("/v1/compliance/rules", rule, Role.ADMIN)).status_code == 201
    other = await desk.post("/v1/compliance/rules", {**rule, "name": "m"}, Role.ADMIN)
    assert (other.status_code, other.json()["code"]) == (409, "VERSION_CONFLICT")
    await desk.ask(Role.ADMIN, "DELETE", f"/v1/compliance/rules/{rule['rule_id']}")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"rule_type": "no_fun"}, "rule_type"),
        ({"parameters": {"max_notional": -1}}, "parameters.max_notional"),
        ({"parameters": {"max_notional": "much"}}, "parameters.max_notional"),
        ({"parameters": {}}, "parameters.max_notional"),
        ({"parameters": {"max_notional": "1", "min": "1"}}, "parameters.min"),
        ({"parameters": []}, "parameters"),
        ({"severity": "DEADLY"}, "severity"),
    ],
)
async def test_a_rule_that_cannot_be(desk: Desk, changes: dict[str, object], field: str) -> None:
    rule = {"rule_type": "max_order_notional", "name": "n", "parameters": {"max_notional": "1"}, **changes}
    answer = await desk.post("/v1/compliance/rules", rule, Role.COMPLIANCE)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (
        422,
        "VALIDATION_FAILED",
        field,
    )


async def test_a_rule_stops_an_order(desk: Desk) -> None:
    rule = {
        "rule_type": "max_order_notional",
        "name": "tiny",
        "parameters": {"max_notional": "10"},
        "target_accounts": ["PORT-002"],
    }
    made = await desk.post("/v1/compliance/rules", rule, Role.COMPLIANCE)
    order_id = (await desk.order(portfolio_id="PORT-002", compliance="builtin"))["order_id"]
    await desk.command(order_id, "pre-trade-compliance/request")
    failed = await desk.reads(order_id, lambda order: order["state"] == "PRE_TRADE_COMPLIANCE_FAILED")
    violation = failed["pre_trade"]["violations"][0]
    assert (violation["rule_id"], violation["limit"], violation["proposed"]) == (
        made.json()["rule_id"],
        "10",
        "15025",
    )
    await desk.ask(Role.COMPLIANCE, "DELETE", made.headers["location"])


async def test_the_latest_price_stays(desk: Desk) -> None:
    quote = {"instrument_id": desk.instrument_id, "price": "150.1", "as_of": "2026-03-02T12:00:00+01:00"}
    kept = await desk.ask(Role.OPERATOR, "PUT", "/v1/prices", {"prices": [quote]})
    assert kept.status_code == 200, kept.text
    older = {**quote, "price": "140", "as_of": "2026-03-01T12:00:00Z"}
    kept = await desk.ask(Role.OPS, "PUT", "/v1/prices", {"prices": [older]})
    assert kept.json()["items"][0]["price"] == "150.1"
    assert kept.json()["items"][0]["as_of"] == "2026-03-02T11:00:00Z"
    for bad, code in (
        ({**quote, "instrument_id": "INS-none"}, "INVALID_INSTRUMENT"),
        ({**quote, "price": 0}, "VALIDATION_FAILED"),
        ({**quote, "price": "1e-9999999"}, "VALIDATION_FAILED"),
        ({**quote, "as_of": "2026-03-02T12:00:00"}, "VALIDATION_FAILED"),
    ):
        answer = await desk.ask(Role.PM, "PUT", "/v1/prices", {"prices": [bad]})
        assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_positions_follow_fills(desk: Desk) -> None:
    async def held() -> Decimal:
        listed = await desk.get("/v1/positions?portfolio_id=PORT-001&account_id=ACCT-001&limit=500")
        assert listed.status_code == 200
        return sum((Decimal(p["quantity"]) for p in listed.json()["items"]), Decimal(0))

    before = await held()
    await desk.filled("40")
    assert await held() == before + 40
    hidden = (await desk.get("/v1/positions?limit=500", "secret-second")).json()["items"]
    assert {p["portfolio_id"] for p in hidden} <= {"PORT-002"}
