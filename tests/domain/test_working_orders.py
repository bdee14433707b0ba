"""What of an order may still be executed, how a plan sees it, and which command ends it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from oms.domain import commands as cmd
from oms.domain.handling import Handling
from oms.domain.programs.planning import pending, plan, working_order
from oms.domain.programs.targets import AIMED_BY, Exposure, ending
from oms.domain.terms import Role, State
from tests.domain.orders import NOW, Desk, executed, in_state, reported, straight_through
from tests.domain.test_planning import aim

BEFORE_A_FILL = (
    State.CREATED,
    State.PENDING_PRE_TRADE_COMPLIANCE,
    State.PRE_TRADE_COMPLIANCE_PASSED,
    State.PRE_TRADE_COMPLIANCE_FAILED,
    State.SENT_TO_TRADER,
    State.ROUTED,
)


@pytest.mark.parametrize("state", list(State))
def test_a_manual_order_counts_what_works_at_its_venues(state: State) -> None:
    desk = in_state(state)
    assert pending(desk.order) == desk.order.working_quantity
    if state is State.ROUTED:
        assert pending(desk.order) == 100
    if state is State.PARTIALLY_FILLED:
        assert pending(desk.order) == 60


def test_a_straight_through_order_counts_whole_until_it_is_placed() -> None:
    desk = straight_through(direction="SellShort")
    assert pending(desk.order) == -100
    desk.request_pre_trade()
    assert pending(desk.order) == -100
    desk.command(cmd.PassPreTradeCompliance(), Role.COMPLIANCE)
    assert pending(desk.order) == -100
    desk.drive()
    assert (desk.state, pending(desk.order)) == (State.ROUTED, -100)
    desk.observe(executed("A.1", "40", placement_id=desk.order.placements[0].placement_id))
    assert pending(desk.order) == -60
    desk.observe(reported("CANCELED", "40", placement_id=desk.order.placements[0].placement_id))
    assert pending(desk.order) == 0


def test_an_order_that_failed_its_check_counts_nothing_and_one_of_ours_is_kept_in_view() -> None:
    theirs = straight_through().fail_pre_trade()
    assert (pending(theirs.order), working_order(theirs.order)) == (0, None)
    ours = straight_through(metadata={AIMED_BY: "B/0"}).fail_pre_trade()
    seen = working_order(ours.order)
    assert seen is not None
    assert (seen.pending, seen.ours) == (0, True)
    assert plan(aim(100), Exposure(booked=Decimal(0), working=(seen,))).ends == (seen.order_id,)


def test_only_the_request_says_that_an_order_is_ours() -> None:
    marked = straight_through()
    marked.command(cmd.UpdateOrder(changes=cmd.OrderChanges(metadata={AIMED_BY: "B/0"})), Role.PM)
    seen = working_order(marked.order)
    assert seen is not None
    assert not seen.ours
    ours = straight_through(metadata={AIMED_BY: "B/0"})
    ours.command(cmd.UpdateOrder(changes=cmd.OrderChanges(metadata={})), Role.PM)
    seen = working_order(ours.order)
    assert seen is not None
    assert seen.ours


@pytest.mark.parametrize("state", list(State))
def test_an_order_is_ended_by_the_command_that_its_state_takes(state: State) -> None:
    desk = in_state(state)
    command = ending(desk.order, "no longer wanted")
    if state in BEFORE_A_FILL:
        assert command == cmd.CancelOrder(reason="no longer wanted")
    elif state is State.PARTIALLY_FILLED:
        assert command == cmd.CloseOrder()
    else:
        assert command is None


def test_the_pm_ends_what_it_opened_and_asks_once() -> None:
    desk = straight_through().drive()
    command = ending(desk.order)
    assert command is not None
    desk.command(command, Role.PM)
    seen = working_order(desk.order)
    assert seen is not None
    assert (seen.pending, seen.is_ending, ending(desk.order)) == (100, True, None)
    partly = straight_through().drive()
    partly.observe(executed("A.1", "40", placement_id=partly.order.placements[0].placement_id))
    command = ending(partly.order)
    assert command is not None
    partly.command(command, Role.PM)
    assert ending(partly.order) is None


def test_a_desk_is_seen_as_the_plan_sees_it() -> None:
    assert working_order(Desk().order) is None
    assert working_order(in_state(State.FILLED).order) is None


def test_an_order_is_overdue_when_no_venue_has_acknowledged_it_in_time() -> None:
    """Sent, or in doubt, is no acknowledgement: what a venue has is found out by ending it."""
    desk = straight_through(handling=Handling(send_by=NOW))
    for placed in (False, True):
        seen = [working_order(desk.order, now) for now in (NOW - timedelta(seconds=1), NOW, None)]
        assert [one is not None and one.is_overdue for one in seen] == [False, True, False], placed
        desk.drive()
    placement_id = desk.order.placements[0].placement_id
    for status in ("SENT", "WORKING"):
        desk.observe(reported(status, "0", placement_id=placement_id))
        seen = working_order(desk.order, NOW)
        assert (seen is not None and seen.is_overdue) == (status == "SENT")
    endless = working_order(straight_through().order, NOW)
    assert endless is not None
    assert not endless.is_overdue
