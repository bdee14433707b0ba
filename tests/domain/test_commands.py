"""The rules of each command, one test a rule."""

from datetime import timedelta
from decimal import Decimal

import pytest
from pydantic import ValidationError

from oms.domain import commands as cmd
from oms.domain.apply import apply, fold
from oms.domain.errors import MEANING, Code, Refused
from oms.domain.terms import ComplianceStatus, PlacementStatus, Role, State
from tests.domain.orders import (
    NOW,
    NS,
    RULE,
    Desk,
    busted,
    cancel_refused,
    executed,
    in_state,
    reported,
    request,
    straight_through,
)

P = PlacementStatus


def update(**changes: object) -> cmd.UpdateOrder:
    return cmd.UpdateOrder(changes=cmd.OrderChanges.model_validate(changes))


# -- create ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "terms",
    [
        {"order_type": "Market"},
        {"order_type": "Limit", "limit_price": None},
        {"order_type": "Stop", "limit_price": None},
        {"order_type": "StopLimit", "limit_price": "10"},
        {"order_type": "Stop", "limit_price": "10", "stop_price": "9"},
        {"time_in_force": "GTD"},
        {"time_in_force": "Day", "expires_at": NOW + timedelta(days=1)},
        {"ordered_quantity": "0"},
        {"ordered_quantity": "-1"},
        {"limit_price": "0"},
        {"portfolio_id": ""},
    ],
)
def test_terms_that_do_not_fit_together_make_no_order(terms: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        request(**terms)


def test_an_order_that_has_expired_already_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        Desk(time_in_force="GTD", expires_at=NOW)
    assert refused.value.code is Code.VALIDATION_FAILED
    assert refused.value.facts["field"] == "expires_at"


# -- update -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state",
    [s for s in State if s not in {State.RECONCILED, State.CANCELED, State.REJECTED}],
)
def test_economic_fields_lock_once_pre_trade_compliance_has_passed(state: State) -> None:
    desk = in_state(state)
    still_open = state in {
        State.CREATED,
        State.PENDING_PRE_TRADE_COMPLIANCE,
        State.PRE_TRADE_COMPLIANCE_FAILED,
    }
    if still_open:
        desk.command(update(ordered_quantity="90"), Role.PM)
        assert desk.order.ordered_quantity == 90
    else:
        assert desk.refused(update(ordered_quantity="90"), Role.PM) is Code.FIELD_LOCKED
    desk.command(update(counterparty_id="BRK-GS", metadata={"desk": "EU"}), Role.OPS)
    assert (desk.order.counterparty_id, desk.order.metadata) == ("BRK-GS", {"desk": "EU"})


def test_an_economic_change_while_a_check_is_pending_returns_the_order_to_created() -> None:
    desk = in_state(State.PENDING_PRE_TRADE_COMPLIANCE)
    desk.command(update(limit_price="11"), Role.PM)
    assert desk.state is State.CREATED
    assert desk.order.pre_trade.status is ComplianceStatus.NOT_REQUESTED


def test_a_booking_change_while_a_check_is_pending_leaves_it_pending_and_its_verdict_valid() -> None:
    desk = in_state(State.PENDING_PRE_TRADE_COMPLIANCE)
    asked = desk.order.pre_trade.version
    desk.command(update(counterparty_id="BRK-GS"), Role.TRADER)
    assert desk.state is State.PENDING_PRE_TRADE_COMPLIANCE
    for version in (asked, desk.order.version):
        again = in_state(State.PENDING_PRE_TRADE_COMPLIANCE)
        again.command(update(counterparty_id="BRK-GS"), Role.TRADER)
        again.command(cmd.PassPreTradeCompliance(order_version=version), Role.COMPLIANCE)
        assert again.state is State.PRE_TRADE_COMPLIANCE_PASSED


def test_a_field_given_as_null_is_cleared() -> None:
    desk = Desk(metadata={"desk": "EU"}, counterparty_id="BRK-GS")
    desk.command(update(metadata=None, counterparty_id=None), Role.PM)
    assert (desk.order.metadata, desk.order.counterparty_id) == ({}, None)


@pytest.mark.parametrize("field", ["ordered_quantity", "time_in_force"])
def test_what_every_order_has_cannot_be_cleared(field: str) -> None:
    refused = Desk().refusal(update(**{field: None}), Role.PM)
    assert (refused.code, refused.facts["field"]) == (Code.VALIDATION_FAILED, field)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"limit_price": None}, Code.INVALID_ORDER_TYPE),
        ({"stop_price": "9"}, Code.INVALID_ORDER_TYPE),
        ({"time_in_force": "GTD"}, Code.INVALID_ORDER_TYPE),
        ({"time_in_force": "GTD", "expires_at": NOW}, Code.VALIDATION_FAILED),
    ],
)
def test_a_change_may_not_make_terms_that_could_not_be_created(
    changes: dict[str, object], code: Code
) -> None:
    assert Desk().refused(update(**changes), Role.PM) is code


def test_a_change_to_what_is_so_already_is_no_event() -> None:
    desk = in_state(State.PENDING_PRE_TRADE_COMPLIANCE)
    assert desk.command(update(ordered_quantity="100.0", metadata=None), Role.PM) == []
    assert desk.state is State.PENDING_PRE_TRADE_COMPLIANCE


def test_several_fields_change_at_once() -> None:
    desk = Desk()
    tomorrow = NOW + timedelta(days=1)
    desk.command(update(time_in_force="GTD", expires_at=tomorrow, limit_price="9.5"), Role.PM)
    assert (desk.order.time_in_force, desk.order.expires_at) == ("GTD", tomorrow)
    assert desk.order.limit_price == Decimal("9.5")


@pytest.mark.parametrize("field", ["portfolio_id", "direction", "order_type", "basket_id", "instrument_id"])
def test_everything_else_is_immutable(field: str) -> None:
    with pytest.raises(ValidationError):
        update(**{field: "x"})


def test_a_caller_who_saw_another_version_is_told() -> None:
    desk = in_state(State.PRE_TRADE_COMPLIANCE_PASSED)
    seen = desk.order.version - 1
    refused = desk.refusal(cmd.SendToTrader(), Role.PM, expected_version=seen)
    assert refused.code is Code.VERSION_CONFLICT
    assert refused.facts == {"version": desk.order.version, "expected": seen}
    assert desk.refused(cmd.SendToTrader(), Role.TRADER, expected_version=seen) is Code.NOT_AUTHORIZED
    desk.command(cmd.SendToTrader(), Role.PM, expected_version=desk.order.version)
    assert desk.state is State.SENT_TO_TRADER


# -- compliance -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("off", [-1, +1])
def test_a_verdict_on_another_version_is_stale(off: int) -> None:
    for state, verdict in (
        (State.PENDING_PRE_TRADE_COMPLIANCE, cmd.PassPreTradeCompliance),
        (State.PENDING_POST_TRADE_COMPLIANCE, cmd.PassPostTradeCompliance),
    ):
        desk = in_state(state)
        assert desk.refused(verdict(order_version=desk.order.version + off), Role.COMPLIANCE) is (
            Code.STALE_VERDICT
        )


def test_a_verdict_from_before_an_economic_change_is_stale() -> None:
    desk = in_state(State.PENDING_PRE_TRADE_COMPLIANCE)
    checked = desk.order.version
    desk.command(update(ordered_quantity="5000"), Role.PM)
    desk.request_pre_trade()
    for verdict in (
        cmd.PassPreTradeCompliance(order_version=checked),
        cmd.FailPreTradeCompliance(order_version=checked, violations=(RULE,)),
    ):
        assert desk.refused(verdict, Role.COMPLIANCE) is Code.STALE_VERDICT


def test_a_fail_carries_at_least_one_violation() -> None:
    with pytest.raises(ValidationError):
        cmd.FailPreTradeCompliance(violations=())
    desk = in_state(State.PRE_TRADE_COMPLIANCE_FAILED)
    assert desk.order.pre_trade.violations == (RULE,)


def override(approver_id: str = "USER-0042") -> cmd.OverridePreTradeCompliance:
    return cmd.OverridePreTradeCompliance(override_id="OVR-1", reason="CIO approved", approver_id=approver_id)


def test_an_override_needs_a_second_pair_of_eyes() -> None:
    desk = in_state(State.PRE_TRADE_COMPLIANCE_FAILED)
    assert desk.refused(override("pm-key"), Role.COMPLIANCE) is Code.FOUR_EYES
    assert desk.refused(override(), Role.COMPLIANCE, key="pm-key") is Code.FOUR_EYES
    desk.command(override(), Role.COMPLIANCE)
    assert desk.state is State.PRE_TRADE_COMPLIANCE_PASSED
    kept = desk.order.pre_trade.override
    assert kept is not None
    assert (kept.override_id, kept.approver_id, kept.by) == ("OVR-1", "USER-0042", "compliance-key")


def test_post_trade_is_overridden_in_the_same_way() -> None:
    desk = in_state(State.POST_TRADE_COMPLIANCE_FAILED)
    command = cmd.OverridePostTradeCompliance(override_id="OVR-1", reason="CIO", approver_id="pm-key")
    assert desk.refused(command, Role.COMPLIANCE) is Code.FOUR_EYES
    desk.command(command.model_copy(update={"approver_id": "USER-0042"}), Role.COMPLIANCE)
    assert desk.state is State.POST_TRADE_COMPLIANCE_PASSED
    assert desk.order.post_trade.status is ComplianceStatus.OVERRIDDEN


@pytest.mark.parametrize("missing", ["reason", "approver_id", "override_id"])
def test_an_override_names_its_reason_and_its_approver(missing: str) -> None:
    with pytest.raises(ValidationError):
        cmd.OverridePreTradeCompliance.model_validate(override().model_dump(exclude={missing}))


def test_a_failed_check_cannot_be_overridden_for_other_terms_than_it_checked() -> None:
    desk = in_state(State.PRE_TRADE_COMPLIANCE_FAILED)
    desk.command(update(ordered_quantity="1000000"), Role.PM)
    assert desk.refused(override(), Role.COMPLIANCE) is Code.STALE_VERDICT
    desk.request_pre_trade().command(cmd.FailPreTradeCompliance(violations=(RULE,)), Role.COMPLIANCE)
    desk.command(override(), Role.COMPLIANCE)
    assert desk.state is State.PRE_TRADE_COMPLIANCE_PASSED


def test_a_warning_passes_and_is_kept_on_the_order() -> None:
    desk = in_state(State.PENDING_PRE_TRADE_COMPLIANCE)
    soft = cmd.RuleResult(
        rule_id="R-2",
        rule_name="Soft",
        rule_type="max_order_notional",
        rule_version=1,
        severity="SOFT",
        passed=False,
        description="large",
    )
    desk.command(cmd.PassPreTradeCompliance(results=(soft,)), Role.COMPLIANCE)
    assert desk.state is State.PRE_TRADE_COMPLIANCE_PASSED
    assert [v.rule_id for v in desk.order.pre_trade.violations] == ["R-2"]


# -- placements -------------------------------------------------------------------------------------------


def placement(quantity: str = "100", **terms: object) -> cmd.CreatePlacement:
    given = {"placement_id": "PLC-9", "venue": "IBKR", "quantity": quantity, **terms}
    return cmd.CreatePlacement.model_validate(given)


def test_placements_never_exceed_the_order() -> None:
    desk = Desk().place("60").fill("20")
    refused = desk.refusal(placement("41"), Role.TRADER)
    assert refused.code is Code.PLACEMENT_EXCEEDS_ORDER
    assert refused.facts == {"ordered": "100", "working": "40", "executed": "20", "requested": "41"}
    desk.command(placement("40"), Role.TRADER)
    assert desk.order.working_quantity == 80


def test_what_a_venue_has_given_back_may_be_placed_again() -> None:
    desk = Desk().place("100")
    desk.command(cmd.CancelPlacement(placement_id="PLC-1"), Role.TRADER)
    desk.observe(reported(P.CANCELED, "0"))
    desk.command(placement("100"), Role.TRADER)
    assert desk.order.working_quantity == 100


def test_an_unknown_venue_is_named_with_those_that_exist() -> None:
    refused = in_state(State.SENT_TO_TRADER).refusal(placement(venue="XNYS"), Role.TRADER)
    assert refused.code is Code.INVALID_VENUE
    assert refused.facts["allowed"] == ["IBKR", "OPTIONS", "BRIDGE"]


@pytest.mark.parametrize(
    "terms",
    [
        {"order_type": "PreviouslyQuoted"},
        {"order_type": "Market", "time_in_force": "FOK"},
        {"order_type": "Stop", "stop_price": "9", "time_in_force": "IOC"},
        {"venue": "BRIDGE"},
    ],
)
def test_what_the_venue_cannot_do_is_never_sent(terms: dict[str, object]) -> None:
    desk = Desk(order_type="Market", limit_price=None).send_to_trader()
    assert desk.refused(placement(**terms), Role.TRADER) is Code.UNSUPPORTED_BY_VENUE


@pytest.mark.parametrize(("direction", "worse", "better"), [("Buy", "10.01", "9.99"), ("Sell", "9.99", "11")])
def test_a_placement_is_never_worse_than_the_orders_limit(direction: str, worse: str, better: str) -> None:
    desk = Desk(direction=direction).send_to_trader()
    assert desk.refused(placement(limit_price=worse), Role.TRADER) is Code.VALIDATION_FAILED
    assert desk.refused(placement(order_type="Market"), Role.TRADER) is Code.VALIDATION_FAILED
    desk.command(placement(limit_price=better), Role.TRADER)
    assert desk.order.placements[0].limit_price == Decimal(better)


def test_absent_terms_of_a_placement_are_the_orders() -> None:
    desk = Desk().place("30")
    first = desk.placement()
    assert (first.account, first.order_type, first.limit_price, first.time_in_force) == (
        "DU123456",
        "Limit",
        10,
        "Day",
    )


def test_a_placement_needs_an_account_and_prices_that_fit() -> None:
    assert Desk(route=None).send_to_trader().refused(placement(), Role.TRADER) is Code.INVALID_ACCOUNT
    desk = in_state(State.SENT_TO_TRADER)
    assert desk.refused(placement(order_type="Stop"), Role.TRADER) is Code.INVALID_ORDER_TYPE
    assert desk.refused(placement(time_in_force="GTD"), Role.TRADER) is Code.VALIDATION_FAILED


def test_the_same_placement_twice_is_one() -> None:
    desk = Desk().place("60", "PLC-9")
    assert desk.command(placement("60"), Role.TRADER) == []
    assert len(desk.order.placements) == 1


def test_an_order_that_is_being_canceled_or_closed_takes_no_placement() -> None:
    canceling = Desk().place("50")
    canceling.command(cmd.CancelOrder(), Role.TRADER)
    assert canceling.refused(placement("10"), Role.TRADER) is Code.INVALID_STATE
    closing = Desk().place("50").fill("20")
    closing.command(cmd.CloseOrder(), Role.TRADER)
    assert closing.refused(placement("10"), Role.TRADER) is Code.INVALID_STATE


def test_a_trader_may_place_again_after_a_fill_has_won_over_the_cancel() -> None:
    desk = Desk().place()
    desk.command(cmd.CancelOrder(), Role.TRADER)
    desk.fill("30", "A.1").observe(reported(P.CANCELED, "30"))
    desk.command(placement("70"), Role.TRADER)
    assert not desk.order.cancel_requested
    desk.observe(busted("A.1"), reported(P.CANCELED, "0", placement_id="PLC-9", ts_event_ns=NS + 9))
    assert desk.state is not State.CANCELED


def test_canceling_a_placement_is_idempotent_and_names_what_it_cannot_find() -> None:
    desk = Desk().place()
    command = cmd.CancelPlacement(placement_id="PLC-1")
    assert [e.kind for e in desk.command(command, Role.TRADER)] == ["placement_cancel_requested"]
    assert desk.placement().status is P.CANCEL_PENDING
    assert desk.command(command, Role.TRADER) == []
    desk.observe(reported(P.CANCELED, "0"))
    assert desk.refused(command, Role.TRADER) is Code.ALREADY_CANCELED
    missing = cmd.CancelPlacement(placement_id="PLC-7")
    assert desk.refused(missing, Role.TRADER) is Code.PLACEMENT_NOT_FOUND


@pytest.mark.parametrize("ended", [P.FILLED, P.REJECTED, P.EXPIRED])
def test_a_placement_that_has_ended_cannot_be_canceled(ended: P) -> None:
    desk = Desk().place()
    desk.observe(reported(ended, "40"))
    refused = desk.refusal(cmd.CancelPlacement(placement_id="PLC-1"), Role.TRADER)
    assert refused.code is Code.INVALID_STATE


# -- cancel and close --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "role"),
    [
        (State.CREATED, Role.PM),
        (State.PENDING_PRE_TRADE_COMPLIANCE, Role.PM),
        (State.PRE_TRADE_COMPLIANCE_PASSED, Role.PM),
        (State.PRE_TRADE_COMPLIANCE_FAILED, Role.PM),
        (State.SENT_TO_TRADER, Role.TRADER),
    ],
)
def test_before_a_venue_has_it_an_order_is_canceled_at_once(state: State, role: Role) -> None:
    desk = in_state(state)
    desk.command(cmd.CancelOrder(reason="changed my mind"), role)
    assert (desk.state, desk.order.reason) == (State.CANCELED, "changed my mind")
    assert desk.order.is_over


def test_from_routed_the_venue_decides() -> None:
    desk = Desk().place("60").place("40")
    desk.command(cmd.CancelOrder(reason="halt"), Role.TRADER)
    assert desk.state is State.ROUTED
    assert {p.status for p in desk.order.placements} == {P.CANCEL_PENDING}
    assert desk.command(cmd.CancelOrder(reason="halt"), Role.TRADER) == []
    desk.observe(reported(P.CANCELED, "0"))
    assert desk.state is State.ROUTED
    desk.observe(reported(P.CANCELED, "0", placement_id="PLC-2"))
    assert (desk.state, desk.order.reason) == (State.CANCELED, "halt")


@pytest.mark.parametrize(("quantity", "state"), [("30", State.PARTIALLY_FILLED), ("100", State.FILLED)])
def test_a_fill_that_wins_the_race_stands(quantity: str, state: State) -> None:
    desk = Desk().place()
    desk.command(cmd.CancelOrder(), Role.TRADER)
    desk.fill(quantity)
    desk.observe(reported(P.CANCELED, quantity))
    assert desk.state is state
    assert desk.order.live_placements == ()


def test_a_canceled_report_that_claims_a_fill_waits_for_the_fill() -> None:
    desk = Desk().place()
    desk.command(cmd.CancelOrder(), Role.TRADER)
    desk.observe(reported(P.CANCELED, "30"))
    assert desk.state is State.ROUTED
    desk.fill("30")
    assert desk.state is State.PARTIALLY_FILLED


def test_a_placement_that_has_ended_is_not_asked_to_cancel() -> None:
    desk = Desk().place("60").place("40")
    desk.observe(reported(P.EXPIRED, "30"))
    asked = desk.command(cmd.CancelOrder(), Role.TRADER)
    assert [event.kind for event in asked] == ["order_cancel_requested", "placement_cancel_requested"]
    assert desk.placement("PLC-2").cancel_requested
    assert not desk.placement("PLC-1").cancel_requested


def test_a_venue_that_will_not_cancel_leaves_the_order_working() -> None:
    desk = Desk().place()
    desk.command(cmd.CancelOrder(reason="halt"), Role.TRADER)
    desk.observe(cancel_refused())
    assert (desk.order.cancel_requested, desk.order.reason) == (False, None)
    assert desk.placement().status is P.PENDING
    desk.command(cmd.CancelOrder(), Role.TRADER)
    assert desk.placement().status is P.CANCEL_PENDING


def test_close_waits_for_the_venue() -> None:
    desk = Desk().place().fill("40")
    desk.command(cmd.CloseOrder(), Role.TRADER)
    assert desk.state is State.PARTIALLY_FILLED
    assert desk.placement().status is P.CANCEL_PENDING
    desk.fill("25")
    desk.observe(reported(P.CANCELED, "65"))
    assert desk.state is State.CLOSED
    closed = desk.journal[-1].happening.model_dump()
    assert (closed["executed_quantity"], closed["unfilled_quantity"]) == (65, 35)


def test_close_is_at_once_when_nothing_works_any_more() -> None:
    desk = in_state(State.FILLED)
    desk.command(cmd.CloseOrder(), Role.TRADER)
    assert desk.state is State.CLOSED


def test_an_order_is_rejected_with_its_reason_and_what_works_is_canceled() -> None:
    desk = Desk().place()
    desk.reject()
    assert (desk.state, desk.order.reason) == (State.REJECTED, "cannot be traded")
    assert desk.placement().status is P.CANCEL_PENDING
    assert not desk.order.is_over
    desk.observe(reported(P.CANCELED, "0"))
    assert desk.order.is_over


# -- allocation and hand-offs -------------------------------------------------------------------------------


def allocate(quantity: str, allocation_id: str = "ALC-9") -> cmd.CreateAllocation:
    return cmd.CreateAllocation(
        allocation_id=allocation_id,
        account_id="ACCT-002",
        portfolio_id="PORT-001",
        quantity=Decimal(quantity),
    )


def test_without_allocations_all_goes_to_the_default_account() -> None:
    desk = in_state(State.SENT_TO_OPERATIONS)
    only = desk.order.allocations[0]
    assert (only.account_id, only.portfolio_id, only.quantity) == ("ACCT-001", "PORT-001", 100)


def test_the_hand_off_to_operations_needs_allocations_that_add_up() -> None:
    desk = in_state(State.CLOSED)
    desk.command(allocate("60"), Role.TRADER)
    refused = desk.refusal(cmd.SendToOperations(allocation_id="ALC-1"), Role.TRADER)
    assert (refused.code, refused.facts) == (
        Code.ALLOCATION_MISMATCH,
        {"allocated": "60", "executed": "100"},
    )
    desk.command(allocate("40", "ALC-8"), Role.TRADER)
    desk.command(cmd.SendToOperations(allocation_id="ALC-1"), Role.TRADER)
    assert desk.state is State.SENT_TO_OPERATIONS
    assert len(desk.order.allocations) == 2


def test_allocations_never_exceed_what_was_executed() -> None:
    desk = in_state(State.PARTIALLY_FILLED)
    assert desk.refused(allocate("41"), Role.OPS) is Code.ALLOCATION_MISMATCH
    desk.command(allocate("40"), Role.OPS)
    assert desk.command(allocate("40"), Role.OPS) == []
    raised = cmd.UpdateAllocation(allocation_id="ALC-9", quantity=41)
    assert desk.refused(raised, Role.OPS) is Code.ALLOCATION_MISMATCH
    unknown = cmd.UpdateAllocation(allocation_id="ALC-7", quantity=1)
    assert desk.refused(unknown, Role.OPS) is Code.ALLOCATION_NOT_FOUND
    lower = cmd.UpdateAllocation(allocation_id="ALC-9", quantity=15)
    desk.command(lower, Role.OPS)
    assert desk.order.allocated_quantity == 15
    assert desk.command(lower, Role.OPS) == []


def test_after_a_bust_accounts_are_brought_down_one_by_one() -> None:
    desk = Desk().fill("60", "A.1").fill("40", "B.1")
    desk.command(cmd.CloseOrder(), Role.TRADER)
    desk.command(allocate("50"), Role.TRADER)
    desk.command(allocate("50", "ALC-8"), Role.TRADER)
    desk.observe(busted("A.1"))
    desk.command(cmd.UpdateAllocation(allocation_id="ALC-9", quantity=0), Role.TRADER)
    desk.command(cmd.UpdateAllocation(allocation_id="ALC-8", quantity=40), Role.TRADER)
    desk.command(cmd.SendToOperations(allocation_id="ALC-1"), Role.TRADER)
    assert desk.state is State.SENT_TO_OPERATIONS


@pytest.mark.parametrize(
    ("state", "command", "role"),
    [
        (State.CLOSED, cmd.SendToOperations(allocation_id="ALC-1"), Role.TRADER),
        (State.SENT_TO_OPERATIONS, cmd.RequestPostTradeCompliance(), Role.OPS),
        (State.POST_TRADE_COMPLIANCE_PASSED, cmd.ConfirmOrder(), Role.OPS),
        (State.CONFIRMED, cmd.SettleOrder(reason="by hand"), Role.OPS),
        (State.SETTLED, cmd.ReconcileOrder(reason="by hand"), Role.OPS),
    ],
)
def test_after_a_late_fill_no_hand_off_until_allocations_match_again(
    state: State, command: cmd.Command, role: Role
) -> None:
    desk = in_state(state)
    if not desk.order.allocations:
        desk.command(allocate("100"), Role.TRADER)
    desk.fill("5", "LATE.1")
    assert desk.refused(command, role) is Code.ALLOCATION_MISMATCH
    desk.command(allocate("5", "ALC-5"), Role.OPS)
    desk.command(command, role)
    assert desk.state is not state


# -- settlement and reconciliation ------------------------------------------------------------------------------


def test_the_system_settles_only_on_the_custodians_word() -> None:
    desk = in_state(State.CONFIRMED)
    assert desk.refused(cmd.SettleOrder(reason="due"), cmd.SYSTEM) is Code.INVALID_STATE
    desk.instruct().custodian_says()
    desk.command(cmd.SettleOrder(reason="the custodian settled"), cmd.SYSTEM)
    assert desk.state is State.SETTLED


def test_the_system_reconciles_only_after_a_comparison() -> None:
    desk = in_state(State.SETTLED)
    assert desk.refused(cmd.ReconcileOrder(reason="agrees"), cmd.SYSTEM) is Code.INVALID_STATE
    desk.instruct().custodian_says()
    desk.command(cmd.ReconcileOrder(reason="agrees"), cmd.SYSTEM)
    assert desk.state is State.RECONCILED


@pytest.mark.parametrize("command", [cmd.SettleOrder, cmd.ReconcileOrder])
def test_people_give_a_reason(command: type[cmd.SettleOrder] | type[cmd.ReconcileOrder]) -> None:
    with pytest.raises(ValidationError):
        command(reason="")


def test_no_order_is_reconciled_while_a_break_is_open() -> None:
    desk = in_state(State.CONFIRMED).instruct()
    desk.custodian_says(quantity=90)
    desk.command(cmd.SettleOrder(reason="settled"), Role.OPS)
    assert desk.open_exceptions == ["BREAK_OPEN"]
    refused = desk.refusal(cmd.ReconcileOrder(reason="looks fine"), Role.OPS)
    assert refused.code is Code.BREAK_OPEN
    assert refused.facts["breaks"] == ["quantity: our book says 100, the custodian says 90"]
    desk.command(cmd.ResolveException(code="BREAK_OPEN", reason="typing error there"), Role.OPS)
    desk.command(cmd.ReconcileOrder(reason="explained"), Role.OPS)
    assert desk.order.is_over


# -- exceptions -------------------------------------------------------------------------------------------------


def test_an_exception_is_resolved_by_subject_or_all_of_a_code() -> None:
    desk = in_state(State.CLOSED).fill("1", "A.1").fill("1", "B.1").fill("1", "C.1")
    assert desk.open_exceptions.count("LATE_FILL") == 3
    desk.command(cmd.ResolveException(code="LATE_FILL", reason="booked", subject="A"), Role.OPS)
    assert desk.open_exceptions.count("LATE_FILL") == 2
    desk.command(cmd.ResolveException(code="LATE_FILL", reason="booked"), Role.OPS)
    assert desk.open_exceptions == ["OVERFILL"]
    gone = cmd.ResolveException(code="LATE_FILL", reason="booked")
    assert desk.refused(gone, Role.OPS) is Code.EXCEPTION_NOT_FOUND


def test_a_doubt_is_resolved_on_the_placement_and_nowhere_else() -> None:
    desk = Desk().place()
    desk.observe(reported(P.IN_DOUBT))
    command = cmd.ResolveException(code="PLACEMENT_IN_DOUBT", reason="it will be fine")
    assert desk.refused(command, Role.OPS) is Code.INVALID_STATE


# -- refusals and folding ---------------------------------------------------------------------------------------


def test_every_refusal_code_has_a_status_and_a_sentence() -> None:
    assert set(MEANING) == set(Code)
    assert all(400 <= status < 600 and text.endswith(".") for status, text in MEANING.values())
    assert Refused(Code.FOUR_EYES, "no").status == 409


def test_events_fold_only_in_their_order() -> None:
    desk = Desk().place()
    with pytest.raises(ValueError, match="does not follow"):
        apply(desk.order, desk.journal[-1])
    with pytest.raises(ValueError, match="does not follow"):
        fold(None, desk.journal[1:])
    with pytest.raises(ValueError, match="does not exist"):
        fold(None, [])
    headless = desk.journal[1].model_copy(update={"seq": 1})
    with pytest.raises(ValueError, match="begins with"):
        fold(None, [headless])


def test_a_straight_through_order_without_a_route_is_rejected_with_the_reason() -> None:
    desk = straight_through(route=None).drive()
    assert desk.state is State.REJECTED
    assert desk.order.reason == "the order names no route and its portfolio has none"


def test_a_trader_resolves_what_the_desk_owns_and_nothing_else() -> None:
    desk = in_state(State.ROUTED)
    desk.observe(reported(P.REJECTED, reason="no shares"))
    assert desk.open_exceptions == ["PLACEMENT_REJECTED"]
    desk.command(cmd.ResolveException(code="PLACEMENT_REJECTED", reason="seen"), Role.TRADER)
    assert desk.open_exceptions == []
    late = in_state(State.CLOSED)
    late.observe(executed("LATE.1", "1"))
    assert late.open_exceptions[0] == "LATE_FILL"
    with pytest.raises(Refused) as refused:
        late.command(cmd.ResolveException(code="LATE_FILL", reason="seen"), Role.TRADER)
    assert refused.value.code is Code.NOT_AUTHORIZED


def test_a_cancel_that_a_fill_has_won_leaves_no_reason() -> None:
    desk = in_state(State.ROUTED)
    desk.command(cmd.CancelOrder(reason="changed my mind"), Role.TRADER)
    assert desk.order.reason == "changed my mind"
    desk.observe(executed("A.1", "100"))
    assert (desk.order.state, desk.order.reason) == (State.FILLED, None)
