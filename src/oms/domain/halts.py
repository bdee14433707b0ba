"""Halted trading: who halted what, and what that stops. New orders and changes are refused, cancels stay open.

Who may: see `HALTERS` and `RESUMERS`. Stopping is for more people than starting again.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from oms.domain.commands import (
    ECONOMIC,
    BeginRestructuring,
    Command,
    CreateOrder,
    CreatePlacement,
    CreateRemainder,
    ModifyPlacement,
    RequestPreTradeCompliance,
    UpdateOrder,
)
from oms.domain.errors import Code, Refused
from oms.domain.events import Share
from oms.domain.model import Open
from oms.domain.terms import Role


class HaltScope(StrEnum):
    FIRM = "firm"
    PORTFOLIO = "portfolio"
    ACCOUNT = "account"
    VENUE = "venue"


HALTERS = (Role.ADMIN, Role.COMPLIANCE, Role.OPS)
RESUMERS = (Role.ADMIN, Role.COMPLIANCE)


_STOPPED = (CreatePlacement, RequestPreTradeCompliance, BeginRestructuring, CreateRemainder)


def is_halted(command: Command) -> bool:
    """Whether a halt stops such a command. Everything else stays open, cancels above all, and working less of an order."""
    economic = isinstance(command, UpdateOrder) and bool(ECONOMIC & command.changes.model_fields_set)
    reprices = isinstance(command, ModifyPlacement) and command.terms().keys() != {"quantity"}
    return economic or reprices or isinstance(command, _STOPPED)


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


@dataclass(frozen=True)
class Dealing:
    """What an order deals for and where: its portfolios, its accounts by our ids, the broker's account, the venue.

    An order that was merged for several portfolios deals for all of them.
    """

    portfolio_ids: frozenset[str]
    account_ids: frozenset[str]
    broker_account: str | None = None
    venue: str | None = None

    def at(self, venue: str | None, broker_account: str | None) -> "Dealing":
        """The same dealing at another venue and account, where they are given."""
        return replace(self, venue=venue or self.venue, broker_account=broker_account or self.broker_account)


def dealing(request: CreateOrder, default_account_id: str, shares: Iterable[Share]) -> Dealing:
    """What an order with these terms deals for, and where it goes by itself."""
    shared = tuple(shares)
    route = request.route
    return Dealing(
        portfolio_ids=frozenset({request.portfolio_id, *(share.portfolio_id for share in shared)}),
        account_ids=frozenset({default_account_id, *(share.account_id for share in shared)}),
        broker_account=route.account if route else None,
        venue=route.venue if route else None,
    )


def covering(halts: Iterable[Halt], order: Dealing, names: Mapping[str, Collection[str]]) -> Halt | None:
    """The halt that stops `order`, the widest first; None where none does.

    `names`: for an account's id, every name it has, its own and the broker's. A halt may use any of them.
    """
    known = {name for account_id in order.account_ids for name in (account_id, *names.get(account_id, ()))}
    known |= {order.broker_account} if order.broker_account else set()

    def stops(halt: Halt) -> bool:
        match halt.scope:
            case HaltScope.FIRM:
                return True
            case HaltScope.PORTFOLIO:
                return halt.subject in order.portfolio_ids
            case HaltScope.ACCOUNT:
                return bool(known & {halt.subject, *names.get(halt.subject, ())})
            case HaltScope.VENUE:
                return halt.subject == order.venue

    return min(filter(stops, halts), key=lambda halt: list(HaltScope).index(halt.scope), default=None)


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
