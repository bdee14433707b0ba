"""Running until told to stop: on SIGINT or SIGTERM a process cleans up after itself and ends."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any


async def until_stopped() -> None:
    """Return on SIGINT or SIGTERM."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()


async def run_until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Run `work`; on SIGINT or SIGTERM, at any moment of it, cancel it and let it clean up after itself."""
    stopping = asyncio.create_task(until_stopped())
    running = asyncio.create_task(work)
    await asyncio.wait({stopping, running}, return_when=asyncio.FIRST_COMPLETED)
    told = stopping.done()
    stopping.cancel()
    running.cancel()
    try:
        await running
    except asyncio.CancelledError:
        if not told:
            raise


async def forever() -> None:
    """Wait until cancelled."""
    await asyncio.Event().wait()
