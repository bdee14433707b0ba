"""Brackets and one-cancels-all groups: members that wait, members that the venue ends, and what cannot be done to them."""

from typing import Any

import pytest

from oms.domain import commands as cmd
from oms.domain.duties import waiting_on
from oms.domain.errors import Code, Refused
from oms.domain.handling import Handling
from oms.domain.restructuring import Merge, Remainder, Split, check, openings
from oms.domain.terms import Automation, PlacementStatus, Role, State
from tests.domain.invariants import check as sound
from tests.domain.orders import ACTORS, NOW, NS, Desk, executed, reported

P = PlacementStatus
BRACKET = {"bracket": {"bracket_id": "B-1", "role": "child", "size": 3}}
OCA = {"oca_group": "G-1", "oca_type": "cancel"}
WAITS = "waits for 2 more of bracket B-1"


def member(automation: Automation, handling: dict[str, Any], **terms: Any) -> Desk:
    """A placed member of a group, by hand or by itself."""
    desk = Desk(automation=automation, handling=handling, **terms)
    return desk.drive() if automation is Automation.STRAIGHT_THROUGH else desk.place()


def its(desk: Desk) -> str:
    return desk.order.placements[0].placement_id


@pytest.mark.parametrize("automation", list(Automation))
def test_a_member_that_waits_says_for_what(automation: Automation) -> None:
    desk = member(automation, BRACKET)
    desk.observe(reported(P.HELD, "0", placement_id=its(desk), reason=WAITS))
    waiting = waiting_on(desk.order)
    assert (waiting.on, waiting.what) == ("venue", f"IBKR: HELD, {WAITS}")
    assert (desk.state, desk.order.live_placements[0].status) == (State.ROUTED, P.HELD)
    sound(desk)
    desk.works(its(desk))
    assert waiting_on(desk.order).what == "IBKR: WORKING"


@pytest.mark.parametrize("automation", list(Automation))
@pytest.mark.parametrize("handling", [BRACKET, OCA])
@pytest.mark.parametrize("time_in_force", ["Day", "GTC"])
def test_a_member_that_the_venue_ends_is_canceled_and_has_not_expired(
    automation: Automation, handling: dict[str, Any], time_in_force: str
) -> None:
    desk = member(automation, handling, time_in_force=time_in_force).works()
    name = its(desk)
    desk.observe(reported(P.WORKING, "0", placement_id=name))
    desk.observe(reported(P.CANCELED, "0", placement_id=name, reason="202: its group was filled"))
    assert (desk.state, desk.order.reason) == (State.CANCELED, "202: its group was filled")
    assert desk.order.placements[0].status is P.CANCELED
    assert desk.order.is_over
    sound(desk)


@pytest.mark.parametrize(
    ("handling", "reason"),
    [(BRACKET, "CANCELED by IBKR with its bracket B-1"), (OCA, "CANCELED by IBKR with its group G-1")],
)
def test_why_it_waited_is_not_why_it_died(handling: dict[str, Any], reason: str) -> None:
    desk = member(Automation.MANUAL, handling)
    desk.observe(reported(P.HELD, "0", reason=WAITS), reported(P.CANCELED, "0"))
    assert (desk.state, desk.order.reason) == (State.CANCELED, reason)


@pytest.mark.parametrize("automation", list(Automation))
def test_a_member_that_was_filled_in_part_keeps_its_fill(automation: Automation) -> None:
    desk = member(automation, OCA)
    desk.observe(
        executed("A.1", "40", placement_id=its(desk)), reported(P.CANCELED, "40", placement_id=its(desk))
    )
    assert desk.state is State.PARTIALLY_FILLED
    desk.drive()
    assert (desk.state is State.PARTIALLY_FILLED) == (automation is Automation.MANUAL)


def test_an_order_alone_that_the_venue_ends_is_what_it_was_before() -> None:
    day = member(Automation.MANUAL, {}).works()
    day.observe(reported(P.CANCELED, "0"))
    assert (day.state, day.order.reason) == (State.CANCELED, "EXPIRED")
    gtc = member(Automation.MANUAL, {}, time_in_force="GTC").works()
    gtc.observe(reported(P.CANCELED, "0"))
    assert gtc.state is State.ROUTED, "somebody canceled it at the venue: the trader decides"


def test_a_bracket_is_placed_once_for_each_of_its_orders() -> None:
    desk = member(Automation.MANUAL, BRACKET)
    desk.observe(reported(P.REJECTED, "0", reason="no margin"))
    again = cmd.CreatePlacement(placement_id="PLC-2", venue="IBKR", quantity=100)
    refusal = desk.refusal(again, Role.TRADER)
    assert (refusal.code, refusal.facts["bracket_id"]) == (Code.VALIDATION_FAILED, "B-1")
    desk.command(again.model_copy(update={"handling": Handling()}), Role.TRADER)
    assert desk.placement("PLC-2").handling == Handling()


# -- merging and splitting -------------------------------------------------------------------------


def ordered(number: int, **terms: Any) -> Any:
    return Desk(**terms).order.model_copy(update={"order_id": f"ORD-{number}"})


@pytest.mark.parametrize("handling", [BRACKET, OCA])
def test_members_are_neither_merged_nor_split(handling: dict[str, Any]) -> None:
    plans = (
        (Merge(source_ids=("ORD-1", "ORD-2"), order_id="ORD-9"), Code.MERGE_MISMATCH),
        (Split(source_id="ORD-1", quantities=(60, 40), order_ids=("ORD-8", "ORD-9")), Code.SPLIT_MISMATCH),
    )
    sources = [ordered(1, handling=handling), ordered(2, handling=handling)]
    for plan, code in plans:
        with pytest.raises(Refused, match="stay as they are") as refused:
            check(plan, sources[: 2 if plan.kind == "merge" else 1], ACTORS[Role.PM], NOW, NS)
        assert (refused.value.code, refused.value.facts["field"]) == (code, "handling")


def test_orders_merge_where_they_are_handled_alike() -> None:
    plan = Merge(source_ids=("ORD-1", "ORD-2"), order_id="ORD-9")
    outside = {"outside_rth": True}
    with pytest.raises(Refused, match="differ in handling"):
        openings(plan, [ordered(1, handling=outside), ordered(2)], ACTORS[Role.PM], NS)
    (merged,) = openings(
        plan, [ordered(1, handling=outside), ordered(2, handling=outside)], ACTORS[Role.PM], NS
    )
    assert merged.request.handling == Handling(outside_rth=True)


def test_parts_are_handled_as_the_whole_was_and_a_remainder_leaves_its_group() -> None:
    trail = {"order_type": "TrailingStop", "limit_price": None, "handling": {"trail_amount": "1"}}
    split = Split(source_id="ORD-1", quantities=(60, 40), order_ids=("ORD-8", "ORD-9"))
    for part in openings(split, [ordered(1, **trail)], ACTORS[Role.PM], NS):
        assert part.request.handling == Handling(trail_amount=1)
    closed = Desk(handling={**BRACKET, "outside_rth": True}).close("40").order
    (rest,) = openings(
        Remainder(source_id=closed.order_id, order_id="ORD-9"), [closed], ACTORS[Role.TRADER], NS
    )
    assert rest.request.handling == Handling(outside_rth=True)
