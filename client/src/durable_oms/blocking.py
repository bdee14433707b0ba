"""Sending in the caller's thread."""

import time
import uuid
from collections.abc import Generator, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

import httpx

from durable_oms.events import Following
from durable_oms.models import Page
from durable_oms.requests import Request
from durable_oms.retries import LOST, Attempts, Lost, Service

T = TypeVar("T")


class EventStream(Iterator[T], Generic[T]):
    """Events as they happen, over any number of connections; ends when it is closed, by `close` or by `with`.

    `with` connects, and "from now on" is from there; without it, from the first event that is asked for. Both raise
    OMSError when the order book refuses, or was away for longer than the patience of `Retries`.
    """

    def __init__(self, http: httpx.Client, service: Service, following: Following[T]) -> None:
        self._http = http
        self._service = service
        self._following = following
        self._events = self._connected()

    @property
    def position(self) -> int | None:
        """The position of the last event; `after=position` goes on from there, in another process too."""
        return self._following.position

    def close(self) -> None:
        """Close the connection, if there is one."""
        self._events.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        while (event := next(self._events)) is None:
            pass
        return event

    def __enter__(self) -> Self:
        next(self._events)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connected(self) -> Generator[T | None, None, None]:
        """The events, after one None when the first connection stands."""
        following, service, begun = self._following, self._service, False
        request = following.request
        while True:
            outcome: httpx.Response | Lost | None = None
            try:
                with self._http.stream(
                    request.method,
                    service.url(request.path),
                    params=dict(request.content.query),
                    headers=service.headers(following.connecting(), following.request_id),
                    timeout=service.stream_timeout,
                ) as answer:
                    if following.begins(answer):
                        if not begun:
                            begun = True
                            yield None
                        for chunk in answer.iter_bytes():
                            yield from following.heard(chunk, answer)
                    else:
                        answer.read()
                        outcome = answer
            except LOST as lost:
                outcome = lost
            time.sleep(following.pause_after(outcome))


class Blocking:
    """Sends each request, again where that is safe and helps, and gives its result."""

    def __init__(self, http: httpx.Client, service: Service) -> None:
        self._http = http
        self._service = service

    def answer(self, request: Request[T]) -> T:
        """The result of `request`. Raises OMSError."""
        request_id = uuid.uuid4().hex
        attempts = Attempts(request, self._service.retries, request_id)
        while True:
            outcome = self._send(request, request_id)
            pause = attempts.pause_after(outcome)
            if pause is None and isinstance(outcome, httpx.Response):
                return attempts.result(outcome)
            time.sleep(pause or 0)

    def every(self, request: Request[Page[T]]) -> Iterator[T]:
        """The items of all pages."""
        page = self.answer(request)
        yield from page
        while page.next_cursor is not None:
            page = self.answer(request.with_query(cursor=page.next_cursor, offset=None))
            yield from page

    def follow(self, request: Request[T]) -> EventStream[T]:
        """The events of `request`, behind the position it names or from now on."""
        following = Following(request, self._service.retries)
        return EventStream(self._http, self._service, following)

    def _send(self, request: Request[T], request_id: str) -> httpx.Response | Lost:
        content = request.content
        try:
            return self._http.request(
                request.method,
                self._service.url(request.path),
                params=dict(content.query),
                content=content.body,
                headers=self._service.headers(content.headers, request_id),
            )
        except LOST as lost:
            return lost
