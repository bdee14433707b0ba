"""`oms gateway record` at the paper IB Gateway over TCP: every point, every message, and nothing left behind."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from oms.gateways.recording import POINTS, CannotRecord, Outcome, Recording, Verdict, record
from oms.gateways.recording.tape import Frame, Relay, Tape, _Splitter
from oms.paper.ib_gateway import PaperIBGateway
from oms.paper.market import MarketSettings
from tests.cli.running import Ended, Running, run, stopped_at_last
from tests.stack import until

ACCOUNT = "DU123456"
WORKING = ("Submitted", "PreSubmitted")
STILL = MarketSettings(step_seconds=None, moving=False)


@pytest.fixture
async def paper(tmp_path: Path) -> AsyncIterator[PaperIBGateway]:
    gateway = PaperIBGateway(state_file=tmp_path / "paper.db", market=STILL)
    await gateway.start()
    yield gateway
    await gateway.stop()


def recording(paper: PaperIBGateway, **changes: Any) -> Recording:
    told: dict[str, Any] = {"host": "127.0.0.1", "port": paper.port, "account": ACCOUNT, "patience": 2.0}
    return Recording(**{**told, **changes})


async def recorded(asked: Recording, out: Path) -> tuple[dict[str, Verdict], list[str]]:
    said: list[str] = []
    told: list[Verdict] = []
    with out.open("w") as file:
        verdicts = await record(asked, file, said.append, told.append)
    assert told == verdicts
    assert [one.point for one in verdicts] == [point.name for point in POINTS]
    return {one.point: one for one in verdicts}, said


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.read_text().splitlines()]


async def test_every_point_is_walked_and_nothing_is_left(paper: PaperIBGateway, tmp_path: Path) -> None:
    verdicts, said = await recorded(recording(paper), tmp_path / "out.jsonl")
    outcomes = {name: verdict.outcome for name, verdict in verdicts.items()}
    assert outcomes == {
        "used order id": Outcome.AS_EXPECTED,
        "freshness of the lists": Outcome.AS_EXPECTED,
        "order during an outage": Outcome.UNKNOWN,
        "order id after a restart": Outcome.UNKNOWN,
        "reference": Outcome.AS_EXPECTED,
        "executions of other clients": Outcome.UNKNOWN,
        "messages": Outcome.AS_EXPECTED,
    }, verdicts
    assert "error 103" in verdicts["used order id"].seen
    assert said == []
    assert [order for order in paper.orders() if order.status in WORKING] == []
    assert len(paper.orders()) >= 7


async def test_every_message_is_written_with_its_time(paper: PaperIBGateway, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    await recorded(recording(paper), out)
    written = lines(out)
    assert [line["at_ns"] for line in written] == sorted(line["at_ns"] for line in written)
    assert written[0]["note"] == "recording"
    notes = [line["note"] for line in written if "note" in line]
    assert notes.count("verdict") == len(POINTS)
    assert "everything is canceled" in notes
    frames = [line for line in written if "fields" in line]
    assert [frame["fields"] for frame in frames[:2]] == [["API"], ["v157..178"]]
    sent = [frame["fields"] for frame in frames if frame["by"] == "client"]
    placed = [fields for fields in sent if fields[0] == "3"]
    assert {(fields[3], fields[16], fields[17], fields[18], fields[19]) for fields in placed} == {
        ("AAPL", "BUY", "1", "LMT", "1.0")
    }
    assert {frame["by"] for frame in frames} == {"client", "gateway"}


async def test_only_a_paper_account_of_this_login(paper: PaperIBGateway, tmp_path: Path) -> None:
    for account in ("U123456", "", "XDU1"):
        with pytest.raises(CannotRecord, match="no paper account"):
            recording(paper, account=account)
    with pytest.raises(CannotRecord, match="client id 0"):
        recording(paper, client_id=0)
    with pytest.raises(CannotRecord, match="the login has DU123456, not DU999"):
        await recorded(recording(paper, account="DU999"), tmp_path / "out.jsonl")
    assert paper.orders() == []
    with pytest.raises(CannotRecord, match="no connection"):
        await recorded(Recording("127.0.0.1", 1, ACCOUNT, patience=1.0), tmp_path / "out.jsonl")


async def test_the_command_tells_each_verdict(paper: PaperIBGateway, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    at = ("--port", str(paper.port), "--out", out, "--patience", "2")

    async def oms(*arguments: str | Path, stdin: bytes = b"") -> Ended:
        return await asyncio.to_thread(run, "gateway", "record", *arguments, stdin=stdin)

    asked = await oms("--account", ACCOUNT, *at, stdin=b"n\n")
    assert (asked.code, out.exists(), paper.orders()) == (1, False, [])
    done = await oms("--account", ACCOUNT, *at, "--yes")
    assert done.code == 0, done.err
    for point in POINTS:
        assert point.name in done.err
    assert "could not tell" in done.out
    assert f"every message is in {out}" in done.out.replace("\n", "")
    again = await oms("--account", ACCOUNT, *at, "--yes")
    assert (again.code, "File exists" in again.err) == (2, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_stop_in_the_middle_leaves_nothing_at_the_broker(
    paper: PaperIBGateway, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out.jsonl"
    at = ("--port", str(paper.port), "--out", out)
    command = Running("gateway", "record", "--account", ACCOUNT, *at, "--restart", "60", "--yes")
    with stopped_at_last(command):
        asked = partial(command.line, lambda line: "Restart the gateway now" in line, 30, command.errors)
        await asyncio.to_thread(asked)
        assert len([order for order in paper.orders() if order.status in WORKING]) == 1
        code, _ = await asyncio.to_thread(command.stop, number, 20)
    assert code == 130
    assert [order for order in paper.orders() if order.status in WORKING] == []
    assert "everything is canceled" in [line.get("note") for line in lines(out)]


async def test_an_order_during_an_outage(paper: PaperIBGateway, tmp_path: Path) -> None:
    """The gateway loses the broker, and has it again after the order was sent."""
    said: list[str] = []

    def person(text: str) -> None:
        said.append(text)
        if "Cut" in text:
            asyncio.get_running_loop().call_soon(paper.connectivity_lost)
        else:
            asyncio.get_running_loop().call_soon(lambda: paper.connectivity_restored(data_lost=False))

    with (tmp_path / "out.jsonl").open("w") as file:
        verdicts = await record(recording(paper, outage=5.0), file, person, lambda _: None)
    (outage,) = [one for one in verdicts if one.point == "order during an outage"]
    assert outage.outcome is not Outcome.UNKNOWN, outage
    assert len(said) == 2


@pytest.mark.parametrize(("rolls_back", "outcome"), [(False, Outcome.AS_EXPECTED), (True, Outcome.DIFFERS)])
async def test_the_order_id_after_a_restart(
    paper: PaperIBGateway, tmp_path: Path, rolls_back: bool, outcome: Outcome
) -> None:
    """The gateway goes away and comes back on its port, with the order that worked before."""

    def person(_text: str) -> None:
        asyncio.get_running_loop().call_soon(lambda: paper.restart(0.1, roll_back_ids=rolls_back))

    with (tmp_path / "out.jsonl").open("w") as file:
        verdicts = await record(recording(paper, restart=5.0), file, person, lambda _: None)
    (restarted,) = [one for one in verdicts if one.point == "order id after a restart"]
    assert restarted.outcome is outcome, restarted
    assert [order for order in paper.orders() if order.status in WORKING] == []


async def test_a_relay_changes_no_byte_however_it_is_cut(tmp_path: Path) -> None:
    """What one side writes the other reads, and what is written down are whole messages."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(3):
            writer.write(chunk)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    message = b"\0\0\0\x07" + b"61\x001\0\xff\0"
    with (tmp_path / "tape.jsonl").open("w") as file:
        tape = Tape(file)
        async with Relay("127.0.0.1", server.sockets[0].getsockname()[1], tape) as relay:
            reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
            for start in range(0, len(message) * 2, 2):
                writer.write((message * 2)[start : start + 2])
                await writer.drain()
            assert await reader.readexactly(len(message) * 2) == message * 2
            writer.close()
            await until(lambda: tape.here == 4, "both messages both ways")
    server.close()
    assert {(frame.sent, frame.fields) for frame in tape.frames} == {
        (sent, ("61", "1", "\\xff")) for sent in (True, False)
    }


def test_a_greeting_has_no_length() -> None:
    split = _Splitter()
    assert list(split.feed(b"AP")) == []
    assert list(split.feed(b"I\0\0\0\0\x09v157..178")) == [("API",), ("v157..178",)]
    assert Frame(0, 1, True, ()).kind == ""
