"""Whether a halt stops an order, as one of the results of its check."""

from collections.abc import Iterable

from sqlalchemy import Connection, select

from oms.domain.commands import Route, RuleResult
from oms.domain.halts import Halt, HaltScope, covering, refusal
from oms.domain.reference import Account
from oms.domain.terms import Severity
from oms.store import tables

HALT = "HALT"
"""The rule that an order fails by while trading is halted for it."""
_LONGEST_DESCRIPTION = 1000


def standing_halt(
    connection: Connection, portfolio_id: str, account_ids: Iterable[str | None], route: Route | None
) -> Halt | None:
    """The halt that stops an order of this portfolio, for these accounts, to this route; None where none does."""
    halts = [
        Halt(
            scope=HaltScope(row.scope),
            subject=row.subject,
            reason=row.reason,
            by=row.halted_by,
            since=row.since,
        )
        for row in connection.execute(select(tables.halts))
    ]
    if not halts:
        return None
    names = {each for each in account_ids if each is not None}
    accounts = select(tables.accounts.c.body).where(tables.accounts.c.account_id.in_(names))
    names |= {Account.model_validate_json(body).broker_account for body in connection.scalars(accounts)}
    if route is not None and route.account is not None:
        names.add(route.account)
    venue = None if route is None else route.venue
    return covering(halts, portfolio_id=portfolio_id, account_ids=names, venue=venue)


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
