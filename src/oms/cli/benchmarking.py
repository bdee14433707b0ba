"""`oms bench`."""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from oms.bench.measuring import Row
from oms.cli.leaving import complain, leave
from oms.cli.running import settings_from
from oms.workers.settings import Settings, SettlementClock

UNPACED = 2000
"""Messages a second to the paper gateway while measuring: the figures are the order book's, not IB's limit."""

DOUBTED = 300
"""Orders for each seed of `--doubt`."""


def bench(
    orders: Annotated[int, typer.Option(help="Straight-through orders to run.", min=1)] = 300,
    concurrency: Annotated[int, typer.Option(help="How many at a time.", min=1)] = 50,
    listed: Annotated[
        int,
        typer.Option(help="Lists of books of 10,000, 100,000 and 1,000,000 orders, up to so many.", min=0),
    ] = 100_000,
    only: Annotated[
        str | None,
        typer.Option(
            help="One part: lifecycles, commands, fills, stream, memory, lists or targets. Empty: all."
        ),
    ] = None,
    doubt: Annotated[
        int,
        typer.Option(
            help="Instead: so many seeds of 300 orders each, with 45 % of the sends left in doubt.", min=0
        ),
    ] = 0,
) -> None:
    """Measure the order book on the real stack, beside bare Temporal in the same run."""
    if doubt:
        leave(_measure_doubt(doubt))
    from oms.bench.benchmark import PARTS, TARGETS

    if only not in (None, *PARTS, TARGETS):
        complain(f"--only takes one of {', '.join((*PARTS, TARGETS))}, not {only!r}")
    with tempfile.TemporaryDirectory(prefix="oms-bench-") as folder:
        stacks = [(name, pace) for name, pace in _STACKS.items() if _has(name, only, TARGETS)]
        given = [_settings(Path(folder) / name, pace) for name, pace in stacks]
        code = asyncio.run(_measure(given, orders, concurrency, listed, only))
    leave(code)


_STACKS = {"unpaced": UNPACED, "paced": None}
"""Targets are measured at the broker's own pace, and everything else without one."""


def _has(stack: str, only: str | None, targets: str) -> bool:
    """Whether anything that is asked for is measured on this stack."""
    return only is None or (stack == "paced") == (only == targets)


def _settings(folder: Path, messages_per_second: int | None) -> Settings:
    return settings_from(
        data_dir=folder,
        port=0,
        temporal_port=0,
        ui_port=0,
        settlement_clock=SettlementClock.FAST,
        fast_settlement_seconds=0.0,
        api_requests_per_second=0,
        ibkr_messages_per_second=messages_per_second,
    )


async def _measure(
    stacks: list[Settings], orders: int, concurrency: int, listed: int, only: str | None
) -> int:
    from oms.bench.benchmark import TARGETS, Bench, machine
    from oms.workers.logs import configure_logging
    from oms.workers.stack import embedded_stack

    console = Console(width=None if sys.stdout.isatty() else 140)
    rows: list[Row] = []
    for settings in stacks:
        (settings.data_dir / "logs").mkdir(parents=True, exist_ok=True)
        configure_logging(settings, "bench", settings.data_dir / "logs" / "oms.log")
        part = TARGETS if settings.data_dir.name == "paced" else only
        async with embedded_stack(settings) as stack:
            bench = Bench(stack, orders, concurrency, listed, lambda text: console.print(f"[dim]{text}"))
            rows += await bench.report(part)
    console.print(_table(rows, machine()))
    return 0 if all(row.met is not False for row in rows) else 1


def _measure_doubt(seeds: int) -> int:
    from oms.bench.benchmark import machine
    from oms.bench.doubt import measure_seeds, rows_of

    console = Console(width=None if sys.stdout.isatty() else 140)
    found = measure_seeds(range(1, seeds + 1), DOUBTED, lambda text: console.print(f"[dim]{text}"))
    console.print(_table(rows_of(found), machine()))
    return 0 if all(each.is_whole for each in found) else 1


def _table(rows: list[Row], machine: str) -> Table:
    table = Table(
        "What", "Measured", "Bare Temporal", "Ratio", "Target", "", title="oms bench", caption=machine
    )
    for row in rows:
        verdict = "" if row.met is None else "[green]met" if row.met else "[red]missed"
        table.add_row(row.what, row.measured, row.baseline, row.ratio, row.target, verdict)
    return table


def add_commands(application: typer.Typer) -> None:
    application.command()(bench)
