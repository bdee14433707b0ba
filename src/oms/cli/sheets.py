"""Orders in a file: CSV, a JSON array, or JSON lines, read row by row; a bad row never stops the others.

Columns are CreateOrder's own. `symbol` (with `sec_type`, `exchange`, `currency` if need be) stands in place of
`instrument_id`; `route.venue`, `metadata.note` and `handling.trail_amount` set one field of an object, and
`handling.bracket` and `handling.adjustment` take a JSON object. Empty cells are absent fields.
"""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import PurePath
from typing import Any

from oms.api.lines import UnreadableFile, decoded, header, records
from oms.cli.book import Item

__all__ = ["FIELDS", "Row", "UnreadableFile", "read_rows"]
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
    "handling",
)
OBJECTS = ("route", "metadata", "handling")
REQUIRED = ("portfolio_id", "direction", "ordered_quantity", "order_type", "time_in_force")
_NUMBERS = frozenset({"ordered_quantity", "limit_price", "stop_price"})
_NESTED = frozenset({"handling.bracket", "handling.adjustment"})
"""Fields of an object that are objects themselves."""


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
    text = decoded(content)
    rows = list(_reader(name, text)(text))
    if not rows:
        raise UnreadableFile("no orders in it")
    return rows


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
    names: list[str] | None = None
    for line in records(text):
        if line.cells is None:
            yield Row(line.number, None, line.problem)
        elif names is None:
            names = _checked(header(line), line.number)
        else:
            read = partial(_from_cells, names, line.cells)
            yield _row(line.number, read)


def _checked(names: list[str], line: int) -> list[str]:
    unknown = [name for name in names if not _is_column(name)]
    if unknown:
        raise UnreadableFile(f"line {line}: unknown column {unknown[0]!r}; there are {', '.join(FIELDS)}")
    missing = [name for name in REQUIRED if name not in names]
    if not {"symbol", "instrument_id"} & set(names):
        missing.append("symbol")
    if missing:
        raise UnreadableFile(f"line {line}: no column {', '.join(missing)}")
    return names


def _is_column(name: str) -> bool:
    object_name, dot, field = name.partition(".")
    return name in FIELDS or (bool(dot and field) and object_name in OBJECTS)


def _from_cells(names: list[str], cells: list[str]) -> Item:
    if len(cells) != len(names):
        raise BadRow(f"{len(cells)} cells under {len(names)} columns")
    fields: Item = {}
    for name, cell in zip(names, cells, strict=True):
        object_name, dot, field = name.partition(".")
        if not cell:
            continue
        if name in _NESTED:
            fields.setdefault(object_name, {})[field] = _object(name, cell)
        elif dot:
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
            yield _row(number, partial(_from_text, stripped))


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
        yield _row(line, partial(_from_json, value))
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


def _from_text(text: str) -> Item:
    return _from_json(_parsed(text))


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
        sendable = _exact if object_name == "handling" else _sendable
        if dot and object_name in OBJECTS and field:
            fields.setdefault(object_name, {})[field] = sendable(item)
        elif name in OBJECTS and isinstance(item, dict):
            fields[name] = {**sendable(item), **fields.get(name, {})}
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


def _exact(value: Any) -> Any:
    """A price or a distance keeps every digit as text."""
    if isinstance(value, dict):
        return {name: _exact(item) for name, item in value.items()}
    return str(value) if isinstance(value, Decimal) else value


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
