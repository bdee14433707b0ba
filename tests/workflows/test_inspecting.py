"""What a person finds in the Temporal Web UI."""

from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.contrib.pydantic import pydantic_data_converter

from oms.domain import commands as cmd
from oms.domain.lifecycle import GATES
from oms.domain.terms import Role, State
from oms.workflows.contract import (
    DIRECTION_ATTRIBUTE,
    INSTRUMENT_ATTRIBUTE,
    OPENED_UPDATE,
    PORTFOLIO_ATTRIBUTE,
    STATE_ATTRIBUTE,
    STATE_QUERY,
    VENUE_ATTRIBUTE,
)
from tests.stack import until
from tests.workflows.stories import PACED, STORIES
from tests.workflows.venue import fills
from tests.workflows.world import World


async def test_an_order_says_what_it_is_and_what_it_waits_for(world: World) -> None:
    dealt = await (await world.open()).sent_to_trader()
    description = await dealt.handle.describe()
    assert await description.static_summary() == "Buy 100 AAPL Limit at 10 Day for PORT-001"
    told = await description.static_details()
    assert told is not None
    assert dealt.order_id in told
    assert "**pm-key**" in told
    placement_id = await dealt.place()
    await dealt.becomes(lambda o: o.placements[0].venue_order_ids, "working")
    details = await dealt.details()
    assert details.startswith("**ROUTED**, version ")
    assert "waiting on **venue**: IBKR: WORKING" in details
    assert f"- Placement `{placement_id}` at IBKR DU123456: **WORKING** 0/100" in details


async def test_updates_and_queries_have_names(world: World) -> None:
    dealt = await world.open()
    metadata: WorkflowMetadata = await dealt.metadata()
    updates = {definition.name for definition in metadata.definition.update_definitions}
    assert updates == {*GATES, OPENED_UPDATE}
    assert STATE_QUERY in {definition.name for definition in metadata.definition.query_definitions}
    signals = [definition.description for definition in metadata.definition.signal_definitions]
    assert signals == ["venue_facts, custodian_facts: a source and its facts"]


async def test_activities_and_timers_say_what_they_are_for(world: World) -> None:
    dealt = await STORIES["straight_through"](world)
    told: dict[str, str] = {}
    for event in (await dealt.history()).events:
        if event.HasField("activity_task_scheduled_event_attributes"):
            summary = (await pydantic_data_converter.decode([event.user_metadata.summary]))[0]
            told[event.activity_task_scheduled_event_attributes.activity_type.name] = summary
    assert told["place"] == "place Buy 100 AAPL at IBKR"
    assert told["instruct_custodian"] == "Buy 100 AAPL for 2026-01-06"
    assert told["ask_custodian"].endswith("settled?")


async def test_an_order_is_found_by_its_five_attributes(world: World) -> None:
    """Whoever started it: the attributes are the order's own work, also after a hand-over."""
    dealt = await (await world.open(**PACED)).sent_to_trader()
    await dealt.place()
    await dealt.becomes(lambda o: o.placements[0].venue_order_ids, "working")
    found = (await dealt.handle.describe()).typed_search_attributes
    assert {
        key.name: found.get(key)
        for key in (
            STATE_ATTRIBUTE,
            PORTFOLIO_ATTRIBUTE,
            INSTRUMENT_ATTRIBUTE,
            DIRECTION_ATTRIBUTE,
            VENUE_ATTRIBUTE,
        )
    } == {
        "OmsState": "ROUTED",
        "OmsPortfolio": "PORT-001",
        "OmsInstrument": "INS-AAPL",
        "OmsDirection": "Buy",
        "OmsVenue": "IBKR",
    }
    query = f"ExecutionStatus = 'Running' AND OmsState = 'ROUTED' AND WorkflowId = '{dealt.handle.id}'"

    async def listed() -> bool:
        return [one.id async for one in world.client.list_workflows(query)] == [dealt.handle.id]

    await until(listed, "the order in the list")
    await dealt.do(cmd.CancelOrder(), Role.TRADER)
    await dealt.ends(State.CANCELED)
    closed = (await dealt.handle.describe()).typed_search_attributes
    assert closed.get(STATE_ATTRIBUTE) == "CANCELED"


async def test_a_reopened_order_is_found_too(world: World) -> None:
    dealt = await STORIES["filled_after_its_end"](world)
    found = (await dealt.handle.describe()).typed_search_attributes
    assert (found.get(PORTFOLIO_ATTRIBUTE), found.get(VENUE_ATTRIBUTE)) == ("PORT-001", "IBKR")


async def test_a_straight_through_order_has_a_short_history(world: World) -> None:
    dealt = await world.open(script={"place": [fills("40", "60")]}, automation="straight_through")
    await dealt.ends(State.RECONCILED)
    events = (await dealt.history()).events
    size = sum(event.ByteSize() for event in events)
    print(f"\nstraight-through: {len(events)} events, {size} bytes")  # noqa: T201 - a number to look at
    assert len(events) <= 60
    assert size <= 40_000
