"""What the paper IB Gateway is told to do wrong: a plan, as data, seeded and reproducible.

A plan is written in Python or in JSON (`FaultPlan.from_json`, `FaultPlan.load`; `to_json` writes it back):

    {"seed": 7,
     "rates": {"lost_before_read": 0.15, "executed_replies_lost": 0.15},
     "cancel_rates": {"delayed": 0.1},
     "rules": [{"on": "place", "nth": 3, "kind": "hold_replies", "seconds": 2},
               {"on": "modify", "order_ref": "PLC-1", "kind": "error_instead", "code": 201},
               {"on": "positions", "kind": "unanswered", "times": 0}],
     "events": [{"do": "restart", "after_placements": 10, "seconds": 0.5}]}

**rates** hit any request by chance, **rules** hit the requests they describe, **events** (`fault_events`)
happen to the whole gateway. What hits the n-th request of a kind depends on the seed, the kind and n only, so the
same plan and the same sequence of requests give the same faults; events by `after_seconds` are as exact as the clock.
`PaperIBGateway.committed` is the list of what was committed, in order: what a failing run has to tell.

In the same process: `gateway.fail_next("modify", "error_instead", code=201)` adds a rule, `gateway.use_plan(plan)`
replaces the plan, `gateway.release(order_ref)` lets go what the HOLD kinds hold (`gateway.held` lists it), and
`fall_silent`, `restart`, `client_id_in_use`, `leave_unanswered`, `notice`, `order_error`, `enter_by_hand`,
`enter_as_other_client`, `change_by_hand`, `cancel_by_hand`, `correct_execution`, `cut_request` are the events as calls.

Beside Python there is one way to change the plan of a gateway that runs: the file of OMS_PAPER_FAULTS (`fault_file`).
"""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass

from oms.paper.fault_events import Event, Operation

ORDER_OPERATIONS = frozenset({Operation.PLACE, Operation.MODIFY, Operation.CANCEL})
LIST_OPERATIONS = frozenset(Operation) - ORDER_OPERATIONS


class PlanUnreadable(ValueError):
    """A fault plan that is not one; the message names the place in it and what is allowed there."""


class FaultKind(StrEnum):
    """What happens to one request. Those from DUPLICATE_STATUS to INFORMATION_10349 last for the order's life.

    LOST_BEFORE_READ: the connection breaks and the message was never read.
    EXECUTED_REPLIES_LOST: the order is taken and matched, the connection breaks, no reply arrives.
    ACCEPTED_INVISIBLE: as before, and for a while no list shows the order or its executions; its id
        counts as used (103).
    UNSEEN: the order is taken and matched, the connection stays; nothing is said about it, and for a while no list
        shows it or its executions; its id counts as used (103).
    CUT_REPLIES: the message is handled, and the connection breaks inside the frame of a reply: half of the bytes
        arrive.
    DELAYED: the message is read late; the connection stays and later messages pass it.
    HOLD_BEFORE_READ: as delayed, until it is released or its seconds are over; it is read even if the client has gone.
    HOLD_REPLIES: the message is handled, and nothing is said about the order until it is released or its seconds are
        over, to a client that has come back neither; lists show it.
    ERROR_INSTEAD: an error is the answer and nothing else happens: a modify refused with 201 on a live order, a cancel
        of an order said to be unknown (10147).
    ERROR_BEFORE: an error precedes the usual replies and changes nothing about the order.
    ERROR_AFTER: an error follows the usual replies and changes nothing about the order.
    REJECTED: status Inactive, then error 201.
    ERROR_ALONE: rejected, and error 201 is all that is said; completed orders show it as Inactive.
    INACTIVE_ALONE: rejected, and status Inactive is all that is said.
    HELD_FOR_LOCATE: Inactive with why_held locate; it does not work, and comes alive after its seconds (or when it is
        modified).
    SECOND_PERM_ID: a modify changes nothing; a second live order with a permId of its own stands under the same order
        id, and either may fill; a later modify or cancel reaches the second as long as it lives.
    DUPLICATE_STATUS: every orderStatus about the order is sent twice.
    MISSING_STATUS: no orderStatus about the order is sent while the connection lasts.
    REORDERED_STATUS: an orderStatus that is out of date follows each newer one.
    COMMISSION_FIRST: each commissionReport precedes its execDetails.
    COMMISSION_MISSING: no commissionReport is sent until executions are asked for.
    EXECUTION_MISSING: neither execDetails nor commissionReport is sent until executions are asked for.
    EXECUTION_FIRST: nothing is said of the order before its first execDetails.
    CORRECTED: its first execution is corrected one tick for the worse, some executions of any order later.
    BUSTED: its first execution is busted, some executions of any order later.
    INFORMATION_399: after the usual replies, and after the execution that completes it, comes warning 399, which
        changes nothing about the order.
    INFORMATION_2109: the same with 2109.
    INFORMATION_10349: the same with 10349.
    UNANSWERED: a list is never answered.
    PARTIAL_LIST: half of a list is sent, then the connection breaks.
    """

    LOST_BEFORE_READ = "lost_before_read"
    EXECUTED_REPLIES_LOST = "executed_replies_lost"
    ACCEPTED_INVISIBLE = "accepted_invisible"
    UNSEEN = "unseen"
    CUT_REPLIES = "cut_replies"
    DELAYED = "delayed"
    HOLD_BEFORE_READ = "hold_before_read"
    HOLD_REPLIES = "hold_replies"
    ERROR_INSTEAD = "error_instead"
    ERROR_BEFORE = "error_before"
    ERROR_AFTER = "error_after"
    REJECTED = "rejected"
    ERROR_ALONE = "error_alone"
    INACTIVE_ALONE = "inactive_alone"
    HELD_FOR_LOCATE = "held_for_locate"
    SECOND_PERM_ID = "second_perm_id"
    DUPLICATE_STATUS = "duplicate_status"
    MISSING_STATUS = "missing_status"
    REORDERED_STATUS = "reordered_status"
    COMMISSION_FIRST = "commission_first"
    COMMISSION_MISSING = "commission_missing"
    EXECUTION_MISSING = "execution_missing"
    EXECUTION_FIRST = "execution_first"
    CORRECTED = "corrected"
    BUSTED = "busted"
    INFORMATION_399 = "information_399"
    INFORMATION_2109 = "information_2109"
    INFORMATION_10349 = "information_10349"
    UNANSWERED = "unanswered"
    PARTIAL_LIST = "partial_list"


_K = FaultKind
INFORMATION: Mapping[FaultKind, int] = {
    _K.INFORMATION_399: 399,
    _K.INFORMATION_2109: 2109,
    _K.INFORMATION_10349: 10349,
}
HABITS = frozenset(
    {
        _K.DUPLICATE_STATUS,
        _K.MISSING_STATUS,
        _K.REORDERED_STATUS,
        _K.COMMISSION_FIRST,
        _K.COMMISSION_MISSING,
        _K.EXECUTION_MISSING,
        _K.EXECUTION_FIRST,
        *INFORMATION,
    }
)
"""Kinds that stay with an order for the rest of its life."""
REJECTIONS = frozenset({_K.REJECTED, _K.ERROR_ALONE, _K.INACTIVE_ALONE})
_NEW_ORDERS = (
    frozenset({_K.ACCEPTED_INVISIBLE, _K.UNSEEN, _K.HELD_FOR_LOCATE, _K.CORRECTED, _K.BUSTED}) | REJECTIONS
)
_LISTS = frozenset({_K.UNANSWERED, _K.PARTIAL_LIST})
_ANYTHING = frozenset({_K.LOST_BEFORE_READ, _K.CUT_REPLIES, _K.DELAYED, _K.ERROR_INSTEAD})


def hits(kind: FaultKind) -> frozenset[Operation]:
    """The requests a kind can happen to."""
    if kind in _ANYTHING:
        return frozenset(Operation)
    if kind in _LISTS:
        return LIST_OPERATIONS
    if kind in _NEW_ORDERS:
        return frozenset({Operation.PLACE})
    if kind is FaultKind.SECOND_PERM_ID:
        return frozenset({Operation.MODIFY})
    return ORDER_OPERATIONS


_RATED = {
    "rates": frozenset({Operation.PLACE}),
    "modify_rates": frozenset({Operation.MODIFY}),
    "cancel_rates": frozenset({Operation.CANCEL}),
    "list_rates": LIST_OPERATIONS,
}


def _refuse_impossible(kind: FaultKind, operations: frozenset[Operation]) -> None:
    if not operations <= hits(kind):
        can = ", ".join(sorted(hits(kind)))
        raise ValueError(f"{kind} cannot happen to {', '.join(sorted(operations))}; it can to {can}")


Seconds = Annotated[float, Field(ge=0, le=86_400)]
Rate = Annotated[float, Field(ge=0, le=1)]


class Fault(BaseModel):
    """One fault, with what it needs; what is left out comes from the plan.

    seconds: how long DELAYED, HOLD_BEFORE_READ, HOLD_REPLIES, HELD_FOR_LOCATE, ACCEPTED_INVISIBLE and UNSEEN last;
    None on a hold: until it is released. code, text: of the ERROR kinds. after: executions between CORRECTED or BUSTED and the
    execution they hit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: FaultKind
    seconds: Seconds | None = None
    code: int | None = None
    text: str = ""
    after: int | None = Field(None, ge=0)


class Rule(Fault):
    """A fault for the requests it describes: the nth and the following of those that match.

    on: which request (place: a placeOrder under an id that is not live; modify: under one that is).
    order_ref, symbol: of the order, empty fits all. nth: the first one hit, counted from 1 among those that match
    since the plan was taken up. times: how many in a row are hit; 0: all from there.
    """

    on: Operation = Operation.PLACE
    order_ref: str = ""
    symbol: str = ""
    nth: int = Field(1, ge=1)
    times: int = Field(1, ge=0)

    @model_validator(mode="after")
    def _can_be_hit(self) -> Self:
        _refuse_impossible(self.kind, frozenset({self.on}))
        return self


@dataclass(config=ConfigDict(extra="forbid", validate_assignment=True))
class FaultPlan:
    """Which requests go wrong, and how. A rule precedes chance; `by_order_ref` and `queued` precede rules.

    rates: probability of each kind per placeOrder of a new order; modify_rates, cancel_rates, list_rates: per
    placeOrder of a live order, cancelOrder, request for a list. What they leave over goes well.
    queued: kinds for the next placeOrder messages, used up before anything is drawn.
    by_order_ref: kind for the next placeOrder with that orderRef.
    delay: seconds for DELAYED; hold: for the HOLD kinds (None: until released); locate: for HELD_FOR_LOCATE;
    invisible: shortest and longest for ACCEPTED_INVISIBLE and UNSEEN. correction_after: executions of any order before CORRECTED
    and BUSTED come. codes: what the ERROR kinds draw from; empty: 201, and 10147 for a cancel, 200 for a list.
    name: for people and for the journal of a fault file; it changes nothing.

    Raises pydantic's ValidationError (a ValueError) for what cannot be.
    """

    rates: dict[FaultKind, Rate] = field(default_factory=dict)
    seed: int = 1
    queued: list[FaultKind] = field(default_factory=list)
    by_order_ref: dict[str, FaultKind] = field(default_factory=dict)
    delay: Seconds = 0.1
    invisible: tuple[Seconds, Seconds] = (0.03, 0.2)
    modify_rates: dict[FaultKind, Rate] = field(default_factory=dict)
    cancel_rates: dict[FaultKind, Rate] = field(default_factory=dict)
    list_rates: dict[FaultKind, Rate] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    hold: Seconds | None = None
    locate: Seconds = 0.2
    correction_after: int = Field(default=1, ge=0)
    codes: list[int] = field(default_factory=list)
    name: str = ""

    @field_validator("rates", "modify_rates", "cancel_rates", "list_rates")
    @classmethod
    def _adds_up(cls, rates: dict[FaultKind, float], told: ValidationInfo) -> dict[FaultKind, float]:
        if sum(rates.values()) > 1 + 1e-9:
            raise ValueError("the fault rates add up to more than 1")
        for kind in rates:
            _refuse_impossible(kind, _RATED[told.field_name or "rates"])
        return rates

    def rates_of(self, operation: Operation) -> dict[FaultKind, float]:
        """The rates that hold for a request."""
        own = {
            Operation.PLACE: self.rates,
            Operation.MODIFY: self.modify_rates,
            Operation.CANCEL: self.cancel_rates,
        }
        return own.get(operation, self.list_rates)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The plan a JSON text holds. Raises PlanUnreadable."""
        try:
            plan = _PLANS.validate_json(text)
        except ValidationError as problem:
            raise PlanUnreadable(_places(problem)) from problem
        assert isinstance(plan, cls)  # noqa: S101 - there are no other plans
        return plan

    @classmethod
    def load(cls, path: Path) -> Self:
        """The plan in a file. Raises PlanUnreadable, OSError."""
        try:
            return cls.from_json(path.read_bytes())
        except PlanUnreadable as problem:
            raise PlanUnreadable(f"the fault plan {path} cannot be read: {problem}") from problem

    def to_json(self) -> str:
        """JSON text that gives this plan back; what stands at its default is left out."""
        return _PLANS.dump_json(self, exclude_defaults=True, indent=1).decode()


_PLANS = TypeAdapter(FaultPlan)


def _places(problem: ValidationError) -> str:
    found = problem.errors(include_url=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg']}" for each in found)
