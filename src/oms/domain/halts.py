"""Halted trading: who halted what, and what that stops. New orders and changes are refused, cancels stay open.

Who may: see `HALTERS` and `RESUMERS`. Stopping is for more people than starting again.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from enum import StrEnum

from oms.domain.errors import Code, Refused
from oms.domain.model import Open
from oms.domain.terms import Role


class HaltScope(StrEnum):
    FIRM = "firm"
    PORTFOLIO = "portfolio"
    ACCOUNT = "account"
    VENUE = "venue"


HALTERS = (Role.ADMIN, Role.COMPLIANCE, Role.OPS)
RESUMERS = (Role.ADMIN, Role.COMPLIANCE)


class Halt(Open):
    """A halt that is in force. `subject` names the portfolio, the account or the venue; it is empty for the firm."""

    scope: HaltScope
    subject: str = ""
    reason: str
    by: str
    since: datetime

    @property
    def name(self) -> str:
        return f"{self.scope} {self.subject}".strip()


def covering(
    halts: Iterable[Halt],
    *,
    portfolio_id: str | None = None,
    account_ids: Collection[str] = (),
    venue: str | None = None,
) -> Halt | None:
    """The halt that stops such an order, the widest first; None where none does.

    `account_ids`: every name the account has, its own and the broker's.
    """
    subjects = {
        HaltScope.FIRM: ("",),
        HaltScope.PORTFOLIO: (portfolio_id,),
        HaltScope.ACCOUNT: tuple(account_ids),
        HaltScope.VENUE: (venue,),
    }
    found = [halt for halt in halts if halt.subject in subjects[halt.scope]]
    return min(found, key=lambda halt: list(HaltScope).index(halt.scope), default=None)


def check_subject(scope: HaltScope, subject: str) -> None:
    """Raise Refused VALIDATION_FAILED unless `subject` is given for every scope but the firm's."""
    if scope is HaltScope.FIRM and subject:
        raise Refused(
            Code.VALIDATION_FAILED, "subject: leave it out; the firm is one.", field="subject", scope=scope
        )
    if scope is not HaltScope.FIRM and not subject:
        raise Refused(Code.VALIDATION_FAILED, f"subject: name the {scope}.", field="subject", scope=scope)


def not_halted(scope: HaltScope, subject: str, standing: Iterable[Halt]) -> Refused:
    """INVALID_STATE for lifting what is not there; `standing` are the halts to name in the answer."""
    names = [halt.name for halt in standing]
    named = f"{scope} {subject}".strip()
    return Refused(
        Code.INVALID_STATE,
        f"Trading is not halted for {named}; halted: {', '.join(names) or 'nothing'}.",
        state="not halted",
        scope=scope,
        subject=subject,
        halted=names,
    )


def refusal(halt: Halt) -> Refused:
    """HALTED with what is halted, by whom, since when and why."""
    return Refused(
        Code.HALTED,
        f"Trading is halted for {halt.name} since {halt.since.isoformat()} by {halt.by}: {halt.reason}.",
        scope=halt.scope,
        subject=halt.subject,
        reason=halt.reason,
        by=halt.by,
        since=halt.since.isoformat(),
    )
