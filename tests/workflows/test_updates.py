"""One update id is one effect and one answer, also after a new run has taken over; nothing is lost on the way."""

import asyncio

import pytest

from oms.domain import commands as cmd
from oms.domain.terms import Role, State
from tests.workflows.telling import PACED
from tests.workflows.venue import execution
from tests.workflows.world import Dealt, World


def note(text: str) -> cmd.UpdateOrder:
    return cmd.UpdateOrder(changes=cmd.OrderChanges(metadata={"note": text}))


async def _run_id(dealt: Dealt) -> str:
    return (await dealt.handle.describe()).run_id or ""


async def test_an_update_id_is_one_effect(world: World) -> None:
    dealt = await world.open()
    first = await dealt.do(note("one"), Role.PM, update_id="CMD-1")
    again = await dealt.do(note("one"), Role.PM, update_id="CMD-1")
    together = await asyncio.gather(*(dealt.do(note("two"), Role.PM, update_id="CMD-2") for _ in range(5)))
    assert first == again
    assert {answer.version for answer in together} == {3}
    assert dealt.order.version == 3


async def test_an_update_id_is_one_effect_across_runs(world: World) -> None:
    dealt = await world.open(**PACED)
    first = await dealt.do(cmd.RequestPreTradeCompliance(), Role.PM, update_id="CMD-1")
    await dealt.is_in(State.PRE_TRADE_COMPLIANCE_PASSED)
    runs = {await _run_id(dealt)}
    for number in range(6):
        await dealt.do(note(str(number)), Role.OPS)
        runs.add(await _run_id(dealt))
    assert len(runs) > 2
    version = dealt.order.version
    assert await dealt.do(cmd.RequestPreTradeCompliance(), Role.PM, update_id="CMD-1") == first
    assert dealt.order.version == version
    await dealt.is_sound()


async def test_the_answers_of_the_last_commands_are_carried(world: World) -> None:
    """A retried command is answered from what is carried, not refused for the state that it brought about."""
    dealt = await world.open(**PACED, compliance="external")
    asked = await dealt.do(cmd.RequestPreTradeCompliance(), Role.PM, update_id="CMD-ASK")
    passed = await dealt.do(cmd.PassPreTradeCompliance(), Role.COMPLIANCE, update_id="CMD-PASS")
    for number in range(4):
        await dealt.do(note(str(number)), Role.OPS)
    assert len(await dealt.runs()) > 1
    assert await dealt.do(cmd.RequestPreTradeCompliance(), Role.PM, update_id="CMD-ASK") == asked
    assert await dealt.do(cmd.PassPreTradeCompliance(), Role.COMPLIANCE, update_id="CMD-PASS") == passed


async def test_nothing_is_lost_while_runs_hand_over(world: World) -> None:
    """Bursts of signals, and as many updates as Temporal lets wait, over orders that hand over all the time."""
    dealt = await (await world.open(**PACED)).sent_to_trader()
    placement_id = await dealt.place()
    answers = []
    for burst in range(5):
        numbers = range(burst * 10 + 1, burst * 10 + 11)
        signals = [dealt.hear(*execution(placement_id, "1", number=number)) for number in numbers]
        updates = [dealt.do(note(f"{burst}.{number}"), Role.OPS) for number in range(6)]
        answers += (await asyncio.gather(*signals, *updates))[len(signals) :]
    order = await dealt.becomes(lambda o: o.executed_quantity == 50, "fifty executed")
    assert len(order.ledger.commissions) == 50
    assert len({answer.version for answer in answers}) >= 5
    assert all(answer.version <= order.version for answer in answers)
    notes = [e for e in world.store.journal.of_order(dealt.order_id) if e.kind == "order_updated"]
    assert len(notes) == 30
    assert len(await dealt.runs()) > 3
    await dealt.is_sound()


@pytest.mark.parametrize("command", [cmd.CancelOrder(), cmd.CancelOrder(reason="again")])
async def test_a_second_cancel_waits_for_the_same_verdict(world: World, command: cmd.CancelOrder) -> None:
    dealt = await (await world.open()).sent_to_trader()
    await dealt.place()
    answers = await asyncio.gather(
        dealt.do(cmd.CancelOrder(), Role.TRADER, update_id="A"),
        dealt.do(command, Role.TRADER, update_id="B"),
        return_exceptions=True,
    )
    assert isinstance(answers[0], BaseException) or (answers[0].state, answers[0].settled) == (
        State.CANCELED,
        True,
    )
    await dealt.ends(State.CANCELED)
