"""Pages: the parameters every list takes, and pages of a list that is in hand."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query
from starlette.responses import Response

from oms.api.views import ListView, View, answer
from oms.store import BadCursor, Page
from oms.store.page import sealed, unsealed

Item = TypeVar("Item")
Shown = TypeVar("Shown", bound=View)
_MARK = "at:"


@dataclass(frozen=True)
class Window:
    """Which part of a list is asked for."""

    limit: int
    offset: int
    cursor: str | None


def _window(
    limit: Annotated[int, Query(ge=1, le=500, description="Items on a page.")] = 100,
    offset: Annotated[int, Query(ge=0, le=2**31, description="Items to leave out first.")] = 0,
    cursor: Annotated[
        str | None, Query(max_length=1000, description="`next_cursor` of the page before; opaque.")
    ] = None,
) -> Window:
    return Window(limit, offset, cursor)


Paging = Annotated[Window, Depends(_window)]


def page_answer(page: Page[Item], show: Callable[[Item], Shown]) -> Response:
    """A page of the store."""
    return answer(
        ListView[Any].model_construct(items=[show(i) for i in page.items], next_cursor=page.next_cursor)
    )


def window_answer(items: Sequence[Item], window: Window, show: Callable[[Item], Shown]) -> Response:
    """A page of a list in hand, in its own order. Raises BadCursor."""
    start = window.offset + (_read(window.cursor) if window.cursor is not None else 0)
    end = start + window.limit
    cursor = _write(end) if end < len(items) else None
    shown: Iterable[Shown] = (show(item) for item in items[start:end])
    return answer(ListView[Any].model_construct(items=list(shown), next_cursor=cursor))


def _write(index: int) -> str:
    return sealed(f"{_MARK}{index}".encode())


def _read(cursor: str) -> int:
    text = unsealed(cursor).decode("ascii", "replace")
    index = text.removeprefix(_MARK)
    if text == index or not index.isdigit() or len(index) > 9:
        raise BadCursor("The cursor is not one of this list's.")
    return int(index)
