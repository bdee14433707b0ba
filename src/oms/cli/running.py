"""Commands that run something until they are told to stop."""

import asyncio
import tomllib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from oms.cli.leaving import complain, run_and_leave
from oms.cli.recording import record
from oms.workers.settings import Settings, SettlementClock

Run = Callable[[Settings], Coroutine[Any, Any, None]]


def settings_from(**given: Any) -> Settings:
    """Settings from the command line's own options, the environment and oms.toml; complains and leaves if wrong."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except tomllib.TOMLDecodeError as error:
        complain(f"oms.toml in the data folder cannot be read: {error}")
    except ValidationError as error:
        first = error.errors()[0]
        complain(f"setting {'.'.join(map(str, first['loc']))}: {first['msg']} (given: {first['input']!r})")


def _run(process: str, run: Run, settings: Settings) -> None:
    from oms.workers.errors import Unreachable
    from oms.workers.logs import configure_logging
    from oms.workers.stopping import run_until_stopped

    async def work() -> int:
        try:
            await run_until_stopped(run(settings))
        except Unreachable as error:
            complain(str(error))
        return 0

    configure_logging(settings, process)
    run_and_leave(work())


def dev(
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder that keeps everything; start again on it and all goes on.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port of the API; 0 for any free one.")] = None,
    temporal_port: Annotated[
        int | None, typer.Option(help="Port of the Temporal server; 0 for any free one.")
    ] = None,
    ui_port: Annotated[
        int | None, typer.Option(help="Port of the Temporal Web UI; 0 for any free one.")
    ] = None,
    ibkr: Annotated[
        str | None, typer.Option(help="HOST:PORT of an IB Gateway in place of the paper one.")
    ] = None,
    ibkr_account: Annotated[str | None, typer.Option(help="Broker account, such as DU123456.")] = None,
    settlement_clock: Annotated[
        SettlementClock | None, typer.Option(help="fast: settlement falls due in seconds.")
    ] = None,
    no_paper: Annotated[bool, typer.Option("--no-paper", help="Start no paper IB Gateway.")] = False,
) -> None:
    """Run all of it on this machine: Temporal, API, worker, gateway, paper venues."""
    host, ibkr_port = _address(ibkr)
    settings = settings_from(
        data_dir=data_dir,
        port=port,
        temporal_port=temporal_port,
        ui_port=ui_port,
        ibkr_host=host,
        ibkr_port=ibkr_port,
        ibkr_account=ibkr_account,
        settlement_clock=settlement_clock,
        paper=False if no_paper or ibkr else None,
    )
    run_and_leave(_dev(settings))


def _address(text: str | None) -> tuple[str | None, int | None]:
    if text is None:
        return None, None
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        complain(f"--ibkr takes HOST:PORT, not {text!r}")
    return host, int(port)


async def _dev(settings: Settings) -> int:
    from oms.workers.errors import CannotStart
    from oms.workers.logs import configure_logging
    from oms.workers.stack import embedded_stack
    from oms.workers.stopping import forever, run_until_stopped

    async def work() -> None:
        async with embedded_stack(settings) as stack:
            typer.echo(stack.ready_line)
            await forever()

    try:
        (settings.data_dir / "logs").mkdir(parents=True, exist_ok=True)
        configure_logging(settings, "dev", settings.data_dir / "logs" / "oms.log")
    except OSError as error:
        complain(f"cannot write to the data folder {settings.data_dir}: {error.strerror}")
    try:
        await run_until_stopped(work())
    except CannotStart as reason:
        complain(str(reason))
    except asyncio.CancelledError:
        complain(f"the order worker ended by itself; see {settings.data_dir / 'logs' / 'oms.log'}", code=1)
    return 0


def api() -> None:
    """Run the HTTP interface, stateless, against the configured store and Temporal."""
    from oms.workers.api import api_process

    _run("api", api_process, settings_from())


def worker() -> None:
    """Run one order worker; run more of them for more orders."""
    from oms.workers.order_worker import worker_process

    _run("worker", worker_process, settings_from())


def gateway_ibkr() -> None:
    """Run a session with an IB Gateway; a second process with the same client id stands by."""
    from oms.workers.ibkr import ibkr_gateway_process

    _run("gateway-ibkr", ibkr_gateway_process, settings_from())


def paper() -> None:
    """Run the paper venues: an IB Gateway and a custodian."""
    from oms.workers.paper import paper_process

    def ready(ib_port: int, custodian_port: int) -> None:
        typer.echo(f"ready ibkr=127.0.0.1:{ib_port} custodian=http://127.0.0.1:{custodian_port}")

    async def run(settings: Settings) -> None:
        await paper_process(settings, ready)

    _run("paper", run, settings_from())


def add_commands(application: typer.Typer) -> None:
    application.command()(dev)
    application.command()(api)
    application.command()(worker)
    gateway = typer.Typer(help="The process that owns one venue session.", no_args_is_help=True)
    gateway.command("ibkr")(gateway_ibkr)
    gateway.command("record")(record)
    application.add_typer(gateway, name="gateway")
    application.command()(paper)
