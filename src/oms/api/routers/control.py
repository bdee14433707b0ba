"""Halt and resume, by firm, portfolio, account and venue."""

from datetime import UTC, datetime
from typing import Annotated

import anyio
from fastapi import Body
from pydantic import Field
from starlette.responses import Response

from oms.api.access import EVERYTHING, Caller, Reach
from oms.api.asking import Ask, Asking, Book, Context, Who
from oms.api.new_order import broker_account
from oms.api.paging import Paging, window_answer
from oms.api.problems import refusals
from oms.api.routers.shared import book_router
from oms.api.views import ListView, View, answer
from oms.domain.commands import Reason
from oms.domain.errors import Code, Refused
from oms.domain.halts import HALTERS, RESUMERS, Halt, HaltScope, check_subject, not_halted
from oms.domain.identifiers import BATCH, Name
from oms.domain.model import Model
from oms.domain.terms import Venue
from oms.store import Store

router = book_router("/v1", "control")
_EXAMPLE = {"scope": "portfolio", "subject": "PORT-001", "reason": "prices look wrong"}
_UNKNOWN = (Code.INVALID_PORTFOLIO, Code.INVALID_ACCOUNT, Code.INVALID_VENUE, Code.IDEMPOTENCY_CONFLICT)
Subject = Annotated[
    Name | None,
    Field(
        description="The portfolio, the account (ours or the broker's name) or the venue; absent for the firm."
    ),
]


class HaltBody(Model):
    """What to halt, and why. `cancel_all` also cancels every placement that works within the halt."""

    scope: HaltScope
    subject: Subject = None
    reason: Reason
    cancel_all: bool = False


class ResumeBody(Model):
    """What to let trade again, and why. It is named as it was when it was halted."""

    scope: HaltScope
    subject: Subject = None
    reason: Reason


class HaltView(View):
    """A halt; `subject` is empty for the firm."""

    scope: HaltScope
    subject: str
    reason: str
    by: str
    since: datetime

    @classmethod
    def of(cls, halt: Halt) -> "HaltView":
        return cls.model_construct(**dict(halt))


class HaltedView(HaltView):
    """`batch_id`: the batch that cancels what works, where `cancel_all` was asked for."""

    batch_id: str | None


@router.post("/halt", operation_id="Halt", response_model=HaltedView, responses=refusals(*_UNKNOWN))
async def halt(
    context: Context, book: Book, asking: Ask, body: Annotated[HaltBody, Body(examples=[_EXAMPLE])]
) -> Response:
    """Stop new orders, changes and placements; cancels stay open. For admin, compliance and ops.

    What is halted already stays as it is: the answer is the halt that stands, with its own who, when and why.
    `cancel_all` begins once the halt stands and goes on by itself. Where the answer is 503 the halt may stand and
    the cancels may not have begun: ask again.
    """
    standing = await anyio.to_thread.run_sync(_set, context.store, asking.caller, body)
    batch_id = None
    if body.cancel_all:
        batch_id = await book.cancel_all(
            standing,
            asking.caller.actor,
            batch_id=asking.mint(BATCH),
            ts_event_ns=asking.ts_event_ns,
            correlation_id=asking.request_id,
        )
    return answer(HaltedView.model_construct(**dict(standing), batch_id=batch_id))


def _set(store: Store, caller: Caller, body: HaltBody) -> Halt:
    """The halt that stands after this. Blocks."""
    caller.needs("Halting trading", *HALTERS)
    subject = _subject(store, caller, body)
    wanted = Halt(
        scope=body.scope, subject=subject, reason=body.reason, by=caller.name, since=datetime.now(UTC)
    )
    return store.halts.set(wanted)


@router.post(
    "/resume",
    operation_id="Resume",
    response_model=HaltView,
    responses=refusals(*_UNKNOWN, Code.INVALID_STATE),
)
def resume(context: Context, asking: Ask, body: Annotated[ResumeBody, Body(examples=[_EXAMPLE])]) -> Response:
    """Lift one halt; answers the halt that ended. A wider halt still holds. For admin and compliance.

    409 INVALID_STATE where no such halt stands; the answer names those that do.
    """
    caller = asking.caller
    caller.needs("Resuming trading", *RESUMERS)
    store, scope = context.store, body.scope
    subject = _subject(store, caller, body)
    ended = store.halts.lift(scope, subject, caller.name, body.reason) or _lifted_before(
        store, asking, scope, subject
    )
    if ended is None:
        raise not_halted(scope, subject, _seen(store, caller.reach))
    return answer(HaltView.of(ended))


@router.get("/halt", operation_id="ListHalts", response_model=ListView[HaltView], responses=refusals())
def list_halts(context: Context, caller: Who, window: Paging) -> Response:
    """What is halted now, the oldest first: the firm, venues, and the portfolios and accounts in the key's reach."""
    return window_answer(_seen(context.store, caller.reach), window, HaltView.of)


def _subject(store: Store, caller: Caller, body: HaltBody | ResumeBody) -> str:
    """The subject, known and within reach: a misspelt one would halt nothing, and nobody would notice.

    Raises Refused: VALIDATION_FAILED, NOT_AUTHORIZED, INVALID_PORTFOLIO, INVALID_ACCOUNT, INVALID_VENUE.
    """
    subject, reach = body.subject or "", caller.reach
    check_subject(body.scope, subject)
    match body.scope:
        case HaltScope.PORTFOLIO:
            if store.reference.portfolio(subject) is None or not reach.has_portfolio(subject):
                raise Refused(
                    Code.INVALID_PORTFOLIO, f"There is no portfolio {subject!r}.", portfolio_id=subject
                )
        case HaltScope.ACCOUNT:
            broker_account(store, subject, reach)
            if reach.accounts is None and reach.portfolios is not None:
                raise _out_of_reach(caller, body.scope)
        case HaltScope.VENUE if subject not in set(Venue):
            raise Refused(
                Code.INVALID_VENUE,
                f"{subject!r} is not a venue; there are {', '.join(Venue)}.",
                venue=subject,
                allowed=list(Venue),
            )
        case _ if reach != EVERYTHING:
            raise _out_of_reach(caller, body.scope)
    return subject


def _out_of_reach(caller: Caller, scope: HaltScope) -> Refused:
    return Refused(
        Code.NOT_AUTHORIZED,
        f"Key {caller.name!r} may not touch every order that a halt of the {scope} stops.",
        scope=scope,
    )


def _seen(store: Store, reach: Reach) -> list[Halt]:
    return [halt for halt in store.halts.all() if _is_seen(store, reach, halt)]


def _is_seen(store: Store, reach: Reach, halt: Halt) -> bool:
    match halt.scope:
        case HaltScope.PORTFOLIO:
            return reach.has_portfolio(halt.subject)
        case HaltScope.ACCOUNT if reach.accounts is not None:
            try:
                broker_account(store, halt.subject, reach)
            except Refused:
                return False
    return True


def _lifted_before(store: Store, asking: Asking, scope: HaltScope, subject: str) -> Halt | None:
    """The halt that this very request lifted, where the process died before it could answer."""
    last = store.halts.last_lift(scope, subject)
    if last is None or last.actor != asking.caller.name or last.ts_ns < asking.ts_event_ns:
        return None
    return Halt.model_validate(last.data)
