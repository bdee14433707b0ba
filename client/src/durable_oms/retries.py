"""When a call is made again, and when not: decided here, without any waiting or sending."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Generic, TypeVar

import httpx

from durable_oms.errors import OMSError, Unavailable, Unreadable, refusal
from durable_oms.requests import Request

T = TypeVar("T")
LOST = (
    httpx.TimeoutException,
    httpx.NetworkError,
    httpx.RemoteProtocolError,
    httpx.ProxyError,
    httpx.DecodingError,
)
"""What leaves open whether the order book has heard the call."""
Lost = (
    httpx.TimeoutException
    | httpx.NetworkError
    | httpx.RemoteProtocolError
    | httpx.ProxyError
    | httpx.DecodingError
)
_CONNECT_SECONDS = 10.0
_ASKED_TO_WAIT = frozenset({429, 503})


@dataclass(frozen=True)
class Retries:
    """How often and after how long a call that is safe to repeat is made again.

    `again`: attempts after the first. Pauses start at about `first_pause` seconds and double up to `longest_pause`,
    each shortened by chance by up to a half; a Retry-After is waited for, unless it is longer than `longest_pause`.
    `stream_patience`: seconds for which a stream that is away keeps connecting. `stream_silence`: seconds after which
    one that says nothing, not even that it is alive, counts as lost.
    """

    again: int = 4
    first_pause: float = 0.25
    longest_pause: float = 10.0
    stream_patience: float = 300.0
    stream_silence: float = 60.0

    def pause(self, tried: int) -> float:
        """Seconds to wait after the attempt number `tried`, from 1."""
        longest = min(self.longest_pause, self.first_pause * 2.0 ** min(tried - 1, 60))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing


@dataclass(frozen=True)
class Service:
    """Where the order book is, and how it is asked."""

    base_url: str
    api_key: str = field(repr=False)
    retries: Retries

    @property
    def stream_timeout(self) -> httpx.Timeout:
        """How long a stream waits for a connection, and for a sign of life."""
        silence = self.retries.stream_silence
        return httpx.Timeout(silence, connect=min(silence, _CONNECT_SECONDS))

    def url(self, path: str) -> str:
        """The whole address of `path`."""
        return self.base_url.rstrip("/") + path

    def headers(self, said: Mapping[str, str], request_id: str) -> dict[str, str]:
        """What a request says of itself beside `said`."""
        return {
            "Authorization": f"Bearer {self.api_key}",
            "User-Agent": "durable-oms-client",
            "X-Request-ID": request_id,
            **said,
        }


class Attempts(Generic[T]):
    """One call, however often it is made."""

    def __init__(self, request: Request[T], retries: Retries, request_id: str) -> None:
        self._request = request
        self._retries = retries
        self._request_id = request_id
        self._tried = 0

    def pause_after(self, outcome: httpx.Response | Lost) -> float | None:
        """Seconds until the next attempt, or None where `outcome` is the answer. Raises OMSError: the last word."""
        self._tried += 1
        if isinstance(outcome, httpx.Response):
            if outcome.is_success:
                return None
            asked = retry_after(outcome)
            refused = refusal(outcome, asked)
            if outcome.status_code not in _ASKED_TO_WAIT or self._is_over():
                raise refused
            if asked is not None and asked > self._retries.longest_pause:
                raise refused
            return self._retries.pause(self._tried) if asked is None else asked
        if self._is_over():
            raise away(outcome, self._request_id, f"after {self._tried} attempts") from outcome
        return self._retries.pause(self._tried)

    def result(self, answer: httpx.Response) -> T:
        """What the call answers. Raises Unreadable."""
        return read_json(answer, self._request.read)

    def _is_over(self) -> bool:
        return not self._request.is_repeatable or self._tried > self._retries.again


class Reconnects:
    """How a stream that is away comes back."""

    def __init__(self, retries: Retries, now: Callable[[], float] = time.monotonic) -> None:
        self._retries = retries
        self._now = now
        self._since = now()
        self._tried = 0

    def alive(self) -> None:
        """The stream said something."""
        self._since, self._tried = self._now(), 0

    def pause_after(self, outcome: httpx.Response | Lost | None, request_id: str) -> float:
        """Seconds until the next connection; `outcome` is None where the server ended the stream. Raises OMSError."""
        self._tried += 1
        asked = None
        if isinstance(outcome, httpx.Response):
            asked = retry_after(outcome)
            if outcome.status_code not in _ASKED_TO_WAIT:
                raise refusal(outcome, asked)
        pause = self._retries.pause(self._tried) if asked is None else asked
        if self._now() - self._since + pause <= self._retries.stream_patience:
            return pause
        if isinstance(outcome, httpx.Response):
            raise refusal(outcome, asked)
        raise away(outcome, request_id, f"for {self._now() - self._since:.0f} s") from outcome


def away(cause: Lost | None, request_id: str, how_long: str) -> Unavailable:
    """The error for an order book that does not answer."""
    said = f"{type(cause).__name__}: {cause}" if cause is not None else "it ends the stream"
    return Unavailable(
        "UNAVAILABLE", f"The order book does not answer {how_long}: {said}", request_id=request_id
    )


def read_json(answer: httpx.Response, read: Callable[[object], T]) -> T:
    """`read` of the answer's JSON. Raises Unreadable."""
    try:
        return read(answer.json())
    except (ValueError, KeyError, TypeError) as error:
        raise unreadable(error, answer) from error


def unreadable(error: Exception, answer: httpx.Response) -> OMSError:
    """The error for an answer that this client does not understand."""
    return Unreadable(
        "UNREADABLE",
        f"{answer.request.method} {answer.request.url.path} answered what this client cannot read: {error}",
        status=answer.status_code,
        request_id=answer.headers.get("x-request-id"),
    )


def retry_after(response: httpx.Response) -> float | None:
    """The seconds that Retry-After asks for, given in seconds or as a date; None without it."""
    given = response.headers.get("retry-after", "").strip()
    if given.isascii() and given.isdigit():
        return float(given)
    try:
        until = parsedate_to_datetime(given)
    except ValueError:
        return None
    aware = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())
