"""Rules and what they say."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from durable_oms.models.orders import Violation
from durable_oms.models.record import Figure, Record


class Rule(Record):
    """A rule at one version. `target_accounts` names portfolios or accounts; empty means all."""

    rule_id: str
    rule_type: str
    name: str
    severity: str = "HARD"
    parameters: dict[str, Any]
    target_accounts: tuple[str, ...] = ()
    active: bool = True
    version: int = 1
    created_by: str
    created_at: datetime


class RuleResult(Record):
    """What one rule said, whether it passed or not. The numbers are in the rule's own unit."""

    rule_id: str
    rule_name: str
    rule_type: str
    rule_version: int
    severity: str
    passed: bool
    description: str
    limit: Figure | None = None
    used: Figure | None = None
    proposed: Figure | None = None
    remaining: Figure | None = None
    inputs: dict[str, str] = {}


class WhatIf(Record):
    """What the rules would say of one proposed order. `violations` stop it, `warnings` do not; nothing was kept."""

    passed: bool
    violations: tuple[Violation, ...] = ()
    warnings: tuple[Violation, ...] = ()
    rules: tuple[RuleResult, ...] = ()


class Headroom(Record):
    """How much of a limit is left, in the rule's own unit: limit less current value, negative where it is over."""

    rule_id: str
    portfolio_id: str
    current_value: Decimal
    limit_value: Decimal
    headroom: Decimal
    headroom_pct: Decimal | None = None


class RuleVersion(Rule):
    """The rule as it was at `version`, and who made it so, when and why."""

    changed_by: str
    changed_at: datetime
    reason: str | None = None


class RuleType(Record):
    """A kind of rule. `parameters` is the JSON schema of its parameters.

    `has_limit`: there is headroom to ask for. `passive`: prices alone can break it, so it is watched.
    """

    rule_type: str
    description: str
    has_limit: bool
    passive: bool
    parameters: dict[str, Any]


class ComplianceRequest(Record):
    """An order that waits for a verdict from outside, which has to name `order_version`."""

    order_id: str
    portfolio_id: str
    instrument_id: str
    gate: str
    order_version: int
    since: datetime
    age_seconds: float


class Breach(Record):
    """A limit that a portfolio is over with no order involved, with the numbers of the moment it was told."""

    rule_id: str
    rule_name: str
    rule_type: str
    rule_version: int
    severity: str
    portfolio_id: str
    since: datetime
    description: str
    limit: Figure | None = None
    used: Figure | None = None
    remaining: Figure | None = None


class ComplianceEvent(Record):
    """A limit that broke or cleared, an order that failed, was warned of or let through, a rule that changed.

    Where an order broke several rules, `rule_id` and `severity` are the gravest one's; `data` has all of them.
    `position` is the place in the stream.
    """

    position: int
    rule_id: str | None = None
    event_type: str
    severity: str | None = None
    portfolio_id: str | None = None
    order_id: str | None = None
    actor: str
    reason: str | None = None
    ts_event_ns: int
    data: dict[str, Any] = {}
