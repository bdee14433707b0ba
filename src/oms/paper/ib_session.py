"""One client's connection to the paper gateway: handshake, frames, subscriptions."""

import asyncio
import logging
import re
from collections.abc import Iterable
from typing import Protocol

from oms.paper.market import Quote
from oms.paper.wire import FrameReader, WireError, frame

_LOG = logging.getLogger(__name__)
_PREFIX = b"API\0"
MOST_UNREAD = 64 << 20
"""Bytes waiting for a client that does not read."""
_VERSIONS = re.compile(r"v(\d{1,4})(?:\.\.(\d{1,4}))?(?: .*)?")


class SessionHost(Protocol):
    """What a session needs from the gateway."""

    server_version: int

    def greeting_time(self) -> str:
        """The connection time text of the handshake."""

    def receive(self, session: "Session", payloads: list[bytes]) -> None:
        """Payloads that came after the handshake."""

    def joined(self, session: "Session") -> None:
        """A connection was made."""

    def left(self, session: "Session") -> None:
        """A connection ended."""


class Session(asyncio.Protocol):
    """The server side of one connection. ``client_id`` is -1 until startApi.

    market_data: contract id by request id; told: the last quote sent for each.
    """

    def __init__(self, host: SessionHost) -> None:
        self._host = host
        self._reader = FrameReader()
        self._preamble = bytearray()
        self._greeted = False
        self._outbox: list[bytes] = []
        self._cut_next = False
        self._transport: asyncio.Transport | None = None
        self.peer = "?"
        self.client_id = -1
        self.version = 0
        self.closed = False
        self.wants_positions = False
        self.account_updates: set[str] = set()
        self.market_data: dict[int, int] = {}
        self.told: dict[int, Quote] = {}

    def __str__(self) -> str:
        return f"client {self.client_id} at {self.peer}"

    # Sending

    def send(self, fields: Iterable[object]) -> None:
        """Queue one message; ``flush`` sends what is queued."""
        if not self.closed:
            self._outbox.append(frame(fields))

    def flush(self) -> None:
        """Hand what is queued to the transport; a client that leaves too much unread is disconnected."""
        if self._outbox and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._outbox))
            if self._transport.get_write_buffer_size() > MOST_UNREAD:
                _LOG.warning("%s: more than %d bytes unread; closing the connection", self, MOST_UNREAD)
                self.abort()
        self._outbox.clear()

    def forget_replies(self) -> None:
        """Throw away what is queued: the replies a broken connection never delivered."""
        self._outbox.clear()

    def flush_part(self, share: float, *, whole: bool) -> None:
        """Send the first part of what is queued: whole messages, or up to the middle of one; forget the rest."""
        if whole:
            data = b"".join(self._outbox[: int(len(self._outbox) * share)])
        else:
            data = _inside_a_frame(self._outbox, share)
        self._outbox = [data] if data else []
        self.flush()

    def close(self) -> None:
        """Send what is queued, then close."""
        self.flush()
        self.closed = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Break the connection at once."""
        self._outbox.clear()
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def cut_next(self) -> None:
        """Read the next bytes up to their middle only, then break the connection."""
        self._cut_next = True

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_server makes no other kind
        self._transport = transport
        host, port = transport.get_extra_info("peername")[:2]
        self.peer = f"{host}:{port}"
        self._host.joined(self)

    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        cut = self._cut_next
        if cut:
            data = data[: len(data) // 2]
        try:
            payloads = self._reader.feed(self._after_prefix(data))
            if payloads and not self._greeted:
                self._greet(payloads.pop(0))
        except WireError as problem:
            _LOG.warning("%s: %s; closing the connection", self, problem)
            self.close()
            return
        if payloads:
            self._host.receive(self, payloads)
        if cut:
            self.abort()
            self._host.left(self)

    def eof_received(self) -> None:
        # The client half-closes before it closes: its id must be free at once.
        self.closed = True
        self._host.left(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            _LOG.info("%s: connection lost: %s", self, exc)
        self.closed = True
        self._host.left(self)

    def pause_writing(self) -> None:
        # A client that does not read its replies may not send more requests.
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # Handshake

    def _after_prefix(self, data: bytes) -> bytes:
        """The data behind the raw ``API`` NUL that opens the stream."""
        missing = len(_PREFIX) - len(self._preamble)
        if missing <= 0:
            return data
        self._preamble += data[:missing]
        if not _PREFIX.startswith(self._preamble):
            raise WireError(f"stream begins with {bytes(self._preamble)!r}, not with API")
        return data[missing:]

    def _greet(self, payload: bytes) -> None:
        offer = _VERSIONS.fullmatch(payload.decode("ascii", "replace"))
        if offer is None:
            raise WireError(f"version offer {payload[:40]!r} is not readable")
        lowest = int(offer[1])
        highest = int(offer[2] or offer[1])
        self.version = min(self._host.server_version, highest)
        if self.version < lowest:
            raise WireError(f"no common version: client offers {lowest} to {highest}")
        self._greeted = True
        self.send([self.version, self._host.greeting_time()])
        self.flush()


def _inside_a_frame(frames: list[bytes], share: float) -> bytes:
    """The first bytes of some frames, about a share of them, ending within a frame."""
    data = b"".join(frames)
    ends = {sum(map(len, frames[: n + 1])) for n in range(len(frames))}
    cut = int(len(data) * share)
    return data[: cut - 1 if cut in ends else cut]
