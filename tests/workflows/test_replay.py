"""The replay gate: today's code does with yesterday's histories what it did then. See record.py."""

import json
import re
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.workflow import NondeterminismError

from oms.workflows.contract import ORDER_WORKFLOW, OrderInput
from oms.workflows.order import OrderWorkflow
from tests.workflows.record import HISTORIES, RECORDED
from tests.workflows.world import replayed

FILES = sorted(HISTORIES.glob("*.json"))
MACHINE = re.compile(
    r"/home/|/root/|/tmp/|site-packages|\.py\b|password|secret|token|@[a-z0-9-]+\"", re.IGNORECASE
)
LARGEST = 200_000


def recorded(file: Path) -> WorkflowHistory:
    told = json.loads(file.read_text())
    return WorkflowHistory.from_json(told.pop("workflow_id"), told)


def test_there_are_histories_of_every_story_to_record() -> None:
    assert {file.name.split(".")[0] for file in FILES} >= set(RECORDED)
    assert len(RECORDED) >= 8


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_history_replays(file: Path) -> None:
    await replayed(recorded(file))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_history_is_small_and_says_nothing_of_the_machine(file: Path) -> None:
    text = file.read_text()
    assert len(text) < LARGEST
    assert MACHINE.search(text) is None


@workflow.defn(name=ORDER_WORKFLOW)
class Forgetful(OrderWorkflow):
    """An order that does not write its first batch to the journal."""

    @workflow.init
    def __init__(self, opened: OrderInput) -> None:
        super().__init__(opened)
        self.recorded = self.recorded or self.order
        self.outbox.clear()

    @workflow.run
    async def run(self, opened: OrderInput) -> str:
        return await super().run(opened)


@workflow.defn(name=ORDER_WORKFLOW)
class Sleepy(OrderWorkflow):
    """An order that rests before it begins, as no recorded order did."""

    @workflow.init
    def __init__(self, opened: OrderInput) -> None:
        super().__init__(opened)

    @workflow.run
    async def run(self, opened: OrderInput) -> str:
        await workflow.sleep(1)
        return await super().run(opened)


@pytest.mark.parametrize(
    ("broken", "name"), [(Forgetful, "by_hand"), (Sleepy, "by_hand"), (Sleepy, "straight_through")]
)
async def test_the_gate_stops_a_broken_workflow(broken: type, name: str) -> None:
    with pytest.raises(NondeterminismError):
        await replayed(recorded(HISTORIES / f"{name}.json"), workflow=broken)
