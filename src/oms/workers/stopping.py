"""Running until told to stop: on SIGINT or SIGTERM a process cleans up after itself and ends."""

import asyncio
import faulthandler
import logging
import os
import signal
import threading
from collections.abc import Coroutine
from typing import Any

import structlog

LOG = structlog.get_logger()
OVERDUE_SECONDS = 9.0
"""A process that has not cleaned up by then is ended as a crash would end it, which nothing here fears."""


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
    if told:
        _end_when_overdue()
    stopping.cancel()
    running.cancel()
    try:
        await running
    except asyncio.CancelledError:
        if not told:
            raise


def _end_when_overdue() -> None:
    """Leave with code 1, and what each thread was doing on standard error, should the clean-up get stuck."""

    def end() -> None:
        LOG.error("stopping.overdue", seconds=OVERDUE_SECONDS)
        faulthandler.dump_traceback(all_threads=True)
        logging.shutdown()
        os._exit(1)

    timer = threading.Timer(OVERDUE_SECONDS, end)
    timer.daemon = True
    timer.start()


async def forever() -> None:
    """Wait until cancelled."""
    await asyncio.Event().wait()
