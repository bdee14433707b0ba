"""Stories of placements that the desk changes while they work at the venue."""

from collections.abc import Iterable

from oms.domain import commands as cmd
from oms.domain.errors import Code
from oms.domain.facts import Fact
from oms.domain.order import Order
from oms.domain.terms import ExceptionCode, PlacementStatus, Role, State
from oms.domain.venues import PlacementTicket
from tests.domain import orders
from tests.workflows.telling import by_hand_to_the_end, story
from tests.workflows.venue import (
    changes,
    doubts_the_change,
    execution,
    fills,
    nothing,
    refuses_the_change,
    reports,
)
from tests.workflows.world import Dealt, World


async def _working(world: World, modify: list[object], **options: object) -> Dealt:
    """A placement of the whole order that the venue works; `modify` is what it says to a change."""
    dealt = await world.open(script={"place": [_works_as_sent], "modify": modify}, **options)
    await dealt.sent_to_trader()
    await dealt.place()
    await dealt.becomes(lambda o: o.placements[0].venue_order_ids, "working")
    return dealt


def _works_as_sent(ticket: PlacementTicket) -> Iterable[Fact]:
    """It works, and the gateway has put its limit on the tick."""
    yield orders.rounded(placement_id=ticket.placement_id)
    yield from reports(PlacementStatus.WORKING)(ticket)


async def _change(dealt: Dealt, **terms: str) -> None:
    command = cmd.ModifyPlacement(placement_id=dealt.placement_id, **terms)
    answer = await dealt.do(command, Role.TRADER)
    assert answer.settled, "recorded: what the venue says of it comes by itself"


def _revision(order: Order) -> int:
    return order.placements[0].revision


async def _canceled(dealt: Dealt) -> Dealt:
    await dealt.do(cmd.CancelOrder(), Role.TRADER)
    await dealt.ends(State.CANCELED)
    return dealt


@story
async def changed_twice(world: World, **options: object) -> Dealt:
    """Less of it at another price, then at another again; the venue works the new terms and fills them."""
    dealt = await _working(world, [changes], **options)
    assert [r.asked for r in dealt.order.placements[0].roundings] == [orders.rounded().roundings[0].asked]
    await _change(dealt, quantity="60", limit_price="9.5")
    order = await dealt.becomes(lambda o: _revision(o) == 1, "changed")
    assert (order.working_quantity, str(order.placements[0].limit_price)) == (60, "9.5")
    await _change(dealt, limit_price="9.25")
    await dealt.becomes(lambda o: _revision(o) == 2, "changed again")
    assert world.venue.calls[dealt.order_id] == ["place", "modify", "modify"]
    told = [(t.revision, t.quantity, str(t.limit_price)) for t in world.venue.tickets[dealt.order_id]]
    assert told == [(0, 100, "10"), (1, 60, "9.5"), (2, 60, "9.25")]
    await dealt.hear(*execution(dealt.placement_id, "60"))
    order = await dealt.is_in(State.PARTIALLY_FILLED)
    assert (order.live_placements, order.unfilled_quantity) == ((), 40)
    await by_hand_to_the_end(dealt)
    return dealt


@story
async def the_venue_refuses_to_change(world: World, **options: object) -> Dealt:
    """The placement works as before, the reason is on it, and another change has a number of its own."""
    dealt = await _working(world, [refuses_the_change, changes], **options)
    await _change(dealt, limit_price="9.5")
    order = await dealt.becomes(lambda o: o.placements[0].reason, "refused")
    placement = order.placements[0]
    assert (placement.reason, placement.status, placement.change) == (
        "no such price",
        PlacementStatus.WORKING,
        None,
    )
    assert (str(placement.limit_price), placement.revision) == ("10", 0)
    await _change(dealt, limit_price="9")
    await dealt.becomes(lambda o: _revision(o) == 2, "changed")
    return await _canceled(dealt)


@story
async def a_change_in_doubt(world: World, **options: object) -> Dealt:
    """Sent, and nobody knows: the gateway looks for it until it has the venue's word; the old terms count until then."""
    dealt = await _working(world, [doubts_the_change, nothing, changes], **options)
    await _change(dealt, quantity="60")
    one_at_a_time = cmd.ModifyPlacement(placement_id=dealt.placement_id, quantity="50")
    order = await dealt.becomes(lambda o: _revision(o) == 1, "changed")
    assert (order.working_quantity, order.exceptions) == (60, ())
    assert world.venue.calls[dealt.order_id] == ["place", "modify", "modify", "modify"]
    assert {t.revision for t in world.venue.tickets[dealt.order_id][1:]} == {1}
    happened = [event.kind for event in world.store.journal.of_order(dealt.order_id)]
    assert happened.index("exception_raised") < happened.index("placement_changed")
    assert happened.index("placement_changed") < happened.index("exception_resolved")
    await dealt.do(one_at_a_time, Role.TRADER)
    await dealt.becomes(lambda o: _revision(o) == 2, "changed again")
    return await _canceled(dealt)


@story
async def a_change_overtaken_by_a_fill(world: World, **options: object) -> Dealt:
    """The venue has filled all of it before it heard of the change: nothing is left to change, and nothing is asked."""
    dealt = await _working(world, [fills("100")], **options)
    await _change(dealt, quantity="60")
    order = await dealt.is_in(State.FILLED)
    placement = order.placements[0]
    assert (placement.status, placement.quantity, placement.change) == (PlacementStatus.FILLED, 100, None)
    refused = await dealt.refused(
        cmd.ModifyPlacement(placement_id=placement.placement_id, quantity="60"), Role.TRADER
    )
    assert refused.code == Code.INVALID_STATE
    await by_hand_to_the_end(dealt)
    assert world.venue.calls[dealt.order_id].count("modify") == 1
    return dealt


@story
async def canceled_during_a_change(world: World, **options: object) -> Dealt:
    """A change that nobody has answered holds up no cancel, and ends with it."""
    dealt = await _working(world, [doubts_the_change], **options)
    await _change(dealt, quantity="60")
    await dealt.becomes(lambda o: o.has_exception(ExceptionCode.PLACEMENT_IN_DOUBT), "in doubt")
    answer = await dealt.do(cmd.CancelOrder(reason="the idea is old"), Role.TRADER)
    assert (answer.state, answer.settled) == (State.CANCELED, True)
    await dealt.ends(State.CANCELED)
    assert not dealt.order.exceptions
    assert world.venue.calls[dealt.order_id][-1] == "cancel"
    return dealt
