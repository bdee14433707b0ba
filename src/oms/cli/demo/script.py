"""What the demo plays: the rows of examples/rebalance.csv and what the custodian gets wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

import oms
from oms.cli.book import BookError, Item
from oms.cli.loading import read_items
from oms.cli.sheets import Row, UnreadableFile, read_rows
from oms.domain.terms import State

ORDERS = "rebalance.csv"
PEOPLE = "people"
ENDS = "ends"
ALLOCATE = "allocate"


class BadScript(Exception):
    """Why the demo cannot be played, in one line."""


@dataclass(frozen=True)
class Scene:
    """One order of the script: what people do with it, where it ends, how it is allocated (account to quantity)."""

    name: str
    row: Row
    people: str
    ends: State
    allocate: dict[str, Decimal]

    @property
    def body(self) -> Item:
        return self.row.body or {}

    @property
    def symbol(self) -> str:
        return str(self.body.get("instrument", {}).get("symbol", ""))


@dataclass(frozen=True)
class Script:
    """Everything the demo needs from its folder. `plans`: symbol to what the custodian does with it."""

    folder: Path
    content: bytes
    scenes: Sequence[Scene]
    plans: dict[str, Item]


def find_folder(given: Path | None) -> Path:
    """The examples: the folder given, else ./examples, the package's copy, the checkout's. Raises BadScript."""
    package = Path(oms.__file__).resolve().parent
    places = (
        [given] if given else [Path.cwd() / "examples", package / "examples", package.parents[1] / "examples"]
    )
    for place in places:
        if (place / ORDERS).is_file():
            return place
    raise BadScript(f"no {ORDERS} in {' nor in '.join(map(str, places))}; name its folder with --examples")


def read_script(folder: Path, people: Sequence[str]) -> Script:
    """The script in `folder`; `people` are the parts that can be played. Raises BadScript."""
    file = folder / ORDERS
    try:
        content = file.read_bytes()
        rows = read_rows(ORDERS, content)
        plans = {item["symbol"]: item for item in read_items(folder, "custodian")}
    except OSError as error:
        raise BadScript(f"cannot read {file}: {error.strerror}") from error
    except (UnreadableFile, BookError) as error:
        raise BadScript(f"{file}: {error}") from error
    except KeyError as error:
        raise BadScript(f"{folder}/custodian.json: a plan without {error}") from error
    scenes = [_scene(row, people) for row in rows]
    names = [scene.name for scene in scenes]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadScript(f"{file}: client_order_id {twice} is there twice")
    return Script(folder, content, scenes, plans)


def _scene(row: Row, people: Sequence[str]) -> Scene:
    if row.body is None:
        raise BadScript(f"{ORDERS}:{row.line}: {row.problem}")
    told = row.body.get("metadata", {})
    name, part, ends = row.body.get("client_order_id", ""), told.get(PEOPLE, ""), told.get(ENDS, "")
    if not name:
        raise BadScript(f"{ORDERS}:{row.line}: no client_order_id")
    if part and part not in people:
        raise BadScript(f"{ORDERS}:{row.line}: nobody plays {part!r}; there are {', '.join(people)}")
    if ends not in set(State):
        raise BadScript(f"{ORDERS}:{row.line}: metadata.ends is a state, not {ends!r}")
    return Scene(name, row, part, State(ends), _allocation(told.get(ALLOCATE, ""), row.line))


def _allocation(text: str, line: int) -> dict[str, Decimal]:
    """`ACCT-A=180 ACCT-B=120` as quantities by account."""
    found: dict[str, Decimal] = {}
    for part in text.split():
        account, _, quantity = part.partition("=")
        try:
            found[account] = Decimal(quantity)
        except InvalidOperation as error:
            raise BadScript(
                f"{ORDERS}:{line}: metadata.allocate takes ACCOUNT=QUANTITY, not {part!r}"
            ) from error
    return found
