"""What the demo shows: a live table on a terminal, a line for each state elsewhere, and a calm summary."""

import io
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from oms.cli.demo.board import Board
from oms.cli.demo.checks import Checked
from oms.cli.demo.script import Script
from oms.domain.terms import State

_WIDTH = 120
_REDRAWS_PER_SECOND = 8
_AROUND_THE_TABLE = 5


class Screen:
    """Standard output of the demo. `begun` is when the demo was started (monotonic)."""

    def __init__(self, script: Script, begun: float) -> None:
        self._symbols = {scene.name: scene.symbol for scene in script.scenes}
        self._count = len(script.scenes)
        self._begun = begun
        self._guard = threading.Lock()
        width = None if sys.stdout.isatty() else _WIDTH
        self.console = Console(width=width, markup=False, highlight=False, emoji=False)
        self._is_live = self.console.is_terminal and self.console.height >= self._count + _AROUND_THE_TABLE

    def say(self, text: str) -> None:
        """One line of progress."""
        with self._guard:
            self.console.print(Text(f"{self._elapsed()}  {text}", "dim"))

    def on_state(self, name: str, state: State, who: str) -> None:
        """A line for a state, where no table shows it."""
        if not self._is_live:
            with self._guard:
                typer.echo(f"{self._elapsed()}  {name}  {self._symbols.get(name, ''):<6} {state:<28}  {who}")

    @contextmanager
    def live(self, board: Board) -> Iterator[None]:
        """The table, kept current inside the block; what it shows last stays on the screen."""
        if not self._is_live:
            yield
            return
        with Live(
            console=self.console,
            get_renderable=lambda: self.table(board, self.console.width),
            refresh_per_second=_REDRAWS_PER_SECOND,
            vertical_overflow="visible",
        ):
            yield

    def table(self, board: Board, width: int) -> Table:
        title = f"Durable OMS: a morning's {self._count} orders on paper venues, {self._elapsed().strip()}"
        return board.table(title, width)

    def summarize(
        self, board: Board, found: Sequence[Checked], failed: Sequence[str], record: Path | None
    ) -> None:
        """The summary, and the table with it where no live table showed it. Raises OSError for `record`."""
        summary = _summary(found, failed)
        parts = (summary,) if self._is_live else (self.table(board, self.console.width), summary)
        self.console.print(Group(*parts))
        if record is not None:
            picture = Console(
                record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor"
            )
            picture.print(self.table(board, _WIDTH))
            picture.print(summary)
            picture.save_svg(str(record), title="make demo")

    def where_to_look(self, lines: Sequence[tuple[str, str]]) -> None:
        """Names and what belongs to them; an address is never broken over two lines."""
        width = max(len(name) for name, _ in lines)
        for name, text in lines:
            self.console.print(Text.assemble((f"  {name:<{width}}  ", "dim"), text), soft_wrap=True)
        self.console.print()

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._begun:5.1f} s"


def _summary(found: Sequence[Checked], failed: Sequence[str]) -> Group:
    lines: list[Text] = []
    for checked in found:
        good = not checked.differences
        lines.append(
            Text.assemble(("  ✓ " if good else "  ✗ ", "green" if good else "bold red"), checked.what)
        )
        lines += [Text(f"      {difference}", "red") for difference in checked.differences]
    lines += [Text(f"  ✗ {text}", "red") for text in failed]
    differences = len(failed) + sum(len(checked.differences) for checked in found)
    verdict = (
        Text("  everything is as it should be", "bold green")
        if found and not differences
        else Text(f"  {differences} difference{'' if differences == 1 else 's'}", "bold red")
    )
    return Group(Text(""), *lines, Text(""), verdict, Text(""))
