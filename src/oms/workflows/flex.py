"""Reconciliation with the broker's statements: once a day at a set time, and whenever somebody asks.

One workflow for the whole order book, like the watchers. A day's run is: fetch and keep the statements, compare each,
and where something went to an order, compare again until it is booked or has had its time. Each step may be repeated.
"""

from contextlib import suppress
from datetime import datetime, time, timedelta
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError

with workflow.unsafe.imports_passed_through():
    from oms.domain.model import Open
    from oms.domain.statements import CompareAsk, Compared, FlexAsk, next_due
    from oms.workflows import ports

FLEX_WORKFLOW: Final = "FlexReconciliation"
FLEX_ID: Final = "reconciliation/flex"
FLEX_QUEUE: Final = "oms-flex"
"""Served only where there is a token, so the token has to be nowhere else."""
RECONCILE_UPDATE: Final = "reconcile"
CONFIGURE_SIGNAL: Final = "configure"
LAST_QUERY: Final = "last"
BOOKED_WITHIN: Final = (0.5, 1, 2, 4, 8, 15, 30)
"""Seconds between looks whether an order has booked what it was given; after the last one it is a break."""
ASKED_WITHIN = timedelta(minutes=15)
"""How long somebody who asks waits for the answer; the service may be busy for longer."""
_RUNS = 50


class FlexSchedule(Open):
    """When the statements are fetched: at `at` on the clocks of `zone`, every day."""

    at: time
    zone: str


class FlexOutcome(Open):
    """One run: what each statement's comparison found, or why there is none."""

    began_at: datetime
    compared: tuple[Compared, ...] = ()
    fresh: int = 0
    failed: str | None = None

    @property
    def is_clean(self) -> bool:
        """Whether statements came, and our books say the same."""
        return bool(self.compared) and all(one.is_clean for one in self.compared)

    @property
    def in_words(self) -> str:
        if self.failed is not None:
            return f"**No statement was compared**: {self.failed}"
        return "\n".join(_line(one) for one in self.compared) or "The service gave no statement."


class FlexInput(Open):
    """`last`: the outcome of the latest run, carried from one history to the next. `runs`: so many go in one."""

    schedule: FlexSchedule
    last: FlexOutcome | None = None
    runs: int = _RUNS


@workflow.defn(name=FLEX_WORKFLOW)
class FlexReconciliation:
    @workflow.init
    def __init__(self, given: FlexInput) -> None:
        self.schedule = given.schedule
        self.seen = given.last
        self.waiting: list[FlexAsk] = []
        self.asked = 0
        self.answered = 0
        self.outcomes: dict[int, FlexOutcome] = {}
        self.reconfigured = False

    @workflow.signal(name=CONFIGURE_SIGNAL)
    def configure(self, schedule: FlexSchedule) -> None:
        """A worker has started, with this schedule in its settings."""
        self.reconfigured = self.reconfigured or schedule != self.schedule
        self.schedule = schedule

    @workflow.query(name=LAST_QUERY)
    def last(self) -> FlexOutcome | None:
        """What the last run found."""
        return self.seen

    @workflow.update(name=RECONCILE_UPDATE)
    async def reconcile_now(self, ask: FlexAsk) -> FlexOutcome:
        """Fetch and compare now, these days or the query's own; answers what was found."""
        number = self.asked = self.asked + 1
        self.waiting.append(ask)
        await workflow.wait_condition(lambda: number in self.outcomes)
        return self.outcomes.pop(number)

    @workflow.run
    async def run(self, given: FlexInput) -> None:
        for _ in range(given.runs):
            if not self.waiting:
                await self.until_due()
            await self.next_run()
        # Whoever asked meanwhile is answered before the history ends.
        while self.waiting or not workflow.all_handlers_finished():
            await workflow.wait_condition(lambda: bool(self.waiting) or workflow.all_handlers_finished())
            if self.waiting:
                await self.next_run()
        workflow.continue_as_new(given.model_copy(update={"schedule": self.schedule, "last": self.seen}))

    async def next_run(self) -> None:
        """For whoever has asked first, or for the day."""
        ask = self.waiting.pop(0) if self.waiting else None
        self.seen = outcome = await self.reconcile(ask or FlexAsk())
        if ask is not None:
            self.answered += 1
            self.outcomes[self.answered] = outcome
        workflow.set_current_details(outcome.in_words)

    async def until_due(self) -> None:
        """Wait for the time of day, for another one, or for somebody who asks."""
        while True:
            self.reconfigured = False
            due = next_due(workflow.now(), self.schedule.at, self.schedule.zone)
            with suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: bool(self.waiting) or self.reconfigured,
                    timeout=due - workflow.now(),
                    timeout_summary=f"until {due:%Y-%m-%d %H:%M %Z}",
                )
            if not self.reconfigured or self.waiting:
                return

    async def reconcile(self, ask: FlexAsk) -> FlexOutcome:
        began = workflow.now()
        try:
            days = f"{ask.from_date or 'as the query says'} to {ask.to_date or 'as the query says'}"
            fetched = await ports.FETCH_STATEMENT(ask, summary=days)
            compared = [await self.compare(name) for name in fetched.statement_ids]
        except FailureError as failure:
            cause = failure.cause if isinstance(failure, ActivityError) and failure.cause else failure
            workflow.logger.error("statements were not compared: %s", cause)
            return FlexOutcome(began_at=began, failed=str(cause))
        return FlexOutcome(began_at=began, compared=tuple(compared), fresh=fetched.fresh)

    async def compare(self, statement_id: str) -> Compared:
        """Compare, and wait for the orders to book what they were given. What is late is a break after that."""
        found = await ports.COMPARE_STATEMENT(CompareAsk(statement_id=statement_id), summary=statement_id)
        given = found.given
        for pause in BOOKED_WITHIN:
            if not found.waiting:
                break
            await workflow.sleep(timedelta(seconds=pause), summary="for orders to book what they were given")
            late = pause == BOOKED_WITHIN[-1]
            found = await ports.COMPARE_STATEMENT(
                CompareAsk(statement_id=statement_id, overdue=late), summary=statement_id
            )
            given += found.given
        return found.model_copy(update={"given": given})


def _line(one: Compared) -> str:
    notes = "".join(f"; {note}" for note in one.notes)
    return (
        f"{one.account} {one.from_date} to {one.to_date}: {one.matched} of {one.trades} trades match, "
        f"{one.given} facts given to orders, {one.differences} differences{notes}"
    )
