"""What an order refuses, and what a refusal leaves behind: nothing."""

from datetime import UTC, datetime

import pytest
from temporalio.client import WorkflowUpdateFailedError

from oms.domain import commands as cmd
from oms.domain.apply import fold
from oms.domain.decide import decide
from oms.domain.errors import Code
from oms.domain.terms import ExceptionCode, Role, State
from tests.domain import orders
from tests.workflows.venue import execution
from tests.workflows.world import World

REFUSED = [
    (cmd.ConfirmOrder(), Role.OPS, {}, Code.INVALID_STATE),
    (cmd.RequestPreTradeCompliance(), Role.TRADER, {}, Code.NOT_AUTHORIZED),
    (cmd.CancelOrder(), Role.OPS, {}, Code.CANCEL_NOT_AUTHORIZED),
    (cmd.RequestPreTradeCompliance(), Role.PM, {"version": 7}, Code.VERSION_CONFLICT),
    (cmd.CancelPlacement(placement_id="PLC-0"), Role.TRADER, {}, Code.PLACEMENT_NOT_FOUND),
    (
        cmd.ResolveException(code=ExceptionCode.LATE_FILL, reason="?"),
        Role.OPS,
        {},
        Code.EXCEPTION_NOT_FOUND,
    ),
]


async def test_a_refusal_says_why_and_leaves_no_history(world: World) -> None:
    dealt = await world.open()
    before, version = await dealt.length(), dealt.order.version
    for command, role, more, code in REFUSED:
        refusal = await dealt.refused(command, role, **more)
        assert (refusal.code, bool(refusal.message)) == (code, True)
    state = await dealt.refused(cmd.ConfirmOrder(), Role.OPS)
    assert state.facts == {"state": "CREATED", "allowed": ["POST_TRADE_COMPLIANCE_PASSED"]}
    assert (await dealt.length(), dealt.order.version) == (before, version)


@pytest.mark.parametrize("payload", ["text", None, 7, [], {"command": {"kind": "no such"}}])
async def test_an_update_that_cannot_be_read_is_refused_and_leaves_no_history(
    world: World, payload: object
) -> None:
    dealt = await world.open()
    before = await dealt.length()
    with pytest.raises(WorkflowUpdateFailedError):
        await dealt.handle.execute_update("cancel", payload)
    with pytest.raises(WorkflowUpdateFailedError):
        await dealt.handle.execute_update("cancel", args=[payload, payload])
    with pytest.raises(WorkflowUpdateFailedError):
        await dealt.handle.execute_update("no_such_update", payload)
    assert await dealt.length() == before
    assert (await dealt.do(cmd.CancelOrder(), Role.PM)).state is State.CANCELED


async def test_a_command_is_refused_after_its_acceptance_where_the_journal_went_another_way(
    world: World,
) -> None:
    """The journal stands: here it holds a cancellation that this run of the workflow has not heard of."""
    dealt = await world.open()
    _journal_ahead(world, dealt.order_id, cmd.CancelOrder(reason="written before a crash"), Role.PM)
    refusal = await dealt.refused(cmd.RequestPreTradeCompliance(), Role.PM)
    assert (refusal.code, refusal.facts["state"]) == (Code.INVALID_STATE, "CANCELED")
    await dealt.ends(State.CANCELED)


async def test_a_command_is_decided_again_where_the_journal_went_on(world: World) -> None:
    dealt = await world.open()
    note = cmd.UpdateOrder(changes=cmd.OrderChanges(metadata={"note": "written before a crash"}))
    _journal_ahead(world, dealt.order_id, note, Role.OPS)
    answer = await dealt.do(cmd.CancelOrder(), Role.PM)
    assert (answer.version, answer.state) == (3, State.CANCELED)
    await dealt.ends(State.CANCELED)
    assert dealt.order.metadata == {"note": "written before a crash"}


async def test_facts_are_taken_again_where_the_journal_went_on(world: World) -> None:
    dealt = await (await world.open()).sent_to_trader()
    placement_id = await dealt.place()
    await dealt.becomes(lambda o: o.placements[0].venue_order_ids, "working")
    note = cmd.UpdateOrder(changes=cmd.OrderChanges(metadata={"note": "written before a crash"}))
    _journal_ahead(world, dealt.order_id, note, Role.OPS)
    await dealt.hear(*execution(placement_id, "100"))
    order = await dealt.is_in(State.FILLED)
    assert (order.metadata, order.executed_quantity) == ({"note": "written before a crash"}, 100)
    await dealt.is_sound()


def _journal_ahead(world: World, order_id: str, command: cmd.Command, role: Role) -> None:
    """Events in the journal that the workflow does not know: a worker died between the two."""
    order = world.store.orders.get(order_id)
    assert order is not None
    asked = cmd.Instruction(command=command, actor=orders.ACTORS[role], ts_event_ns=orders.NS)
    events = decide(order, asked, datetime.now(UTC))
    world.store.journal.record(fold(order, events), events)
