"""CSV line by line, in every dress that spreadsheets give it. Nothing of HTTP: the command line reads with it too."""

import codecs
import csv
from collections.abc import Iterator
from dataclasses import dataclass

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class UnreadableFile(Exception):
    """Why nothing of a file can be read, in one line. `column` is the one it is about, if it is about one."""

    def __init__(self, message: str, column: str | None = None) -> None:
        super().__init__(message)
        self.column = column


@dataclass(frozen=True)
class Line:
    """One record: the line of the file where it begins, and its cells or why they cannot be read."""

    number: int
    cells: list[str] | None
    problem: str = ""


def decoded(content: bytes) -> str:
    """The text of a file: UTF-8, or UTF-16 with its mark. Raises UnreadableFile."""
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UnreadableFile(f"line {line} is not {encoding.upper()} text; save the file as UTF-8") from error
    if "\0" in text:
        raise UnreadableFile("it holds NUL characters, so it is no text; save the file as UTF-8")
    if not text.strip():
        raise UnreadableFile("it is empty")
    return text


def records(text: str) -> Iterator[Line]:
    """The records, the header among them, without empty lines and without comments (`#`). Cells lose outer spaces."""
    lines = text.splitlines(keepends=True)
    reader = csv.reader(iter(lines), delimiter=_delimiter(lines), strict=True)
    while True:
        number = reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            yield Line(number, None, _problem(error))
            continue
        if any(cells) and not lines[number - 1].lstrip().startswith("#"):
            yield Line(number, cells)


def header(line: Line) -> list[str]:
    """The names of the columns in small letters. Raises UnreadableFile for one that is there twice."""
    if line.cells is None:
        raise UnreadableFile(f"line {line.number}: {line.problem}")
    names = [cell.lower() for cell in line.cells]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UnreadableFile(f"line {line.number}: column {twice[0]!r} is there twice", twice[0])
    return names


def _delimiter(lines: list[str]) -> str:
    """Comma, or what the header has in its place: spreadsheets of some countries write semicolons or tabs."""
    first = next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), "")
    return max(",;\t", key=first.count)


def _problem(error: csv.Error) -> str:
    if "unexpected end of data" in str(error):
        return "a quotation mark opened here is never closed; the lines after it were not read"
    return f"not CSV: {error}"
