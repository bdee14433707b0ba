"""Automation: what the system takes by itself, where it stops, and whom every order waits for."""

from datetime import timedelta

import pytest

from oms.domain import commands as cmd
from oms.domain.duties import ASK_AGAIN, COMMISSION_PATIENCE, DutyKind, duties, waiting_on
from oms.domain.lifecycle import MAIN_CHAIN
from oms.domain.terms import ComplianceMode, PlacementStatus, Role, SettlementStatus, State
from oms.domain.tickets import ticket
from tests.domain.orders import (
    RULE,
    SETTLES,
    Desk,
    busted,
    charged,
    executed,
    in_state,
    reported,
    straight_through,
)

P = PlacementStatus


def owed(desk: Desk) -> list[tuple[DutyKind, str]]:
    return [(duty.kind, duty.subject) for duty in duties(desk.order)]


def placed(**terms: object) -> Desk:
    """A straight-through order whose only placement is at the venue."""
    desk = straight_through(**terms).drive()
    assert desk.state is State.ROUTED
    return desk


def its(desk: Desk) -> str:
    return desk.order.placements[0].placement_id


def fill(desk: Desk, quantity: str = "100", exec_id: str = "A.1") -> Desk:
    desk.observe(executed(exec_id, quantity, placement_id=its(desk)), charged(exec_id))
    return desk


def test_the_system_walks_the_main_chain_by_itself() -> None:
    desk = placed()
    assert owed(desk) == [(DutyKind.PLACE, its(desk))]
    desk.observe(reported(P.SENT, placement_id=its(desk)))
    assert owed(desk) == []
    fill(desk, "40", "A.1")
    assert desk.state is State.PARTIALLY_FILLED
    fill(desk, "60", "B.1").drive()
    assert tuple(desk.states) == MAIN_CHAIN
    assert desk.order.is_over
    assert owed(desk) == []
    assert desk.order.settlement.instruction.net_amount == -1002
    assert {event.actor.role for event in desk.journal[1:]} == {Role.SYSTEM, Role.COMPLIANCE}


def test_the_whole_quantity_goes_to_the_orders_route() -> None:
    desk = placed(
        route={"venue": "IBKR", "account": "DU1", "strategy": "TWAP", "params": {"kind": "Matching Last"}}
    )
    only = desk.order.placements[0]
    assert (only.quantity, only.account, only.strategy) == (100, "DU1", "TWAP")
    sent = ticket(desk.order, only)
    assert (sent.quantity, sent.limit_price, sent.params) == (100, 10, {"kind": "Matching Last"})
    assert sent.order_id == desk.order.order_id


def test_a_manual_order_takes_no_step_by_itself() -> None:
    for state in State:
        kinds = {duty.kind for duty in duties(in_state(state).order)}
        assert DutyKind.TAKE_STEP not in kinds


def test_the_system_stops_at_a_failed_check() -> None:
    desk = straight_through(compliance=ComplianceMode.EXTERNAL).drive()
    assert (desk.state, owed(desk)) == (State.PENDING_PRE_TRADE_COMPLIANCE, [])
    assert waiting_on(desk.order).on == Role.COMPLIANCE
    desk.command(cmd.FailPreTradeCompliance(violations=(RULE,)), Role.COMPLIANCE)
    assert (desk.state, owed(desk), waiting_on(desk.order).on) == (
        State.PRE_TRADE_COMPLIANCE_FAILED,
        [],
        Role.PM,
    )


def test_the_system_stops_at_a_failed_post_trade_check() -> None:
    desk = fill(placed(compliance=ComplianceMode.BUILTIN))
    for _ in range(4):
        step = duties(desk.order)[0]
        if step.kind is DutyKind.EVALUATE_POST_TRADE:
            break
        desk._do(step)
    desk.command(cmd.FailPostTradeCompliance(violations=(RULE,)), cmd.RULE_ENGINE)
    assert (owed(desk), waiting_on(desk.order).on) == ([], Role.OPS)


def test_the_system_stops_at_an_outcome_in_doubt_and_asks_the_venue() -> None:
    desk = placed()
    desk.observe(reported(P.IN_DOUBT, placement_id=its(desk), reason="timed out"))
    assert owed(desk) == [(DutyKind.SETTLE_DOUBT, its(desk))]
    waiting = waiting_on(desk.order)
    assert waiting.on == Role.TRADER
    assert "timed out" in waiting.what


def test_the_system_stops_at_a_failed_settlement_until_the_custodian_settles() -> None:
    desk = fill(placed()).drive(settle=False)
    assert waiting_on(desk.order).model_dump() == {
        "on": "custodian",
        "what": f"settlement of {desk.order.settlement.instruction_id}",
        "until": SETTLES.settles_at,
    }
    desk.custodian_says(settled=False, reason="no shares")
    assert desk.open_exceptions == ["SETTLEMENT_FAILED"]
    assert [kind for kind, _ in owed(desk)] == [DutyKind.ASK_CUSTODIAN]
    assert desk.custodian_says(settled=False, reason="no shares") == []
    desk.custodian_says()
    assert desk.open_exceptions == []
    assert desk.drive().state is State.RECONCILED


def test_the_system_stops_at_a_break_until_a_person_explains_it() -> None:
    desk = fill(placed()).drive(settle=False)
    desk.custodian_says(net_amount="-1000.99", commission="0.99")
    desk.drive()
    assert desk.state is State.SETTLED
    assert [(e.code, e.subject) for e in desk.order.exceptions] == [
        ("BREAK_OPEN", "commission"),
        ("BREAK_OPEN", "net_amount"),
    ]
    assert waiting_on(desk.order).on == Role.OPS
    desk.command(cmd.ResolveException(code="BREAK_OPEN", reason="a cent of theirs"), Role.OPS)
    assert desk.drive().state is State.RECONCILED


def test_partly_filled_and_over_is_closed_at_once() -> None:
    desk = fill(placed(), "40")
    assert owed(desk) == []
    desk.observe(reported(P.CANCELED, "40", placement_id=its(desk)))
    assert owed(desk) == [(DutyKind.TAKE_STEP, "close")]
    assert desk.drive().state is State.RECONCILED
    assert desk.order.unfilled_quantity == 60


def test_a_rejected_order_carries_the_venues_reason() -> None:
    desk = placed()
    desk.observe(reported(P.REJECTED, placement_id=its(desk), reason="no margin"))
    assert (desk.state, desk.order.reason) == (State.REJECTED, "no margin")
    assert desk.order.is_over


def test_an_expired_order_is_canceled() -> None:
    desk = placed()
    desk.observe(reported(P.EXPIRED, "0", placement_id=its(desk)))
    assert (desk.state, desk.order.reason) == (State.CANCELED, "EXPIRED")


def test_a_day_order_that_the_venue_ends_unasked_has_expired_and_a_gtc_order_was_refused() -> None:
    day, gtc = placed(), placed(time_in_force="GTC")
    for desk in (day, gtc):
        desk.observe(reported(P.CANCELED, "0", placement_id=its(desk)))
    assert (day.state, day.order.reason) == (State.CANCELED, "EXPIRED")
    assert (gtc.state, gtc.order.reason) == (State.REJECTED, "CANCELED by IBKR")


def test_a_placement_that_a_trader_cancels_leaves_the_order_to_the_trader() -> None:
    desk = placed()
    desk.command(cmd.CancelPlacement(placement_id=its(desk)), Role.TRADER)
    assert owed(desk) == [(DutyKind.CANCEL_AT_VENUE, its(desk))]
    desk.observe(reported(P.CANCELED, "0", placement_id=its(desk)))
    assert (desk.state, owed(desk), waiting_on(desk.order).on) == (State.ROUTED, [], Role.TRADER)


def test_an_order_that_no_gateway_takes_is_rejected_before_it_is_placed() -> None:
    desk = straight_through(time_in_force="FOK", order_type="Market", limit_price=None).drive()
    assert desk.state is State.REJECTED
    assert "FOK" in (desk.order.reason or "")
    assert desk.order.placements == ()


def test_a_confirmation_waits_for_commissions_but_not_for_ever() -> None:
    desk = placed()
    desk.observe(executed("A.1", placement_id=its(desk)))
    for _ in range(6):
        step = duties(desk.order)[0]
        if step.due is not None:
            break
        desk._do(step)
    closed_at = desk.order.closed_at
    assert closed_at is not None
    assert desk.state is State.POST_TRADE_COMPLIANCE_PASSED
    assert (step.subject, step.due) == ("confirm", closed_at + COMMISSION_PATIENCE)
    assert not step.is_due(closed_at)
    assert step.is_due(closed_at + COMMISSION_PATIENCE)
    assert waiting_on(desk.order).what == "commission reports"
    desk.observe(charged("A.1"))
    assert duties(desk.order)[0].due is None


def test_an_ended_placement_is_asked_for_the_executions_that_it_claims() -> None:
    desk = placed()
    desk.observe(reported(P.FILLED, placement_id=its(desk)))
    (duty,) = duties(desk.order)
    assert (duty.kind, duty.due) == (DutyKind.ASK_VENUE, desk.order.placements[0].since + ASK_AGAIN)
    assert waiting_on(desk.order).on == "venue"
    assert fill(desk).drive().state is State.RECONCILED


def test_a_late_fill_stops_automation_until_operations_resolve_and_allocate_it() -> None:
    desk = fill(placed(), "40")
    desk.observe(reported(P.CANCELED, "40", placement_id=its(desk)))
    desk.drive(settle=False)
    fill(desk, "10", "LATE.1")
    assert [kind for kind, _ in owed(desk)] == [DutyKind.ASK_CUSTODIAN]
    desk.custodian_says()
    assert owed(desk) == []
    desk.command(cmd.ResolveException(code="LATE_FILL", reason="booked"), Role.OPS)
    assert owed(desk) == []
    desk.command(
        cmd.CreateAllocation(
            allocation_id="ALC-5", account_id="ACCT-001", portfolio_id="PORT-001", quantity=10
        ),
        Role.OPS,
    )
    assert owed(desk) == [(DutyKind.TAKE_STEP, "settle")]


def test_an_order_whose_every_fill_was_taken_back_instructs_nobody() -> None:
    desk = in_state(State.CONFIRMED)
    base = next(iter(desk.order.ledger.executions.values()))
    desk.observe(busted(base.exec_id))
    assert duties(desk.order) == []
    assert waiting_on(desk.order).on == Role.OPS


def test_a_confirmed_order_of_any_automation_is_instructed_and_asked_about() -> None:
    desk = in_state(State.CONFIRMED)
    desk.observe(*(charged(e.exec_id) for e in desk.order.ledger.executions.values()))
    assert owed(desk) == [(DutyKind.SET_SETTLEMENT_DATE, "")]
    desk._do(duties(desk.order)[0])
    assert owed(desk) == [(DutyKind.INSTRUCT_CUSTODIAN, "")]
    desk._do(duties(desk.order)[0])
    assert desk.order.settlement.status is SettlementStatus.INSTRUCTED
    (duty,) = duties(desk.order)
    assert (duty.kind, duty.due) == (DutyKind.ASK_CUSTODIAN, SETTLES.settles_at)
    assert not duty.is_due(SETTLES.settles_at - timedelta(seconds=1))


@pytest.mark.parametrize("state", list(State))
def test_in_every_state_somebody_is_named(state: State) -> None:
    expected = {
        State.PENDING_PRE_TRADE_COMPLIANCE: Role.SYSTEM,
        State.PENDING_POST_TRADE_COMPLIANCE: Role.SYSTEM,
        State.ROUTED: "venue",
        State.PARTIALLY_FILLED: "venue",
        State.CONFIRMED: "venue",
        State.SETTLED: "venue",
        State.RECONCILED: "nobody",
        State.CANCELED: "nobody",
        State.REJECTED: "nobody",
    }
    desk = in_state(state)
    waiting = waiting_on(desk.order)
    assert waiting.on == expected.get(state, desk.order.owner)
    assert waiting.what
