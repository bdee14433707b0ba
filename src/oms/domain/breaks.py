"""Breaks: what somebody else's books say differently from ours. Shown until evidence or a person ends them.

A break never changes a position or an order: the difference is the finding, and whoever looks at it decides.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from oms.domain.errors import Code, Refused
from oms.domain.model import Open
from oms.domain.numbers import fits, subtract
from oms.domain.terms import Role

BREAK = "BRK"
"""The prefix of a break's identifier."""


class BreakCategory(StrEnum):
    """What was compared: holdings, executions one by one, or money."""

    POSITION = "POSITION"
    TRADE = "TRADE"
    CASH = "CASH"


class BreakStatus(StrEnum):
    """OPEN until a later comparison no longer finds it (CLEARED) or a person ends it with a reason (RESOLVED)."""

    OPEN = "OPEN"
    CLEARED = "CLEARED"
    RESOLVED = "RESOLVED"


class Difference(Open):
    """One thing that two books say differently.

    `subject` names it the same way in every comparison (`AAPL STK USD 265598`, an execution id). `ours` and
    `theirs` are decimal text, or empty where one of the books has nothing of it.
    """

    subject: str
    ours: str
    theirs: str
    detail: str
    instrument_id: str | None = None

    def same_gap(self, ours: str, theirs: str) -> bool:
        """Whether the books are as far apart as with `ours` and `theirs`, though both may have moved since."""
        gaps = [_gap(self.ours, self.theirs), _gap(ours, theirs)]
        return gaps[0] == gaps[1]


class Break(Open):
    """A difference that was found, from the first comparison that showed it. Times in nanoseconds since the epoch."""

    break_id: str
    category: BreakCategory
    source: str
    account: str
    subject: str
    instrument_id: str | None = None
    ours: str
    theirs: str
    detail: str
    status: BreakStatus = BreakStatus.OPEN
    owner: Role = Role.OPS
    opened_ns: int
    seen_ns: int
    closed_ns: int | None = None
    closed_by: str | None = None
    reason: str | None = None

    @property
    def is_open(self) -> bool:
        return self.status is BreakStatus.OPEN

    def covers(self, difference: Difference) -> bool:
        """Whether `difference` is this break's own, so that no other one opens for it.

        One that a person has resolved stands for the gap that they saw: another gap is a new break.
        """
        return self.is_open or difference.same_gap(self.ours, self.theirs)

    def seen(self, difference: Difference, now_ns: int) -> "Break":
        """As the latest comparison shows it. What a person has resolved stays as they saw it."""
        if not self.is_open:
            return self
        told = difference.model_dump(include={"ours", "theirs", "detail", "instrument_id"})
        return self.model_copy(update={**told, "seen_ns": now_ns})

    def cleared(self, now_ns: int) -> "Break":
        """The comparison at `now_ns` no longer finds it."""
        reason = "the latest comparison no longer finds it"
        update = {"status": BreakStatus.CLEARED, "closed_ns": now_ns, "reason": reason}
        return self.model_copy(update=update)

    def resolved(self, by: str, reason: str, now_ns: int) -> "Break":
        """A person ends it. Raises Refused INVALID_STATE where it is not open."""
        if not self.is_open:
            raise Refused(
                Code.INVALID_STATE,
                f"{self.break_id} is {self.status}, not {BreakStatus.OPEN}.",
                state=self.status,
                allowed=[BreakStatus.OPEN],
            )
        update = {"status": BreakStatus.RESOLVED, "closed_ns": now_ns, "closed_by": by, "reason": reason}
        return self.model_copy(update=update)


@dataclass(frozen=True)
class Comparison:
    """What was compared, with whom and when."""

    source: str
    account: str
    category: BreakCategory
    now_ns: int


@dataclass
class Outcome:
    """What one comparison made of the breaks. `followed` stand as before; `ended` were resolved and are gone now."""

    opened: list[Break] = field(default_factory=list)
    followed: list[Break] = field(default_factory=list)
    cleared: list[Break] = field(default_factory=list)
    ended: list[Break] = field(default_factory=list)


def compared(
    standing: Iterable[Break],
    differences: Iterable[Difference],
    comparison: Comparison,
    new_id: Callable[[], str],
    unsettled: Collection[str] = (),
) -> Outcome:
    """The breaks after a complete comparison. `standing`: those whose difference the one before found.

    `unsettled`: subjects of which this comparison says nothing, neither that they differ nor that they agree.
    """
    outcome = Outcome()
    known = {one.subject: one for one in standing if one.subject not in unsettled}
    for difference in {one.subject: one for one in differences if one.subject not in unsettled}.values():
        before = known.pop(difference.subject, None)
        if before is not None and before.covers(difference):
            outcome.followed.append(before.seen(difference, comparison.now_ns))
            continue
        outcome.opened.append(_opened(difference, comparison, new_id()))
        if before is not None:
            outcome.ended.append(before)
    for gone in known.values():
        if gone.is_open:
            outcome.cleared.append(gone.cleared(comparison.now_ns))
        else:
            outcome.ended.append(gone)
    return outcome


def _opened(difference: Difference, comparison: Comparison, break_id: str) -> Break:
    return Break(
        **difference.model_dump(),
        break_id=break_id,
        category=comparison.category,
        source=comparison.source,
        account=comparison.account,
        opened_ns=comparison.now_ns,
        seen_ns=comparison.now_ns,
    )


def _gap(ours: str, theirs: str) -> object:
    here, there = _number(ours), _number(theirs)
    return (ours, theirs) if here is None or there is None else subtract(there, here)


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if fits(number) else None
