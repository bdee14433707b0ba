"""The order book over HTTP, as the command line asks it: synchronous, every change under an Idempotency-Key.

A request that got no answer, or 429 or 503, is sent again under the same key, so it happens once however often
it is sent. What is refused raises `Declined`; what nobody answers raises `Away`.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

Item = dict[str, Any]
_REPLAYED = "Idempotent-Replayed"
_TRIES = 4
_PAGE = 500
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class BookError(Exception):
    """Why the order book could not be asked, in one line."""


class Away(BookError):
    """Nobody answers, or the answer did not come."""


class Declined(BookError):
    """The order book said no: the problem's status, code and detail. `replayed`: it said so before."""

    def __init__(self, status: int, code: str, detail: str, replayed: bool = False) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.replayed = replayed


def is_end_of(identifier: str, named: str) -> bool:
    """Whether `named` is how an id is shortened: its last four characters, or more of them."""
    return len(named) >= 4 and identifier.endswith(named)


class Answer(Item):
    """A JSON object; `replayed` where it is the first answer to the same request, given again."""

    replayed: bool = False


class Book:
    """One key at one order book. Safe to use from several threads."""

    def __init__(self, url: str, key: str, patience: float = 45.0) -> None:
        """`patience`: seconds an answer may take. Raises BookError for an address or a key that cannot be one."""
        self.url = url.rstrip("/")
        self._instruments: dict[str, Item] = {}
        try:
            address = httpx.URL(self.url)
            headers = httpx.Headers({"Authorization": f"Bearer {key}", "User-Agent": "oms-cli"}, "ascii")
        except httpx.InvalidURL as error:
            raise BookError(f"{url!r} is not an address: {error}") from error
        except UnicodeEncodeError as error:
            raise BookError("a key is made of ASCII characters; this one is not") from error
        if address.scheme not in ("http", "https") or not address.host:
            raise BookError(f"{url!r} is not an address such as http://127.0.0.1:9191")
        self._client = httpx.Client(
            base_url=address,
            headers=headers,
            timeout=httpx.Timeout(patience, connect=5.0),
            limits=httpx.Limits(max_connections=32),
            trust_env=address.host not in _LOOPBACK,
        )

    def get(self, path: str, **params: Any) -> Answer:
        """The JSON object at `path`. Raises Away, Declined."""
        return _read(self._send("GET", path, params=_given(params)))

    def post(self, path: str, body: Item | None = None, idempotency_key: str | None = None) -> Answer:
        """POST `body`; a random Idempotency-Key where none is given. Raises Away, Declined."""
        key = idempotency_key or uuid.uuid4().hex
        return _read(self._send("POST", path, json=body, headers={"Idempotency-Key": key}))

    def put(self, path: str, body: Item) -> Answer:
        """PUT `body`. Raises Away, Declined."""
        return _read(self._send("PUT", path, json=body))

    def items(self, path: str, limit: int, **params: Any) -> Iterator[Item]:
        """The first `limit` items of a list, page by page. Raises Away, Declined."""
        cursor, left = None, limit
        while left > 0:
            page = self.get(path, **params, limit=min(left, _PAGE), cursor=cursor)
            yield from page["items"]
            left -= len(page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def named(self, path: str, kind: str, named: str, newest: int, fits: Callable[[Item], bool]) -> Item:
        """The only one of the `newest` items at `path` that `fits`, which is what `named` was said for.

        `kind` is what they are called. Raises BookError unless it is one; Away, Declined.
        """
        found = [one for one in self.items(path, newest) if fits(one)]
        if len(found) == 1:
            return found[0]
        what = f"no {kind}" if not found else f"{len(found)} {kind}s, not one,"
        raise BookError(f"{what} of the newest {newest:,} answers to {named!r}; give its whole id")

    def instrument(self, instrument_id: str) -> Item:
        """An instrument, asked for once. Raises Away, Declined."""
        if instrument_id not in self._instruments:
            self._instruments[instrument_id] = self.get(f"/v1/instruments/{instrument_id}")
        return self._instruments[instrument_id]

    @contextmanager
    def stream(
        self, path: str, params: Item, headers: dict[str, str], silence: float
    ) -> Iterator[Iterator[str]]:
        """The lines of an endless answer; `silence` seconds without one end it. Raises Away, Declined."""
        patience = httpx.Timeout(silence, connect=5.0)
        try:
            with self._client.stream(
                "GET", path, params=_given(params), headers=headers, timeout=patience
            ) as answer:
                if answer.status_code != httpx.codes.OK:
                    answer.read()
                    _read(answer)
                yield answer.iter_lines()
        except httpx.TransportError as error:
            raise self._away(error) from error

    def close(self) -> None:
        self._client.close()

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        for attempt in range(1, _TRIES + 1):
            try:
                answer = self._client.request(method, path, **request)
            except httpx.ConnectError as error:
                raise self._away(error) from error
            except httpx.TransportError as error:
                if attempt == _TRIES:
                    raise self._away(error) from error
                time.sleep(0.2 * attempt)
                continue
            if answer.status_code not in (429, 503) or attempt == _TRIES:
                return answer
            time.sleep(_wait(answer))
        raise AssertionError("the last try returns or raises")

    def _away(self, error: Exception) -> Away:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return Away(
                f"nobody answers at {self.url}: is `oms dev` or `oms api` running there? ({_line(error)})"
            )
        return Away(f"{self.url} did not answer: {_line(error)}")


def _given(params: Item) -> Item:
    return {name: value for name, value in params.items() if value is not None}


def _wait(answer: httpx.Response) -> float:
    told = answer.headers.get("retry-after", "")
    return min(float(told), 5.0) if told.isdigit() else 1.0


def printable(text: str) -> str:
    """`text` on one line, without anything that a terminal would obey."""
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))


def _line(error: object) -> str:
    return printable(str(error)) or type(error).__name__


def _read(answer: httpx.Response) -> Answer:
    """The object in `answer`. Raises Declined for a refusal, BookError for what no order book would answer."""
    replayed = answer.headers.get(_REPLAYED) == "true"
    try:
        body = answer.json()
    except json.JSONDecodeError as error:
        raise BookError(
            f"{answer.url} is not an order book: it answered {answer.status_code} without JSON"
        ) from error
    if not isinstance(body, dict):
        raise BookError(f"{answer.url} is not an order book: it answered something else than an object")
    if answer.status_code >= httpx.codes.BAD_REQUEST:
        code = _line(body.get("code") or answer.reason_phrase)
        raise Declined(answer.status_code, code, _line(body.get("detail") or answer.reason_phrase), replayed)
    read = Answer(body)
    read.replayed = replayed
    return read
