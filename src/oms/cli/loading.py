"""`oms load`: portfolios, accounts, instruments, rules and prices from a folder or a file, through the HTTP interface.

Each line is judged by itself: good ones are kept, bad ones told with their file and line. Loading twice is loading
once: reference data takes the new description, a rule that is there stays as it is.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from oms.api.lines import UnreadableFile, decoded, header, records
from oms.cli.book import Book, BookError, Declined, Item
from oms.cli.connecting import DEFAULT_API, Api, As, Key, Keys, connect, one_line

_RULES = "rules"
KINDS = ("accounts", "portfolios", "instruments", _RULES, "prices")
"""In this order: a portfolio names its account, a price its instrument."""
_SUFFIXES = (".json", ".csv")
_AT_A_TIME = 1_000
_FOR_ALL_LINES = frozenset({401, 403, 404})
"""Refusals that every other line would get too."""


@dataclass(frozen=True)
class Entry:
    """One thing of a file: its line (in a JSON array its place) and its fields, or why it cannot be read."""

    line: int
    item: Any
    problem: str = ""


@dataclass(frozen=True)
class Loaded:
    """What became of a file: how many of its things are kept, and the line and the reason of each that is not."""

    kept: int = 0
    bad: tuple[tuple[int, str], ...] = ()
    file: Path | None = None

    @property
    def complaints(self) -> list[str]:
        """A sentence for each reason, with the first line it is about."""
        lines: dict[str, list[int]] = {}
        for line, reason in self.bad:
            lines.setdefault(reason, []).append(line)
        return [
            f"{self.file}:{found[0]}: {reason}{f' (and {len(found) - 1} more lines)' if found[1:] else ''}"
            for reason, found in lines.items()
        ]


def load_folder(book: Book, folder: Path) -> dict[str, int]:
    """Load what `folder` holds, all of it; how many of each kind. Raises BookError, also for the first bad line."""
    loaded = {kind: load_file(book, kind, file_of(folder, kind)) for kind in KINDS}
    for complaint in (complaint for one in loaded.values() for complaint in one.complaints):
        raise BookError(complaint)
    return {kind: one.kept for kind, one in loaded.items()}


def load_file(book: Book, kind: str, file: Path | None) -> Loaded:
    """Load one file, line by line; no file holds nothing. Raises BookError."""
    if file is None:
        return Loaded()
    entries = list(read_entries(file))
    bad = [(entry.line, entry.problem) for entry in entries if entry.problem]
    good = [entry for entry in entries if not entry.problem]
    bad += _rules(book, good) if kind == _RULES else _imported(book, kind, good)
    return Loaded(len(entries) - len(bad), tuple(sorted(bad)), file)


def read_items(folder: Path, kind: str) -> Iterator[Item]:
    """The items of `folder`/`kind`.json or .csv, none where there is no such file. Raises BookError."""
    file = file_of(folder, kind)
    for entry in () if file is None else read_entries(file):
        if entry.problem:
            raise BookError(f"{file}:{entry.line}: {entry.problem}")
        yield entry.item


def read_entries(file: Path) -> Iterator[Entry]:
    """The things in a file, JSON array or CSV by its name. Raises BookError."""
    try:
        text = decoded(file.read_bytes())
    except OSError as error:
        raise BookError(f"cannot read {file}: {error.strerror}") from error
    except UnreadableFile as error:
        raise BookError(f"{file}: {error}") from error
    return _of_json(file, text) if file.suffix == ".json" else _of_csv(file, text)


def file_of(folder: Path, kind: str) -> Path | None:
    """The file of the folder that holds this kind."""
    return next((file for suffix in _SUFFIXES if (file := folder / f"{kind}{suffix}").exists()), None)


def _of_json(file: Path, text: str) -> Iterator[Entry]:
    try:
        items = json.loads(text)
    except ValueError as error:
        raise BookError(f"{file} is not JSON: {error}") from error
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise BookError(f"{file} is not a JSON array of objects")
    return (Entry(place, item) for place, item in enumerate(items, start=1))


def _of_csv(file: Path, text: str) -> Iterator[Entry]:
    names: list[str] | None = None
    for line in records(text):
        if names is None:
            try:
                names = header(line)
            except UnreadableFile as error:
                raise BookError(f"{file}: {error}") from error
        elif line.cells is None:
            yield Entry(line.number, None, line.problem)
        elif len(line.cells) != len(names):
            yield Entry(line.number, None, f"{len(line.cells)} cells under {len(names)} columns")
        else:
            cells = zip(names, line.cells, strict=True)
            yield Entry(line.number, {name: cell for name, cell in cells if cell})


def _imported(book: Book, kind: str, entries: Sequence[Entry]) -> Iterator[tuple[int, str]]:
    """Send the entries as imports; the line and the reason of each that was refused. Raises BookError."""
    for start in range(0, len(entries), _AT_A_TIME):
        chunk = entries[start : start + _AT_A_TIME]
        items: Any = [entry.item for entry in chunk]
        for told in book.post(f"/v1/{kind}/import", items)["lines"]:
            if not told["ok"]:
                problem = told["problem"]
                yield chunk[told["line"] - 1].line, f"{problem['code']}: {problem['detail']}"


def _rules(book: Book, entries: Sequence[Entry]) -> Iterator[tuple[int, str]]:
    for entry in entries:
        try:
            book.post("/v1/compliance/rules", entry.item)
        except Declined as declined:
            if declined.status in _FOR_ALL_LINES:
                raise
            yield entry.line, str(declined)


def load(
    path: Annotated[
        Path,
        typer.Argument(
            help="Folder with portfolios, accounts, instruments, rules, prices; or one such file."
        ),
    ],
    kind: Annotated[
        str | None, typer.Option(help=f"What a file holds where its name does not say: {', '.join(KINDS)}.")
    ] = None,
    api: Api = DEFAULT_API,
    key: Key = None,
    keys: Keys = None,
    role: As = "admin",
) -> None:
    """Load reference data and rules from a folder, such as examples/, or from one CSV or JSON file.

    Good lines are kept, bad ones told; exit code 1 when there was one. Loading twice is loading once.
    """
    with one_line():
        if not path.exists():
            raise BookError(f"{path} is neither a folder nor a file")
        book = connect(api, key, keys, role)
        files = {one: file_of(path, one) for one in KINDS} if path.is_dir() else {_kind(path, kind): path}
        loaded = {one: load_file(book, one, file) for one, file in files.items()}
    for complaint in (complaint for one in loaded.values() for complaint in one.complaints):
        typer.echo(complaint, err=True)
    typer.echo(", ".join(f"{one.kept} {kind}" for kind, one in loaded.items()))
    raise typer.Exit(1 if any(one.bad for one in loaded.values()) else 0)


def _kind(file: Path, given: str | None) -> str:
    named = given or next((one for one in KINDS if file.stem.startswith(one)), None)
    if named not in KINDS:
        raise BookError(f"what {file} holds is not known: give --kind with one of {', '.join(KINDS)}")
    return named


def add_commands(application: typer.Typer) -> None:
    application.command()(load)
