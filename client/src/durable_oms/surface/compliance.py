"""Compliance rules, what they say and what they would say."""

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from durable_oms.models import (
    Breach,
    ComplianceEvent,
    ComplianceRequest,
    Headroom,
    Rule,
    RuleType,
    RuleVersion,
    WhatIf,
)
from durable_oms.models.record import listed, named, page
from durable_oms.operation import operation, stream
from durable_oms.requests import Content, Repeatable, asked, followed, told


class Compliance:
    """Rules and what follows from them."""

    @operation("POST /v1/compliance/rules", named("rule_id"))
    def create_rule(
        self,
        rule_type: str,
        parameters: Mapping[str, Any],
        target_accounts: Iterable[str] = (),
        active: bool = True,
        *,
        name: str | None = None,
        severity: str | None = None,
        rule_id: str | None = None,
        reason: str | None = None,
        **options: Unpack[Repeatable],
    ) -> Content:
        """Add a rule; its id. `target_accounts` names portfolios or accounts, none means all."""
        return told(
            options,
            rule_type=rule_type,
            parameters=parameters,
            target_accounts=list(target_accounts),
            active=active,
            name=name,
            severity=severity,
            rule_id=rule_id,
            reason=reason,
        )

    @operation("PATCH /v1/compliance/rules/{rule_id}", Rule.model_validate)
    def update_rule(
        self,
        rule_id: str,
        changes: Mapping[str, Any],
        reason: str | None = None,
        **options: Unpack[Repeatable],
    ) -> Content:
        """Change the fields named, `parameters` as a whole; each change is the rule's next version."""
        return told(options, changes=changes, reason=reason)

    @operation("DELETE /v1/compliance/rules/{rule_id}", Rule.model_validate)
    def delete_rule(self, rule_id: str, reason: str | None = None) -> Content:
        """Stop applying a rule; it stays, inactive. Deleting twice is deleting once."""
        return asked(reason=reason)

    @operation("GET /v1/compliance/rules/{rule_id}", Rule.model_validate)
    def get_rule(self, rule_id: str) -> Content:
        """One rule at its latest version."""
        return asked()

    @operation("GET /v1/compliance/rules", page(Rule.model_validate))
    def list_rules(
        self,
        portfolio_id: str | None = None,
        rule_type: str | None = None,
        active: bool | None = None,
        limit: int = 100,
        offset: int = 0,
        cursor: str | None = None,
    ) -> Content:
        """Rules at their latest version, newest first; those that apply to a portfolio, those for all included."""
        return asked(
            portfolio_id=portfolio_id,
            rule_type=rule_type,
            active=active,
            limit=limit,
            offset=offset,
            cursor=cursor,
        )

    @operation("GET /v1/compliance/rules/{rule_id}/versions", page(RuleVersion.model_validate))
    def list_rule_versions(
        self, rule_id: str, limit: int = 100, offset: int = 0, cursor: str | None = None
    ) -> Content:
        """Everything the rule ever was, the first version first."""
        return asked(limit=limit, offset=offset, cursor=cursor)

    @operation("GET /v1/compliance/rule-types", page(RuleType.model_validate))
    def list_rule_types(self, limit: int = 100, offset: int = 0, cursor: str | None = None) -> Content:
        """Every kind of rule with the schema of its parameters."""
        return asked(limit=limit, offset=offset, cursor=cursor)

    @operation("POST /v1/compliance/what-if", listed("results", WhatIf.model_validate))
    def check_compliance_what_if(
        self, proposed_orders: Iterable[Mapping[str, Any]], **options: Unpack[Repeatable]
    ) -> Content:
        """What the rules would say of these orders, each with the ones before it in flight; one result for each.

        A proposed order names portfolio_id, instrument_id, direction, ordered_quantity, and may name order_type,
        limit_price, stop_price, handling. Nothing is kept.
        """
        return told(options, proposed_orders=list(proposed_orders))

    @operation("GET /v1/compliance/headroom", Headroom.model_validate)
    def query_compliance_headroom(self, portfolio_id: str, rule_id: str) -> Content:
        """What is left below one limit of a portfolio, with everything in flight counted."""
        return asked(portfolio_id=portfolio_id, rule_id=rule_id)

    @operation("GET /v1/compliance/headroom", listed("items", Headroom.model_validate))
    def list_compliance_headroom(self, portfolio_id: str) -> Content:
        """What is left below each limit of a portfolio."""
        return asked(portfolio_id=portfolio_id)

    @operation("GET /v1/compliance/requests", page(ComplianceRequest.model_validate))
    def list_compliance_requests(
        self, limit: int = 100, offset: int = 0, cursor: str | None = None
    ) -> Content:
        """Orders that wait for a verdict from outside and for how long, the oldest request first."""
        return asked(limit=limit, offset=offset, cursor=cursor)

    @operation("GET /v1/compliance/breaches", page(Breach.model_validate))
    def list_compliance_breaches(
        self, limit: int = 100, offset: int = 0, cursor: str | None = None
    ) -> Content:
        """Limits that portfolios are over now with no order involved, the oldest first."""
        return asked(limit=limit, offset=offset, cursor=cursor)

    @stream("GET /v1/compliance/events", ComplianceEvent.model_validate)
    def subscribe_compliance(self, portfolio_id: str | None = None, after: int | None = None) -> Content:
        """Every compliance event from now on, or after the position `after`; none twice, none left out.

        With a portfolio, changes of rules are left out.
        """
        return followed(after, portfolio_id=portfolio_id)
