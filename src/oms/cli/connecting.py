"""Which order book, and with which key: the options that every command over HTTP takes."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from oms.cli.book import Book, BookError
from oms.cli.leaving import complain, leave

DEFAULT_API = "http://127.0.0.1:9191"
_PIPE_WIDTH = 160

Api = Annotated[
    str, typer.Option("--api", envvar="OMS_API_URL", help="Address of the order book.", show_default=True)
]
Key = Annotated[str | None, typer.Option("--key", envvar="OMS_API_KEY", help="The key to ask with.")]
Keys = Annotated[
    Path | None,
    typer.Option(
        "--keys", help="keys.json of an `oms dev`, in place of --key (oms-data/keys.json if there)."
    ),
]
As = Annotated[str, typer.Option("--role", help="Whose key of keys.json to ask with.")]


def connect(api: str, key: str | None, keys: Path | None, role: str) -> Book:
    """The order book with the key asked for. Raises BookError."""
    return Book(api, key or _kept_key(keys, role))


def _kept_key(keys: Path | None, role: str) -> str:
    default = Path(os.environ.get("OMS_DATA_DIR", "oms-data")) / "keys.json"
    if keys is None and not default.exists():
        raise BookError("no key: give --key KEY, --keys DIR/keys.json, or set OMS_API_KEY")
    file = keys or default
    if file.is_dir():
        file /= "keys.json"
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BookError(f"cannot read {file}: {error.strerror}") from error
    except ValueError as error:
        raise BookError(f"{file} is not a keys.json: {error}") from error
    if not isinstance(kept, dict) or role not in kept:
        known = ", ".join(kept) if isinstance(kept, dict) else "none"
        raise BookError(f"{file} has no key for {role!r}; it has {known}")
    return str(kept[role])


@contextmanager
def one_line() -> Iterator[None]:
    """What goes wrong at the order book is one line and exit code 1; a reader who has left ends the command."""
    try:
        yield
    except BookError as error:
        complain(str(error), code=1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        leave(0)


def console() -> Console:
    """Standard output: as wide as the terminal, and wide enough for a table where it is none."""
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    return Console(width=width, markup=False, highlight=False, emoji=False)
