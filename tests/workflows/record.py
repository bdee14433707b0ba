"""Records the histories that the replay gate replays: `python -m tests.workflows.record`, or with the names of stories.

With names it records those and leaves the others as they are: what older code has recorded is worth the most. A history
that only older code could record (`doubted_while_working`: a doubt that changed nothing then) is never recorded anew.

Each story runs on the real stack, once in one run and some with a new run every fifteen events. Host names, process
ids and stack traces are taken out: a history must say nothing about the machine it was recorded on.
"""

import asyncio
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.stack import temporal_server
from tests.workflows.stories import PACED, STORIES
from tests.workflows.world import a_world

HISTORIES = Path(__file__).with_name("histories")
RECORDED: tuple[str, ...] = (
    "by_hand",
    "straight_through",
    "failed_then_overridden",
    "in_doubt_until_evidence",
    "canceled_at_the_venue",
    "a_fill_wins_over_the_cancel",
    "the_venue_is_silent",
    "closed_with_a_working_rest",
    "rejected_then_placed_again",
    "filled_after_its_end",
    "a_break",
    "settlement_failed_then_settled",
    "busted_after_the_instruction",
    "changed_twice",
    "a_change_in_doubt",
)
OVER_MANY_RUNS = ("by_hand", "straight_through", "in_doubt_until_evidence", "changed_twice")
_ABOUT_THE_MACHINE = {"identity": "recorded", "stackTrace": "", "binaryChecksum": "", "buildId": "recorded"}

_PROCESS = re.compile(r"\d+@[\w.-]+")


def without_the_machine(history: Any) -> Any:
    """The history with everything taken out that is about where it was recorded."""
    if isinstance(history, list):
        return [without_the_machine(one) for one in history]
    if isinstance(history, dict):
        return {
            name: _ABOUT_THE_MACHINE.get(name, without_the_machine(value)) for name, value in history.items()
        }
    return _PROCESS.sub("recorded", history) if isinstance(history, str) else history


async def record(names: Sequence[str] = ()) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            temporal_server() as server,
            a_world(await server.client(), Path(folder)) as world,
            world.working(),
        ):
            for old in HISTORIES.glob("*.json"):
                if old.name.split(".")[0].removesuffix("_over_many_runs") in (names or RECORDED):
                    old.unlink()
            HISTORIES.mkdir(exist_ok=True)
            for name in names or RECORDED:
                await _write(name, await (await STORIES[name](world)).runs())
            for name in set(names or OVER_MANY_RUNS) & set(OVER_MANY_RUNS):
                await _write(f"{name}_over_many_runs", await (await STORIES[name](world, **PACED)).runs())


async def _write(name: str, runs: list[Any]) -> None:
    for number, history in enumerate(runs, start=1):
        file = HISTORIES / (f"{name}.json" if len(runs) == 1 else f"{name}.{number:02}.json")
        told = without_the_machine(history.to_json_dict())
        file.write_text(
            json.dumps({"workflow_id": history.workflow_id, **told}, separators=(",", ":")) + "\n"
        )
        sys.stdout.write(f"{file.name}: {len(history.events)} events, {file.stat().st_size} bytes\n")


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1:]))
