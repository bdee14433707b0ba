"""Halt and resume: who may, what is named, what stays open, and what a repeated request does."""

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from oms.api.app import create_app
from oms.api.compliance_events import KINDS, ComplianceEventView
from oms.api.idempotency import fingerprint
from oms.api.routing import new_uuid
from oms.domain.control import ControlKind
from oms.domain.halts import HaltScope
from oms.domain.terms import Role
from oms.workflows.contract import batch_workflow_id
from tests.api.desk import TOKEN, Desk

FIRM = {"scope": "firm", "reason": "a fat finger"}
PORTFOLIO = {"scope": "portfolio", "subject": "PORT-001", "reason": "a breach"}
SUBJECTS = [
    ("firm", None),
    ("portfolio", "PORT-001"),
    ("account", "ACCT-001"),
    ("account", "DU001456"),
    ("venue", "IBKR"),
]
HALTERS, RESUMERS = (Role.ADMIN, Role.COMPLIANCE, Role.OPS), (Role.ADMIN, Role.COMPLIANCE)
EVERYBODY = [role for role in Role if role is not Role.SYSTEM]


@pytest.fixture(autouse=True)
async def _all_clear(desk: Desk) -> AsyncIterator[None]:
    """The stack is shared: no halt outlives its test."""
    yield
    halts = desk.context.store.halts
    for halt in halts.all():
        halts.lift(halt.scope, halt.subject, "test", "the test is over")


async def halted(desk: Desk, body: dict[str, Any], role: Role = Role.COMPLIANCE) -> dict[str, Any]:
    answer = await desk.post("/v1/halt", body, role)
    assert answer.status_code == 200, answer.text
    halt: dict[str, Any] = answer.json()
    return halt


async def listed(desk: Desk, key: Role | str = Role.VIEWER) -> list[str]:
    answer = await desk.get("/v1/halt", key)
    assert answer.status_code == 200, answer.text
    return [f"{halt['scope']} {halt['subject']}".strip() for halt in answer.json()["items"]]


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    problem: dict[str, Any] = answer.json()
    return problem


# -- halt, list, resume --------------------------------------------------------------------------------


@pytest.mark.parametrize(("scope", "subject"), SUBJECTS)
async def test_a_halt_is_set_listed_and_lifted(desk: Desk, scope: str, subject: str | None) -> None:
    named = {"scope": scope} | ({} if subject is None else {"subject": subject})
    halt = await halted(desk, {**named, "reason": "a fat finger"})
    assert {name: halt[name] for name in ("scope", "subject", "reason", "by", "batch_id")} == {
        "scope": scope,
        "subject": subject or "",
        "reason": "a fat finger",
        "by": "compliance",
        "batch_id": None,
    }
    del halt["batch_id"]
    assert (await desk.get("/v1/halt")).json() == {"items": [halt], "next_cursor": None}
    resumed = await desk.post("/v1/resume", {**named, "reason": "all clear"}, Role.ADMIN)
    assert (resumed.status_code, resumed.json()) == (200, halt)
    assert await listed(desk) == []


async def test_who_and_why_are_in_the_control_journal(desk: Desk) -> None:
    control = desk.context.store.control
    before = control.head()
    await halted(desk, PORTFOLIO, Role.OPS)
    await desk.post("/v1/resume", {**PORTFOLIO, "reason": "the breach is gone"}, Role.COMPLIANCE)
    lines = [(e.kind, e.subject, e.portfolio_id, e.actor, e.reason) for e in control.stream(before)]
    assert lines == [
        (ControlKind.HALTED, "portfolio/PORT-001", "PORT-001", "ops", "a breach"),
        (ControlKind.RESUMED, "portfolio/PORT-001", "PORT-001", "compliance", "the breach is gone"),
    ]


async def test_what_is_halted_stays_as_it_is(desk: Desk) -> None:
    before = desk.context.store.control.head()
    first = await halted(desk, FIRM)
    second = await halted(desk, {"scope": "firm", "reason": "me too"}, Role.OPS)
    assert second == first
    assert desk.context.store.control.head() == before + 1


async def test_a_halt_survives_the_api_process(desk: Desk) -> None:
    await halted(desk, PORTFOLIO)
    transport = httpx.ASGITransport(create_app(desk.context))
    async with httpx.AsyncClient(transport=transport, base_url="http://oms") as client:
        assert await listed(Desk(client, desk.context)) == ["portfolio PORT-001"]


async def test_lifting_one_halt_leaves_the_others(desk: Desk) -> None:
    await halted(desk, FIRM)
    await halted(desk, PORTFOLIO)
    assert (await desk.post("/v1/resume", FIRM, Role.ADMIN)).status_code == 200
    assert await listed(desk) == ["portfolio PORT-001"]


async def test_resuming_what_is_not_halted_names_what_is(desk: Desk) -> None:
    await halted(desk, PORTFOLIO)
    before = desk.context.store.control.head()
    answer = await desk.post("/v1/resume", {**PORTFOLIO, "subject": "PORT-002"}, Role.COMPLIANCE)
    problem = refused(answer, 409, "INVALID_STATE")
    assert problem["halted"] == ["portfolio PORT-001"]
    assert (problem["scope"], problem["subject"], problem["state"]) == (
        "portfolio",
        "PORT-002",
        "not halted",
    )
    assert desk.context.store.control.head() == before
    assert await listed(desk) == ["portfolio PORT-001"]


# -- who may -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", EVERYBODY)
async def test_who_may_halt_and_who_may_resume(desk: Desk, role: Role) -> None:
    answer = await desk.post("/v1/halt", FIRM, role)
    if role in HALTERS:
        assert answer.status_code == 200
    else:
        refused(answer, 403, "NOT_AUTHORIZED")
        assert await listed(desk) == []
        await halted(desk, FIRM)
    answer = await desk.post("/v1/resume", FIRM, role)
    if role in RESUMERS:
        assert answer.status_code == 200
    else:
        refused(answer, 403, "NOT_AUTHORIZED")
        assert await listed(desk) == ["firm"]


async def test_everybody_with_a_key_sees_what_is_halted(desk: Desk) -> None:
    await halted(desk, FIRM)
    for role in EVERYBODY:
        assert await listed(desk, role) == ["firm"]
    assert await listed(desk, TOKEN) == ["firm"]
    assert (await desk.client.get("/v1/halt")).status_code == 401


async def test_a_limited_key_halts_and_sees_what_it_may_touch(desk: Desk) -> None:
    keys, roles = desk.context.store.keys, [Role.OPS, Role.COMPLIANCE]
    keys.create("portfolio-2", roles, "secret-portfolio-2", portfolios=["PORT-002"])
    keys.create("account-2", roles, "secret-account-2", accounts=["ACCT-002"])
    second = {**PORTFOLIO, "subject": "PORT-002"}
    account = {"scope": "account", "subject": "DU002456", "reason": "a margin call"}
    for secret in ("secret-portfolio-2", "secret-account-2"):
        for wider in (FIRM, {"scope": "venue", "subject": "IBKR", "reason": "bad fills"}):
            refused(await desk.post("/v1/halt", wider, secret), 403, "NOT_AUTHORIZED")
        refused(await desk.post("/v1/halt", PORTFOLIO, secret), 422, "INVALID_PORTFOLIO")
    refused(await desk.post("/v1/halt", account, "secret-portfolio-2"), 403, "NOT_AUTHORIZED")
    others = {**account, "subject": "ACCT-001"}
    refused(await desk.post("/v1/halt", others, "secret-account-2"), 422, "INVALID_ACCOUNT")
    assert await listed(desk) == []
    for body in (FIRM, PORTFOLIO, others):
        await halted(desk, body)
    assert (await desk.post("/v1/halt", second, "secret-portfolio-2")).status_code == 200
    assert (await desk.post("/v1/halt", account, "secret-account-2")).status_code == 200
    assert await listed(desk, "secret-account-2") == ["firm", "portfolio PORT-002", "account DU002456"]
    assert await listed(desk, "secret-portfolio-2") == [
        "firm",
        "account ACCT-001",
        "portfolio PORT-002",
        "account DU002456",
    ]
    refused(await desk.post("/v1/resume", FIRM, "secret-portfolio-2"), 403, "NOT_AUTHORIZED")
    refused(await desk.post("/v1/resume", PORTFOLIO, "secret-portfolio-2"), 422, "INVALID_PORTFOLIO")
    assert (await desk.post("/v1/resume", second, "secret-portfolio-2")).status_code == 200


# -- bad input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({**PORTFOLIO, "subject": "PROT-001"}, "INVALID_PORTFOLIO", None),
        ({**PORTFOLIO, "scope": "account", "subject": "ACCT-1"}, "INVALID_ACCOUNT", None),
        ({**PORTFOLIO, "scope": "venue", "subject": "ibkr"}, "INVALID_VENUE", None),
        ({"scope": "portfolio", "reason": "x"}, "VALIDATION_FAILED", "subject"),
        ({**FIRM, "subject": "PORT-001"}, "VALIDATION_FAILED", "subject"),
        ({**FIRM, "scope": "planet"}, "VALIDATION_FAILED", "scope"),
        ({**PORTFOLIO, "subject": ""}, "VALIDATION_FAILED", "subject"),
        ({"scope": "firm"}, "VALIDATION_FAILED", "reason"),
        ({"scope": "firm", "reason": ""}, "VALIDATION_FAILED", "reason"),
        ({**FIRM, "until": "noon"}, "VALIDATION_FAILED", "until"),
    ],
)
async def test_what_cannot_be_meant_is_refused(
    desk: Desk, body: dict[str, Any], code: str, field: str | None
) -> None:
    for path in ("/v1/halt", "/v1/resume"):
        problem = refused(await desk.post(path, body, Role.ADMIN), 422, code)
        assert problem.get("field") == field
    assert await listed(desk) == []


# -- what it stops -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scope", "subject"), SUBJECTS)
async def test_new_orders_and_changes_are_refused_and_cancels_stay_open(
    desk: Desk, scope: str, subject: str | None
) -> None:
    order_id = (await desk.order())["order_id"]
    await halted(desk, {"scope": scope, "subject": subject, "reason": "a fat finger"})
    problem = refused(await desk.post("/v1/orders", desk.terms()), 409, "HALTED")
    assert (problem["scope"], problem["subject"]) == (scope, subject or "")
    assert (problem["by"], problem["reason"]) == ("compliance", "a fat finger")
    change = await desk.ask(Role.PM, "PATCH", f"/v1/orders/{order_id}", {"limit_price": "150"})
    refused(change, 409, "HALTED")
    refused(await desk.post(f"/v1/orders/{order_id}/pre-trade-compliance/request"), 409, "HALTED")
    canceled = await desk.command(order_id, "cancel")
    assert canceled["state"] == "CANCELED"


async def test_the_other_portfolio_trades_on(desk: Desk) -> None:
    await halted(desk, PORTFOLIO)
    await desk.order(portfolio_id="PORT-002")
    refused(await desk.post("/v1/orders", desk.terms()), 409, "HALTED")
    await desk.post("/v1/resume", PORTFOLIO, Role.ADMIN)
    await desk.order()


async def test_cancel_all_takes_what_works_off_the_venue(desk: Desk) -> None:
    inside, placement = await desk.routed()
    store, key = desk.context.store, uuid.uuid4().hex
    body = {**PORTFOLIO, "cancel_all": True}
    first = await desk.post("/v1/halt", body, Role.OPS, Idempotency_Key=key)
    assert first.status_code == 200, first.text
    again = await desk.post("/v1/halt", body, Role.OPS, Idempotency_Key=key)
    assert again.json() == first.json()
    batch_id = first.json()["batch_id"]
    await desk.context.temporal.get_workflow_handle(batch_workflow_id(batch_id)).result()
    asked = [e for e in store.journal.of_order(inside) if e.kind == "placement_cancel_requested"]
    assert [event.happening.model_dump()["placement_id"] for event in asked] == [placement]
    assert asked[0].actor.key == "ops"


async def test_a_merged_order_is_halted_for_each_of_its_portfolios(desk: Desk) -> None:
    route = {"venue": "IBKR", "account": "DU001456"}
    terms = {"PORT-001": "60", "PORT-002": "40"}
    sources = [
        (await desk.order(portfolio_id=portfolio_id, ordered_quantity=quantity, route=route))["order_id"]
        for portfolio_id, quantity in terms.items()
    ]
    merged = await desk.post("/v1/orders/merge", {"order_ids": sources, "allocation": "by_source"})
    assert merged.status_code == 201, merged.text
    order_id = merged.json()["order_id"]
    change = await desk.ask(Role.PM, "PATCH", f"/v1/orders/{order_id}", {"ordered_quantity": "50000"})
    assert refused(change, 409, "FIELD_LOCKED")["fields"] == ["ordered_quantity"]
    await desk.command(order_id, "pre-trade-compliance/request")
    await desk.command(order_id, "pre-trade-compliance/pass", Role.COMPLIANCE)
    await desk.command(order_id, "send-to-trader")
    await halted(desk, {"scope": "portfolio", "subject": "PORT-002", "reason": "a breach"})
    placement = {"venue": "IBKR", "quantity": "100"}
    answer = await desk.post(f"/v1/orders/{order_id}/placements", placement, Role.TRADER)
    assert refused(answer, 409, "HALTED")["subject"] == "PORT-002"


async def test_a_halt_is_told_to_who_watches_compliance(desk: Desk) -> None:
    head = desk.context.store.control.head()
    await halted(desk, PORTFOLIO)
    (event,) = desk.context.store.control.stream(head, kinds=KINDS)
    told = ComplianceEventView.of(event)
    assert (told.event_type, told.portfolio_id, told.reason) == ("halted", "PORT-001", "a breach")
    assert (told.rule_id, told.severity, told.actor) == (None, None, "compliance")


# -- again ---------------------------------------------------------------------------------------------


async def test_the_same_request_again_gets_the_first_answer(desk: Desk) -> None:
    key = uuid.uuid4().hex
    first = await desk.post("/v1/halt", FIRM, Role.ADMIN, Idempotency_Key=key)
    await desk.post("/v1/resume", FIRM, Role.ADMIN)
    second = await desk.post("/v1/halt", FIRM, Role.ADMIN, Idempotency_Key=key)
    assert second.headers["idempotent-replayed"] == "true"
    assert second.content == first.content
    assert await listed(desk) == []
    other = await desk.post("/v1/halt", PORTFOLIO, Role.ADMIN, Idempotency_Key=key)
    refused(other, 422, "IDEMPOTENCY_CONFLICT")


async def test_a_resume_that_was_never_answered_is_answered_when_it_comes_again(desk: Desk) -> None:
    """The process died between lifting the halt and its answer."""
    halt = await halted(desk, FIRM)
    del halt["batch_id"]
    store, key = desk.context.store, uuid.uuid4().hex
    body = json.dumps(FIRM).encode()
    store.idempotency.begin("admin", key, fingerprint("POST", "/v1/resume", body, None), str(new_uuid()))
    assert store.halts.lift(HaltScope.FIRM, "", "admin", FIRM["reason"]) is not None
    before = store.control.head()

    async def resume(under: str) -> httpx.Response:
        headers = {
            "Authorization": "Bearer secret-admin",
            "Content-Type": "application/json",
            "Idempotency-Key": under,
        }
        return await desk.client.post("/v1/resume", content=body, headers=headers)

    answer = await resume(key)
    assert (answer.status_code, answer.json()) == (200, halt)
    assert store.control.head() == before
    refused(await resume(uuid.uuid4().hex), 409, "INVALID_STATE")
