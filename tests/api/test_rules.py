"""Compliance rules over HTTP: what may change, what never does, every version with who, when and why."""

import uuid
from typing import Any

import pytest

from oms.domain.rules.registry import rule_types
from oms.domain.terms import Role
from tests.api.desk import Desk

RULES = "/v1/compliance/rules"


async def made(desk: Desk, **changes: Any) -> dict[str, Any]:
    """A rule that applies to nobody who trades here."""
    body = {
        "rule_type": "concentration_limit",
        "parameters": {"max_pct": "0.05", "scope": "single_name"},
        "target_accounts": ["PORT-none"],
        **changes,
    }
    answer = await desk.post(RULES, body, Role.COMPLIANCE)
    assert answer.status_code == 201, answer.text
    rule: dict[str, Any] = answer.json()
    return rule


async def patched(desk: Desk, rule_id: str, body: Any, role: Role = Role.COMPLIANCE) -> Any:
    return await desk.ask(role, "PATCH", f"{RULES}/{rule_id}", body)


async def test_every_version_is_kept_with_who_when_and_why(desk: Desk) -> None:
    rule = await made(desk, reason="the mandate of March")
    path = f"{RULES}/{rule['rule_id']}"
    assert (await desk.get(path)).json() == rule
    changed = await patched(desk, rule["rule_id"], {"parameters": {"max_pct": 0.10}, "reason": "wider"})
    assert changed.status_code == 200, changed.text
    assert (changed.json()["version"], changed.json()["parameters"]["max_pct"]) == (2, "0.1")
    gone = await desk.ask(Role.ADMIN, "DELETE", f"{path}?reason=no+longer+needed")
    assert (gone.json()["active"], gone.json()["version"]) == (False, 3)
    versions = (await desk.get(f"{path}/versions")).json()["items"]
    assert [(v["version"], v["changed_by"], v["reason"], v["active"]) for v in versions] == [
        (1, "compliance", "the mandate of March", True),
        (2, "compliance", "wider", True),
        (3, "admin", "no longer needed", False),
    ]
    assert versions[0]["changed_at"] <= versions[1]["changed_at"] <= versions[2]["changed_at"]
    assert {v["created_by"] for v in versions} == {"compliance"}
    assert (await desk.get(path)).json()["active"] is False


async def test_what_changes_nothing_is_no_version(desk: Desk) -> None:
    rule = await made(desk)
    same = await patched(desk, rule["rule_id"], {"parameters": {"scope": "single_name", "max_pct": 0.05}})
    assert same.json() == rule
    assert (await patched(desk, rule["rule_id"], {"name": None})).json() == rule
    await desk.ask(Role.ADMIN, "DELETE", f"{RULES}/{rule['rule_id']}")
    await desk.ask(Role.ADMIN, "DELETE", f"{RULES}/{rule['rule_id']}")
    versions = (await desk.get(f"{RULES}/{rule['rule_id']}/versions")).json()["items"]
    assert [v["version"] for v in versions] == [1, 2]


async def test_changes_may_come_under_their_own_name(desk: Desk) -> None:
    rule = await made(desk)
    body = {"changes": {"parameters": {"max_pct": 0.2}, "active": False}, "reason": "for now"}
    changed = (await patched(desk, rule["rule_id"], body)).json()
    assert (changed["parameters"], changed["active"]) == (
        {"max_pct": "0.2", "scope": "single_name"},
        False,
    )


@pytest.mark.parametrize("field", ["rule_id", "rule_type", "deployment_id", "created_by", "created_at"])
@pytest.mark.parametrize("wrapped", [False, True])
async def test_what_never_changes_is_locked(desk: Desk, field: str, wrapped: bool) -> None:
    rule = await made(desk)
    changes = {field: "x", "name": "y"}
    refused = await patched(desk, rule["rule_id"], {"changes": changes} if wrapped else changes)
    assert (refused.status_code, refused.json()["code"], refused.json()["field"]) == (
        409,
        "FIELD_LOCKED",
        field,
    )
    assert (await desk.get(f"{RULES}/{rule['rule_id']}")).json() == rule


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"parameters": {"max_pct": "-1"}}, "parameters.max_pct"),
        ({"parameters": {"max_pct": "0.1", "scope": "galaxy"}}, "parameters.scope"),
        ({"parameters": {"max_pct": "0.1", "min_pct": "0"}}, "parameters.min_pct"),
        ({"parameters": {}}, "parameters.max_pct"),
        ({"parameters": "many"}, "parameters"),
        ({"severity": "DEADLY"}, "severity"),
        ({"target_accounts": "PORT-001"}, "target_accounts"),
        ({"version": 7}, "version"),
        ({"reason": ""}, "reason"),
        ({"reason": "a\x00b"}, "reason"),
        ({"changes": {"reason": "here"}}, "reason"),
        ({"changes": {"name": "a"}, "name": "b"}, "changes"),
        ({"changes": []}, "changes"),
    ],
)
async def test_what_does_not_fit_is_refused_with_its_field(
    desk: Desk, changes: dict[str, Any], field: str
) -> None:
    rule = await made(desk)
    refused = await patched(desk, rule["rule_id"], changes)
    assert (refused.status_code, refused.json()["code"], refused.json()["field"]) == (
        422,
        "VALIDATION_FAILED",
        field,
    )
    assert (await desk.get(f"{RULES}/{rule['rule_id']}")).json() == rule


async def test_rules_are_found_by_portfolio_type_and_whether_they_apply(desk: Desk) -> None:
    portfolio = f"PORT-{uuid.uuid4().hex[:8]}"
    mine = await made(desk, target_accounts=[portfolio])
    other_type = await made(
        desk, rule_type="restricted_list", parameters={"issuers": ["X"]}, target_accounts=[portfolio]
    )
    gone = await made(desk, target_accounts=[portfolio])
    await desk.ask(Role.ADMIN, "DELETE", f"{RULES}/{gone['rule_id']}")

    async def listed(query: str) -> set[str]:
        found = await desk.get(f"{RULES}?portfolio_id={portfolio}&limit=500{query}")
        assert found.status_code == 200, found.text
        rules = [rule for rule in found.json()["items"] if rule["target_accounts"]]
        return {rule["rule_id"] for rule in rules}

    assert await listed("") == {mine["rule_id"], other_type["rule_id"], gone["rule_id"]}
    assert await listed("&active=true") == {mine["rule_id"], other_type["rule_id"]}
    assert await listed("&rule_type=concentration_limit") == {mine["rule_id"], gone["rule_id"]}
    assert await listed("&rule_type=concentration_limit&active=true") == {mine["rule_id"]}
    assert await listed("&rule_type=no_such_type") == set()


async def test_only_compliance_and_admin_change_rules(desk: Desk) -> None:
    rule = await made(desk)
    for role in (Role.PM, Role.TRADER, Role.OPS, Role.VIEWER):
        refused = await patched(desk, rule["rule_id"], {"active": False}, role)
        assert (refused.status_code, refused.json()["code"]) == (403, "NOT_AUTHORIZED")


async def test_a_rule_that_is_not_there(desk: Desk) -> None:
    for answer in (
        await desk.get(f"{RULES}/R-none"),
        await desk.get(f"{RULES}/R-none/versions"),
        await patched(desk, "R-none", {"active": False}),
        await desk.ask(Role.ADMIN, "DELETE", f"{RULES}/R-none"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "RULE_NOT_FOUND")


async def test_the_catalogue_has_every_type_with_its_schema(desk: Desk) -> None:
    items = (await desk.get("/v1/compliance/rule-types")).json()["items"]
    assert [item["rule_type"] for item in items] == list(rule_types())
    by_type = {item["rule_type"]: item for item in items}
    concentration = by_type["concentration_limit"]
    assert concentration["description"]
    assert (concentration["has_limit"], concentration["passive"]) == (True, True)
    assert set(concentration["parameters"]["properties"]) == {"max_pct", "scope"}
    assert by_type["restricted_list"]["has_limit"] is False
    for item in items:
        assert item["parameters"]["type"] == "object"
