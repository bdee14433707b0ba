"""A real HTTP server that does with each request in turn what the test says: answers, drops, hangs, streams."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Seen:
    """One request as it came over the wire."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Step = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answers(status: int, body: Any = None, **headers: str) -> Step:
    """An answer in JSON, or of the bytes given."""

    async def step(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        told = {"Content-Length": str(len(content)), "Connection": "close", **named}
        writer.write(_head(status, told) + content)

    return step


def refuses(status: int, code: str, **facts: Any) -> Step:
    """A problem, with Retry-After where `retry_after` is given."""
    headers = {"Retry_After": str(facts.pop("retry_after"))} if "retry_after" in facts else {}
    problem = {
        "type": "t",
        "title": "T",
        "status": status,
        "detail": "No.",
        "code": code,
        "request_id": "r-1",
    }
    return answers(status, {**problem, **facts}, **headers)


async def drops(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """The request was read; the connection ends without an answer."""


async def cuts(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The answer began, and the connection ends in the middle of it."""
    writer.write(_head(201, {"Content-Length": "1000"}) + b'{"order_id": "ORD-')


async def hangs(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Nothing, until the client has had enough."""
    await reader.read()


def streams(*parts: str, then: Step = drops, last_event_id: str | None = None) -> Step:
    """Server-sent events in these parts, and then the connection ends as `then` does; dropped by default."""
    headers = {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}
    headers |= {"Last-Event-ID": last_event_id} if last_event_id is not None else {}

    async def step(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(_head(200, headers))
        await writer.drain()
        for part in parts:
            content = part.encode()
            writer.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
            await writer.drain()
        await then(reader, writer)

    return step


async def ends(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A stream ends as it should, with its last chunk."""
    writer.write(b"0\r\n\r\n")


def event(position: int, kind: str = "order_created", **data: Any) -> str:
    """A journal event as the stream sends it."""
    told = {
        "order_id": "ORD-1",
        "seq": position,
        "kind": kind,
        "data": data,
        "actor": {"key": "pm", "role": "pm"},
        "ts_event_ns": 1,
        "ts_init_ns": 2,
        "correlation_id": None,
        "state": "CREATED",
    }
    return f"id: {position}\nevent: {kind}\ndata: {json.dumps(told, ensure_ascii=False)}\n\n"


@dataclass
class Scripted:
    """The server: what it was asked, and whether it kept to its script. `left` counts connections that ended."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    left: int = 0

    @property
    def keys(self) -> list[str | None]:
        """The Idempotency-Key of each request."""
        return [request.headers.get("idempotency-key") for request in self.seen]


@asynccontextmanager
async def scripted(*steps: Step) -> AsyncIterator[Scripted]:
    """A server that takes these steps, one for each request. A step too few or too many fails the test."""
    server, script = Scripted(), list(steps)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            seen = await _read(reader)
            server.seen.append(seen)
            await (script.pop(0) if script else drops)(reader, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            server.left += 1
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        await listening.wait_closed()
    assert len(server.seen) == len(steps), f"{len(server.seen)} requests for {len(steps)} steps"


async def _read(reader: asyncio.StreamReader) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(method, path, headers, body)


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()
