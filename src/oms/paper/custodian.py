"""A paper custodian over HTTP: it takes instructions, settles them when they are due, and states what it settled.

    PUT  /instructions/{id}   the instruction; another one under the same id: 409
    GET  /instructions/{id}   both answer {"status": PENDING | SETTLED | FAILED, "reason", "statement", "ts_event_ns"}
    PUT  /plans/{symbol}      what goes wrong for a symbol: {"fail": reason or null, "differ": {field: amount}}
    GET  /healthz

Its book is one SQLite file, so a killed custodian comes back knowing what it knew.
"""

import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from oms.domain.facts import CustodianStatement
from oms.domain.instructions import SettlementInstruction
from oms.domain.model import Model
from oms.domain.numbers import Amount, add

_SCHEMA = """
CREATE TABLE IF NOT EXISTS instructions (id TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS plans (symbol TEXT PRIMARY KEY, body TEXT NOT NULL);
"""


class Plan(Model):
    """What the custodian does with a symbol: fail with a reason, or state amounts that differ by so much."""

    fail: str | None = None
    differ: dict[str, Amount] = {}


class CustodianBook:
    """Instructions and plans in one SQLite file."""

    def __init__(self, file: Path | str, clock: Callable[[], datetime] | None = None) -> None:
        self._connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)
        self._clock = clock or (lambda: datetime.now(UTC))

    def take(self, instruction: SettlementInstruction) -> bool:
        """Keep an instruction; False where another one is held under its id."""
        body = instruction.model_dump_json()
        self._connection.execute(
            "INSERT INTO instructions VALUES (?, ?) ON CONFLICT DO NOTHING",
            (instruction.instruction_id, body),
        )
        return self._body("instructions", "id", instruction.instruction_id) == body

    def plan(self, symbol: str, plan: Plan) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO plans VALUES (?, ?)", (symbol, plan.model_dump_json())
        )

    def word(self, instruction_id: str) -> dict[str, Any] | None:
        """What the custodian says of an instruction now; None where it knows none."""
        body = self._body("instructions", "id", instruction_id)
        if body is None:
            return None
        instruction = SettlementInstruction.model_validate_json(body)
        now = self._clock()
        if now < instruction.settles_at:
            return {"status": "PENDING"}
        planned = self._body("plans", "symbol", instruction.symbol)
        plan = Plan.model_validate_json(planned) if planned else Plan()
        word: dict[str, Any] = {"ts_event_ns": int(instruction.settles_at.timestamp()) * 1_000_000_000}
        if plan.fail is not None:
            return word | {"status": "FAILED", "reason": plan.fail}
        statement = _statement(instruction, plan)
        return word | {"status": "SETTLED", "statement": json.loads(statement.model_dump_json())}

    def close(self) -> None:
        self._connection.close()

    def _body(self, table: str, key: str, value: str) -> str | None:
        row = self._connection.execute(f"SELECT body FROM {table} WHERE {key} = ?", (value,)).fetchone()  # noqa: S608
        return row[0] if row else None


def _statement(instruction: SettlementInstruction, plan: Plan) -> CustodianStatement:
    def stated(field: str, amount: Decimal) -> Decimal:
        return add(amount, plan.differ.get(field, Decimal(0)))

    return CustodianStatement(
        quantity=stated("quantity", instruction.quantity),
        average_price=stated("average_price", instruction.average_price),
        commission=stated("commission", instruction.commission),
        net_amount=stated("net_amount", instruction.net_amount),
        currency=instruction.currency,
        settled_on=instruction.settlement_date,
    )


def create_custodian(book: CustodianBook) -> Starlette:
    """The custodian's HTTP interface over `book`."""

    async def put_instruction(request: Request) -> Response:
        try:
            instruction = SettlementInstruction.model_validate_json(await request.body())
        except ValidationError as error:
            return JSONResponse({"error": str(error)}, status_code=422)
        if instruction.instruction_id != request.path_params["id"]:
            return JSONResponse({"error": "the path and the body name two instructions"}, status_code=422)
        if not book.take(instruction):
            return JSONResponse({"error": "another instruction is held under this id"}, status_code=409)
        return JSONResponse(book.word(instruction.instruction_id))

    async def get_instruction(request: Request) -> Response:
        word = book.word(request.path_params["id"])
        return JSONResponse(word) if word else JSONResponse({"error": "unknown instruction"}, status_code=404)

    async def put_plan(request: Request) -> Response:
        try:
            book.plan(request.path_params["symbol"], Plan.model_validate_json(await request.body()))
        except ValidationError as error:
            return JSONResponse({"error": str(error)}, status_code=422)
        return Response(status_code=204)

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/instructions/{id}", put_instruction, methods=["PUT"]),
            Route("/instructions/{id}", get_instruction, methods=["GET"]),
            Route("/plans/{symbol}", put_plan, methods=["PUT"]),
            Route("/healthz", healthz),
        ]
    )
