"""A process that is told to stop ends in time, whatever its clean-up waits for."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest


@pytest.mark.timeout(30)
async def test_a_clean_up_that_gets_stuck_is_shown_and_ended() -> None:
    command = [sys.executable, "-m", "tests.workers.stuck_process"]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=PIPE, stderr=PIPE, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"running\n"
    process.send_signal(signal.SIGTERM)
    _, said = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert b"threading.py" in said
