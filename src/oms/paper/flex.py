"""The paper Flex Web Service: the two steps of version 3 over HTTP, from the paper broker's own book.

    GET  {PATH}/SendRequest?t=TOKEN&q=QUERY&v=3[&fd=YYYYMMDD&td=YYYYMMDD]   a reference code, or an error code
    GET  {PATH}/GetStatement?t=TOKEN&q=REFERENCE&v=3                        the statement, 1019, or an error code
    PUT  /plan                                                              what goes wrong: see FlexPlan
    GET  /healthz

Without days it gives those of the query: the last ones up to now, so that a desk sees today's trades. References live
in memory; after a restart they are unknown (1017), as they are at IBKR after a while.
"""

import itertools
import sqlite3
import threading
import time
import xml.etree.ElementTree as ET
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from oms.domain.model import Model
from oms.paper.flex_book import read_book
from oms.paper.flex_contract import ERRORS, PAPER_QUERY, PAPER_TOKEN
from oms.paper.flex_contract import PATH as PATH
from oms.paper.flex_document import NEW_YORK, Days, statement_document

_GENERATING = 1019
_LONGEST = timedelta(days=365)


class FlexPlan(Model):
    """What the service does next: error codes for the next requests of each step, in order; 0 lets one through.

    `in_progress`: how often every statement is not ready yet when it is fetched.
    """

    send: tuple[int, ...] = ()
    get: tuple[int, ...] = ()
    in_progress: int = 1


@dataclass
class _Asked:
    days: Days
    waits: int


class _Refusal(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class FlexService:
    """The service over the paper broker's state file.

    ``days``: how many days the query has, up to today. ``per_second``, ``per_minute``: requests a token may make.
    """

    def __init__(
        self,
        state_file: Path,
        accounts: Sequence[str],
        *,
        token: str = PAPER_TOKEN,
        query_id: str = PAPER_QUERY,
        days: int = 7,
        per_second: int = 1,
        per_minute: int = 10,
        plan: FlexPlan | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state_file = state_file
        self._accounts = accounts
        self._token = token
        self._query_id = query_id
        self._days = days
        self._limits = ((1.0, per_second), (60.0, per_minute))
        self._clock = clock
        self._monotonic = monotonic
        self._plan = plan or FlexPlan()
        self._lock = threading.Lock()
        self._requests: deque[float] = deque()
        self._asked: dict[str, _Asked] = {}
        self._references = itertools.count(int(clock().timestamp()) * 1000)
        self.follow(self._plan)

    def follow(self, plan: FlexPlan) -> None:
        """Do this from now on."""
        self._plan = plan
        self._errors = {"SendRequest": deque(plan.send), "GetStatement": deque(plan.get)}

    def send(self, asked: Mapping[str, str]) -> bytes:
        """SendRequest: a reference code for a statement of these days."""
        with self._lock:
            try:
                reference = self._taken(asked)
            except _Refusal as refusal:
                return self._refused(refusal.code, "Fail")
        return self._answer(Status="Success", ReferenceCode=reference, Url=f"{PATH}/GetStatement")

    def get(self, asked: Mapping[str, str]) -> bytes:
        """GetStatement: the document, once it is made."""
        try:
            with self._lock:
                days = self._made(asked)
            return self._document(days)
        except _Refusal as refusal:
            return self._refused(refusal.code, "Warn" if refusal.code == _GENERATING else "Fail")

    def _taken(self, asked: Mapping[str, str]) -> str:
        self._admit("SendRequest", asked)
        if asked["q"] != self._query_id:
            raise _Refusal(1014)
        reference = str(next(self._references))
        self._asked[reference] = _Asked(self._days_of(asked), self._plan.in_progress)
        return reference

    def _made(self, asked: Mapping[str, str]) -> Days:
        self._admit("GetStatement", asked)
        waiting = self._asked.get(asked["q"])
        if waiting is None:
            raise _Refusal(1017)
        if waiting.waits > 0:
            waiting.waits -= 1
            raise _Refusal(_GENERATING)
        return waiting.days

    def _document(self, days: Days) -> bytes:
        # A second back: what the book has in this very second may not be complete.
        made_at = self._clock() - timedelta(seconds=1)
        try:
            book = read_book(self._state_file)
        except sqlite3.OperationalError:
            raise _Refusal(1001) from None
        return statement_document(book, self._accounts, self._query_id, days, made_at)

    def _admit(self, step: str, asked: Mapping[str, str]) -> None:
        if asked.get("v") != "3" or "t" not in asked or "q" not in asked:
            raise _Refusal(1020)
        if asked["t"] != self._token:
            raise _Refusal(1015)
        now = self._monotonic()
        for seconds, allowed in self._limits:
            if sum(1 for at in self._requests if at > now - seconds) >= allowed:
                raise _Refusal(1018)
        self._requests.append(now)
        while self._requests[0] <= now - self._limits[-1][0]:
            self._requests.popleft()
        errors = self._errors[step]
        planned = errors.popleft() if errors else 0
        if planned:
            raise _Refusal(planned)

    def _days_of(self, asked: Mapping[str, str]) -> Days:
        today = self._clock().astimezone(NEW_YORK).date()
        if "fd" not in asked and "td" not in asked:
            return Days(today - timedelta(days=self._days - 1), today, f"Last{self._days}CalendarDays")
        try:
            first, last = (_day(asked.get(name)) or today for name in ("fd", "td"))
        except ValueError:
            raise _Refusal(1020) from None
        if first > last or last - first > _LONGEST:
            raise _Refusal(1020)
        return Days(first, last, "Custom")

    def _refused(self, code: int, status: str) -> bytes:
        text = ERRORS.get(code, "Unknown error.")
        return self._answer(Status=status, ErrorCode=str(code), ErrorMessage=text)

    def _answer(self, **parts: str) -> bytes:
        stamp = f"{self._clock().astimezone(NEW_YORK):%d %B, %Y %I:%M %p %Z}"
        root = ET.Element("FlexStatementResponse", {"timestamp": stamp})
        for name, text in parts.items():
            ET.SubElement(root, name).text = text
        answer: bytes = ET.tostring(root, encoding="utf-8")
        return answer


def _day(text: str | None) -> date | None:
    return datetime.strptime(text, "%Y%m%d").date() if text else None  # noqa: DTZ007 - a day has no zone


def create_flex(service: FlexService) -> Starlette:
    """The service's HTTP interface."""

    # Plain functions run in threads: a long statement holds up nobody else.
    def send(request: Request) -> Response:
        return Response(service.send(request.query_params), media_type="text/xml")

    def get(request: Request) -> Response:
        return Response(service.get(request.query_params), media_type="text/xml")

    async def put_plan(request: Request) -> Response:
        try:
            service.follow(FlexPlan.model_validate_json(await request.body()))
        except ValidationError as error:
            return JSONResponse({"error": str(error)}, status_code=422)
        return Response(status_code=204)

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route(f"{PATH}/SendRequest", send),
            Route(f"{PATH}/GetStatement", get),
            Route("/plan", put_plan, methods=["PUT"]),
            Route("/healthz", healthz),
        ]
    )
