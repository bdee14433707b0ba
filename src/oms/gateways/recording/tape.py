"""Every message between a client and an IB Gateway, as it passed, with its time.

A relay stands between the two, so the library is not touched and nothing it leaves out is missing. A message is a
4-byte length and fields that end in NUL (TWS API); before the first one a client says `API` without a length.
"""

import asyncio
import contextlib
import json
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self, TextIO

_GREETING = b"API\0"
_LENGTH = struct.Struct(">I")
_CHUNK = 65_536


@dataclass(frozen=True)
class Frame:
    """One message. `sent`: by the client; `connection` tells the connections of one recording apart."""

    at_ns: int
    connection: int
    sent: bool
    fields: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The message id, `3` for an orderStatus; the handshake has none of its own."""
        return self.fields[0] if self.fields else ""


class Tape:
    """The frames so far, each written as one line of JSON as it came."""

    def __init__(self, file: TextIO, clock: Callable[[], int] = time.time_ns) -> None:
        self._file = file
        self._clock = clock
        self._heard = asyncio.Condition()
        self.frames: list[Frame] = []

    @property
    def here(self) -> int:
        """The place after the last frame: what comes later is news."""
        return len(self.frames)

    async def keep(self, connection: int, sent: bool, fields: tuple[str, ...]) -> None:
        """Write a frame down, before it goes on to where it is for."""
        frame = Frame(self._clock(), connection, sent, fields)
        self.frames.append(frame)
        self._write(
            frame.at_ns, connection=connection, by="client" if sent else "gateway", fields=list(fields)
        )
        async with self._heard:
            self._heard.notify_all()

    def note(self, text: str, **facts: Any) -> None:
        """Write a line of our own: which point begins, what was concluded."""
        self._write(self._clock(), note=text, **facts)

    async def first(self, met: Callable[[Frame], bool], since: int, seconds: float) -> Frame | None:
        """The first frame after `since` that `met` takes; None where none comes in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._heard:
                while True:
                    found = next((frame for frame in self.frames[since:] if met(frame)), None)
                    if found is not None:
                        return found
                    await self._heard.wait()
        return None

    def _write(self, at_ns: int, **told: Any) -> None:
        at = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC).replace(
            microsecond=at_ns // 1000 % 1_000_000
        )
        self._file.write(json.dumps({"at": at.isoformat(), "at_ns": at_ns, **told}) + "\n")
        self._file.flush()


class Relay:
    """Listens on a port of its own on loopback and passes every byte on to the gateway, both ways."""

    def __init__(self, host: str, port: int, tape: Tape) -> None:
        self._gateway = (host, port)
        self._tape = tape
        self._connections = 0
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    @property
    def port(self) -> int:
        """Where a client connects in place of the gateway. Raises RuntimeError outside of `async with`."""
        if self._server is None:
            raise RuntimeError("the relay does not listen")
        return int(self._server.sockets[0].getsockname()[1])

    def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self._connections += 1
        serving = asyncio.create_task(self._serve(self._connections, client, to_client))
        self._open.add(serving)
        serving.add_done_callback(self._open.discard)

    async def _serve(
        self, number: int, client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        try:
            gateway, to_gateway = await asyncio.open_connection(*self._gateway)
        except OSError as error:
            self._tape.note("the gateway takes no connection", connection=number, reason=str(error))
            to_client.close()
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(number, client, to_gateway, sent=True))
                both.create_task(self._pass(number, gateway, to_client, sent=False))
        finally:
            to_client.close()
            to_gateway.close()
            self._tape.note("the connection is over", connection=number)

    async def _pass(
        self, number: int, source: asyncio.StreamReader, to: asyncio.StreamWriter, *, sent: bool
    ) -> None:
        """Until one side hangs up; then the other one hears of it."""
        frames = _Splitter()
        with contextlib.suppress(ConnectionError):
            while chunk := await source.read(_CHUNK):
                for fields in frames.feed(chunk):
                    await self._tape.keep(number, sent, fields)
                to.write(chunk)
                await to.drain()
        with contextlib.suppress(OSError):
            to.write_eof()


class _Splitter:
    """Bytes as they come, whole messages as they are complete."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[tuple[str, ...]]:
        """The fields of each message that `chunk` completes."""
        self._rest += chunk
        if self._rest.startswith(_GREETING):
            self._rest = self._rest.removeprefix(_GREETING)
            yield ("API",)
        while len(self._rest) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._rest)
            end = _LENGTH.size + length
            if len(self._rest) < end:
                return
            body, self._rest = self._rest[_LENGTH.size : end], self._rest[end:]
            fields = body.decode("utf-8", "backslashreplace").split("\0")
            yield tuple(fields[:-1] if fields[-1] == "" else fields)
