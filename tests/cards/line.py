"""The wire between the gateway and the broker, as a test sees it: what was sent, and a hand on what is answered."""

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager

_PLACE_ORDER, _CANCEL_ORDER = "3", "4"
_ORDER_REF = 26
"""Where orderRef stands in a placeOrder, in every server version."""
ABOUT_ORDERS = frozenset({"3", "4", "5", "11", "59"})
"""orderStatus, error, openOrder, execDetails, commissionReport."""


class Line:
    """A TCP relay that reads the frames it passes. `sent` holds every placeOrder and cancelOrder that left us."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._swallowed: frozenset[str] = frozenset()
        self._refusal: tuple[int, str] | None = None
        self.sent: list[list[str]] = []
        self.dropped: set[str] = set()
        self.connections = 0
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()

    def placed(self, order_ref: str) -> int:
        """How many placeOrders with this reference left us."""
        return sum(1 for fields in self.sent if fields[0] == _PLACE_ORDER and fields[_ORDER_REF] == order_ref)

    @property
    def canceled(self) -> int:
        """How many cancelOrders left us."""
        return sum(1 for fields in self.sent if fields[0] == _CANCEL_ORDER)

    @contextmanager
    def swallowing(self, kinds: frozenset[str] = ABOUT_ORDERS) -> Iterator[None]:
        """Drop the broker's messages of these kinds, which `dropped` then holds; the connection stays."""
        self._swallowed, self.dropped = kinds, set()
        try:
            yield
        finally:
            self._swallowed = frozenset()

    def refuse_next(self, code: int, text: str) -> None:
        """Answer the next placeOrder with this error alone; the broker never reads it."""
        self._refusal = (code, text)

    # Passing

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError):
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
            for passing in (self._ours(reader, there_writer, writer), self._theirs(there_reader, writer)):
                task = asyncio.create_task(passing)
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            return
        writer.close()

    async def _ours(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            target.write(await source.readexactly(len(b"API\0")))
            while True:
                header, payload = await _frame(source)
                fields = payload.decode().split("\0")
                if fields[0] in (_PLACE_ORDER, _CANCEL_ORDER):
                    self.sent.append(fields)
                if fields[0] == _PLACE_ORDER and self._refusal is not None:
                    back.write(_framed("4", "2", fields[1], *map(str, self._refusal), ""))
                    self._refusal = None
                    continue
                target.write(header + payload)
                await target.drain()
        target.close()

    async def _theirs(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                header, payload = await _frame(source)
                kind = payload.split(b"\0", 1)[0].decode()
                if kind in self._swallowed:
                    self.dropped.add(kind)
                    continue
                target.write(header + payload)
                await target.drain()
        target.close()


async def _frame(source: asyncio.StreamReader) -> tuple[bytes, bytes]:
    header = await source.readexactly(4)
    return header, await source.readexactly(int.from_bytes(header, "big"))


def _framed(*fields: str) -> bytes:
    payload = "".join(f"{field}\0" for field in fields).encode()
    return len(payload).to_bytes(4, "big") + payload
