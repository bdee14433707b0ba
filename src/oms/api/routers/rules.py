"""Compliance rules. A deleted rule stays, inactive, for the verdicts that name it."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response

from oms.api.access import Caller
from oms.api.asking import Ask, Context, Who
from oms.api.bodies import RuleBody, RulePatch
from oms.api.desk import RuleId
from oms.api.paging import Paging, page_answer
from oms.api.problems import refusals
from oms.api.routers.shared import book_router
from oms.api.views import ListView, View, answer
from oms.domain.compliance import Rule, check_parameters
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import RULE
from oms.domain.terms import Role, Severity

router = book_router("/v1/compliance/rules", "compliance rules")


class RuleView(View):
    rule_id: str
    rule_type: str
    name: str
    severity: Severity
    parameters: dict[str, Any]
    target_accounts: tuple[str, ...]
    active: bool
    version: int
    created_by: str
    created_at: datetime

    @classmethod
    def of(cls, rule: Rule) -> "RuleView":
        return cls.model_construct(**dict(rule))


@router.post(
    "",
    operation_id="CreateRule",
    status_code=201,
    response_model=RuleView,
    responses=refusals(Code.IDEMPOTENCY_CONFLICT, Code.VERSION_CONFLICT),
)
def create_rule(context: Context, asking: Ask, body: RuleBody) -> Response:
    """Add a rule; it applies to every check from now on."""
    _may_change(asking.caller)
    rule = Rule(
        rule_id=body.rule_id or asking.mint(RULE),
        rule_type=body.rule_type,
        name=body.name or body.rule_type,
        severity=body.severity,
        parameters=_typed(body.rule_type, body.parameters),
        target_accounts=body.target_accounts,
        active=body.active,
        created_by=asking.caller.name,
        created_at=datetime.now(UTC),
    )
    known = context.store.rules.get(rule.rule_id)
    if known is not None:
        rule = _same(known, rule)
    kept = context.store.rules.put(rule)
    return answer(RuleView.of(kept), 201, Location=f"/v1/compliance/rules/{kept.rule_id}")


@router.get("", operation_id="ListRules", response_model=ListView[RuleView], responses=refusals())
def list_rules(
    context: Context,
    window: Paging,
    active: Annotated[bool | None, Query(description="Only active rules, or only inactive ones.")] = None,
) -> Response:
    """Rules at their latest version, newest first."""
    page = context.store.rules.list(window.limit, window.offset, window.cursor, active)
    return page_answer(page, RuleView.of)


@router.patch(
    "/{rule_id}",
    operation_id="UpdateRule",
    response_model=RuleView,
    responses=refusals(Code.RULE_NOT_FOUND, Code.VERSION_CONFLICT, Code.IDEMPOTENCY_CONFLICT),
)
def update_rule(context: Context, caller: Who, rule_id: RuleId, body: RulePatch) -> Response:
    """Change a rule. Each change is the next version; the same change again changes nothing."""
    _may_change(caller)
    rule = _known(context, rule_id)
    changes = {name: value for name, value in body if value is not None}
    if "parameters" in changes:
        changes["parameters"] = _typed(rule.rule_type, changes["parameters"])
    changed = rule.model_copy(update=changes)
    if changed != rule:
        changed = context.store.rules.put(changed.model_copy(update={"version": rule.version + 1}))
    return answer(RuleView.of(changed))


@router.delete(
    "/{rule_id}",
    operation_id="DeleteRule",
    response_model=RuleView,
    responses=refusals(Code.RULE_NOT_FOUND, Code.VERSION_CONFLICT),
)
def delete_rule(context: Context, caller: Who, rule_id: RuleId) -> Response:
    """Stop applying a rule. Deleting twice is deleting once."""
    _may_change(caller)
    _known(context, rule_id)
    return answer(RuleView.of(context.store.rules.deactivate(rule_id) or _known(context, rule_id)))


def _may_change(caller: Caller) -> None:
    caller.needs("Changing compliance rules", Role.ADMIN, Role.COMPLIANCE)


def _typed(rule_type: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters as the rule's type reads them. Raises Refused: VALIDATION_FAILED."""
    return check_parameters(rule_type, parameters).model_dump(mode="json")


def _known(context: Context, rule_id: str) -> Rule:
    rule = context.store.rules.get(rule_id)
    if rule is None:
        raise Refused(Code.RULE_NOT_FOUND, f"There is no rule {rule_id!r}.", rule_id=rule_id)
    return rule


def _same(known: Rule, asked: Rule) -> Rule:
    """The known rule, where it is what is asked for again. Raises Refused: VERSION_CONFLICT."""
    if known.model_copy(update={"created_at": asked.created_at}) != asked:
        raise Refused(
            Code.VERSION_CONFLICT,
            f"{known.rule_id} is another rule at version {known.version}; change it with PATCH.",
            version=known.version,
        )
    return known
