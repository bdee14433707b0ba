"""Sending from an event loop."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from types import TracebackType
from typing import Generic, Self, TypeVar

import httpx

from durable_oms.events import Following
from durable_oms.models import Page
from durable_oms.requests import Request
from durable_oms.retries import LOST, Attempts, Lost, Service

T = TypeVar("T")


class AsyncEventStream(AsyncIterator[T], Generic[T]):
    """Events as they happen, over any number of connections; ends when it is closed, by `aclose` or by `async with`.

    `async with` connects, and "from now on" is from there; without it, from the first event that is asked for. Both raise
    OMSError when the order book refuses, or was away for longer than the patience of `Retries`.
    """

    def __init__(self, http: httpx.AsyncClient, service: Service, following: Following[T]) -> None:
        self._http = http
        self._service = service
        self._following = following
        self._events = self._connected()

    @property
    def position(self) -> int | None:
        """The position of the last event; `after=position` goes on from there, in another process too."""
        return self._following.position

    async def aclose(self) -> None:
        """Close the connection, if there is one."""
        await self._events.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            while (event := await anext(self._events)) is None:
                pass
        except asyncio.CancelledError:
            self._events = self._connected()  # whoever gave up waiting may come back: the position stands
            raise
        return event

    async def __aenter__(self) -> Self:
        await anext(self._events)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _connected(self) -> AsyncGenerator[T | None, None]:
        """The events, after one None when the first connection stands."""
        following, service, begun = self._following, self._service, False
        request = following.request
        while True:
            outcome: httpx.Response | Lost | None = None
            try:
                async with self._http.stream(
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
                        async with aclosing(answer.aiter_bytes()) as chunks:  # type: ignore[type-var]  # httpx types the generator as an iterator
                            async for chunk in chunks:
                                for event in following.heard(chunk, answer):
                                    yield event
                    else:
                        await answer.aread()
                        outcome = answer
            except LOST as lost:
                outcome = lost
            await asyncio.sleep(following.pause_after(outcome))


class Awaiting:
    """Sends each request, again where that is safe and helps, and gives its result."""

    def __init__(self, http: httpx.AsyncClient, service: Service) -> None:
        self._http = http
        self._service = service

    async def answer(self, request: Request[T]) -> T:
        """The result of `request`. Raises OMSError."""
        request_id = uuid.uuid4().hex
        attempts = Attempts(request, self._service.retries, request_id)
        while True:
            outcome = await self._send(request, request_id)
            pause = attempts.pause_after(outcome)
            if pause is None and isinstance(outcome, httpx.Response):
                return attempts.result(outcome)
            await asyncio.sleep(pause or 0)

    async def every(self, request: Request[Page[T]]) -> AsyncIterator[T]:
        """The items of all pages."""
        page = await self.answer(request)
        for item in page:
            yield item
        while page.next_cursor is not None:
            page = await self.answer(request.with_query(cursor=page.next_cursor, offset=None))
            for item in page:
                yield item

    def follow(self, request: Request[T]) -> AsyncEventStream[T]:
        """The events of `request`, behind the position it names or from now on."""
        following = Following(request, self._service.retries)
        return AsyncEventStream(self._http, self._service, following)

    async def _send(self, request: Request[T], request_id: str) -> httpx.Response | Lost:
        content = request.content
        try:
            return await self._http.request(
                request.method,
                self._service.url(request.path),
                params=dict(content.query),
                content=content.body,
                headers=self._service.headers(content.headers, request_id),
            )
        except LOST as lost:
            return lost
