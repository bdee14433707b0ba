"""Posting at a pace with little cost of its own: what is measured shares its cores with whoever asks.

HTTP/1.1 with kept connections, as much of it as the interface itself speaks.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_CONNECTIONS = 64
_PATIENCE = 60.0


@dataclass(frozen=True)
class Posts:
    """What to post, `pace` a second: the path and the body of each. `header` names the key."""

    api: str
    header: tuple[str, str]
    bodies: Sequence[tuple[str, dict[str, Any]]]
    pace: int


@dataclass(frozen=True)
class Posted:
    """One post: its status (0: no answer), its body, and the seconds to its answer: from its turn, from the first one's."""

    status: int
    body: bytes
    seconds: float
    ended: float


def post_all(posts: Posts) -> list[Posted]:
    """Post everything at its time, whether or not what came before was answered."""
    return asyncio.run(_post_all(posts))


async def _post_all(posts: Posts) -> list[Posted]:
    idle: asyncio.LifoQueue[_Line] = asyncio.LifoQueue()
    for _ in range(_CONNECTIONS):
        idle.put_nowait(_Line(posts.api, posts.header))
    begun, tasks = time.monotonic(), []
    for number, (path, body) in enumerate(posts.bodies):
        await asyncio.sleep(max(0.0, begun + number / posts.pace - time.monotonic()))
        tasks.append(asyncio.create_task(_one(idle, path, body, begun)))
    return list(await asyncio.gather(*tasks))


async def _one(idle: "asyncio.LifoQueue[_Line]", path: str, body: dict[str, Any], first: float) -> Posted:
    turn = time.monotonic()
    line = await idle.get()
    try:
        async with asyncio.timeout(_PATIENCE):
            status, answer = await line.post(path, json.dumps(body).encode())
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        line.drop()
        status, answer = 0, b""
    idle.put_nowait(line)
    ended = time.monotonic()
    return Posted(status, answer, ended - turn, ended - first)


class _Line:
    """A connection that is opened when it is needed and kept for the next post."""

    def __init__(self, api: str, header: tuple[str, str]) -> None:
        parts = urlsplit(api)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._head = f"Host: {parts.netloc}\r\nContent-Type: application/json\r\n{header[0]}: {header[1]}\r\n"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """The status and the body of the answer. Raises OSError, IncompleteReadError."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        head = f"POST {path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        answer = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection") == "close":
            self.drop()
        return int(first.split()[1]), answer

    def drop(self) -> None:
        """Give the connection up; the next post opens another one."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
