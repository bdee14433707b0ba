"""Whole lives of orders: kept in memory, back from history at every message, and with a new run every fifteen events."""

import pytest

from oms.domain.terms import State
from tests.workflows.stories import PACED, STORIES
from tests.workflows.venue import execution
from tests.workflows.world import World


@pytest.mark.parametrize("name", STORIES)
async def test_story(world: World, name: str) -> None:
    await STORIES[name](world)


@pytest.mark.parametrize("world", ["replayed"], indirect=True)
@pytest.mark.parametrize("name", STORIES)
async def test_story_over_many_runs(world: World, name: str) -> None:
    dealt = await STORIES[name](world, **PACED)
    runs = await dealt.runs()
    assert len(runs) > 1 or name in ("filled_after_its_end", "rejected_by_the_venue")  # which are short
    for run in runs[:-1]:
        kinds = [event.WhichOneof("attributes") for event in run.events]
        assert kinds[-1] == "workflow_execution_continued_as_new_event_attributes"
        last_task = len(kinds) - kinds[::-1].index("workflow_task_completed_event_attributes")
        asked = kinds[last_task:]
        if "workflow_execution_update_completed_event_attributes" not in asked:  # its answer let the run end
            assert "activity_task_scheduled_event_attributes" not in asked, "the next run asks for it"


async def test_a_fact_that_is_known_opens_an_ended_order_and_changes_nothing(world: World) -> None:
    dealt = await STORIES["filled_after_its_end"](world)
    before = dealt.order
    late = execution(before.placements[0].placement_id, "60")
    assert await world.delivery(dealt.order_id, late)
    dealt.first_run = (await dealt.handle.describe()).run_id or ""
    await dealt.ends(State.CANCELED)
    assert dealt.order == before


async def test_no_order_takes_facts_after_its_reconciliation(world: World) -> None:
    dealt = await STORIES["straight_through"](world)
    known = execution(dealt.placement_id, "40", number=1)
    assert await world.delivery(dealt.order_id, known), "it has what it knows: nobody has to look"
    assert not await world.delivery(dealt.order_id, execution(dealt.placement_id, "1", number=9))
    assert not await world.delivery("ORD-nobody-has", execution("PLC-0", "1"))
