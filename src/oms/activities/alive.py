"""An activity that waits tells Temporal that its process is there, so that its death is noticed soon."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from temporalio import activity

_BEAT_SECONDS = 1.0


@contextlib.asynccontextmanager
async def alive() -> AsyncIterator[None]:
    """Say so once a second inside the block. What ends sooner says nothing, and costs nothing.

    Beside a workflow nobody listens: the workflow's own task is the sign of life.
    """

    async def beat() -> None:
        while not activity.info().is_local:
            await asyncio.sleep(_BEAT_SECONDS)
            activity.heartbeat()

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
