"""One order, one durable workflow.

Read it from the top: state, queries, commands in (updates), facts in (signals), the loop, the duties. No
position in this code is state: after a crash, a replay or a hand-over to a new run the loop asks the domain
what is owed and goes on.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from oms.domain.apply import fold
    from oms.domain.commands import SYSTEM, Actor, Command, Instruction
    from oms.domain.decide import decide, opening_events
    from oms.domain.drafting import nanoseconds
    from oms.domain.duties import Duty, DutyKind, duties, system_command, waiting_on
    from oms.domain.errors import Refused
    from oms.domain.events import Event
    from oms.domain.facts import Fact
    from oms.domain.lifecycle import GATES
    from oms.domain.observe import may_move_back, observe
    from oms.domain.order import JournalBatch, Order, Recording
    from oms.workflows import ports
    from oms.workflows.asking import DO
    from oms.workflows.contract import (
        OPENED_UPDATE,
        ORDER_WORKFLOW,
        REFUSED,
        STATE_QUERY,
        Carried,
        OrderInput,
        Recorded,
        Refusal,
    )
    from oms.workflows.hearing import heard
    from oms.workflows.telling import details, search_attributes

_ANSWERS_KEPT = 200
_BITE = 500
"""Of a great many facts so many are taken between two records: the SDK gives a task two seconds before it calls it stuck."""
_IN_BITES = "facts in bites"
_MOVES_BACK = "placements move back"
_BREATH = timedelta(milliseconds=1)
_ENDS_AT_THE_VENUE = ("cancel", "close")
_JOURNAL = ("record", "")


@workflow.defn(name=ORDER_WORKFLOW)
class OrderWorkflow:
    @workflow.init
    def __init__(self, opened: OrderInput) -> None:
        carried = opened.carried
        self.outbox: list[Event] = []
        self.inbox: deque[tuple[str, Sequence[Fact]]] = deque()
        self.answers: dict[str, Recorded] = {}
        self.in_flight: dict[tuple[str, str], asyncio.Task[None]] = {}
        self.rests_until: dict[tuple[str, str], datetime] = {}
        self.trouble: dict[tuple[str, str], str] = {}
        self.defect: BaseException | None = None
        self.woken = False
        if carried is not None:
            self.order: Order = carried.order
            self.inbox.extend(carried.facts)
            self.answers.update(carried.answers)
        elif opened.opening is not None:
            try:
                self.outbox.extend(opening_events(opened.opening, workflow.now()))
            except Refused as refused:
                raise _as_failure(refused) from refused
            self.order = fold(None, self.outbox)
        else:
            raise ApplicationError("an order starts with an opening or is carried on", non_retryable=True)
        self.recorded: Order | None = self.order if carried else None
        self.unrecorded_facts: list[tuple[str, Sequence[Fact]]] = []
        self.holds_command = False
        self.rewrites = 0
        self.patience = opened.patience
        self.events_per_run = opened.events_per_run
        for kind in GATES:
            workflow.set_update_handler(kind, self.take, validator=self.may_take)

    # -- queries ---------------------------------------------------------------------------------

    @workflow.query(name=STATE_QUERY)
    def state(self) -> Order:
        return self.order

    # -- commands in: the same `decide` refuses in the validator (no history) and acts in the handler -----

    @workflow.update(name=OPENED_UPDATE)
    async def opened(self) -> Recorded:
        """Answers once the order is in the journal."""
        while not await self.is_recorded(1):
            pass
        return self.answer(settled=True)

    def may_take(self, asked: Instruction) -> None:
        update = workflow.current_update_info()
        if (update is not None and update.id in self.answers) or self.is_behind():
            return  # answered already, or judged in the handler once the facts before it are taken
        try:
            decide(self.order_with_news(), asked, workflow.now())
        except Refused as refused:
            raise _as_failure(refused) from refused

    def order_with_news(self) -> Order:
        """The order with the facts that have arrived and wait to be taken: a command is judged after them."""
        order = self.order
        for source, facts in self.inbox:
            order = fold(order, observe(order, facts, workflow.now(), source))
        return order

    async def take(self, asked: Instruction) -> Recorded:
        """Decide, apply, answer when it is recorded (and, for cancel and close, when the venue has spoken)."""
        update = workflow.current_update_info()
        command_id = update.id if update else ""
        while command_id not in self.answers:
            if self.is_behind() and workflow.patched(_IN_BITES):
                await workflow.wait_condition(lambda: not self.is_behind())
            self.listen()
            try:
                self.fold(
                    decide(self.order, asked.model_copy(update={"command_id": command_id}), workflow.now())
                )
            except Refused as refused:
                raise _as_failure(refused) from refused
            self.holds_command = bool(self.outbox)
            if await self.is_recorded(self.order.version):
                self.remember(command_id, self.answer(settled=True))
        if asked.command.kind in _ENDS_AT_THE_VENUE and self.venue_must_speak():
            self.remember(command_id, await self.until_the_venue_has_spoken())
        return self.answers[command_id]

    def remember(self, command_id: str, answer: Recorded) -> None:
        self.answers[command_id] = answer
        while len(self.answers) > _ANSWERS_KEPT:
            self.answers.pop(next(iter(self.answers)))

    async def is_recorded(self, version: int) -> bool:
        """Wait until `version` is in the journal; False when the journal held something else in its place."""
        rewrites = self.rewrites
        await workflow.wait_condition(lambda: self.recorded_version >= version or self.rewrites != rewrites)
        return self.rewrites == rewrites

    @property
    def recorded_version(self) -> int:
        return self.recorded.version if self.recorded else 0

    def venue_must_speak(self) -> bool:
        """A cancel or a close was asked and placements still live."""
        asked = self.order.cancel_requested or self.order.close_requested
        return asked and bool(self.order.live_placements)

    async def until_the_venue_has_spoken(self) -> Recorded:
        try:
            await workflow.wait_condition(
                lambda: not self.venue_must_speak() and self.is_idle(),
                timeout=self.patience.verdict,
                timeout_summary="the venue's verdict",
            )
        except TimeoutError:
            return self.answer(settled=False)
        return self.answer(settled=True)

    def answer(self, *, settled: bool) -> Recorded:
        """What the journal has: the order may be ahead of it."""
        known = self.recorded or self.order
        return Recorded(order_id=known.order_id, version=known.version, state=known.state, settled=settled)

    # -- facts in: signals only append and never raise ------------------------------------------------

    @workflow.signal(dynamic=True, description="venue_facts, custodian_facts: a source and its facts")
    def hear(self, signal: str, said: Sequence[RawValue]) -> None:
        """Dynamic, because the SDK drops a signal that it cannot decode and a wrong number of arguments raises."""
        payloads = [one.payload.data for one in said]
        self.inbox.append(heard(signal, payloads, nanoseconds(workflow.now())))

    # -- the loop -----------------------------------------------------------------------------------

    @workflow.run
    async def run(self, _opened: OrderInput) -> str:
        while True:
            await self.catch_up()
            if self.defect is not None:
                raise self.defect
            owed = duties(self.order)
            self.forget_all_but(owed)
            if self.is_done():
                break
            self.start(owed)
            self.show()
            await self.something_happens()
        self.show()
        if not self.order.is_over:
            workflow.continue_as_new(self.hand_over())
        return self.order.state

    def is_done(self) -> bool:
        """This run has done its part: the order is over, or the next run goes on and starts what is owed."""
        ends = self.order.is_over or self.should_hand_over()
        return ends and self.is_idle() and workflow.all_handlers_finished()

    async def catch_up(self) -> None:
        """Take facts, hand-offs and what the store has to say, and record it all, until nothing new came meanwhile."""
        while True:
            self.listen()
            reading = None
            if not self.inbox:
                self.take_steps()
                reading = self.next_reading()
            if reading is not None:
                await self.do(reading)
            elif self.outbox:
                await self.record()
                await self.breathe()
            elif not self.inbox:
                return

    async def breathe(self) -> None:
        """End the task between two bites: what arrives meanwhile waits at the server, which keeps two megabytes of it."""
        if self.is_behind() and workflow.patched(_IN_BITES):
            await workflow.sleep(_BREATH, summary="a flood of facts is many short tasks")

    def next_reading(self) -> Duty | None:
        """A short look into our own store that is owed now: taken at once, so that one batch tells the whole story.

        One that has failed before is left to run beside the loop, where it holds up nobody.
        """
        owed = (d for d in duties(self.order) if d.kind in _READINGS and self.is_ready(d))
        return next((d for d in owed if d.key not in self.in_flight and d.key not in self.trouble), None)

    def listen(self) -> None:
        """Take every fact that has arrived; of a great many a bite, and the next one after the record of this."""
        taken, in_bites = 0, self.is_behind() and workflow.patched(_IN_BITES)
        while self.inbox and not (in_bites and taken >= _BITE):
            source, facts = self.inbox.popleft()
            taken += len(facts)
            self.unrecorded_facts.append((source, facts))
            moves_back = not may_move_back(self.order, facts) or workflow.patched(_MOVES_BACK)
            self.fold(observe(self.order, facts, workflow.now(), source, moves_back=moves_back))

    def is_behind(self) -> bool:
        """More facts have arrived than one task can take."""
        return sum(len(facts) for _, facts in self.inbox) > _BITE

    def take_steps(self) -> None:
        """Take every hand-off that automation owes now. A refused one rests, so that it cannot spin."""
        while step := next((d for d in duties(self.order) if d.kind is DutyKind.TAKE_STEP), None):
            if not self.is_ready(step):
                return
            before = self.order.version
            self.command(system_command(self.order, step.subject, workflow.uuid7()), SYSTEM)
            if self.order.version == before:
                self.rests_until[step.key] = workflow.now() + self.patience.again

    async def record(self) -> None:
        """Write what happened to the journal; nobody is answered and nothing is started before that."""
        order, batch = self.order, JournalBatch.of(self.order, self.outbox)
        facts, holds_command = self.unrecorded_facts, self.holds_command
        self.outbox, self.unrecorded_facts, self.holds_command = [], [], False
        recording = await self.write(batch, beside=not holds_command)
        if recording.instead:
            self.rewrite(recording.instead, [*facts, *self.unrecorded_facts])
        else:
            self.recorded = order

    async def write(self, batch: JournalBatch, *, beside: bool) -> Recording:
        """`beside` the workflow if it may be; a journal that is away is then waited for where retries cost nothing."""
        if beside:
            try:
                return await ports.RECORD(batch)
            except FailureError as failure:
                self.in_trouble(_JOURNAL, failure)
                self.show()
        return await ports.RECORD_COMMANDS(batch, summary=", ".join(e.kind for e in batch.events)[:200])

    def rewrite(self, events: Sequence[Event], facts: list[tuple[str, Sequence[Fact]]]) -> None:
        """The journal went on without us: go on from it, take the facts again and have commands decided again."""
        self.order = self.recorded = fold(self.recorded, events)
        self.outbox, self.unrecorded_facts, self.holds_command = [], [], False
        self.inbox.extendleft(reversed(facts))
        self.rewrites += 1
        for event in events:
            if event.command_id:
                answer = Recorded(order_id=event.order_id, version=event.seq, state=event.state)
                self.remember(event.command_id, answer)

    def forget_all_but(self, owed: list[Duty]) -> None:
        """What is owed no longer neither rests nor troubles anybody."""
        keys = {duty.key for duty in owed}
        self.rests_until = {key: until for key, until in self.rests_until.items() if key in keys}
        self.trouble = {key: text for key, text in self.trouble.items() if key in keys}

    def start(self, owed: list[Duty]) -> None:
        """Each duty is at most once in flight; one that is done and still owed is done again after a rest."""
        for duty in owed:
            if duty.kind in DO and duty.key not in self.in_flight and self.is_ready(duty):
                self.in_flight[duty.key] = asyncio.create_task(self.do(duty))

    def ready_at(self, duty: Duty) -> datetime | None:
        """When `duty` may be done; None for at once."""
        return max((at for at in (duty.due, self.rests_until.get(duty.key)) if at is not None), default=None)

    def is_ready(self, duty: Duty) -> bool:
        at = self.ready_at(duty)
        return at is None or at <= workflow.now()

    async def something_happens(self) -> None:
        """Wait for a fact, a command, an ended duty or the next instant at which a duty falls due."""
        self.woken = False
        due = self.next_instant()
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                self.is_awake,
                timeout=max(timedelta(0), due - workflow.now()) if due else None,
                timeout_summary=waiting_on(self.order).what[:200] if due else None,
            )

    def is_awake(self) -> bool:
        return bool(self.woken or self.inbox or self.outbox or self.is_done())

    def is_idle(self) -> bool:
        return not self.inbox and not self.outbox and self.recorded_version == self.order.version

    def next_instant(self) -> datetime | None:
        waiting = [self.ready_at(duty) for duty in duties(self.order) if duty.key not in self.in_flight]
        return min((at for at in waiting if at is not None), default=None)

    def should_hand_over(self) -> bool:
        length = workflow.info().get_current_history_length()
        return workflow.info().is_continue_as_new_suggested() or (
            self.events_per_run is not None and length >= self.events_per_run
        )

    def hand_over(self) -> OrderInput:
        """The next run's input. Activities under way are idempotent: the next run asks for them again."""
        facts = tuple((source, tuple(batch)) for source, batch in self.inbox)
        return OrderInput(
            carried=Carried(order=self.order, facts=facts, answers=self.answers),
            events_per_run=self.events_per_run,
            patience=self.patience,
        )

    def fold(self, events: Sequence[Event]) -> None:
        if events:
            self.order = fold(self.order, events)
            self.outbox.extend(events)

    def show(self) -> None:
        """Tell the Web UI. Search attributes where they differ, but for a state that a call under way is about to end."""
        workflow.set_current_details(details(self.order, tuple(self.trouble.values())))
        kept = workflow.info().typed_search_attributes
        wanted = search_attributes(self.order).items()
        changed = [key.value_set(value) for key, value in wanted if kept.get(key) != value]
        passing = not self.trouble and any(kind in _BRISK for kind, _ in self.in_flight)
        if changed and not passing:
            workflow.upsert_search_attributes(changed)

    def in_trouble(self, key: tuple[str, str], failure: FailureError) -> None:
        what = failure.cause if isinstance(failure, ActivityError) and failure.cause else failure
        self.trouble[key] = f"{key[0]}: {what}"
        workflow.logger.error("%s, it is tried again", self.trouble[key])

    # -- duties: each asks the world once, through a port, and folds the answer (asking.py) -----------------

    async def do(self, duty: Duty) -> None:
        try:
            await DO[duty.kind](self, duty)
            self.trouble.pop(duty.key, None)
        except FailureError as failure:
            self.in_trouble(duty.key, failure)
        except Exception as defect:  # noqa: BLE001 - raised by the loop: a defect stops the task, not the order
            self.defect = defect
        self.in_flight.pop(duty.key, None)
        self.rests_until[duty.key] = workflow.now() + self.patience.again
        self.woken = True

    def command(self, command: Command, actor: Actor) -> None:
        """A command of the system's own. Refused means that the order has moved on: nothing is owed any more."""
        asked = Instruction(command=command, actor=actor, ts_event_ns=nanoseconds(workflow.now()))
        try:
            self.fold(decide(self.order, asked, workflow.now()))
        except Refused as refused:
            workflow.logger.info("%s was refused: %s", command.kind, refused.message)


_BRISK = frozenset({DutyKind.PLACE, DutyKind.INSTRUCT_CUSTODIAN})
"""Calls that take moments, or fail and are in trouble: see the timeouts of their ports."""
_READINGS = frozenset(
    {DutyKind.EVALUATE_PRE_TRADE, DutyKind.EVALUATE_POST_TRADE, DutyKind.SET_SETTLEMENT_DATE}
)


def _as_failure(refused: Refused) -> ApplicationError:
    return ApplicationError(refused.message, Refusal.of(refused), type=REFUSED, non_retryable=True)
