"""The command itself: a stack in a folder of its own, the play on it, the exit code."""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import httpx
import typer

from oms.cli.book import BookError
from oms.cli.demo.script import ORDERS, BadScript, Script, find_folder, read_script
from oms.cli.leaving import complain, run_and_leave
from oms.cli.looks import page_link
from oms.cli.running import settings_from
from oms.domain.identifiers import workflow_id
from oms.workers.settings import Settings, SettlementClock

if TYPE_CHECKING:
    from oms.cli.demo.checks import Checked
    from oms.cli.demo.play import Play
    from oms.cli.demo.screen import Screen
    from oms.workers.stack import Stack

_INTERRUPTED = 130


@dataclass(frozen=True)
class Options:
    """What the command line asked for beside the stack's settings."""

    patience: float
    keep: bool
    record: Path | None


def demo(
    data_dir: Annotated[
        Path | None, typer.Option(help="A new folder to keep everything in; a temporary one otherwise.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running after the summary, until Ctrl-C.")
    ] = False,
    examples: Annotated[
        Path | None, typer.Option(help="Folder with rebalance.csv and what it refers to.")
    ] = None,
    record: Annotated[Path | None, typer.Option(help="Save the last table and the summary as SVG.")] = None,
    patience: Annotated[float, typer.Option(min=1, help="Seconds that an order may take to its end.")] = 60,
    port: Annotated[int, typer.Option(help="Port of the API; 0 for any free one.")] = 0,
    temporal_port: Annotated[int, typer.Option(help="Port of the Temporal server; 0 for any free one.")] = 0,
    ui_port: Annotated[int, typer.Option(help="Port of the Temporal Web UI; 0 for any free one.")] = 0,
) -> None:
    """Play a morning's orders on paper venues, in every role, and check the result. Exit code 0: all is as it should be.

    The orders are the rows of rebalance.csv; metadata.people says what people do with one: by-hand, override,
    close-the-rest, cancel-at-venue, give-up, resolve-the-break, or nothing, and the system moves it.
    """
    from oms.cli.demo.people import PARTS

    try:
        script = read_script(find_folder(examples), list(PARTS))
    except BadScript as error:
        complain(str(error))
    if record is not None and not record.parent.is_dir():
        complain(f"cannot write {record}: there is no folder {record.parent}")
    folder = _new_folder(data_dir)
    settings = settings_from(
        data_dir=folder,
        port=port,
        temporal_port=temporal_port,
        ui_port=ui_port,
        settlement_clock=SettlementClock.FAST,
        database_url="",
        ibkr_account="DU123456",
        paper=True,
    )
    options = Options(patience, keep, record)
    run_and_leave(_Demo(settings, script, options, passing=data_dir is None).run())


def _new_folder(given: Path | None) -> Path:
    """The folder of this demo; complains and leaves where it holds something already."""
    if given is None:
        return Path(tempfile.mkdtemp(prefix="oms-demo-"))
    try:
        given.mkdir(parents=True, exist_ok=True)
        taken = any(given.iterdir())
    except OSError as error:
        complain(f"cannot write to the data folder {given}: {error.strerror}")
    if taken:
        complain(
            f"{given} is not empty; a demo begins in a new folder (`oms dev --data-dir {given}` goes on with it)"
        )
    return given


class _Demo:
    """One run. `passing`: the folder goes when all went well. `code` is the exit code as far as it is known."""

    def __init__(self, settings: Settings, script: Script, options: Options, *, passing: bool) -> None:
        self._settings = settings
        self._script = script
        self._options = options
        self._passing = passing
        self._code = _INTERRUPTED

    async def run(self) -> int:
        """Start the stack, play, check, tell, and stop, also when asked to before the end."""
        from oms.workers.errors import CannotStart
        from oms.workers.stopping import until_stopped

        stopped = asyncio.create_task(until_stopped())
        work = asyncio.create_task(self._work())
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        work.cancel()
        try:
            await work
        except CannotStart as reason:
            self._clean()
            complain(str(reason))
        except OSError as error:
            complain(f"cannot write: {error.strerror or error}")
        except asyncio.CancelledError:
            if not stopped.done():
                complain(
                    f"the stack came to an end by itself; see {self._settings.data_dir / 'logs'}", code=1
                )
        if self._code in (0, _INTERRUPTED):
            self._clean()
        return self._code

    def _clean(self) -> None:
        if self._passing:
            shutil.rmtree(self._settings.data_dir, ignore_errors=True)

    async def _work(self) -> None:
        from oms.cli.demo.play import Play
        from oms.cli.demo.screen import Screen
        from oms.workers.logs import configure_logging
        from oms.workers.stack import embedded_stack

        settings, script = self._settings, self._script
        screen = Screen(script, time.monotonic())
        logs = settings.data_dir / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        configure_logging(settings, "demo", logs / "oms.log")
        screen.say("starting Temporal, API, worker, gateway and paper venues")
        async with embedded_stack(settings) as stack:
            screen.say(f"playing {script.folder / ORDERS}")
            play = Play(stack, script, self._options.patience, screen.on_state)
            try:
                differences = await asyncio.to_thread(_play, play, screen, self._options.record)
            finally:
                play.end()
            self._code = 1 if differences else 0
            screen.where_to_look(self._places(stack, play.orders))
            if self._options.keep:
                await asyncio.Event().wait()

    def _places(self, stack: "Stack", orders: dict[str, str]) -> list[tuple[str, str]]:
        """Where to look at what was played, and what to run next."""
        folder, keep = self._settings.data_dir, self._options.keep
        program = _program()
        places: list[tuple[str, str]] = []
        if orders:
            order_id = next(iter(orders.values()))
            link = page_link(stack.ui, workflow_id(order_id))
            while_it_runs = "" if keep else f" (while it runs: {program} demo --keep)"
            places += [("Web UI", f"{stack.ui}{while_it_runs}"), ("One order", link)]
        if keep:
            places.append(("Order book", f"{program} orders list --api {stack.api} --keys {stack.keys_file}"))
            places.append(("Stop", "Ctrl-C"))
        elif not self._passing:
            places.append(("Go on", f"{program} dev --data-dir {folder} --settlement-clock fast"))
        elif self._code:
            places.append(("Logs, data", str(folder)))
        places.append(("Your own", f"{program} dev, and in another terminal {program} load examples"))
        return places


def _program() -> str:
    """The command as it can be typed here: `oms` where it is on the PATH, else its path."""
    if shutil.which("oms"):
        return "oms"
    path = Path(sys.argv[0])
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _play(play: "Play", screen: "Screen", record: Path | None) -> list[str]:
    """The play and its summary; every difference. Runs in a thread of its own. Raises OSError for `record`."""
    from oms.cli.demo.board import NotReached
    from oms.cli.demo.play import failures

    failed: list[str] = []
    found: list[Checked] = []
    try:
        board = play.begin()
        with screen.live(board):
            failed = play.perform(board)
        found = play.check(play.stack.settings.data_dir / "paper-ib.db")
    except (BookError, NotReached, httpx.HTTPError) as error:
        failed.append(str(error))
    if not play.ended and play.board is not None:
        screen.summarize(play.board, found, failed, record)
    return failed + failures(found)


def add_commands(application: typer.Typer) -> None:
    application.command()(demo)
