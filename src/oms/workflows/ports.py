"""Every activity's contract in one place: name, argument, result, queue, timeouts, retries.

Workflows import ports and never activities. A test holds each port to an activity with the same name and types.
What happens when an activity runs twice is said in the docstring of the activity itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy

from oms.domain.compliance import Verdict
from oms.domain.decide import Opening
from oms.domain.errands import Errand, Reply
from oms.domain.facts import SettlementReported
from oms.domain.findings import Look, Looked, Round, Rounded
from oms.domain.instructions import SettlementInstruction
from oms.domain.order import JournalBatch, Order, Recording
from oms.domain.programs.aiming import (
    Ended,
    Ending,
    FlattenAsk,
    FlattenedLeg,
    FlattenLeg,
    FlattenPositions,
    FlattenRead,
    FlattenScope,
    Planning,
    Rows,
    RowsAimed,
)
from oms.domain.programs.carrying import (
    EntryAsk,
    EntryLook,
    EntryOpened,
    EntryOpening,
    EntryPlan,
    EntrySeen,
    Judging,
    Settling,
    Verified,
)
from oms.domain.programs.outcomes import CommandOutcome
from oms.domain.programs.targets import AccountRead, Aimed, TargetBatch
from oms.domain.reference import InstrumentQuestion, InstrumentsFound
from oms.domain.settlement import CustodianAnswer, SettlementDate
from oms.domain.statements import CompareAsk, Compared, Fetched, FlexAsk
from oms.domain.venues import PlacementTicket, Resynced, VenueAnswer

A = TypeVar("A")
R = TypeVar("R")


UNTIL_IT_WORKS = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=10),
)
"""For idempotent work on our own store: it is owed, so it is tried until it is done."""
BESIDE_THE_WORKFLOW = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=2.0, maximum_attempts=6
)
"""For the same work run beside a workflow, about six seconds: retries there are invisible and keep a task open, so then
the order shows the trouble. (A schedule_to_close_timeout does not end the retries of a local activity in SDK 1.35.)"""
VENUE_RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=500),
    backoff_coefficient=1.5,
    maximum_interval=timedelta(seconds=5),
)
"""For gateways: an intent on disk and a look at the venue come before any second send, so trying again is safe."""
CUSTODIAN_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=1.5, maximum_interval=timedelta(minutes=1)
)
"""For the custodian: an instruction has one id, and asking changes nothing. Retries add no history."""


@dataclass(frozen=True)
class LocalPort(Generic[A, R]):
    """Short idempotent work on our own store, run beside the workflow: one marker in history."""

    name: str
    result: type[R]

    async def __call__(self, argument: A) -> R:
        result: R = await workflow.execute_local_activity(
            self.name,
            argument,
            result_type=self.result,
            start_to_close_timeout=timedelta(seconds=10),
            local_retry_threshold=timedelta(seconds=30),
            retry_policy=BESIDE_THE_WORKFLOW,
        )
        return result


@dataclass(frozen=True)
class Port(Generic[A, R]):
    """Work on something outside: a regular activity, visible in the Web UI with its retries."""

    name: str
    result: type[R]
    start_to_close: timedelta
    retry: RetryPolicy
    priority: int = 3
    patience: timedelta | None = None
    """After so long the call has failed, is shown as trouble on the order, and is made again after a rest."""
    heartbeat: timedelta | None = None
    """A worker that is silent for so long is taken for dead, and the call is made again."""

    async def __call__(self, argument: A, *, summary: str, queue: str | None = None) -> R:
        result: R = await workflow.execute_activity(
            self.name,
            argument,
            result_type=self.result,
            task_queue=queue,
            start_to_close_timeout=self.start_to_close,
            schedule_to_close_timeout=self.patience,
            heartbeat_timeout=self.heartbeat,
            retry_policy=self.retry,
            summary=summary,
            priority=Priority(priority_key=self.priority),
        )
        return result


RECORD: LocalPort[JournalBatch, Recording] = LocalPort("record", Recording)
"""Write events that only durable messages caused: after a crash Temporal delivers the same messages again."""
EVALUATE_PRE_TRADE: LocalPort[Order, Verdict] = LocalPort("evaluate_pre_trade", Verdict)
EVALUATE_POST_TRADE: LocalPort[Order, Verdict] = LocalPort("evaluate_post_trade", Verdict)
SETTLEMENT_DATE: LocalPort[Order, SettlementDate] = LocalPort("settlement_date", SettlementDate)

RECORD_COMMANDS: Port[JournalBatch, Recording] = Port(
    "record", Recording, timedelta(seconds=10), UNTIL_IT_WORKS
)
"""Write events that an update caused. Temporal keeps an update only once its task is complete, so the write must
come after that: as a regular activity, which is scheduled in the same breath as the update is accepted."""
_GATEWAY_CALL, _GATEWAY_SILENCE = timedelta(seconds=40), timedelta(seconds=5)
PLACE: Port[PlacementTicket, VenueAnswer] = Port(
    "place", VenueAnswer, _GATEWAY_CALL, VENUE_RETRY, patience=_GATEWAY_CALL, heartbeat=_GATEWAY_SILENCE
)
CANCEL: Port[PlacementTicket, VenueAnswer] = Port(
    "cancel",
    VenueAnswer,
    _GATEWAY_CALL,
    VENUE_RETRY,
    priority=1,
    patience=_GATEWAY_CALL,
    heartbeat=_GATEWAY_SILENCE,
)
MODIFY: Port[PlacementTicket, VenueAnswer] = Port(
    "modify",
    VenueAnswer,
    _GATEWAY_CALL,
    VENUE_RETRY,
    priority=2,
    patience=_GATEWAY_CALL,
    heartbeat=_GATEWAY_SILENCE,
)
ASK: Port[PlacementTicket, VenueAnswer] = Port(
    "ask",
    VenueAnswer,
    _GATEWAY_CALL,
    VENUE_RETRY,
    priority=2,
    patience=_GATEWAY_CALL,
    heartbeat=_GATEWAY_SILENCE,
)
RESYNC: Port[str, Resynced] = Port(
    "resync", Resynced, timedelta(minutes=2), VENUE_RETRY, priority=2, patience=timedelta(minutes=2)
)
"""Read a gateway's books anew; the argument is its name. A thousand open orders take it seconds."""

_CUSTODIAN_CALL = timedelta(seconds=20)
INSTRUCT_CUSTODIAN: Port[SettlementInstruction, CustodianAnswer] = Port(
    "instruct_custodian", CustodianAnswer, _CUSTODIAN_CALL, CUSTODIAN_RETRY, patience=timedelta(minutes=1)
)
ASK_CUSTODIAN: Port[SettlementInstruction, SettlementReported] = Port(
    "ask_custodian", SettlementReported, _CUSTODIAN_CALL, CUSTODIAN_RETRY
)

_DESK_CALL, _DESK_SILENCE = timedelta(seconds=60), timedelta(seconds=5)
INSTRUCT_ORDER: Port[Errand, Reply] = Port(
    "instruct_order", Reply, _DESK_CALL, UNTIL_IT_WORKS, heartbeat=_DESK_SILENCE
)
"""A command to an order's own workflow. A refusal is an answer; only silence is tried again."""
READ_ORDER: Port[Errand, Order] = Port(
    "read_order", Order, _DESK_CALL, UNTIL_IT_WORKS, heartbeat=_DESK_SILENCE
)
OPEN_ORDER: Port[Opening, Reply] = Port(
    "open_order", Reply, _DESK_CALL, UNTIL_IT_WORKS, heartbeat=_DESK_SILENCE
)

WATCH_LIMITS: Port[Look, Looked] = Port(
    "watch_limits", Looked, timedelta(seconds=20), UNTIL_IT_WORKS, patience=timedelta(minutes=1)
)
CHECK_INVARIANTS: Port[Round, Rounded] = Port(
    "check_invariants", Rounded, timedelta(minutes=2), UNTIL_IT_WORKS, patience=timedelta(minutes=5)
)

FETCH_STATEMENT: Port[FlexAsk, Fetched] = Port(
    "fetch_statement",
    Fetched,
    timedelta(minutes=10),
    RetryPolicy(initial_interval=timedelta(minutes=1), maximum_interval=timedelta(minutes=15)),
    patience=timedelta(hours=3),
    heartbeat=timedelta(minutes=2),
)
"""The service makes a statement in seconds or in many minutes, and says so; it locks out who asks too often."""
COMPARE_STATEMENT: Port[CompareAsk, Compared] = Port(
    "compare_statement", Compared, timedelta(minutes=10), UNTIL_IT_WORKS, patience=timedelta(hours=1)
)

DESCRIBE_INSTRUMENT: Port[InstrumentQuestion, InstrumentsFound] = Port(
    "describe_instrument",
    InstrumentsFound,
    timedelta(seconds=5),
    RetryPolicy(maximum_attempts=2),
    patience=timedelta(seconds=7),
)
"""Somebody waits for the answer: a gateway that does not take the question in time is away."""
READ_ACCOUNT: Port[str, AccountRead] = Port(
    "read_account",
    AccountRead,
    timedelta(seconds=10),
    RetryPolicy(maximum_attempts=2),
    priority=2,
    patience=timedelta(seconds=6),
)
"""The argument is the broker's name of the account. Nobody there to take the question in time: the account is away."""

BRING: Port[Planning, Aimed] = Port("bring", Aimed, _DESK_CALL, UNTIL_IT_WORKS, heartbeat=_DESK_SILENCE)
END_ORDERS: Port[Ending, Ended] = Port(
    "end_orders", Ended, timedelta(seconds=90), UNTIL_IT_WORKS, priority=1, heartbeat=_DESK_SILENCE
)
KEEP_BATCH: LocalPort[TargetBatch, TargetBatch] = LocalPort("keep_batch", TargetBatch)
BATCH_IS_KEPT: Port[str, bool] = Port(
    "batch_is_kept", bool, timedelta(seconds=10), UNTIL_IT_WORKS, patience=timedelta(seconds=6)
)
"""The argument is the batch's id: it may be kept although whoever kept it was not heard any more."""
AIM_ROWS: Port[Rows, RowsAimed] = Port(
    "aim_rows", RowsAimed, timedelta(minutes=15), UNTIL_IT_WORKS, heartbeat=_DESK_SILENCE
)
"""Rows wait for targets, and targets for orders: each on a queue of its own."""
SCOPE_FLATTEN: Port[FlattenAsk, FlattenScope] = Port(
    "scope_flatten", FlattenScope, timedelta(seconds=20), UNTIL_IT_WORKS
)
LIST_POSITIONS: Port[FlattenRead, FlattenPositions] = Port(
    "list_positions", FlattenPositions, timedelta(seconds=20), UNTIL_IT_WORKS
)
AIM_POSITION: Port[FlattenLeg, FlattenedLeg] = Port(
    "aim_position", FlattenedLeg, timedelta(minutes=15), UNTIL_IT_WORKS, heartbeat=_DESK_SILENCE
)

VERIFY_COMMAND: Port[Judging, Verified] = Port(
    "verify_command", Verified, timedelta(seconds=10), UNTIL_IT_WORKS
)
"""Whether a signed command is what somebody who knows a secret asked for. The secrets are the worker's alone."""
PLAN_ENTRY: Port[EntryAsk, EntryPlan] = Port(
    "plan_entry", EntryPlan, _DESK_CALL, UNTIL_IT_WORKS, heartbeat=_DESK_SILENCE
)
"""Its answer stands in the history before an order of the entry is opened, so that an entry is worked out once."""
OPEN_ENTRY: Port[EntryOpening, EntryOpened] = Port(
    "open_entry", EntryOpened, timedelta(minutes=3), UNTIL_IT_WORKS, heartbeat=_DESK_SILENCE
)
LOOK_AT_ENTRY: Port[EntryLook, EntrySeen] = Port(
    "look_at_entry", EntrySeen, _DESK_CALL, UNTIL_IT_WORKS, heartbeat=_DESK_SILENCE
)
SETTLE_COMMAND: Port[Settling, CommandOutcome] = Port(
    "settle_command", CommandOutcome, timedelta(seconds=20), UNTIL_IT_WORKS
)

LOCAL_PORTS: Mapping[str, LocalPort[Any, Any]] = {
    port.name: port
    for port in (
        RECORD,
        EVALUATE_PRE_TRADE,
        EVALUATE_POST_TRADE,
        SETTLEMENT_DATE,
        KEEP_BATCH,
    )
}
PORTS: Mapping[str, Port[Any, Any]] = {
    port.name: port
    for port in (
        RECORD_COMMANDS,
        PLACE,
        CANCEL,
        MODIFY,
        ASK,
        RESYNC,
        INSTRUCT_CUSTODIAN,
        ASK_CUSTODIAN,
        INSTRUCT_ORDER,
        READ_ORDER,
        OPEN_ORDER,
        WATCH_LIMITS,
        CHECK_INVARIANTS,
        FETCH_STATEMENT,
        COMPARE_STATEMENT,
        DESCRIBE_INSTRUMENT,
        READ_ACCOUNT,
        VERIFY_COMMAND,
        PLAN_ENTRY,
        OPEN_ENTRY,
        LOOK_AT_ENTRY,
        SETTLE_COMMAND,
        BRING,
        END_ORDERS,
        BATCH_IS_KEPT,
        AIM_ROWS,
        SCOPE_FLATTEN,
        LIST_POSITIONS,
        AIM_POSITION,
    )
}
