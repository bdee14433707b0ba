"""What the two watchers of the order book share: their names, their inputs, and the loop they go round in.

A watcher is one workflow for the whole order book, started by every worker and running once: it survives workers,
and two workers are no reason to look twice. It is a loop with a timer and not a Temporal Schedule, because the place
it has come to travels from round to round in its own state, a signal can wake it, a round never overlaps the one
before, and there is no second object whose settings could go stale.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError

from oms.domain.findings import Round
from oms.domain.model import Open

LIMIT_MONITOR: Final = "LimitMonitor"
MONITOR_ID: Final = "monitor/limits"
INVARIANTS: Final = "Invariants"
INVARIANTS_ID: Final = "monitor/invariants"
LOOK_SIGNAL: Final = "look"
LAST_QUERY: Final = "last"
_REST = timedelta(milliseconds=250)


class MonitorInput(Open):
    """`every`: how often the limits are looked at when nobody says that prices moved."""

    every: timedelta = timedelta(seconds=5)
    events_per_run: int | None = None


class InvariantsInput(Open):
    """`every`: the pause between two rounds. `round`: where the next one goes on."""

    every: timedelta = timedelta(seconds=30)
    round: Round = Round()
    events_per_run: int | None = None


class Watcher:
    """The loop. A failed look is tried again by Temporal, then shown here, and the next round comes all the same."""

    def __init__(self, every: timedelta, events_per_run: int | None) -> None:
        self.every = every
        self.events_per_run = events_per_run
        self.asked = False
        self.failures = 0

    @workflow.signal(name=LOOK_SIGNAL)
    def look_now(self) -> None:
        """Somebody knows of news. Any number of them before the next look are one."""
        self.asked = True

    async def go_round(self, look: Callable[[bool], Awaitable[str]]) -> None:
        """Look, show what was seen, wait; until the history is long enough for another run to go on."""
        while True:
            was_asked, self.asked = self.asked, False
            try:
                workflow.set_current_details(await look(was_asked))
                self.failures = 0
            except FailureError as failure:
                self.in_trouble(failure)
            if self.asked:
                await workflow.sleep(_REST, summary="a storm of news is a few looks a second")
            with suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: self.asked, timeout=self.every, timeout_summary="until the next look"
                )
            if self.should_hand_over():
                return

    def in_trouble(self, failure: FailureError) -> None:
        self.failures += 1
        cause = failure.cause if isinstance(failure, ActivityError) and failure.cause else failure
        workflow.set_current_details(f"**Tried again**, {self.failures} failed in a row: {cause}")
        workflow.logger.error("a look failed, it is tried again: %s", cause)

    def should_hand_over(self) -> bool:
        info = workflow.info()
        length = info.get_current_history_length()
        return info.is_continue_as_new_suggested() or (
            self.events_per_run is not None and length >= self.events_per_run
        )
