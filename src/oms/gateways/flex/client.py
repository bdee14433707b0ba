"""The two steps of the Flex Web Service over HTTP: ask for a statement, fetch it when it is made.

The token is a part of every URL that the service takes. It is put there below the HTTP client, so that no request,
log line or exception above this module ever holds it, and it is struck from whatever the service answers.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar

import httpx
import structlog

from oms.gateways.flex.answers import (
    BAD_REFERENCE,
    MAX_BYTES,
    TOO_MANY_REQUESTS,
    Document,
    FlexBusy,
    FlexError,
    FlexRefused,
    FlexUnreadable,
    document_of,
    reference_of,
)

LOG = structlog.get_logger()
T = TypeVar("T")
_VERSION = "3"
_HIDDEN = "***"
_SHOWS_HEADERS = ("httpcore.http11", "httpcore.http2")
"""The loggers that show an answer's headers at level debug, where a redirect would repeat the token."""


@dataclass(frozen=True)
class FlexSettings:
    """Where the service is, which query to ask for, and the token, which is never shown."""

    url: str
    query_id: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class FlexPace:
    """How the service is asked again: pauses in seconds, the last one for ever, until `patience` is over.

    The service takes one request a second and ten a minute. `crowded`: the pause after it said so.
    """

    pauses: Sequence[float] = (2, 3, 5, 10, 15)
    crowded: float = 20
    patience: float = 300
    timeout: float = 60


class FlexClient:
    """One token and one query. Make and use it inside an event loop; `close` ends it. Raises ValueError: no token."""

    def __init__(
        self,
        settings: FlexSettings,
        pace: FlexPace | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if not settings.token:
            raise ValueError("the Flex service needs a token")
        self._pace = pace or FlexPace()
        self._query_id = settings.query_id
        self._token = settings.token
        self._sleep = sleep
        self._http = httpx.AsyncClient(
            base_url=settings.url,
            transport=_WithToken(settings.token),
            timeout=self._pace.timeout,
            headers={"User-Agent": "durable-oms"},
        )
        self._striking = _Striking(settings.token)
        for name in _SHOWS_HEADERS:
            logging.getLogger(name).addFilter(self._striking)

    async def close(self) -> None:
        await self._http.aclose()
        for name in _SHOWS_HEADERS:
            logging.getLogger(name).removeFilter(self._striking)

    async def statement(
        self,
        from_date: date | None = None,
        to_date: date | None = None,
        reference: str | None = None,
        still_here: Callable[[str | None], None] = lambda _: None,
    ) -> Document:
        """The query's statement, of these days or of its own.

        `reference`: a statement that was asked for before; one that the service has forgotten is asked for anew.
        `still_here` hears the reference before every request. Raises FlexBusy when patience is over, FlexRefused,
        FlexUnreadable.
        """
        if reference is not None:
            try:
                return await self._fetch(reference, still_here)
            except FlexRefused as refused:
                if refused.code != BAD_REFERENCE:
                    raise
        days = {"fd": from_date, "td": to_date}
        asked = {"q": self._query_id, **{name: f"{day:%Y%m%d}" for name, day in days.items() if day}}

        async def ask() -> str:
            still_here(None)
            return reference_of(await self._get("SendRequest", asked))

        return await self._fetch(await self._until_ready(ask), still_here)

    async def _fetch(self, reference: str, still_here: Callable[[str | None], None]) -> Document:
        async def fetch() -> Document:
            still_here(reference)
            return document_of(await self._get("GetStatement", {"q": reference}))

        # Right after the request the service would only say that it is at it.
        await self._sleep(self._pace.pauses[0])
        return await self._until_ready(fetch)

    async def _until_ready(self, step: Callable[[], Awaitable[T]]) -> T:
        """Do the step until it succeeds; again only where the service says so, and until patience is over."""
        began, tries = time.monotonic(), 0
        while True:
            try:
                return await step()
            except FlexError as error:
                busy = self._struck(error)
                if not isinstance(busy, FlexBusy):
                    raise
                pause = self._pace.pauses[min(tries, len(self._pace.pauses) - 1)]
                pause = max(pause, self._pace.crowded) if busy.code == TOO_MANY_REQUESTS else pause
                if time.monotonic() - began + pause > self._pace.patience:
                    raise
                LOG.info("flex.not_yet", reason=str(busy), again_in_seconds=pause)
            tries += 1
            await self._sleep(pause)

    async def _get(self, step: str, asked: dict[str, str]) -> bytes:
        """One request. Raises FlexBusy where nobody answered or the service is overloaded, FlexRefused."""
        where = f"the Flex service at {self._http.base_url.host}"
        try:
            async with self._http.stream("GET", f"/{step}", params={**asked, "v": _VERSION}) as answer:
                if answer.status_code == httpx.codes.OK:
                    return await self._body(answer)
                status = answer.status_code
        except httpx.HTTPError as error:
            raise FlexBusy(f"{where} did not answer: {error!r}") from None
        if status >= httpx.codes.INTERNAL_SERVER_ERROR or status == httpx.codes.TOO_MANY_REQUESTS:
            raise FlexBusy(f"{where} answered {step} with HTTP status {status}")
        raise FlexRefused(f"{where} answered {step} with HTTP status {status}; check OMS_FLEX_URL")

    async def _body(self, answer: httpx.Response) -> bytes:
        body = bytearray()
        async for part in answer.aiter_bytes():
            body += part
            if len(body) > MAX_BYTES:
                raise FlexUnreadable(f"the Flex service sent more than {MAX_BYTES} bytes")
        return bytes(body)

    def _struck(self, error: FlexError) -> FlexError:
        """The error without the token, should the service have repeated it."""
        error.args = tuple(str(told).replace(self._token, _HIDDEN) for told in error.args)
        return error


class _Striking(logging.Filter):
    """Strikes the token from a library's log line."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._token = token

    def filter(self, record: logging.LogRecord) -> bool:
        told = record.getMessage()
        if self._token in told:
            record.msg, record.args = told.replace(self._token, _HIDDEN), ()
        return True


class _WithToken(httpx.AsyncBaseTransport):
    """Adds the token to the URL of a request on its way out; the request that others see stays without it."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._sockets = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        sent = httpx.Request(
            request.method,
            request.url.copy_add_param("t", self._token),
            headers=request.headers,
            extensions=request.extensions,
        )
        return await self._sockets.handle_async_request(sent)

    async def aclose(self) -> None:
        await self._sockets.aclose()
