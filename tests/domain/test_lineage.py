"""Commands that tie orders to each other: what they do, what they refuse, and that twice is once."""

import pytest

from oms.domain import commands as cmd
from oms.domain.commands import SYSTEM
from oms.domain.duties import duties, waiting_on
from oms.domain.errors import Code
from oms.domain.lifecycle import GATES
from oms.domain.terms import LinkKind, Role, State
from tests.domain.orders import Desk, executed, in_state, straight_through

BEGIN = cmd.BeginRestructuring(restructuring_id="RST-1", link=LinkKind.MERGED)
COMPLETE = cmd.CompleteRestructuring(restructuring_id="RST-1", order_ids=("ORD-9",))
ABANDON = cmd.AbandonRestructuring(restructuring_id="RST-1", reason="the other was refused")
WITH_THE_PM = (
    State.CREATED,
    State.PENDING_PRE_TRADE_COMPLIANCE,
    State.PRE_TRADE_COMPLIANCE_PASSED,
    State.PRE_TRADE_COMPLIANCE_FAILED,
)


def held(state: State = State.CREATED) -> Desk:
    desk = in_state(state)
    desk.command(BEGIN, Role.PM)
    return desk


@pytest.mark.parametrize("state", State)
def test_an_order_is_held_until_it_is_with_the_trader(state: State) -> None:
    desk = in_state(state)
    if state not in WITH_THE_PM:
        assert desk.refused(BEGIN, Role.PM) is Code.INVALID_STATE
        return
    desk.command(BEGIN, Role.PM)
    assert desk.state is state
    assert desk.order.restructuring is not None
    assert (desk.order.restructuring.restructuring_id, desk.order.restructuring.since) == ("RST-1", desk.now)


@pytest.mark.parametrize("state", WITH_THE_PM)
def test_a_held_order_ends_linked_to_what_it_became(state: State) -> None:
    desk = held(state)
    desk.command(COMPLETE, SYSTEM)
    assert (desk.state, desk.order.reason, desk.order.restructuring) == (State.CANCELED, "MERGED", None)
    assert [(link.kind, link.order_id, link.source) for link in desk.order.links] == [
        (LinkKind.MERGED, "ORD-9", False)
    ]
    assert desk.order.is_over


@pytest.mark.parametrize("state", WITH_THE_PM)
def test_a_released_order_is_as_it_was(state: State) -> None:
    before = in_state(state).order
    desk = held(state)
    desk.command(ABANDON, SYSTEM)
    same = {"version", "updated_at"}
    assert desk.order.model_dump(exclude=same) == before.model_dump(exclude=same)
    assert desk.command(ABANDON, SYSTEM) == [], "released twice is released once"


def test_held_twice_by_the_same_is_held_once_and_another_is_refused() -> None:
    desk = held()
    assert desk.command(BEGIN, Role.PM) == []
    other = desk.refusal(BEGIN.model_copy(update={"restructuring_id": "RST-2"}), Role.PM)
    assert (other.code, other.facts["restructuring_id"]) == (Code.RESTRUCTURING, "RST-1")
    desk.command(ABANDON.model_copy(update={"restructuring_id": "RST-2"}), SYSTEM)
    assert desk.order.restructuring is not None, "only its own restructuring frees it"
    assert (
        desk.refused(COMPLETE.model_copy(update={"restructuring_id": "RST-2"}), SYSTEM) is Code.INVALID_STATE
    )


@pytest.mark.parametrize("command", [COMPLETE, ABANDON])
@pytest.mark.parametrize("role", [role for role in Role if role is not Role.SYSTEM])
def test_only_the_book_itself_ends_a_hold(command: cmd.Command, role: Role) -> None:
    assert held().refused(command, role) is Code.NOT_AUTHORIZED


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.PM])
def test_only_the_portfolio_manager_begins_one(role: Role) -> None:
    assert Desk().refused(BEGIN, role) is Code.NOT_AUTHORIZED


ORDINARY = (
    (cmd.UpdateOrder(changes=cmd.OrderChanges(limit_price="11")), Role.PM),
    (cmd.UpdateOrder(changes=cmd.OrderChanges(metadata={"a": 1})), Role.PM),
    (cmd.RequestPreTradeCompliance(), Role.PM),
    (cmd.CancelOrder(), Role.PM),
    (cmd.JoinBasket(basket_id="BSK-1"), Role.PM),
    (cmd.RejectOrder(reason="x"), Role.SYSTEM),
)


@pytest.mark.parametrize(("command", "role"), ORDINARY, ids=lambda given: getattr(given, "kind", given))
def test_a_held_order_takes_nothing_else(command: cmd.Command, role: Role) -> None:
    refused = held().refusal(command, role)
    assert (refused.code, refused.facts["restructuring_id"]) == (Code.RESTRUCTURING, "RST-1")


def test_a_held_order_takes_no_verdict_and_owes_nothing() -> None:
    desk = held(State.PENDING_PRE_TRADE_COMPLIANCE)
    assert desk.refused(cmd.PassPreTradeCompliance(), Role.COMPLIANCE) is Code.RESTRUCTURING
    assert duties(desk.order) == []
    assert waiting_on(desk.order).what == "RST-1 to end (MERGED)"
    desk.command(ABANDON, SYSTEM)
    assert [duty.kind for duty in duties(desk.order)] == ["evaluate pre-trade compliance"]


def test_a_straight_through_order_goes_on_when_it_is_free() -> None:
    desk = straight_through()
    desk.command(BEGIN, Role.PM)
    assert duties(desk.order) == []
    desk.command(ABANDON, SYSTEM)
    assert [duty.subject for duty in duties(desk.order)] == ["request_pre_trade_compliance"]


# -- remainder --------------------------------------------------------------------------------------

CARRY_ON = cmd.CreateRemainder(order_id="ORD-8")


@pytest.mark.parametrize("state", State)
def test_an_order_is_carried_on_from_its_close_on(state: State) -> None:
    desk = in_state(state)
    if state in GATES["create_remainder"].states:
        assert desk.refused(CARRY_ON, Role.PM) is Code.NO_REMAINDER, "all of it is executed"
    else:
        assert desk.refused(CARRY_ON, Role.PM) is Code.INVALID_STATE
    assert (state in GATES["create_remainder"].states) == (desk.order.closed_at is not None)


@pytest.mark.parametrize("role", [Role.PM, Role.TRADER])
def test_the_unfilled_part_is_carried_on_once(role: Role) -> None:
    desk = Desk().close("40")
    (event,) = desk.command(CARRY_ON, role)
    assert event.happening.model_dump(mode="json") == {
        "kind": "remainder_created",
        "order_id": "ORD-8",
        "quantity": "60",
    }
    assert [(link.kind, link.order_id) for link in desk.order.links] == [(LinkKind.REMAINDER, "ORD-8")]
    assert desk.command(CARRY_ON, role) == [], "the same again is the same"
    again = desk.refusal(cmd.CreateRemainder(order_id="ORD-7"), role)
    assert (again.code, again.facts["order_ids"]) == (Code.NO_REMAINDER, ["ORD-8"])
    assert desk.refused(CARRY_ON, Role.OPS) is Code.NOT_AUTHORIZED


def test_a_late_fill_leaves_nothing_to_carry_on() -> None:
    desk = Desk().close("40")
    desk.observe(executed("late.01", "60"))
    refused = desk.refusal(CARRY_ON, Role.PM)
    assert (refused.code, refused.facts["unfilled_quantity"]) == (Code.NO_REMAINDER, "0")


# -- baskets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", State)
def test_an_order_joins_a_basket_while_it_lives(state: State) -> None:
    desk = in_state(state)
    join = cmd.JoinBasket(basket_id="BSK-1")
    if desk.order.is_terminal:
        assert desk.refused(join, Role.PM) is Code.INVALID_STATE
        return
    desk.command(join, Role.PM)
    assert (desk.order.basket_id, desk.state) == ("BSK-1", state)
    assert desk.command(join, Role.PM) == []
    other = desk.refusal(cmd.JoinBasket(basket_id="BSK-2"), Role.PM)
    assert (other.code, other.facts["basket_id"]) == (Code.ALREADY_IN_BASKET, "BSK-1")


def test_an_order_is_opened_into_a_basket() -> None:
    assert (
        Desk(basket_id="BSK-1").refused(cmd.JoinBasket(basket_id="BSK-2"), Role.PM) is Code.ALREADY_IN_BASKET
    )
