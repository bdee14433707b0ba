"""Reference data by the file: CSV or a JSON array, each line judged by itself, good ones kept and bad ones named.

CSV reaches the routes as a JSON string: `FileRoute` wraps it at the door, so that keys, limits and replays work as for
any other request.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Body
from pydantic import BaseModel, Field, GetJsonSchemaHandler, TypeAdapter, ValidationError
from pydantic.json_schema import JsonSchemaValue
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from oms.api.lines import Line, UnreadableFile, decoded, header, records
from oms.api.routing import BookRoute, Handler
from oms.api.validation import of_validation
from oms.api.views import View
from oms.domain.errors import Code, Refused

Item = dict[str, Any]
Keep = Callable[[Any], str]
"""Keeps one thing and answers its id. Raises Refused."""
MAX_LINES = 10_000
MAX_COLUMNS = 100
_CSV = b"text/csv"


class LineProblem(View):
    """Why a line was not kept. `field` is null where it is about the whole line."""

    code: Code
    field: str | None
    detail: str


class LineView(View):
    """What became of one line. In a JSON array `line` is the place of the item, from 1."""

    line: int = Field(ge=1)
    ok: bool
    id: str | None = None
    problem: LineProblem | None = None


class ImportView(View):
    """What became of a file. Lines that were accepted stay kept, whatever became of the others."""

    accepted: int = Field(ge=0)
    rejected: int = Field(ge=0)
    lines: list[LineView]


@dataclass(frozen=True)
class _Row:
    """One thing to keep: its line, and its fields or why they cannot be read."""

    line: int
    fields: Any
    problem: str = ""


class FileRoute(BookRoute):
    """A route that takes text/csv too."""

    def get_route_handler(self) -> Handler:
        answer = super().get_route_handler()

        async def read(request: Request) -> Response:
            return await answer(await _wrapped(request) if _is_csv(request) else request)

        return read


def _is_csv(request: Request) -> bool:
    given = request.headers.get("content-type", "").encode("latin-1", "replace")
    return given.partition(b";")[0].strip().lower() == _CSV


async def _wrapped(request: Request) -> Request:
    """The same request with its CSV as a JSON string, one character for each byte."""
    body = json.dumps((await request.body()).decode("latin-1")).encode()
    dropped = (b"content-type", b"content-length")
    headers = [(name, value) for name, value in request.scope["headers"] if name not in dropped]
    headers.append((b"content-type", b"application/json"))

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({**request.scope, "headers": headers}, receive)


class _ListOf:
    """Shows a JSON array of `model` in the OpenAPI document; the lines are read one by one."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._schema = TypeAdapter(list[model]).core_schema  # type: ignore[valid-type]  # a class at run time

    def __get_pydantic_json_schema__(self, _schema: Any, show: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**show(self._schema), "minItems": 1, "maxItems": MAX_LINES}


def file_of(model: type[BaseModel]) -> Any:
    """The type of a route's body: an array of `model`, or CSV with its fields as columns."""
    return Annotated[Any, _ListOf(model), Body()]


def csv_body(example: str) -> dict[str, Any]:
    """What `openapi_extra` says of the CSV body."""
    return {"requestBody": {"content": {"text/csv": {"schema": {"type": "string"}, "example": example}}}}


def import_file(file: Any, model: type[BaseModel], keep: Keep) -> ImportView:
    """Read `file` as lines of `model` and keep each. Blocks. The same file again changes nothing.

    Raises Refused for a file that is not one: VALIDATION_FAILED with the column, PAYLOAD_TOO_LARGE.
    """
    rows = list(_csv_rows(file, model) if isinstance(file, str) else _json_rows(file))
    if not rows:
        raise Refused(Code.VALIDATION_FAILED, "body: there is no line in it.", field="body")
    if len(rows) > MAX_LINES:
        raise Refused(
            Code.PAYLOAD_TOO_LARGE,
            f"The file has {len(rows)} lines; at most {MAX_LINES} are taken at a time.",
            limit=MAX_LINES,
            actual=len(rows),
        )
    lines = [_judged(row, model, keep) for row in rows]
    accepted = sum(line.ok for line in lines)
    return ImportView(accepted=accepted, rejected=len(lines) - accepted, lines=lines)


def _judged(row: _Row, model: type[BaseModel], keep: Keep) -> LineView:
    try:
        return LineView(line=row.line, ok=True, id=keep(_read(row, model)))
    except Refused as refused:
        field = refused.facts.get("field")
        problem = LineProblem(code=refused.code, field=field, detail=refused.message)
        return LineView(line=row.line, ok=False, problem=problem)


def _read(row: _Row, model: type[BaseModel]) -> BaseModel:
    if row.problem:
        raise Refused(Code.VALIDATION_FAILED, f"{row.problem}.")
    try:
        return model.model_validate(row.fields)
    except ValidationError as error:
        raise of_validation(error.errors()) from error


def _json_rows(file: Any) -> Iterator[_Row]:
    if not isinstance(file, list):
        raise Refused(Code.VALIDATION_FAILED, "body: it is a JSON array, or CSV as text/csv.", field="body")
    return (_Row(place, fields) for place, fields in enumerate(file, start=1))


def _csv_rows(file: str, model: type[BaseModel]) -> Iterator[_Row]:
    try:
        names: list[str] | None = None
        for line in records(decoded(file.encode("latin-1"))):
            if names is None:
                names = _columns(line, model)
            else:
                yield _from_cells(line, names)
    except UnreadableFile as error:
        field = error.column or "body"
        raise Refused(Code.VALIDATION_FAILED, f"{field}: {error}.", field=field) from error
    except UnicodeEncodeError as error:
        raise Refused(Code.VALIDATION_FAILED, "body: send CSV as text/csv.", field="body") from error


def _columns(line: Line, model: type[BaseModel]) -> list[str]:
    names = header(line)
    fields: Mapping[str, Any] = model.model_fields
    unknown = [name for name in names if name not in fields]
    if unknown:
        told, all_of_them = unknown[0][:MAX_COLUMNS], ", ".join(fields)
        raise UnreadableFile(f"line {line.number}: unknown column {told!r}; there are {all_of_them}", told)
    missing = [name for name, field in fields.items() if field.is_required() and name not in names]
    if missing:
        raise UnreadableFile(f"line {line.number}: no column {', '.join(missing)}", missing[0])
    return names


def _from_cells(line: Line, names: list[str]) -> _Row:
    if line.cells is None:
        return _Row(line.number, None, line.problem)
    if len(line.cells) != len(names):
        return _Row(line.number, None, f"{len(line.cells)} cells under {len(names)} columns")
    fields: Item = {name: cell for name, cell in zip(names, line.cells, strict=True) if cell}
    return _Row(line.number, fields)
