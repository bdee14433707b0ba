"""Following the order book's stream over HTTP: every event once, also across a lost connection."""

import json
import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from oms.cli.book import Away, Book, BookError, Declined, Item
from oms.cli.looks import instant
from oms.domain.terms import State

_SILENCE_SECONDS = 45.0
"""The stream says something at least every 15 seconds; three times that and the connection is dead."""
_PASSING = frozenset({429, 502, 503, 504})
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.2, 3.0


@dataclass(frozen=True)
class Told:
    """One event of the stream."""

    position: str
    kind: str
    order_id: str
    data: Item
    state: State
    actor: str
    at: datetime


@dataclass(frozen=True)
class Connected:
    """The stream is open; what happens from here on is told."""


@dataclass(frozen=True)
class Lost:
    """The connection is gone and is being made again; nothing is missed."""

    why: str


News = Told | Connected | Lost | BookError


class Following:
    """A thread that reads the stream. Its news come out of `next`; a refusal of the stream comes out as itself."""

    def __init__(self, book: Book, after: str | None = None, **wanted: Any) -> None:
        self._book = book
        self._wanted = wanted
        self._position = after
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._ended = threading.Event()
        threading.Thread(target=self._read, name="stream", daemon=True).start()

    def next(self, patience: float) -> list[News]:
        """What is new, at least one thing or nothing within `patience` seconds."""
        try:
            found = [self._news.get(timeout=patience)]
        except queue.Empty:
            return []
        while not self._news.empty():
            found.append(self._news.get())
        return found

    def end(self) -> None:
        """Stop reading; the thread ends with the next line of the stream."""
        self._ended.set()

    def _read(self) -> None:
        pause = _SHORTEST_PAUSE
        while not self._ended.is_set():
            try:
                for told in self._connection():
                    pause = _SHORTEST_PAUSE
                    self._news.put(told)
                    if self._ended.is_set():
                        return
                lost = Lost("the stream ended")
            except Away as away:
                lost = Lost(str(away))
            except BookError as refused:
                if not (isinstance(refused, Declined) and refused.status in _PASSING):
                    self._news.put(refused)
                    return
                lost = Lost(str(refused))
            self._news.put(lost)
            self._ended.wait(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)

    def _connection(self) -> Iterator[Told | Connected]:
        headers = {"Last-Event-ID": self._position} if self._position is not None else {}
        with self._book.stream("/v1/stream", self._wanted, headers, _SILENCE_SECONDS) as lines:
            yield Connected()
            for told in read_events(lines):
                self._position = told.position
                yield told


def read_events(lines: Iterable[str]) -> Iterator[Told]:
    """Server-sent events (WHATWG HTML, section 9.2) with a journal event as data; comments are left out."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if "data" in fields:
                yield _told(fields)
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            fields[name] = f"{fields['data']}\n{value}" if name == "data" and "data" in fields else value


def _told(fields: dict[str, str]) -> Told:
    event: Item = json.loads(fields["data"])
    return Told(
        position=fields.get("id", ""),
        kind=event["kind"],
        order_id=event["order_id"],
        data=event["data"],
        state=State(event["state"]),
        actor=event["actor"]["key"],
        at=instant(event["ts_init_ns"]),
    )
