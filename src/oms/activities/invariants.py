"""Holding the order book to its invariants: the store's own rows, and the workflows behind them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import structlog
from temporalio import activity

from oms.activities.tracing import NoAnswer, RunningOrders
from oms.domain.findings import Finding, Invariant, Round, Rounded, Suspect, confirmed
from oms.store import Store
from oms.store import invariants as rows

T = TypeVar("T")
_MOST_CHANGED = 5_000
_MOST_TRACED = 500
_AT_ONCE = 8
_log = structlog.get_logger("oms.invariants")


@dataclass(frozen=True)
class Scope:
    """What one look takes up: `order_ids` by their rows, `folded` from their journal too, `asked` workflows at most."""

    order_ids: Sequence[str]
    folded: frozenset[str]
    asked: int


@dataclass(frozen=True)
class Seen:
    """What one look found; `unanswered` are orders whose workflow could not be asked."""

    suspects: tuple[Suspect, ...]
    unanswered: frozenset[str]


class InvariantActivities:
    """The business invariants, over the store and the workflows of its orders."""

    def __init__(self, store: Store, workflows: RunningOrders) -> None:
        self._store = store
        self._workflows = workflows

    @activity.defn(name="check_invariants")
    async def check_invariants(self, asked: Round) -> Rounded:
        """One round: look, look again at what seemed wrong, keep the findings, tell what turned.

        Twice: it looks again and writes its findings over the last ones; what is known already is not told again.
        """
        known = [s for f in await asyncio.to_thread(self._store.findings.all) for s in f.examples]
        scope, following = await asyncio.to_thread(self._scope, asked, known)
        seen = await self._look(scope)
        broken, unanswered = seen.suspects, seen.unanswered
        if broken:
            await asyncio.sleep(asked.confirm.total_seconds())
            order_ids = sorted({suspect.order_id for suspect in broken})
            again = await self._look(Scope(order_ids, frozenset(order_ids), len(order_ids)))
            broken = confirmed(broken, again.suspects)
            unanswered |= again.unanswered
        broken = (*broken, *_unsettled(known, broken, unanswered))
        _tell(await asyncio.to_thread(self._store.findings.keep, broken, datetime.now(UTC)))
        names = {suspect.name for suspect in broken}
        return Rounded(
            next=following,
            orders=len(scope.order_ids),
            broken=tuple(name for name in Invariant if name in names),
        )

    def _scope(self, asked: Round, known: Iterable[Suspect]) -> tuple[Scope, Round]:
        """What is looked at now, and the round after this one. Blocks."""
        database = self._store.database
        after = self._store.journal.head() if asked.after is None else asked.after
        changed: dict[str, None] = {}
        while len(changed) < _MOST_CHANGED:
            found, upto = rows.changed(database, after)
            if upto == after:
                break
            after = upto
            changed |= dict.fromkeys(found)
        swept = rows.swept(database, asked.sweep_after, asked.swept)
        suspected = list(dict.fromkeys(suspect.order_id for suspect in known))
        strays = rows.strays(database)
        scope = Scope(
            order_ids=list(dict.fromkeys([*suspected, *changed, *strays, *swept])),
            folded=frozenset([*suspected, *list(changed)[-asked.folded :], *swept]),
            asked=len(suspected) + asked.asked,
        )
        sweep_after = swept[-1] if len(swept) == asked.swept else ""
        return scope, asked.model_copy(update={"after": after, "sweep_after": sweep_after})

    async def _look(self, scope: Scope) -> Seen:
        database, order_ids = self._store.database, scope.order_ids
        found = await asyncio.to_thread(rows.suspects, database, order_ids, scope.folded)
        live = await asyncio.to_thread(rows.live, database, order_ids, scope.asked)
        working = await asyncio.to_thread(rows.working, database, order_ids)
        steps = await _each(live, lambda order: order.order_id, self._workflows.compared)
        traces = await _each(working[:_MOST_TRACED], str, self._workflows.traced)
        return Seen((*found, *steps.suspects, *traces.suspects), steps.unanswered | traces.unanswered)


async def _each(
    subjects: Iterable[T], order_id: Callable[[T], str], look: Callable[[T], Awaitable[Suspect | None]]
) -> Seen:
    """Look at each of them, some at a time."""
    turn, unanswered = asyncio.Semaphore(_AT_ONCE), set[str]()

    async def one(subject: T) -> Suspect | None:
        async with turn:
            try:
                return await look(subject)
            except NoAnswer as silence:
                _log.info("a workflow could not be asked", order_id=order_id(subject), error=str(silence))
                unanswered.add(order_id(subject))
                return None

    found = await asyncio.gather(*(one(subject) for subject in subjects))
    return Seen(tuple(suspect for suspect in found if suspect is not None), frozenset(unanswered))


def _unsettled(
    known: Iterable[Suspect], broken: Iterable[Suspect], unanswered: frozenset[str]
) -> tuple[Suspect, ...]:
    """What was broken and is not known to hold again, because the order's workflow did not answer."""
    found = {(suspect.name, suspect.order_id) for suspect in broken}
    asked_of_workflows = (Invariant.WORKFLOW, Invariant.PLACEMENTS)
    return tuple(
        suspect
        for suspect in known
        if suspect.order_id in unanswered
        and suspect.name in asked_of_workflows
        and (suspect.name, suspect.order_id) not in found
    )


def _tell(turned: Iterable[Finding]) -> None:
    for finding in turned:
        if finding.broken:
            examples = [f"{example.order_id}: {example.detail}" for example in finding.examples[:5]]
            _log.error(
                "invariant.broken", invariant=finding.name.value, meaning=finding.meaning, examples=examples
            )
        else:
            _log.info("invariant.restored", invariant=finding.name.value)
