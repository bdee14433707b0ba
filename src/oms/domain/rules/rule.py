"""A compliance rule as it is kept: a type, its parameters, and whom it is for."""

from datetime import datetime
from typing import Any

from oms.domain.identifiers import Name
from oms.domain.model import Open
from oms.domain.terms import Severity


class Rule(Open):
    """One rule at one version. `target_accounts` names portfolios or accounts; empty means all."""

    rule_id: Name
    rule_type: str
    name: Name
    severity: Severity = Severity.HARD
    parameters: dict[str, Any]
    target_accounts: tuple[str, ...] = ()
    active: bool = True
    version: int = 1
    created_by: str
    created_at: datetime
