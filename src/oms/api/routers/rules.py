"""Compliance rules, every version of them, and the rule types there are. A deleted rule stays, inactive."""

from datetime import UTC, datetime
from inspect import getdoc
from typing import Annotated, Any

from fastapi import Body, Query
from pydantic import ValidationError
from starlette.responses import Response

from oms.api.access import Caller
from oms.api.asking import Ask, Context, Who
from oms.api.bodies import RuleBody, RuleChanges, RulePatch, Why
from oms.api.desk import RuleId
from oms.api.paging import Paging, page_answer, window_answer
from oms.api.problems import refusals
from oms.api.routers.shared import book_router
from oms.api.validation import of_validation
from oms.api.views import ListView, View, answer
from oms.domain.compliance import changed, check_parameters
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import RULE, Name
from oms.domain.rules.registry import rule_types
from oms.domain.rules.rule import Rule
from oms.domain.rules.rule_type import RuleType
from oms.domain.terms import Role, Severity
from oms.store.rules import RuleVersion

router = book_router("/v1/compliance", "compliance rules")
_CHANGING = (Code.RULE_NOT_FOUND, Code.VERSION_CONFLICT)


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


class RuleVersionView(RuleView):
    """The rule as it was at `version`, and who made it so, when and why."""

    changed_by: str
    changed_at: datetime
    reason: str | None

    @classmethod
    def at(cls, version: RuleVersion) -> "RuleVersionView":
        told = {name: getattr(version, name) for name in ("changed_by", "changed_at", "reason")}
        return cls.model_construct(**dict(version.rule), **told)


class RuleTypeView(View):
    """A kind of rule. `parameters` is the JSON schema of its parameters.

    `has_limit`: there is headroom to ask for. `passive`: prices alone can break it, so it is watched.
    """

    rule_type: str
    description: str
    has_limit: bool
    passive: bool
    parameters: dict[str, Any]

    @classmethod
    def of(cls, kind: RuleType[Any]) -> "RuleTypeView":
        return cls(
            rule_type=kind.name,
            description=getdoc(type(kind)) or "",
            has_limit=type(kind).headroom is not RuleType.headroom,
            passive=kind.passive,
            parameters=kind.parameters.model_json_schema(),
        )


@router.get(
    "/rule-types",
    operation_id="ListRuleTypes",
    response_model=ListView[RuleTypeView],
    responses=refusals(),
)
def list_rule_types(window: Paging) -> Response:
    """Every kind of rule, the built-in ones and those of installed packages, with the schema of its parameters."""
    return window_answer(list(rule_types().values()), window, RuleTypeView.of)


@router.post(
    "/rules",
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
    kept = context.store.rules.put(rule, asking.caller.name, body.reason)
    return answer(RuleView.of(kept), 201, Location=f"/v1/compliance/rules/{kept.rule_id}")


@router.get("/rules", operation_id="ListRules", response_model=ListView[RuleView], responses=refusals())
def list_rules(
    context: Context,
    window: Paging,
    portfolio_id: Annotated[
        Name | None, Query(description="Rules that apply to this portfolio, those for all included.")
    ] = None,
    rule_type: Annotated[Name | None, Query()] = None,
    active: Annotated[bool | None, Query(description="Only active rules, or only inactive ones.")] = None,
) -> Response:
    """Rules at their latest version, newest first."""
    page = context.store.rules.list(
        window.limit, window.offset, window.cursor, active, portfolio_id=portfolio_id, rule_type=rule_type
    )
    return page_answer(page, RuleView.of)


@router.get(
    "/rules/{rule_id}",
    operation_id="GetRule",
    response_model=RuleView,
    responses=refusals(Code.RULE_NOT_FOUND),
)
def get_rule(context: Context, rule_id: RuleId) -> Response:
    """One rule at its latest version."""
    return answer(RuleView.of(_known(context, rule_id)))


@router.get(
    "/rules/{rule_id}/versions",
    operation_id="ListRuleVersions",
    response_model=ListView[RuleVersionView],
    responses=refusals(Code.RULE_NOT_FOUND),
)
def list_rule_versions(context: Context, rule_id: RuleId, window: Paging) -> Response:
    """Everything the rule ever was, the first version first."""
    _known(context, rule_id)
    return window_answer(context.store.rules.versions(rule_id), window, RuleVersionView.at)


@router.patch(
    "/rules/{rule_id}",
    operation_id="UpdateRule",
    response_model=RuleView,
    responses=refusals(*_CHANGING, Code.FIELD_LOCKED, Code.IDEMPOTENCY_CONFLICT),
)
def update_rule(
    context: Context,
    caller: Who,
    rule_id: RuleId,
    body: Annotated[RuleChanges, Body(examples=[{"parameters": {"max_pct": "0.10"}}])],
) -> Response:
    """Change the fields named; each change is the next version, and the same change again changes nothing.

    The fields may also come under `changes`, with `reason` beside them.
    """
    _may_change(caller)
    fields, reason = _asked(body)
    rule = _known(context, rule_id)
    after = changed(rule, fields)
    if after != rule:
        after = context.store.rules.put(after, caller.name, reason)
    return answer(RuleView.of(after))


@router.delete(
    "/rules/{rule_id}",
    operation_id="DeleteRule",
    response_model=RuleView,
    responses=refusals(*_CHANGING),
)
def delete_rule(
    context: Context, caller: Who, rule_id: RuleId, reason: Annotated[Why | None, Query()] = None
) -> Response:
    """Stop applying a rule; it stays, inactive. Deleting twice is deleting once."""
    _may_change(caller)
    _known(context, rule_id)
    gone = context.store.rules.deactivate(rule_id, caller.name, reason)
    return answer(RuleView.of(gone or _known(context, rule_id)))


def _asked(body: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """The fields to change and why. Raises Refused: VALIDATION_FAILED; what a rule keeps for ever is judged later."""
    fields = {name: value for name, value in body.items() if name not in ("changes", "reason")}
    if "changes" in body:
        if fields or not isinstance(body["changes"], dict):
            raise Refused(
                Code.VALIDATION_FAILED,
                "changes: an object of the fields to change, with no other field but reason beside it.",
                field="changes",
            )
        fields = body["changes"]
    ours = {name: fields[name] for name in RulePatch.model_fields if name in fields and name != "reason"}
    try:
        patch = RulePatch.model_validate({**ours, "reason": body.get("reason")})
    except ValidationError as error:
        raise of_validation(error.errors()) from error
    given = {name: value for name, value in patch if name in ours and value is not None}
    return {**{name: value for name, value in fields.items() if name not in ours}, **given}, patch.reason


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
