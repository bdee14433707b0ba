"""`oms submit FILE`: every good row becomes an order, every bad one is told with its line and its reason.

The Idempotency-Key of a row is made of the file's content and the row's line: the same file again, with the same
key, creates nothing new, so a submission that broke off is simply repeated. `--again` makes new keys.
"""

import hashlib
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from oms.cli.book import Answer, Book, BookError, Declined
from oms.cli.connecting import DEFAULT_API, Api, As, Key, Keys, connect, one_line
from oms.cli.leaving import complain
from oms.cli.looks import short
from oms.cli.sheets import Row, UnreadableFile, read_rows

_FOR_ALL_ROWS = frozenset({401, 403})
"""Refusals of the key: every other row would get the same one."""
_MAX_ATTEMPTS = 100
_INTERRUPTED = 130


@dataclass(frozen=True)
class Outcome:
    """What became of one row: an order (`replayed`: it was there already), or the reason why there is none."""

    line: int
    order_id: str | None = None
    replayed: bool = False
    problem: str = ""


class Submission:
    """Sends the rows of one file; `sent` of them are orders so far. `salt` makes its idempotency keys differ."""

    def __init__(self, book: Book, content: bytes, salt: str = "") -> None:
        self._book = book
        self._mark = hashlib.sha256(salt.encode() + content).hexdigest()[:40]
        self._broken: BookError | None = None
        self._guard = threading.Lock()
        self.sent = 0

    def send(
        self, rows: Sequence[Row], parallel: int, on_done: Callable[[Outcome], None] | None = None
    ) -> list[Outcome]:
        """Send `rows`, `parallel` at a time; outcomes in the order of the rows.

        Raises Away and Declined (401, 403) for what no row can get past; rows sent before it stay sent.
        """

        def one(row: Row) -> Outcome | None:
            outcome = self._send(row)
            if outcome is not None:
                with self._guard:
                    self.sent += outcome.order_id is not None
                    if on_done is not None:
                        on_done(outcome)
            return outcome

        with ThreadPoolExecutor(parallel, thread_name_prefix="submit") as senders:
            try:
                outcomes = list(senders.map(one, rows))
            except BaseException:
                self._broken = BookError("stopped")
                raise
        if self._broken is not None:
            raise self._broken
        return [outcome for outcome in outcomes if outcome is not None]

    def _send(self, row: Row) -> Outcome | None:
        if row.body is None:
            return Outcome(row.line, problem=row.problem)
        if self._broken is not None:
            return None
        try:
            answer = self._create(row)
        except Declined as declined:
            if declined.status not in _FOR_ALL_ROWS:
                return Outcome(row.line, problem=str(declined))
            self._broken = declined
        except BookError as error:
            self._broken = error
        else:
            return Outcome(row.line, answer["order_id"], answer.replayed)
        return None

    def _create(self, row: Row) -> Answer:
        """The order of `row`. A refusal that is only remembered is asked anew: its cause may be gone by now."""
        for attempt in range(_MAX_ATTEMPTS):
            again = f"-{attempt}" if attempt else ""
            try:
                return self._book.post("/v1/orders", row.body, f"submit-{self._mark}-{row.line}{again}")
            except Declined as declined:
                if not declined.replayed:
                    raise
        raise BookError(f"line {row.line} was refused {_MAX_ATTEMPTS} times; use --again")


def submit(
    file: Annotated[str, typer.Argument(help="CSV, a JSON array or JSON lines; - is standard input.")],
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="Create new orders even where this file was submitted before (a client_order_id stays one order).",
        ),
    ] = False,
    parallel: Annotated[int, typer.Option(min=1, max=8, help="Requests at a time.")] = 8,
    api: Api = DEFAULT_API,
    key: Key = None,
    keys: Keys = None,
    role: As = "pm",
) -> None:
    """Create an order for each row of FILE; bad rows are told and left out. Exit code 1 when there was one.

    Columns are CreateOrder's fields, with symbol (and sec_type, exchange, currency if need be) in place of
    instrument_id, and route.venue, metadata.note and the like for one field of an object. Lines that begin with #
    are comments. The same file submitted again with the same key creates nothing new.
    """
    content = _content(file)
    try:
        rows = read_rows(file, content)
    except UnreadableFile as error:
        complain(f"{file}: {error}", code=1)
    with one_line():
        book = connect(api, key, keys, role)
    submission = Submission(book, content, uuid.uuid4().hex if again else "")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        outcomes = _with_progress(submission, rows, parallel, file)
    except BookError as error:
        complain(_broken_off(str(error), submission.sent, len(rows)), code=1)
    except KeyboardInterrupt:
        complain(_broken_off("stopped", submission.sent, len(rows)), code=_INTERRUPTED)
    bad = [outcome for outcome in outcomes if outcome.order_id is None]
    _tell(file, outcomes, bad)
    raise typer.Exit(1 if bad else 0)


def _content(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        complain(f"cannot read {file}: {error.strerror}", code=1)


def _with_progress(submission: Submission, rows: Sequence[Row], parallel: int, file: str) -> list[Outcome]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[bad]}"),
        TimeRemainingColumn(),
    )
    screen = Console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task(f"submitting {escape(Path(file).name)}", total=len(rows), bad="")
        bad = 0

        def done(outcome: Outcome) -> None:
            nonlocal bad
            bad += outcome.order_id is None
            progress.update(task, advance=1, bad=f"[red]{bad} bad" if bad else "")

        return submission.send(rows, parallel, done)


def _broken_off(why: str, sent: int, rows: int) -> str:
    return f"{why}; {sent} of {rows} rows are orders, submit the file again to go on" if sent else why


def _tell(file: str, outcomes: Sequence[Outcome], bad: Sequence[Outcome]) -> None:
    for outcome in bad:
        typer.echo(f"{file}:{outcome.line}: {outcome.problem}", err=True)
    there = sum(outcome.replayed for outcome in outcomes)
    created = [o.order_id for o in outcomes if o.order_id is not None and not o.replayed]
    parts = [f"{_counted(len(created), 'order')} created"]
    if created:
        parts[0] += f" ({short(created[0])}{f' to {short(created[-1])}' if len(created) > 1 else ''})"
    if there:
        parts.append(f"{there} there already")
    if bad:
        parts.append(f"{_counted(len(bad), 'row')} bad")
    typer.echo(", ".join(parts))


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def add_commands(application: typer.Typer) -> None:
    application.command()(submit)
