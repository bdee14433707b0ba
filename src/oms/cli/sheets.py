"""Orders in a file: CSV, a JSON array, or JSON lines, read row by row; a bad row never stops the others.

Columns are CreateOrder's own. `symbol` (with `sec_type`, `exchange`, `currency` if need be) stands in place of
`instrument_id`; `route.venue` and `metadata.note` set one field of an object. Empty cells are absent fields.
"""

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import PurePath
from typing import Any

from oms.cli.book import Item

INSTRUMENT = ("symbol", "sec_type", "exchange", "currency")
"""What names an instrument that is not named by its id."""
FIELDS = (
    "portfolio_id",
    "instrument_id",
    *INSTRUMENT,
    "direction",
    "ordered_quantity",
    "order_type",
    "time_in_force",
    "limit_price",
    "stop_price",
    "expires_at",
    "basket_id",
    "client_order_id",
    "route",
    "automation",
    "compliance",
    "metadata",
)
OBJECTS = ("route", "metadata")
REQUIRED = ("portfolio_id", "direction", "ordered_quantity", "order_type", "time_in_force")
_NUMBERS = frozenset({"ordered_quantity", "limit_price", "stop_price"})
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class UnreadableFile(Exception):
    """Why nothing of a file can be read, in one line."""


class BadRow(Exception):
    """Why one row cannot be sent."""


@dataclass(frozen=True)
class Row:
    """One row: where it begins, and the body of its order or why there is none."""

    line: int
    body: Item | None
    problem: str = ""


def read_rows(name: str, content: bytes) -> list[Row]:
    """Every row of a file called `name`. Raises UnreadableFile."""
    text = _decoded(content)
    rows = list(_reader(name, text)(text))
    if not rows:
        raise UnreadableFile("no orders in it")
    return rows


def _decoded(content: bytes) -> str:
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


def _reader(name: str, text: str) -> Callable[[str], Iterator[Row]]:
    suffix = PurePath(name).suffix.lower()
    first = text.lstrip()[0]
    if suffix == ".csv":
        return _csv_rows
    if suffix in (".jsonl", ".ndjson"):
        return _line_rows
    if first == "[":
        return _array_rows
    if first == "{":
        return _line_rows
    if suffix == ".json":
        raise UnreadableFile("it is neither a JSON array of orders nor one JSON object a line")
    return _csv_rows


def _csv_rows(text: str) -> Iterator[Row]:
    lines = text.splitlines(keepends=True)
    reader = csv.reader(iter(lines), delimiter=_delimiter(lines), strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(line, None, _csv_problem(error))
            continue
        if lines[line - 1].lstrip().startswith("#") or not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = _header(cells, line)
        else:
            yield _row(line, lambda cells=cells, header=header: _from_cells(header, cells))  # type: ignore[misc]


def _csv_problem(error: csv.Error) -> str:
    if "unexpected end of data" in str(error):
        return "a quotation mark opened here is never closed; the lines after it were not read"
    return f"not CSV: {error}"


def _delimiter(lines: list[str]) -> str:
    """Comma, or what the header has in its place: spreadsheets of some countries write semicolons or tabs."""
    header = next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), "")
    return max(",;\t", key=header.count)


def _header(cells: list[str], line: int) -> list[str]:
    names = [cell.strip().lower() for cell in cells]
    unknown = [name for name in names if not _is_column(name)]
    if unknown:
        raise UnreadableFile(f"line {line}: unknown column {unknown[0]!r}; there are {', '.join(FIELDS)}")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UnreadableFile(f"line {line}: column {twice[0]!r} is there twice")
    missing = [name for name in REQUIRED if name not in names]
    if not {"symbol", "instrument_id"} & set(names):
        missing.append("symbol")
    if missing:
        raise UnreadableFile(f"line {line}: no column {', '.join(missing)}")
    return names


def _is_column(name: str) -> bool:
    object_name, dot, field = name.partition(".")
    return name in FIELDS or (bool(dot and field) and object_name in OBJECTS)


def _from_cells(header: list[str], cells: list[str]) -> Item:
    if len(cells) != len(header):
        raise BadRow(f"{len(cells)} cells under {len(header)} columns")
    fields: Item = {}
    for name, cell in zip(header, (cell.strip() for cell in cells), strict=True):
        object_name, dot, field = name.partition(".")
        if not cell:
            continue
        if dot:
            fields.setdefault(object_name, {})[field] = cell
        elif name in OBJECTS:
            fields[name] = {**_object(name, cell), **fields.get(name, {})}
        else:
            fields[name] = cell
    return fields


def _object(name: str, cell: str) -> Item:
    try:
        value = json.loads(cell)
    except ValueError as error:
        raise BadRow(f"{name}: {cell[:40]!r} is not a JSON object") from error
    if not isinstance(value, dict):
        raise BadRow(f"{name}: {cell[:40]!r} is not a JSON object")
    return value


def _line_rows(text: str) -> Iterator[Row]:
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield _row(number, lambda stripped=stripped: _from_json(_parsed(stripped)))  # type: ignore[misc]


def _array_rows(text: str) -> Iterator[Row]:
    """The elements one by one, so that each has its line; what is no JSON ends the reading."""
    at = _skip(text, text.index("[") + 1)
    while at < len(text) and text[at] != "]":
        line = text.count("\n", 0, at) + 1
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            yield Row(line, None, f"not JSON: {_json_problem(error)}; nothing after it was read")
            return
        yield _row(line, lambda value=value: _from_json(value))  # type: ignore[misc]
        at = _skip(text, end)
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)
        elif text[at : at + 1] != "]":
            break
    if text[at : at + 1] != "]" or text[at + 1 :].strip():
        line = text.count("\n", 0, at) + 1
        yield Row(line, None, "not JSON: the array does not end here as it should; nothing after it was read")


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


class _Fields(Item):
    """A JSON object that remembers a name it held twice."""

    twice: str | None = None


def _fields(pairs: list[tuple[str, Any]]) -> _Fields:
    fields = _Fields(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        fields.twice = next(name for name in names if names.count(name) > 1)
    return fields


_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=str, object_pairs_hook=_fields)
"""Numbers keep every digit; NaN and the infinities stay words, which no order book takes."""


def _parsed(line: str) -> Any:
    try:
        return _DECODER.decode(line)
    except (ValueError, RecursionError) as error:
        raise BadRow(f"not JSON: {_json_problem(error)}") from error


def _json_problem(error: Exception) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error)


def _from_json(value: Any) -> Item:
    """The fields of one JSON row; numbers of the order itself as text. Raises BadRow."""
    if not isinstance(value, _Fields):
        raise BadRow("an order is a JSON object")
    if value.twice is not None:
        raise BadRow(f"{value.twice!r} is there twice")
    fields: Item = {}
    for name, item in value.items():
        object_name, dot, field = name.partition(".")
        if item is None:
            continue
        if dot and object_name in OBJECTS and field:
            fields.setdefault(object_name, {})[field] = _sendable(item)
        elif name in OBJECTS and isinstance(item, dict):
            fields[name] = {**_sendable(item), **fields.get(name, {})}
        elif name in _NUMBERS and isinstance(item, int | Decimal) and not isinstance(item, bool):
            fields[name] = str(item)
        else:
            fields[name] = _sendable(item)
    return fields


def _sendable(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {name: _sendable(item) for name, item in value.items()}
    return [_sendable(item) for item in value] if isinstance(value, list) else value


def _row(line: int, read: Callable[[], Item]) -> Row:
    try:
        return Row(line, _body(read()))
    except BadRow as bad:
        return Row(line, None, str(bad))


def _body(fields: Item) -> Item:
    """The body of CreateOrder. Raises BadRow for an unknown or a missing field."""
    unknown = [name for name in fields if name not in FIELDS]
    if unknown:
        raise BadRow(f"unknown field {unknown[0]!r}")
    missing = [name for name in REQUIRED if name not in fields]
    if "instrument_id" not in fields and "symbol" not in fields:
        missing.append("symbol")
    if missing:
        raise BadRow(f"no {', '.join(missing)}")
    body = {name: value for name, value in fields.items() if name not in INSTRUMENT}
    terms = {name: value for name, value in fields.items() if name in INSTRUMENT}
    if terms and "instrument_id" in body:
        raise BadRow("give either instrument_id or symbol, and not both")
    return {**body, "instrument": terms} if terms else body
