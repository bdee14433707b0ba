"""The base of every answer."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar, overload

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")
Figure = Annotated[Decimal | str, Field(union_mode="left_to_right")]
"""A number of a rule; text where an external plugin has put text."""


class Record(BaseModel):
    """What the order book answered: frozen, numbers as Decimals. Fields that a newer order book adds are left out,
    and words are plain text, so that a new one breaks nothing."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Page(Sequence[T], Generic[T]):
    """A page of a list. `next_cursor` is the way to the next one, None on the last."""

    def __init__(self, items: Sequence[T], next_cursor: str | None = None) -> None:
        self.items = tuple(items)
        self.next_cursor = next_cursor

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return f"Page({list(self.items)!r}, next_cursor={self.next_cursor!r})"


def page(read: Callable[[Any], T]) -> Callable[[Any], Page[T]]:
    """How to read a page of what `read` reads."""
    return lambda answer: Page([read(item) for item in answer["items"]], answer.get("next_cursor"))


def listed(name: str, read: Callable[[Any], T]) -> Callable[[Any], list[T]]:
    """How to read the list under `name`."""
    return lambda answer: [read(item) for item in answer[name]]


def named(name: str) -> Callable[[Any], str]:
    """How to read the one id that an answer is about."""
    return lambda answer: str(answer[name])
