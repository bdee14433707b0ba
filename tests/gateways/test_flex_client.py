"""The Flex client against the paper service over HTTP: two steps, patience where the code says so, and a token that
nobody ever sees."""

import asyncio
import logging
import socket
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs
from tests.flexing import HURRIED, QUERY, TOKEN, Broker, service, serving

from oms.gateways.flex import FlexBusy, FlexClient, FlexPace, FlexRefused, FlexSettings, FlexUnreadable
from oms.gateways.flex.answers import TRY_AGAIN
from oms.paper.flex import FlexPlan, FlexService


@pytest.fixture
def book(tmp_path: Path) -> Path:
    broker = Broker(tmp_path / "paper.db")
    broker.trades("100")
    return broker.file


@asynccontextmanager
async def client_of(settings: FlexSettings, pace: FlexPace = HURRIED) -> AsyncIterator[FlexClient]:
    client = FlexClient(settings, pace)
    try:
        yield client
    finally:
        await client.close()


async def fetch(flex: FlexService, **asked: object) -> bytes:
    with serving(flex) as at:
        async with client_of(at) as client:
            return (await client.statement(**asked)).data  # type: ignore[arg-type]


async def test_a_statement_that_is_being_made_is_waited_for(book: Path) -> None:
    data = await fetch(service(book, plan=FlexPlan(in_progress=3)))
    assert data.count(b"<Trade ") == 1


async def test_days_can_be_asked_for(book: Path) -> None:
    days = {"from_date": date(2026, 3, 1), "to_date": date(2026, 3, 1)}
    data = await fetch(service(book), **days)
    assert b'fromDate="20260301" toDate="20260301"' in data
    assert b"<Trade " not in data


@pytest.mark.parametrize("step", ["send", "get"])
async def test_codes_that_say_so_are_asked_again(book: Path, step: str) -> None:
    plan = FlexPlan(in_progress=0, **{step: tuple(sorted(TRY_AGAIN))})
    assert b"FlexQueryResponse" in await fetch(service(book, plan=plan))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (1012, "Token has expired. (make a new token in Client Portal"),
        (1014, "Query is invalid. (set OMS_FLEX_QUERY_ID"),
        (1015, "Token is invalid"),
        (1020, "Invalid request"),
        (1025, "Too many failed attempts"),
        (1099, "Unknown error"),
    ],
)
@pytest.mark.parametrize("step", ["send", "get"])
async def test_every_other_code_is_final_and_says_what_to_do(
    book: Path, step: str, code: int, said: str
) -> None:
    plan = FlexPlan(in_progress=0, **{step: (code,)})
    with pytest.raises(FlexRefused) as raised:
        await fetch(service(book, plan=plan))
    assert raised.value.code == code
    assert f"said {code}: " in str(raised.value)
    assert said in str(raised.value)


async def test_patience_has_an_end(book: Path) -> None:
    with serving(service(book, plan=FlexPlan(in_progress=10_000))) as at:
        async with client_of(at, replace(HURRIED, patience=0.05)) as client:
            with pytest.raises(FlexBusy, match="1019") as raised:
                await client.statement()
    assert raised.value.code == 1019


async def test_too_many_requests_are_followed_by_a_long_pause(book: Path) -> None:
    pauses = []

    async def rest(seconds: float) -> None:
        pauses.append(seconds)

    with serving(service(book, plan=FlexPlan(in_progress=0, send=(1009, 1018)))) as at:
        client = FlexClient(at, FlexPace(pauses=(1, 2), crowded=30), rest)
        await client.statement()
        await client.close()
    assert pauses == [1, 30, 1]


async def test_it_goes_on_with_a_reference_and_begins_anew_where_that_is_forgotten(book: Path) -> None:
    references: list[str | None] = []
    with serving(service(book)) as at:
        async with client_of(at) as client:
            await client.statement(still_here=references.append)
            given = references[-1]
            assert references == [None, given]
            await client.statement(reference=given, still_here=references.append)
            assert references[2:] == [given]
            await client.statement(reference="gone", still_here=references.append)
            assert references[3:5] == ["gone", None]


async def test_a_service_that_is_away_is_a_busy_one() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        at = FlexSettings(f"http://127.0.0.1:{probe.getsockname()[1]}", QUERY, TOKEN)
        async with client_of(at, replace(HURRIED, patience=0)) as client:
            with pytest.raises(FlexBusy, match="did not answer: ConnectError"):
                await client.statement()


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[FlexSettings]:
    """A server that answers every request with these bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield FlexSettings(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", QUERY, TOKEN)


def page(status: str, body: str) -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (page("200 OK", "<html>hello"), FlexUnreadable, "no XML that can be read"),
        (page("200 OK", ""), FlexUnreadable, "no XML that can be read"),
        (page("200 OK", "<html/>"), FlexUnreadable, "<html> and no reference code"),
        (page("200 OK", "<FlexStatementResponse/>"), FlexUnreadable, "no reference code"),
        (page("404 Not Found", ""), FlexRefused, "HTTP status 404; check OMS_FLEX_URL"),
        (page("302 Found", ""), FlexRefused, "HTTP status 302"),
        (page("503 Service Unavailable", ""), FlexBusy, "HTTP status 503"),
        (page("429 Too Many Requests", ""), FlexBusy, "HTTP status 429"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n<Flex", FlexBusy, "did not answer"),
        (b"", FlexBusy, "did not answer"),
    ],
)
async def test_an_answer_that_is_none_is_told(answer: bytes, error: type[Exception], said: str) -> None:
    async with answering(answer) as at, client_of(at, replace(HURRIED, patience=0)) as client:
        with pytest.raises(error, match=said):
            await client.statement()


@pytest.mark.parametrize(
    "declared",
    [
        '<!DOCTYPE a [<!ENTITY b "c">]>',
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd">',
    ],
)
async def test_declarations_are_refused_before_anything_is_built(declared: str) -> None:
    body = f"{declared}<FlexStatementResponse><ReferenceCode>&b;</ReferenceCode></FlexStatementResponse>"
    async with answering(page("200 OK", body)) as at, client_of(at) as client:
        with pytest.raises(FlexUnreadable, match="document type declaration"):
            await client.statement()


async def test_more_than_anybody_sends_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oms.gateways.flex.client.MAX_BYTES", 1000)
    async with answering(page("200 OK", "<a>" + "b" * 2000)) as at, client_of(at) as client:
        with pytest.raises(FlexUnreadable, match="more than 1000 bytes"):
            await client.statement()


@pytest.mark.parametrize(
    "answer",
    [
        page("200 OK", f"<html>{TOKEN}</html>"),
        page("200 OK", f"<{TOKEN}"),
        page("500 Oops", TOKEN),
        page("302 Found\r\nlocation: http://127.0.0.1/?t=" + TOKEN, ""),
        page(
            "200 OK",
            "<FlexStatementResponse><ErrorCode>1015</ErrorCode>"
            f"<ErrorMessage>Token {TOKEN} is invalid.</ErrorMessage></FlexStatementResponse>",
        ),
        page(
            "200 OK",
            "<FlexStatementResponse><ErrorCode>1009</ErrorCode>"
            f"<ErrorMessage>{TOKEN}</ErrorMessage></FlexStatementResponse>",
        ),
        b"",
    ],
)
async def test_the_token_is_in_no_message_no_traceback_and_no_log(
    answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Every library that speaks here logs all that it can, and the service says the token back."""
    structlog.reset_defaults()
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    with capture_logs() as told:
        async with answering(answer) as at, client_of(at, replace(HURRIED, patience=0.05)) as client:
            with pytest.raises((FlexBusy, FlexRefused, FlexUnreadable)) as raised:
                await client.statement()
            shown = [repr(at), repr(client), repr(vars(client)["_http"]), repr(raised.value), repr(told)]
    shown += traceback.format_exception(raised.value)
    shown += [record.getMessage() for record in caplog.records]
    assert any("HTTP Request" in text for text in shown) or answer == b""
    assert TOKEN not in "\n".join(shown)


def test_no_token_is_no_client() -> None:
    with pytest.raises(ValueError, match="needs a token"):
        FlexClient(FlexSettings("http://127.0.0.1:1", QUERY, ""))
