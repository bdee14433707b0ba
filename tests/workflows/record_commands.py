"""Records the histories of signed commands that the replay gate replays: `python -m tests.workflows.record_commands`.

Each is signed with a secret that is made for the recording and kept nowhere. With the names of stories only those are
recorded, and the others stay as they are: what older code has recorded is worth the most.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from oms.domain.programs.outcomes import CommandInput
from tests.stack import temporal_server
from tests.workflows.commanding import (
    bracketed,
    commanding,
    entry,
    hand_in,
    holding,
    prepare,
    signed,
    small_orders_only,
    submit,
)
from tests.workflows.record import HISTORIES, without_the_machine
from tests.workflows.world import World, a_world

COMMANDS = HISTORIES / "commands"


def _an_exit_fails(world: World) -> CommandInput:
    small_orders_only(world)
    return submit(bracketed())


STORIES: Mapping[str, Callable[[World], CommandInput]] = {
    "ping": lambda _: signed("oms.ping", {"echo": "hello"}),
    "an_entry_and_a_bracket": lambda _: submit(entry(), bracketed()),
    "dry_run": lambda _: submit(bracketed(), dry_run=True),
    "an_entry_is_refused": lambda _: submit(entry(order={"goodTillDate": "20200102 15:00:00"}), entry()),
    "not_the_secret": lambda _: submit(entry(), secret="somebody-else's"),
    "flatten": lambda _: signed("oms.flatten", {"wait_seconds": 1}),
    "flatten_refused": lambda _: signed("oms.flatten", {"account": "DU999999"}),
    "an_exit_fails": _an_exit_fails,
}


async def record(names: Sequence[str] = ()) -> None:
    COMMANDS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        async with (
            temporal_server() as server,
            a_world(await server.client(), Path(folder)) as world,
            world.working(),
        ):
            prepare(world)
            async with commanding(world):
                for name in names or STORIES:
                    await _record(world, name)


async def _record(world: World, name: str) -> None:
    holding(world, 3)
    given = await hand_in(world, STORIES[name](world))
    await given.outcome()
    history = await given.handle.fetch_history()
    told = without_the_machine(history.to_json_dict())
    file = COMMANDS / f"{name}.json"
    file.write_text(json.dumps({"workflow_id": history.workflow_id, **told}, separators=(",", ":")) + "\n")
    sys.stdout.write(f"{file.name}: {len(history.events)} events, {file.stat().st_size} bytes\n")


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1:]))
