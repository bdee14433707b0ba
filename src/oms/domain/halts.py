"""Halted trading: who halted what, and what that stops. New orders and changes are refused, cancels stay open."""

from collections.abc import Collection, Iterable
from datetime import datetime
from enum import StrEnum

from oms.domain.errors import Code, Refused
from oms.domain.model import Open


class HaltScope(StrEnum):
    FIRM = "firm"
    PORTFOLIO = "portfolio"
    ACCOUNT = "account"
    VENUE = "venue"


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
