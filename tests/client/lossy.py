"""A bad line to a real server: it carries every request, and loses answers as the test says."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

_CHUNK = 65_536
Carries = Callable[[int], int | None]
"""How many bytes of the answer to connection number n, from 0, arrive before the line breaks; None: all of them."""


@asynccontextmanager
async def lossy(address: str, carries: Carries) -> AsyncIterator[str]:
    """The address of the line. The server has done all of what it was asked before an answer is lost."""
    there, connections = urlsplit(address), 0

    async def carry(near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        nonlocal connections
        left, connections = carries(connections), connections + 1
        far, forth = await asyncio.open_connection(there.hostname, there.port)
        asking = asyncio.create_task(_pump(near, forth))
        try:
            while chunk := await far.read(_CHUNK):
                part = chunk if left is None else chunk[:left]
                back.write(part)
                await back.drain()
                left = None if left is None else left - len(part)
                if left == 0:
                    break
        except ConnectionError:
            pass
        finally:
            asking.cancel()
            forth.close()
            back.close()

    listening = await asyncio.start_server(carry, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()
        await listening.wait_closed()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Carry what is asked; where whoever asked hangs up, so does the line, or the server would go on answering."""
    try:
        while chunk := await source.read(_CHUNK):
            sink.write(chunk)
            await sink.drain()
    except ConnectionError:
        pass
    finally:
        sink.close()
