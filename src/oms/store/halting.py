"""Whether a halt stops an order, as one of the results of its check."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, select

from oms.domain.commands import RuleResult
from oms.domain.halts import Dealing, Halt, HaltScope, covering, refusal
from oms.domain.reference import Account
from oms.domain.terms import Severity
from oms.store import tables

HALT = "HALT"
"""The rule that an order fails by while trading is halted for it."""
_LONGEST_DESCRIPTION = 1000


def standing_halt(connection: Connection, order: Dealing) -> Halt | None:
    """The halt that stops such an order; None where none does. One query while nothing is halted."""
    halts = [halt_of(row) for row in connection.execute(select(tables.halts))]
    return covering(halts, order, names_of(connection, order, halts)) if halts else None


def halt_of(row: Row[Any]) -> Halt:
    """The halt that a row of its table keeps."""
    return Halt(
        scope=HaltScope(row.scope),
        subject=row.subject,
        reason=row.reason,
        by=row.halted_by,
        since=row.since,
    )


def names_of(connection: Connection, order: Dealing, halts: Iterable[Halt]) -> dict[str, set[str]]:
    """By account id, the broker's name of each account that the order or a halt names."""
    wanted = {*order.account_ids, *(halt.subject for halt in halts if halt.scope is HaltScope.ACCOUNT)}
    accounts = select(tables.accounts.c.body).where(tables.accounts.c.account_id.in_(wanted))
    found = (Account.model_validate_json(body) for body in connection.scalars(accounts))
    return {account.account_id: {account.broker_account} for account in found}


def halted_result(halt: Halt) -> RuleResult:
    """What the check says of an order that `halt` stops: who halted what, when and why."""
    return RuleResult(
        rule_id=HALT,
        rule_name="Trading halt",
        rule_type="halt",
        rule_version=0,
        severity=Severity.HARD,
        passed=False,
        description=refusal(halt).message[:_LONGEST_DESCRIPTION],
        inputs={
            "scope": halt.scope.value,
            "subject": halt.subject,
            "by": halt.by,
            "since": halt.since.isoformat(),
            "reason": halt.reason,
        },
    )
