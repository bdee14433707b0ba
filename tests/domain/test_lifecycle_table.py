"""The lifecycle table, written out a second time by hand: every command in every state by every role."""

import pytest

from oms.domain import commands as cmd
from oms.domain.allocating import ProRata, WeightTarget
from oms.domain.errors import Code, Refused
from oms.domain.lifecycle import ECONOMIC_UPDATE, GATES, MAIN_CHAIN, OWNER, STRAIGHT_THROUGH, TERMINAL
from oms.domain.terms import Automation, PlacementStatus, Role, State
from tests.domain.orders import (
    ACTORS,
    IN_STATE,
    RULE,
    Desk,
    executed,
    in_state,
    opening,
    reported,
    straight_through,
)

S, R = State, Role
LIVE = frozenset(State) - {S.RECONCILED, S.CANCELED, S.REJECTED}
BEFORE_A_FILL = {
    S.CREATED,
    S.PENDING_PRE_TRADE_COMPLIANCE,
    S.PRE_TRADE_COMPLIANCE_PASSED,
    S.PRE_TRADE_COMPLIANCE_FAILED,
    S.SENT_TO_TRADER,
    S.ROUTED,
}
ALLOCATABLE = LIVE - BEFORE_A_FILL
WITH_THE_PM = BEFORE_A_FILL - {S.SENT_TO_TRADER, S.ROUTED}


def everywhere(roles: set[Role], *states: State) -> dict[State, set[Role]]:
    return dict.fromkeys(states, roles)


TABLE: dict[str, tuple[cmd.Command, dict[State, set[Role]]]] = {
    "update": (
        cmd.UpdateOrder(changes=cmd.OrderChanges(counterparty_id="BRK-GS")),
        everywhere({R.PM, R.TRADER, R.OPS}, *LIVE),
    ),
    "update economic": (
        cmd.UpdateOrder(changes=cmd.OrderChanges(ordered_quantity=90)),
        everywhere({R.PM}, *LIVE),
    ),
    "request_pre_trade_compliance": (
        cmd.RequestPreTradeCompliance(),
        everywhere({R.PM, R.SYSTEM}, S.CREATED, S.PRE_TRADE_COMPLIANCE_FAILED),
    ),
    "pass_pre_trade_compliance": (
        cmd.PassPreTradeCompliance(),
        everywhere({R.COMPLIANCE}, S.PENDING_PRE_TRADE_COMPLIANCE),
    ),
    "fail_pre_trade_compliance": (
        cmd.FailPreTradeCompliance(violations=(RULE,)),
        everywhere({R.COMPLIANCE}, S.PENDING_PRE_TRADE_COMPLIANCE),
    ),
    "override_pre_trade_compliance": (
        cmd.OverridePreTradeCompliance(override_id="OVR-1", reason="CIO", approver_id="USER-0042"),
        everywhere({R.COMPLIANCE}, S.PRE_TRADE_COMPLIANCE_FAILED),
    ),
    "send_to_trader": (cmd.SendToTrader(), everywhere({R.PM, R.SYSTEM}, S.PRE_TRADE_COMPLIANCE_PASSED)),
    "create_placement": (
        cmd.CreatePlacement(placement_id="PLC-9", venue="IBKR", quantity=1),
        everywhere({R.TRADER, R.SYSTEM}, S.SENT_TO_TRADER, S.ROUTED, S.PARTIALLY_FILLED),
    ),
    "modify_placement": (
        cmd.ModifyPlacement(placement_id="PLC-1", quantity=50),
        everywhere({R.TRADER}, *State),
    ),
    "cancel_placement": (cmd.CancelPlacement(placement_id="PLC-1"), everywhere({R.TRADER}, *State)),
    "resolve_placement": (
        cmd.ResolvePlacement(placement_id="PLC-1", status="CANCELED", reason="looked"),
        everywhere({R.TRADER, R.OPS}, *State),
    ),
    "cancel": (
        cmd.CancelOrder(),
        everywhere(
            {R.PM},
            S.CREATED,
            S.PENDING_PRE_TRADE_COMPLIANCE,
            S.PRE_TRADE_COMPLIANCE_PASSED,
            S.PRE_TRADE_COMPLIANCE_FAILED,
        )
        | everywhere({R.TRADER}, S.SENT_TO_TRADER, S.ROUTED),
    ),
    "close": (cmd.CloseOrder(), everywhere({R.TRADER, R.SYSTEM}, S.PARTIALLY_FILLED, S.FILLED)),
    "create_allocation": (
        cmd.CreateAllocation(
            allocation_id="ALC-9", account_id="ACCT-001", portfolio_id="PORT-001", quantity=1
        ),
        everywhere({R.PM, R.TRADER, R.OPS}, *ALLOCATABLE),
    ),
    "update_allocation": (
        cmd.UpdateAllocation(allocation_id="ALC-1", quantity=1),
        everywhere({R.PM, R.TRADER, R.OPS}, S.ROUTED, *ALLOCATABLE),
    ),
    "allocate": (
        cmd.Allocate(
            scheme=ProRata(accounts=(WeightTarget(account_id="A", portfolio_id="P", weight=1),)),
            allocation_ids=("ALC-9",),
        ),
        everywhere({R.PM, R.TRADER, R.OPS}, *ALLOCATABLE),
    ),
    "join_basket": (cmd.JoinBasket(basket_id="BSK-1"), everywhere({R.PM}, *LIVE)),
    "create_remainder": (
        cmd.CreateRemainder(order_id="ORD-9"),
        everywhere(
            {R.PM, R.TRADER},
            S.CLOSED,
            S.SENT_TO_OPERATIONS,
            S.PENDING_POST_TRADE_COMPLIANCE,
            S.POST_TRADE_COMPLIANCE_PASSED,
            S.POST_TRADE_COMPLIANCE_FAILED,
            S.CONFIRMED,
            S.SETTLED,
            S.RECONCILED,
        ),
    ),
    "begin_restructuring": (
        cmd.BeginRestructuring(restructuring_id="RST-1", link="SPLIT"),
        everywhere({R.PM}, *WITH_THE_PM),
    ),
    "complete_restructuring": (
        cmd.CompleteRestructuring(restructuring_id="RST-1", order_ids=("ORD-9",)),
        everywhere({R.SYSTEM}, *WITH_THE_PM),
    ),
    "abandon_restructuring": (
        cmd.AbandonRestructuring(restructuring_id="RST-1", reason="refused"),
        everywhere({R.SYSTEM}, *WITH_THE_PM),
    ),
    "send_to_operations": (
        cmd.SendToOperations(allocation_id="ALC-1"),
        everywhere({R.TRADER, R.SYSTEM}, S.CLOSED),
    ),
    "request_post_trade_compliance": (
        cmd.RequestPostTradeCompliance(),
        everywhere({R.OPS, R.SYSTEM}, S.SENT_TO_OPERATIONS, S.POST_TRADE_COMPLIANCE_FAILED),
    ),
    "pass_post_trade_compliance": (
        cmd.PassPostTradeCompliance(),
        everywhere({R.COMPLIANCE}, S.PENDING_POST_TRADE_COMPLIANCE),
    ),
    "fail_post_trade_compliance": (
        cmd.FailPostTradeCompliance(violations=(RULE,)),
        everywhere({R.COMPLIANCE}, S.PENDING_POST_TRADE_COMPLIANCE),
    ),
    "override_post_trade_compliance": (
        cmd.OverridePostTradeCompliance(override_id="OVR-1", reason="CIO", approver_id="USER-0042"),
        everywhere({R.COMPLIANCE}, S.POST_TRADE_COMPLIANCE_FAILED),
    ),
    "confirm": (cmd.ConfirmOrder(), everywhere({R.OPS, R.SYSTEM}, S.POST_TRADE_COMPLIANCE_PASSED)),
    "settle": (cmd.SettleOrder(reason="by hand"), everywhere({R.OPS, R.SYSTEM}, S.CONFIRMED)),
    "reconcile": (cmd.ReconcileOrder(reason="by hand"), everywhere({R.OPS, R.SYSTEM}, S.SETTLED)),
    "reject": (cmd.RejectOrder(reason="no route"), everywhere({R.SYSTEM}, *BEFORE_A_FILL)),
    "resolve_exception": (
        cmd.ResolveException(code="LATE_FILL", reason="booked"),
        everywhere({R.OPS}, *State),
    ),
}
"""Command, and the roles that may give it in each state; everything that is not here is refused."""

OF_STRAIGHT_THROUGH: dict[str, dict[State, set[Role]]] = {
    "cancel": everywhere(
        {R.PM},
        S.CREATED,
        S.PENDING_PRE_TRADE_COMPLIANCE,
        S.PRE_TRADE_COMPLIANCE_PASSED,
        S.PRE_TRADE_COMPLIANCE_FAILED,
    )
    | everywhere({R.PM, R.TRADER}, S.SENT_TO_TRADER, S.ROUTED),
    "close": {S.PARTIALLY_FILLED: {R.PM, R.TRADER, R.SYSTEM}, S.FILLED: {R.TRADER, R.SYSTEM}},
}
"""Where a straight-through order differs: its pm may end it as well. All else is as for any other order."""


def test_every_command_of_the_order_book_is_in_the_table() -> None:
    assert {command.kind for command, _ in TABLE.values()} == set(GATES)
    assert ECONOMIC_UPDATE.roles.keys() == GATES["update"].roles.keys()
    assert OF_STRAIGHT_THROUGH.keys() == STRAIGHT_THROUGH.keys()


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("name", list(TABLE))
def test_a_command_passes_its_gate_exactly_where_the_table_says(name: str, state: State) -> None:
    command, allowed = TABLE[name]
    _judge(name, command, allowed, in_state(state))


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("name", list(TABLE))
def test_of_a_straight_through_order_the_pm_may_end_more_and_nothing_else_differs(
    name: str, state: State
) -> None:
    command, allowed = TABLE[name]
    desk = in_state(state)
    request = desk.order.request.model_copy(update={"automation": Automation.STRAIGHT_THROUGH})
    desk.order = desk.order.model_copy(update={"request": request})
    _judge(name, command, OF_STRAIGHT_THROUGH.get(name, allowed), desk)


def test_the_pm_ends_a_straight_through_order_that_works() -> None:
    canceled = straight_through().drive()
    canceled.command(cmd.CancelOrder(reason="no longer wanted"), Role.PM)
    its = canceled.order.placements[0].placement_id
    canceled.observe(reported(PlacementStatus.CANCELED, "0", placement_id=its))
    assert (canceled.state, canceled.order.reason) == (State.CANCELED, "no longer wanted")
    assert canceled.journal[-1].actor.key == "pm-key"
    closed = straight_through().drive()
    its = closed.order.placements[0].placement_id
    closed.observe(executed("A.1", "40", placement_id=its))
    closed.command(cmd.CloseOrder(), Role.PM)
    closed.observe(reported(PlacementStatus.CANCELED, "40", placement_id=its))
    assert (closed.state, closed.order.unfilled_quantity) == (State.CLOSED, 60)
    by_hand = in_state(State.ROUTED)
    assert by_hand.refused(cmd.CancelOrder(), Role.PM) is Code.CANCEL_NOT_AUTHORIZED


def _judge(name: str, command: cmd.Command, allowed: dict[State, set[Role]], order: Desk) -> None:
    """Every role, in the state that `order` is in."""
    state = order.state
    for role in Role:
        refusal = _gate_refusal(order, command, role)
        if state not in allowed:
            assert refusal is not None, (role, "the state is judged before the role")
            assert refusal.code is Code.INVALID_STATE
            assert refusal.facts["state"] == state
            assert set(refusal.facts["allowed"]) == set(allowed)
        elif role not in allowed[state]:
            assert refusal is not None, role
            wrong_role = Code.CANCEL_NOT_AUTHORIZED if name == "cancel" else Code.NOT_AUTHORIZED
            assert refusal.code is wrong_role
            assert refusal.facts["roles"] == sorted(allowed[state])
        else:
            assert refusal is None, (role, refusal)


def _gate_refusal(desk: Desk, command: cmd.Command, role: Role) -> Refused | None:
    """The refusal of the gate, or None where the gate opened (a rule of the command may still refuse)."""
    try:
        _fresh(desk).command(command, role)
    except Refused as refused:
        names_order_states = set(refused.facts.get("allowed", ("none",))) <= set(State)
        by_state = refused.code is Code.INVALID_STATE and names_order_states
        return refused if by_state or "roles" in refused.facts else None
    return None


def _fresh(desk: Desk) -> Desk:
    copy = Desk()
    copy.order, copy.journal, copy.now = desk.order, list(desk.journal), desk.now
    return copy


@pytest.mark.parametrize("role", list(Role))
def test_only_a_pm_and_the_system_create_orders(role: Role) -> None:
    if role in (Role.PM, Role.SYSTEM):
        assert Desk(actor=ACTORS[role]).state is State.CREATED
        return
    with pytest.raises(Refused) as refused:
        Desk(actor=ACTORS[role])
    assert refused.value.code is Code.NOT_AUTHORIZED


def test_a_key_without_any_role_still_learns_the_state() -> None:
    nobody = cmd.Actor(key="nobody", roles=())
    assert in_state(State.CREATED).refused(cmd.CloseOrder(), nobody) is Code.INVALID_STATE
    assert in_state(State.CREATED).refused(cmd.CancelOrder(), nobody) is Code.CANCEL_NOT_AUTHORIZED


@pytest.mark.parametrize("roles", [(Role.PM, Role.TRADER), (Role.TRADER, Role.PM), (Role.OPS, Role.PM)])
def test_a_key_with_several_roles_acts_in_the_one_that_may(roles: tuple[Role, ...]) -> None:
    desk, key = Desk(), cmd.Actor(key="both", roles=roles)
    events = desk.command(cmd.UpdateOrder(changes=cmd.OrderChanges(ordered_quantity=50)), key)
    assert events[0].actor.role is Role.PM


def test_each_state_has_the_owner_of_the_reference() -> None:
    owned_by = {
        Role.PM: {S.CREATED, S.PRE_TRADE_COMPLIANCE_PASSED, S.PRE_TRADE_COMPLIANCE_FAILED},
        Role.SYSTEM: {S.PENDING_PRE_TRADE_COMPLIANCE, S.PENDING_POST_TRADE_COMPLIANCE},
        Role.TRADER: {S.SENT_TO_TRADER, S.ROUTED, S.PARTIALLY_FILLED, S.FILLED, S.CLOSED},
        Role.OPS: {
            S.SENT_TO_OPERATIONS,
            S.POST_TRADE_COMPLIANCE_PASSED,
            S.POST_TRADE_COMPLIANCE_FAILED,
            S.CONFIRMED,
            S.SETTLED,
        },
        None: {S.RECONCILED, S.CANCELED, S.REJECTED},
    }
    assert {owner: {s for s in State if OWNER[s] is owner} for owner in owned_by} == owned_by
    assert owned_by[None] == TERMINAL
    assert len(State) == 18
    assert len(IN_STATE) == 18


def test_the_main_chain_by_four_people() -> None:
    desk = Desk().place().fill("40").fill("60")
    desk.command(cmd.CloseOrder(), Role.TRADER)
    desk.command(cmd.SendToOperations(allocation_id="ALC-1"), Role.TRADER)
    desk.command(cmd.RequestPostTradeCompliance(), Role.OPS)
    desk.command(cmd.PassPostTradeCompliance(), Role.COMPLIANCE)
    desk.command(cmd.ConfirmOrder(), Role.OPS)
    desk.command(cmd.SettleOrder(reason="the custodian called"), Role.OPS)
    desk.command(cmd.ReconcileOrder(reason="compared by hand"), Role.OPS)
    assert tuple(desk.states) == MAIN_CHAIN
    assert {event.actor.key for event in desk.journal} >= {
        "pm-key",
        "compliance-key",
        "trader-key",
        "ops-key",
    }
    assert desk.order.is_over


def test_an_order_is_opened_with_what_it_refers_to() -> None:
    desk = Desk()
    created = desk.journal[0]
    assert (created.seq, created.kind, created.state) == (1, "order_created", State.CREATED)
    assert desk.order.instrument == opening().instrument
    assert desk.order.created_by == "pm-key"
