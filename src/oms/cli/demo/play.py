"""Playing the script on a running stack: reference data, orders, everybody's part, and the checks."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from oms.cli.book import Book, BookError
from oms.cli.demo.board import Board, NotReached
from oms.cli.demo.checks import Checked, check, read_played
from oms.cli.demo.people import PARTS, Desk, Part, nobody
from oms.cli.demo.script import Scene, Script
from oms.cli.loading import load_folder
from oms.cli.submitting import Submission
from oms.domain.terms import State
from oms.workers.stack import Stack

_PARALLEL = 6
_CONNECT_SECONDS = 15.0


@dataclass
class Play:
    """The demo under way. `board` is there from `begin` on; `orders` are the order ids by scene."""

    stack: Stack
    script: Script
    patience: float
    on_state: Callable[[str, State, str], None]
    books: dict[str, Book] = field(default_factory=dict)
    orders: dict[str, str] = field(default_factory=dict)
    board: Board | None = None
    ended: bool = False

    def begin(self) -> Board:
        """Open the board and load what the orders refer to. Raises BookError, NotReached, httpx.HTTPError."""
        self.books = {role: Book(self.stack.api, key) for role, key in self.stack.keys.items()}
        self.board = Board(self.books["viewer"], self.script.scenes, self.on_state)
        load_folder(self.books["admin"], self.script.folder)
        with httpx.Client(
            base_url=self.stack.settings.custodian_url, trust_env=False, timeout=10
        ) as custodian:
            for symbol, plan in self.script.plans.items():
                body = {name: value for name, value in plan.items() if name != "symbol"}
                custodian.put(f"/plans/{symbol}", json=body).raise_for_status()
        self.board.until_connected(_CONNECT_SECONDS)
        return self.board

    def perform(self, board: Board) -> list[str]:
        """Submit every order and play every part at once; what went otherwise than the script says."""
        submission = Submission(self.books["pm"], self.script.content)
        outcomes = submission.send([scene.row for scene in self.script.scenes], _PARALLEL)
        by_line = {outcome.line: outcome for outcome in outcomes}
        for scene in self.script.scenes:
            order_id = by_line[scene.row.line].order_id
            if order_id is not None:
                self.orders[scene.name] = order_id
        refused = [f"line {o.line} was refused: {o.problem}" for o in outcomes if o.order_id is None]
        desk = Desk(self.books, board, self.patience)
        with ThreadPoolExecutor(max(1, len(self.orders)), thread_name_prefix="part") as players:
            there = [scene for scene in self.script.scenes if scene.name in self.orders]
            failed = players.map(lambda scene: _perform(desk, scene, self.orders[scene.name]), there)
            return refused + [text for text in failed if text is not None]

    def check(self, broker: Path) -> list[Checked]:
        """The checked summary. Raises BookError."""
        book = self.books["viewer"]
        played = read_played(book, self.orders, self.script.scenes)
        return check(self.script, played, book, broker, self.stack.store)

    def end(self) -> None:
        """Let go: whoever still waits gives up."""
        self.ended = True
        if self.board is not None:
            self.board.end()


def _perform(desk: Desk, scene: Scene, order_id: str) -> str | None:
    """Play one part to its end; what went wrong, or None."""
    part = Part(desk, scene, order_id)
    try:
        PARTS.get(scene.people, nobody)(part)
        part.until_state(scene.ends)
    except (NotReached, BookError) as error:
        return f"{scene.name} {scene.symbol}: {error}"
    return None


def failures(found: Sequence[Checked]) -> list[str]:
    """All differences of all checks."""
    return [difference for checked in found for difference in checked.differences]
