"""The target surface's words for a row, from what really became of its orders."""

from __future__ import annotations

import pytest

from oms.domain import commands as cmd
from oms.domain.order import Order
from oms.domain.programs.targets import RowStatus
from oms.domain.programs.words import row_status
from oms.domain.terms import PlacementStatus, Role, State
from tests.domain.orders import RULE, Desk, executed, reported, straight_through

P = PlacementStatus
W = RowStatus


def placed() -> Desk:
    return straight_through().drive()


def heard(status: PlacementStatus, filled: str = "0", reason: str | None = None) -> Desk:
    """A straight-through order whose venue says so, after as many executions as it counts."""
    desk = placed()
    its = desk.order.placements[0].placement_id
    if filled != "0":
        desk.observe(executed("A.1", filled, placement_id=its))
    desk.observe(reported(status, filled, placement_id=its, reason=reason))
    return desk


def word(desk: Desk) -> RowStatus:
    return row_status([desk.order])[0]


def test_without_an_order_nothing_had_to_be_done() -> None:
    assert row_status([]) == (W.NO_CHANGE, None)


def test_before_the_exchange_has_it_an_order_is_presubmitted() -> None:
    desk = straight_through()
    assert word(desk) is W.PRE_SUBMITTED
    assert word(desk.request_pre_trade()) is W.PRE_SUBMITTED
    assert word(placed()) is W.PRE_SUBMITTED
    for status in (P.SENT, P.HELD, P.IN_DOUBT):
        assert word(heard(status)) is W.PRE_SUBMITTED


def test_at_the_exchange_it_is_submitted_with_or_without_fills() -> None:
    assert word(heard(P.WORKING)) is W.SUBMITTED
    assert word(heard(P.WORKING, "40")) is W.SUBMITTED
    leaving = heard(P.WORKING)
    leaving.command(cmd.CancelOrder(), Role.PM)
    assert word(leaving) is W.SUBMITTED, "a cancel is a request; it can still be filled"


@pytest.mark.parametrize("settle", [False, True])
def test_filled_stays_filled_while_the_order_goes_on_to_its_end(settle: bool) -> None:
    desk = heard(P.FILLED, "100")
    assert row_status([desk.order]) == (W.FILLED, None)
    desk.drive(settle=settle)
    assert row_status([desk.order]) == (W.FILLED, None)


def test_cancelled_by_somebody_with_or_without_a_part_filled() -> None:
    early = straight_through()
    early.command(cmd.CancelOrder(), Role.PM)
    assert row_status([early.order]) == (W.CANCELLED, None)
    partly = heard(P.WORKING, "40")
    its = partly.order.placements[0].placement_id
    partly.command(cmd.CloseOrder(), Role.PM)
    partly.observe(reported(P.CANCELED, "40", placement_id=its))
    assert (partly.state, word(partly)) == (State.CLOSED, W.CANCELLED)


def test_inactive_is_rejected_or_expired_and_says_why() -> None:
    rejected = heard(P.REJECTED, reason="no margin")
    assert rejected.state is State.REJECTED
    assert row_status([rejected.order]) == (W.INACTIVE, "no margin")
    expired = heard(P.EXPIRED)
    assert (expired.state, row_status([expired.order])) == (State.CANCELED, (W.INACTIVE, "EXPIRED"))
    partly = heard(P.EXPIRED, "40")
    assert row_status([partly.order])[0] is W.INACTIVE


def test_a_failed_check_is_an_error_in_the_rules_words_also_once_it_is_canceled() -> None:
    desk = straight_through().fail_pre_trade()
    told = (W.ERROR, f"{RULE.rule_name}: {RULE.description}")
    assert row_status([desk.order]) == told
    desk.command(cmd.CancelOrder(reason="its check failed"), Role.PM)
    assert (desk.state, row_status([desk.order])) == (State.CANCELED, told)


def test_a_check_that_was_overridden_is_no_error() -> None:
    desk = straight_through().fail_pre_trade()
    override = cmd.OverridePreTradeCompliance(override_id="OVR-1", reason="CIO", approver_id="USER-0042")
    desk.command(override, Role.COMPLIANCE)
    assert word(desk) is W.PRE_SUBMITTED


WORKING = heard(P.WORKING).order
WAITING = straight_through().order
FILLED = heard(P.FILLED, "100").order
REJECTED = heard(P.REJECTED, reason="no margin").order
FAILED = straight_through().fail_pre_trade().order


@pytest.mark.parametrize(
    ("orders", "expected"),
    [
        ((FILLED, FILLED), W.FILLED),
        ((FILLED, WORKING), W.SUBMITTED),
        ((FILLED, WAITING), W.SUBMITTED),
        ((WORKING, WAITING), W.SUBMITTED),
        ((WAITING, WAITING), W.PRE_SUBMITTED),
        ((WORKING, FAILED), W.SUBMITTED),
        ((WAITING, REJECTED), W.PRE_SUBMITTED),
        ((FILLED, REJECTED), W.INACTIVE),
        ((REJECTED, FAILED), W.ERROR),
    ],
)
def test_of_two_legs_the_one_that_works_names_the_row_and_then_the_one_that_went_worst(
    orders: tuple[Order, Order], expected: RowStatus
) -> None:
    status, text = row_status(orders)
    assert status is expected
    assert (text is not None) == (REJECTED in orders or FAILED in orders)
