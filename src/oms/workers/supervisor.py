"""Child processes of the embedded stack: started, watched, started again when they die, stopped in order.

A child never outlives the stack: on Linux the kernel ends it with its parent; everywhere the next start on
the same folder ends what an earlier, killed one left behind.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import structlog

LOG = structlog.get_logger()
_PR_SET_PDEATHSIG = 1
_RESTART_SECONDS = 0.3
_LONGEST_RESTART_SECONDS = 5.0


def _die_with_parent() -> Callable[[], None] | None:
    """What a child runs before its program: ask Linux to kill it when the parent dies."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)

    def ask() -> None:
        os.setpgrp()
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    return ask


class Child:
    """One supervised process. Its output goes to a log file; `on_spawn` is called after each start."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: dict[str, str],
        log: Path,
        on_spawn: Callable[[], None],
    ) -> None:
        self.name = name
        self._command = list(command)
        self._environment = environment
        self._log = log
        self._on_spawn = on_spawn
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the process and watch it."""
        self._process = await self._spawn()
        self._watching = asyncio.create_task(self._watch())

    async def stop(self, patience: float) -> None:
        """Ask it to end; after `patience` seconds, make it."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), patience)
        except TimeoutError:
            LOG.warning("child.killed", child=self.name, patience=patience)
            process.kill()
            await process.wait()

    async def _spawn(self) -> asyncio.subprocess.Process:
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent(),
            )
        self._process = process
        self._on_spawn()
        return process

    async def _watch(self) -> None:
        pause = _RESTART_SECONDS
        process = self._process
        while process is not None:
            code = await process.wait()
            LOG.error("child.died", child=self.name, exit_code=code, log=str(self._log), restart_in=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_RESTART_SECONDS)
            process = await self._spawn()


def remember(file: Path, children: Sequence[Child]) -> None:
    """Write down the children's process ids and start times, for whoever has to clean up after a kill."""
    alive = [
        psutil.Process(child.pid)
        for child in children
        if child.pid is not None and psutil.pid_exists(child.pid)
    ]
    file.write_text(json.dumps([{"pid": p.pid, "started": p.create_time()} for p in alive]))


def end_leftovers(file: Path) -> None:
    """End the children that an earlier, killed stack left behind. A process id used anew is left alone."""
    try:
        remembered = json.loads(file.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return
    for line in remembered:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            process = psutil.Process(line["pid"])
            if abs(process.create_time() - line["started"]) < 1:
                LOG.warning("child.left_behind", pid=process.pid)
                process.kill()
                process.wait(5)
    file.unlink(missing_ok=True)
