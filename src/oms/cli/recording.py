"""`oms gateway record`: what a real paper account does where no document says so."""

import asyncio
import logging
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer
from rich.table import Table
from rich.text import Text

from oms.cli.book import printable
from oms.cli.connecting import console
from oms.cli.leaving import complain, run_and_leave
from oms.cli.looks import plain_table

if TYPE_CHECKING:
    from oms.gateways.recording import Recording, Verdict

_STYLES = {"as expected": "green", "differs": "bold red", "could not tell": "yellow"}
_DIFFERS = 1
_INTERRUPTED = 130


def record(
    account: Annotated[str, typer.Option(help="The paper account to record on; its number begins with DU.")],
    out: Annotated[Path, typer.Option(help="File for the messages, as JSON lines; it must not exist.")],
    host: Annotated[str, typer.Option(help="Host of the IB Gateway or TWS.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Its socket port.")] = 4002,
    client_id: Annotated[int, typer.Option(help="A client id that nobody uses, nor the next one.")] = 917,
    symbol: Annotated[str, typer.Option(help="The stock to place orders in.")] = "AAPL",
    price: Annotated[float, typer.Option(min=0.01, help="A price far below its market.")] = 1.0,
    patience: Annotated[float, typer.Option(min=0.1, help="Seconds for one answer.")] = 10.0,
    outage: Annotated[
        float, typer.Option(min=0, help="Seconds to cut the gateway off its network in; 0 leaves it out.")
    ] = 0.0,
    restart: Annotated[
        float, typer.Option(min=0, help="Seconds to restart the gateway in; 0 leaves it out.")
    ] = 0.0,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before orders are placed.")] = False,
) -> None:
    """Record on a paper account what no document settles, message by message; exit code 1 where something differs.

    Orders to buy one share far below the market are placed one by one, and every one is canceled, also on Ctrl-C.
    """
    from oms.gateways.recording import CannotRecord, Recording

    try:
        recording = Recording(host, port, account, client_id, symbol, price, patience, outage, restart)
    except CannotRecord as reason:
        complain(str(reason))
    if not yes:
        question = f"Place and cancel orders to buy 1 {symbol} at {price} in {account} at {host}:{port}?"
        typer.confirm(question, abort=True)
    logging.getLogger("ib_async").setLevel(logging.CRITICAL)
    with _new_file(out) as file:
        run_and_leave(_record(recording, file))


def _new_file(out: Path) -> TextIO:
    try:
        return out.open("x", encoding="utf-8")
    except OSError as error:
        complain(f"cannot write {out}: {error.strerror}")


async def _record(recording: "Recording", file: TextIO) -> int:
    """Record to the end, or until told to stop; however long it takes, what was placed is canceled first."""
    from oms.gateways.recording import CannotRecord, Outcome, record

    verdicts: list[Verdict] = []
    work = asyncio.create_task(record(recording, file, _say, lambda one: _tell(one, verdicts)))
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, _stop, work, stopped)
    try:
        await work
    except CannotRecord as reason:
        complain(str(reason), code=1)
    except asyncio.CancelledError:
        if not stopped.is_set():
            raise
    console().print(_table(verdicts))
    typer.echo(f"every message is in {file.name}")
    if stopped.is_set():
        return _INTERRUPTED
    return _DIFFERS if any(one.outcome is Outcome.DIFFERS for one in verdicts) else 0


def _stop(work: "asyncio.Task[list[Verdict]]", stopped: asyncio.Event) -> None:
    """Stop once; what comes after it does not hurry the clean-up."""
    if not stopped.is_set():
        stopped.set()
        _say("stopping: what was placed is being canceled")
        work.cancel()


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _tell(verdict: "Verdict", verdicts: "list[Verdict]") -> None:
    verdicts.append(verdict)
    _say(f"{verdict.point}: {verdict.outcome}")


def _table(verdicts: "list[Verdict]") -> Table:
    from oms.gateways.recording import POINTS

    expected = {point.name: point.expected for point in POINTS}
    table = plain_table(None)
    for name in ("Point", "Verdict", "Counted on", "Seen"):
        table.add_column(name, overflow="fold", no_wrap=name == "Verdict")
    for one in verdicts:
        verdict = Text(one.outcome, _STYLES[one.outcome])
        table.add_row(one.point, verdict, expected[one.point], printable(one.seen))
    return table
