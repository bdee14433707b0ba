"""One description of each operation, and what the two kinds of client make of it.

An operation is a method that says what a call carries; its decorator names the request and reads the answer.
On a room that blocks it is a plain call, on a room that awaits it is a coroutine: of one signature, written once.
"""

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload
from urllib.parse import quote

from durable_oms.awaiting import AsyncEventStream, Awaiting
from durable_oms.blocking import Blocking, EventStream
from durable_oms.models import Page
from durable_oms.requests import Content, Request

P = ParamSpec("P")
T = TypeVar("T")
Says = Callable[Concatenate[Any, P], Content]


class BlockingRoom:
    """A group of operations that are called."""

    def __init__(self, transport: Blocking) -> None:
        self.transport = transport


class AwaitingRoom:
    """A group of operations that are awaited."""

    def __init__(self, transport: Awaiting) -> None:
        self.transport = transport


class _Described(Generic[P, T]):
    """A request and how its answer is read. `at`: the method and the path, as in the OpenAPI document."""

    def __init__(self, at: str, read: Callable[[Any], T], says: Says[P]) -> None:
        self.method, self.path = at.split(" ")
        self.read = read
        self.says = says
        self._signature = inspect.signature(says)
        self.__doc__ = says.__doc__
        self.__name__ = says.__name__

    @property
    def parameters(self) -> tuple[inspect.Parameter, ...]:
        """What the call takes."""
        return tuple(self._signature.parameters.values())[1:]

    def request(self, *args: P.args, **kwargs: P.kwargs) -> Request[T]:
        """The call as a value. Raises TypeError, ValueError for arguments that no request can carry."""
        content = self.says(None, *args, **kwargs)
        names = self._signature.bind(None, *args, **kwargs).arguments
        path = self.path.format_map({name: _Part(name, value) for name, value in names.items()})
        return Request(self.method, path, self.read, content)

    def bound(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call` with the operation's name, parameters and docstring."""
        functools.update_wrapper(call, self.says)
        call.__signature__ = inspect.Signature(self.parameters)  # type: ignore[attr-defined]  # a function takes one, its type does not say so
        return call


class _Part:
    """A part of a path: quoted, and never empty nor a way to another path."""

    def __init__(self, name: str, value: Any) -> None:
        self._name = name
        self._value = str(value)

    def __format__(self, _how: str) -> str:
        if self._value in ("", ".", ".."):
            raise ValueError(f"{self._name} is {self._value!r}, which names nothing")
        return quote(self._value, safe="")


class Operation(_Described[P, T]):
    """A call with one answer."""

    @overload
    def __get__(self, room: None, owner: type) -> Self: ...
    @overload
    def __get__(self, room: BlockingRoom, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, room: AwaitingRoom, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, room: BlockingRoom | AwaitingRoom | None, owner: type) -> Any:
        if room is None:
            return self
        return self.bound(lambda *args, **kwargs: room.transport.answer(self.request(*args, **kwargs)))


class Every(_Described[P, Page[T]], Generic[P, T]):
    """The items of all pages of a list, each page fetched when it is needed; `limit` is the size of a page."""

    def __init__(self, of: Operation[P, Page[T]]) -> None:
        super().__init__(f"{of.method} {of.path}", of.read, of.says)

    @overload
    def __get__(self, room: None, owner: type) -> Self: ...
    @overload
    def __get__(self, room: BlockingRoom, owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, room: AwaitingRoom, owner: type) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, room: BlockingRoom | AwaitingRoom | None, owner: type) -> Any:
        if room is None:
            return self
        return self.bound(lambda *args, **kwargs: room.transport.every(self.request(*args, **kwargs)))


class Stream(_Described[P, T]):
    """Events without end. The argument `after` is the position to go on behind."""

    @overload
    def __get__(self, room: None, owner: type) -> Self: ...
    @overload
    def __get__(self, room: BlockingRoom, owner: type) -> Callable[P, EventStream[T]]: ...
    @overload
    def __get__(self, room: AwaitingRoom, owner: type) -> Callable[P, AsyncEventStream[T]]: ...
    def __get__(self, room: BlockingRoom | AwaitingRoom | None, owner: type) -> Any:
        if room is None:
            return self
        return self.bound(lambda *args, **kwargs: room.transport.follow(self.request(*args, **kwargs)))


def operation(at: str, read: Callable[[Any], T]) -> Callable[[Says[P]], Operation[P, T]]:
    """Make an operation of the method that says what it carries."""
    return lambda says: Operation(at, read, says)


def stream(at: str, read: Callable[[Any], T]) -> Callable[[Says[P]], Stream[P, T]]:
    """Make a stream of the method that says what it carries."""
    return lambda says: Stream(at, read, says)
