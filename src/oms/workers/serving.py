"""Serving an ASGI application inside a process that handles signals itself."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import uvicorn

_OPEN_CONNECTIONS_GRACE = 2
_IDLE_CONNECTION_SECONDS = 75
"""Longer than clients keep one: they close first, and no request meets a connection that is being closed."""


class Server(uvicorn.Server):
    """Uvicorn inside a process that handles signals itself."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]  # the signature is uvicorn's
        yield


@contextlib.asynccontextmanager
async def serving(app: object, host: str, port: int) -> AsyncIterator[int]:
    """Serve `app` until the block ends; gives the port."""
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # any ASGI application
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=_OPEN_CONNECTIONS_GRACE,
        timeout_keep_alive=_IDLE_CONNECTION_SECONDS,
    )
    server = Server(config)
    running = asyncio.create_task(server.serve())
    try:
        while not server.started:
            if running.done():
                raise OSError(f"cannot listen on {host}:{port}")
            await asyncio.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await asyncio.gather(running, return_exceptions=True)
