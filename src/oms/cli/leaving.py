"""Ending a process so that its exit code means what happened."""

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn

CANNOT_START = 2


def run_and_leave(work: Coroutine[Any, Any, int | None]) -> NoReturn:
    """Run `work` to its end and leave with its code (None is 0), whatever the interpreter's shutdown would do.

    The Temporal core keeps threads that can abort the process while the interpreter shuts down
    (PyGILState_Release, exit code 134), long after everything of ours has ended in order.
    """
    code = asyncio.run(work) or 0
    leave(code)


def leave(code: int) -> NoReturn:
    """Flush what was written and end the process at once."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def complain(message: str, code: int = CANNOT_START) -> NoReturn:
    """One clear line on standard error, and out."""
    sys.stderr.write(f"oms: {message}\n")
    leave(code)
