"""Breaks: what another book says differently from ours, and a person's word that ends one."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query
from starlette.responses import Response

from oms.api.asking import Ask, Asking, Context, Who
from oms.api.bodies import ReasonBody
from oms.api.paging import Paging, Window
from oms.api.problems import refusals
from oms.api.routers.shared import book_router
from oms.api.sight import Sight, broker_name
from oms.api.views import ListView, View, answer
from oms.domain.apply import instant
from oms.domain.breaks import Break, BreakCategory, BreakStatus
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import Name
from oms.domain.terms import Role
from oms.store import BadCursor, Store
from oms.store.page import sealed, unsealed

router = book_router("/v1/breaks", "breaks")
BreakId = Annotated[Name, Path(description="`BRK-` and a UUID.")]
_MARK = "break:"


class BreakView(View):
    """A difference between two books. `ours` and `theirs` are decimal text, empty where a book has nothing of it.

    `subject` names what differs: an instrument, an execution, a currency. `seen_at`: when it was last found.
    """

    break_id: str
    category: BreakCategory
    source: str
    account: str
    subject: str
    instrument_id: str | None
    ours: str
    theirs: str
    detail: str
    status: BreakStatus
    owner: Role
    opened_at: datetime
    seen_at: datetime
    closed_at: datetime | None
    closed_by: str | None
    reason: str | None

    @classmethod
    def of(cls, found: Break) -> "BreakView":
        return cls(
            **found.model_dump(include=set(cls.model_fields)),
            opened_at=instant(found.opened_ns),
            seen_at=instant(found.seen_ns),
            closed_at=None if found.closed_ns is None else instant(found.closed_ns),
        )


@router.get("", operation_id="ListBreaks", response_model=ListView[BreakView], responses=refusals())
def list_breaks(
    context: Context,
    caller: Who,
    window: Paging,
    status: Annotated[BreakStatus | None, Query()] = None,
    account: Annotated[Name | None, Query(description="Ours, or the broker's name of it.")] = None,
    category: Annotated[BreakCategory | None, Query()] = None,
) -> Response:
    """Breaks of the accounts that only portfolios in the key's reach trade, newest first."""
    store, sight = context.store, Sight(context.store, caller.reach)
    wanted = broker_name(store, account)

    def read(limit: int, before: str | None) -> list[Break]:
        return [
            found
            for one in _accounts(sight, wanted)
            for found in store.breaks.list(status, one, category, limit, before)
        ]

    return _page(read, window)


def _accounts(sight: Sight, wanted: str | None) -> Sequence[str | None]:
    """The accounts to ask for one by one; None is all of them at once."""
    if wanted is not None:
        return [wanted] if sight.has_whole(wanted) else []
    return [None] if sight.whole is None else sight.whole


def _page(read: Callable[[int, str | None], list[Break]], window: Window) -> Response:
    """A page of what `read` answers for (so many, older than this id); ids sort by time."""
    end = window.offset + window.limit
    before = None if window.cursor is None else _break_of(window.cursor)
    found = sorted(read(end + 1, before), key=lambda one: one.break_id, reverse=True)
    shown = found[window.offset : end]
    cursor = sealed(f"{_MARK}{shown[-1].break_id}".encode()) if shown and len(found) > end else None
    return answer(
        ListView[Any].model_construct(items=[BreakView.of(one) for one in shown], next_cursor=cursor)
    )


def _break_of(cursor: str) -> str:
    text = unsealed(cursor).decode("ascii", "replace")
    if not text.startswith(_MARK):
        raise BadCursor("The cursor is not one of this list's.")
    return text.removeprefix(_MARK)


@router.get(
    "/{break_id}",
    operation_id="GetBreak",
    response_model=BreakView,
    responses=refusals(Code.BREAK_NOT_FOUND),
)
def get_break(context: Context, caller: Who, break_id: BreakId) -> Response:
    """One break."""
    return answer(BreakView.of(_seen(context.store, Sight(context.store, caller.reach), break_id)))


@router.post(
    "/{break_id}/resolve",
    operation_id="ResolveBreak",
    response_model=BreakView,
    responses=refusals(Code.BREAK_NOT_FOUND, Code.INVALID_STATE, Code.IDEMPOTENCY_CONFLICT),
)
def resolve_break(context: Context, asking: Ask, break_id: BreakId, body: ReasonBody) -> Response:
    """End an open break by a person's word. No position and no order changes. For ops.

    The same difference does not open it again; a different one does.
    """
    store, caller = context.store, asking.caller
    caller.needs("Resolving a break", Role.OPS)
    found = _seen(store, Sight(store, caller.reach), break_id)
    if not _was_this_request(found, asking):
        found = store.breaks.resolve(break_id, caller.name, body.reason, time.time_ns())
    return answer(BreakView.of(found))


def _seen(store: Store, sight: Sight, break_id: str) -> Break:
    """The break. Blocks. Raises Refused: BREAK_NOT_FOUND, also for one of an account out of sight."""
    found = store.breaks.get(break_id)
    if found is None or not sight.has_whole(found.account):
        raise Refused(Code.BREAK_NOT_FOUND, f"There is no break {break_id!r}.", break_id=break_id)
    return found


def _was_this_request(found: Break, asking: Asking) -> bool:
    """Whether this very request resolved it, where the process died before it could answer."""
    by_caller = (found.status, found.closed_by) == (BreakStatus.RESOLVED, asking.caller.name)
    return by_caller and found.closed_ns is not None and found.closed_ns >= asking.ts_event_ns
