"""The replay gate of signed commands: today's code does with yesterday's histories what it did then."""

from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.workflow import NondeterminismError

from oms.domain.programs.outcomes import CommandInput, CommandOutcome
from oms.workflows.command import CommandWorkflow
from oms.workflows.programs import COMMAND_WORKFLOW
from tests.workflows.record_commands import COMMANDS, STORIES
from tests.workflows.test_replay import LARGEST, MACHINE, recorded
from tests.workflows.world import replayed

FILES = sorted(COMMANDS.glob("*.json"))


def test_there_is_a_history_of_every_story() -> None:
    assert {file.stem for file in FILES} == set(STORIES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_history_replays(file: Path) -> None:
    await replayed(recorded(file), workflow=CommandWorkflow)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_history_is_small_and_says_nothing_of_the_machine(file: Path) -> None:
    text = file.read_text()
    assert len(text) < LARGEST
    assert MACHINE.search(text) is None


@workflow.defn(name=COMMAND_WORKFLOW)
class Trusting(CommandWorkflow):
    """A command that is carried out before anybody has looked at its envelope."""

    @workflow.init
    def __init__(self, asked: CommandInput) -> None:
        super().__init__(asked)

    @workflow.run
    async def run(self, _asked: CommandInput) -> CommandOutcome:
        return await self.settle()


@pytest.mark.parametrize("name", ["ping", "an_entry_and_a_bracket"])
async def test_the_gate_stops_a_broken_workflow(name: str) -> None:
    with pytest.raises(NondeterminismError):
        await replayed(recorded(COMMANDS / f"{name}.json"), workflow=Trusting)
