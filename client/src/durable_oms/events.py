"""Server-sent events as the HTML standard (9.2.6) reads them, and the place in the stream: without any sending."""

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import httpx

from durable_oms.requests import Request
from durable_oms.retries import Lost, Reconnects, Retries, unreadable

T = TypeVar("T")
_LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True)
class Message:
    """One block of a stream. Without data it only moves the place from which a lost stream goes on."""

    id: str
    event: str
    data: str | None


class Decoder:
    """Bytes as they come, whole messages as they are complete. What a lost connection cut short is nothing."""

    def __init__(self) -> None:
        self._rest = b""
        self._after_return = False
        self._fields: dict[str, list[str]] = {}

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """The messages that `chunk` completes."""
        if self._after_return and chunk.startswith(b"\n"):
            chunk, self._after_return = chunk[1:], False
        if chunk:
            self._after_return = chunk.endswith(b"\r")
        *lines, self._rest = _LINE_END.split(self._rest + chunk)
        for line in lines:
            if line:
                self._take(line.decode("utf-8", "replace"))
            elif self._fields:
                fields, self._fields = self._fields, {}
                data = "\n".join(fields["data"]) if "data" in fields else None
                yield Message(_last(fields, "id"), _last(fields, "event"), data)

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        if name:
            self._fields.setdefault(name, []).append(value.removeprefix(" "))


def _last(fields: dict[str, list[str]], name: str) -> str:
    return fields.get(name, [""])[-1]


class Following(Generic[T]):
    """One stream over any number of connections: every event after `position` once, in order."""

    def __init__(self, request: Request[T], retries: Retries) -> None:
        self.request = request
        self.request_id = uuid.uuid4().hex
        self.position = request.content.after
        self._reconnects = Reconnects(retries)
        self._decoder = Decoder()

    def connecting(self) -> dict[str, str]:
        """The headers of the next connection."""
        self._decoder = Decoder()
        told = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        return told if self.position is None else {**told, "Last-Event-ID": str(self.position)}

    def begins(self, answer: httpx.Response) -> bool:
        """Whether `answer` is the stream; False for a refusal. Raises Unreadable for any other success.

        The answer may say from which position it begins, so that "from now on" has one meaning over all connections.
        """
        kind = answer.headers.get("content-type", "")
        if answer.is_success and not kind.startswith("text/event-stream"):
            raise unreadable(ValueError(f"it is no stream, but {kind!r}"), answer)
        told = answer.headers.get("last-event-id", "")
        if self.position is None and told.isascii() and told.isdigit():
            self.position = int(told)
        return answer.is_success

    def heard(self, chunk: bytes, answer: httpx.Response) -> Iterator[T]:
        """The new events in `chunk`. Raises Unreadable."""
        self._reconnects.alive()
        try:
            for message in self._decoder.feed(chunk):
                if message.id and self._is_news(int(message.id)) and message.data is not None:
                    yield self._read(message)
        except (ValueError, KeyError, TypeError) as error:
            raise unreadable(error, answer) from error

    def pause_after(self, outcome: httpx.Response | Lost | None) -> float:
        """Seconds until the next connection. Raises OMSError where none would help, or none came in time."""
        return self._reconnects.pause_after(outcome, self.request_id)

    def _is_news(self, position: int) -> bool:
        news = self.position is None or position > self.position
        if news:
            self.position = position
        return news

    def _read(self, message: Message) -> T:
        data = json.loads(message.data or "null")
        return self.request.read({**data, "position": int(message.id), "event": message.event})
