"""The real commands as subprocesses, and a real `oms dev`."""

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx

OMS = Path(sys.executable).parent / "oms"
EXAMPLES = Path(__file__).parents[2] / "examples"
READY = re.compile(
    r"ready api=(?P<api>http://127\.0\.0\.1:\d+) temporal=127\.0\.0\.1:\d+ ui=(?P<ui>http://127\.0\.0\.1:\d+)"
    r" keys=(?P<keys>/\S+)\n"
)
START_SECONDS = 90
STOP_SECONDS = 10


def environment(**more: str) -> dict[str, str]:
    """This process's environment without its own OMS_ settings, on a wide terminal."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("OMS_", "API_TOKENS"))}
    return {**own, "COLUMNS": "120", **more}


def run(*arguments: str | Path, stdin: bytes = b"", seconds: float = 60, **env: str) -> "Ended":
    """Run `oms` to its end."""
    command = [str(OMS), *map(str, arguments)]
    done = subprocess.run(
        command, input=stdin, capture_output=True, timeout=seconds, env=environment(**env), check=False
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str


class Running:
    """A command that runs until it is told to stop; its lines are read as they come."""

    def __init__(self, *arguments: str | Path, **env: str) -> None:
        self.process = subprocess.Popen(
            [str(OMS), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**env),
        )
        self.lines: queue.Queue[str] = queue.Queue()
        self.errors: queue.Queue[str] = queue.Queue()
        for stream, to in ((self.process.stdout, self.lines), (self.process.stderr, self.errors)):
            threading.Thread(target=_pour, args=(stream, to), daemon=True).start()

    def line(
        self, met: Callable[[str], Any], seconds: float, source: "queue.Queue[str] | None" = None
    ) -> str:
        """The next line that `met` takes."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = (source or self.lines).get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(
                    f"no such line within {seconds} s; errors: {list(self.errors.queue)}"
                ) from None
            if met(line):
                return line

    def stop(self, number: int = signal.SIGTERM, seconds: float = STOP_SECONDS) -> tuple[int, float]:
        """Signal it; its exit code and how long it took. It is killed when that is too long."""
        begun = time.monotonic()
        self.process.send_signal(number)
        try:
            return self.process.wait(seconds), time.monotonic() - begun
        except subprocess.TimeoutExpired as error:
            self.process.kill()
            raise AssertionError(f"it did not stop within {seconds} s") from error


def _pour(stream: IO[str] | None, to: "queue.Queue[str]") -> None:
    if stream is not None:
        for line in stream:
            to.put(line)


class Dev(Running):
    """`oms dev` on a folder, ready."""

    def __init__(self, folder: Path) -> None:
        ports = ("--port", "0", "--temporal-port", "0", "--ui-port", "0")
        super().__init__("dev", "--data-dir", folder, *ports, "--settlement-clock", "fast")
        self.folder = folder
        try:
            self.ready_line = self.line(lambda _: True, START_SECONDS)
            found = READY.fullmatch(self.ready_line)
            assert found, self.ready_line
            self.api, self.ui, self.keys_file = found["api"], found["ui"], Path(found["keys"])
            assert httpx.get(f"{self.api}/healthz", trust_env=False).status_code == 200
        except BaseException:
            self.process.kill()
            raise

    @property
    def keys(self) -> dict[str, str]:
        kept: dict[str, str] = json.loads(self.keys_file.read_text())
        return kept

    def oms(self, *arguments: str | Path, stdin: bytes = b"", **env: str) -> Ended:
        """A command on this order book with this folder's keys."""
        return run(*arguments, "--keys", self.keys_file, stdin=stdin, OMS_API_URL=self.api, **env)


@contextmanager
def stopped_at_last(running: Running) -> Iterator[None]:
    """Whatever happens in the block, the command does not outlive it."""
    try:
        yield
    finally:
        if running.process.poll() is None:
            running.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.process.wait(STOP_SECONDS)
            running.process.kill()
            running.process.wait()
