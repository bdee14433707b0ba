"""Changes of a placement that works: who may ask for what, what counts until the venue answers, and what ends a doubt."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from oms.domain import commands as cmd
from oms.domain.duties import DutyKind, duties, waiting_on
from oms.domain.errors import Code
from oms.domain.halts import is_halted
from oms.domain.handling import Bracket, Handling
from oms.domain.observe import brings_news
from oms.domain.terms import ExceptionCode, PlacementStatus, Role, State
from oms.domain.tickets import change_ticket, ticket
from tests.domain.invariants import check
from tests.domain.orders import (
    Desk,
    busted,
    cancel_refused,
    change_in_doubt,
    change_refused,
    changed,
    executed,
    in_state,
    reported,
    rounded,
    straight_through,
)

P = PlacementStatus
TRAILS = {"order_type": "TrailingStop", "limit_price": None, "time_in_force": "GTC"}


def working(**terms: Any) -> Desk:
    """One placement of the whole order, acknowledged by the venue."""
    return Desk(**terms).place().works()


def modify(**terms: Any) -> cmd.ModifyPlacement:
    return cmd.ModifyPlacement(placement_id="PLC-1", **terms)


def owed(desk: Desk) -> list[DutyKind]:
    return [duty.kind for duty in duties(desk.order)]


# -- what may be asked -----------------------------------------------------------------------------


def test_a_change_names_something() -> None:
    with pytest.raises(ValidationError, match="names no term"):
        modify()


def test_a_change_is_on_its_way_until_the_venue_answers() -> None:
    desk = working()
    (event,) = desk.modify(quantity="60", limit_price="9.5")
    assert (event.kind, event.happening.revision) == ("placement_change_requested", 1)
    assert event.happening.terms == {"quantity": 60, "limit_price": Decimal("9.5")}
    placement = desk.placement()
    assert (placement.quantity, placement.limit_price, placement.revision) == (100, 10, 0)
    assert (desk.order.working_quantity, placement.change.revision) == (100, 1)
    assert owed(desk) == [DutyKind.MODIFY_AT_VENUE]
    assert waiting_on(desk.order).model_dump() == {
        "on": "venue",
        "what": "IBKR: change at the venue",
        "until": None,
    }
    check(desk)


def test_what_is_the_same_is_no_change() -> None:
    desk = working()
    refusal = desk.refusal(modify(quantity="100", limit_price="10.0"), Role.TRADER)
    assert (refusal.code, refusal.facts["field"]) == (Code.VALIDATION_FAILED, "quantity")
    desk.modify(quantity="50", limit_price="10")
    assert desk.placement().change.terms == {"quantity": 50}


@pytest.mark.parametrize("quantity", ["101", "40", "39"])
def test_the_quantity_goes_down_and_not_below_what_is_executed(quantity: str) -> None:
    desk = working().fill("40")
    refusal = desk.refusal(modify(quantity=quantity), Role.TRADER)
    assert (refusal.code, refusal.facts["field"]) == (Code.VALIDATION_FAILED, "quantity")
    assert (refusal.facts["executed"], refusal.facts["requested"]) == ("40", quantity)


@pytest.mark.parametrize(
    ("direction", "worse", "better"),
    [("Buy", "10.01", "9"), ("Sell", "9.99", "11"), ("SellShort", "9", "12")],
)
def test_a_price_is_never_worse_than_the_orders_limit(direction: str, worse: str, better: str) -> None:
    desk = working(direction=direction)
    refusal = desk.refusal(modify(limit_price=worse), Role.TRADER)
    assert (refusal.code, refusal.facts["limit"]) == (Code.VALIDATION_FAILED, "10")
    desk.modify(limit_price=better)
    assert desk.placement().change.terms == {"limit_price": Decimal(better)}


@pytest.mark.parametrize(
    ("terms", "change"),
    [
        ({"order_type": "Market", "limit_price": None}, {"limit_price": "9"}),
        ({}, {"stop_price": "9"}),
        ({}, {"trail_amount": "1"}),
        ({"order_type": "Stop", "limit_price": None, "stop_price": "9"}, {"limit_price": "9"}),
        ({**TRAILS, "handling": {"trail_amount": "1"}}, {"trail_percent": "1"}),
        ({**TRAILS, "handling": {"trail_percent": "1"}}, {"trail_amount": "1"}),
        ({**TRAILS, "handling": {"trail_percent": "1"}, "stop_price": "9"}, {"stop_price": "8"}),
    ],
)
def test_a_price_must_belong_to_the_order_type(terms: dict[str, Any], change: dict[str, str]) -> None:
    refusal = working(**terms).refusal(modify(**change), Role.TRADER)
    assert (refusal.code, refusal.facts["field"]) == (Code.INVALID_ORDER_TYPE, next(iter(change)))


@pytest.mark.parametrize(
    ("terms", "change"),
    [
        ({"order_type": "StopLimit", "stop_price": "9"}, {"limit_price": "9.5", "stop_price": "8"}),
        ({"order_type": "Stop", "limit_price": None, "stop_price": "9"}, {"stop_price": "9.5"}),
        ({"order_type": "MidPrice"}, {"limit_price": "9"}),
        ({"order_type": "MidPrice", "limit_price": None}, {"limit_price": "9"}),
        ({**TRAILS, "handling": {"trail_amount": "1"}}, {"trail_amount": "0.5"}),
        ({**TRAILS, "handling": {"trail_percent": "1"}}, {"trail_percent": "0.5"}),
    ],
)
def test_what_an_order_type_has_can_change(terms: dict[str, Any], change: dict[str, str]) -> None:
    desk = working(**terms)
    desk.modify(**change)
    desk.observe(changed())
    for name, value in change.items():
        assert desk.placement().term(name) == Decimal(value)
    check(desk)


@pytest.mark.parametrize(
    ("ordered", "placed", "field"),
    [
        ({"trail_amount": "1"}, {"trail_amount": "1.01"}, "trail_amount"),
        ({"trail_amount": "1"}, {"trail_percent": "0.1"}, "trail_percent"),
        ({"trail_percent": "1"}, {"trail_percent": "1.5"}, "trail_percent"),
        (
            {"trail_amount": "1", "limit_offset": "0.5"},
            {"trail_amount": "1", "limit_offset": "0.6"},
            "limit_offset",
        ),
    ],
)
def test_a_stop_never_trails_farther_than_the_order_lets_it(
    ordered: dict[str, str], placed: dict[str, str], field: str
) -> None:
    order_type = "TrailingStopLimit" if "limit_offset" in ordered else "TrailingStop"
    terms = {**TRAILS, "order_type": order_type, "handling": ordered}
    desk = Desk(**terms).send_to_trader()
    place = cmd.CreatePlacement(placement_id="PLC-1", venue="IBKR", quantity=100, handling=placed)
    refusal = desk.refusal(place, Role.TRADER)
    assert (refusal.code, refusal.facts["field"]) == (Code.VALIDATION_FAILED, field)
    if field in ordered and field != "limit_offset":
        refusal = working(**terms).refusal(modify(**{field: placed[field]}), Role.TRADER)
        assert (refusal.code, refusal.facts["field"]) == (Code.VALIDATION_FAILED, field)


@pytest.mark.parametrize("status", [P.PENDING, P.SENT, P.IN_DOUBT, P.REJECTED, P.CANCELED, P.FILLED])
def test_only_what_the_venue_works_can_be_changed(status: PlacementStatus) -> None:
    desk = Desk().place()
    if status is not P.PENDING:
        desk.observe(reported(status))
    refusal = desk.refusal(modify(quantity="50"), Role.TRADER)
    assert (refusal.code, refusal.facts["state"]) == (Code.INVALID_STATE, desk.placement().status)
    assert refusal.facts["allowed"] == ["WORKING", "PARTIALLY_FILLED"]


def test_one_change_at_a_time_and_none_of_what_is_being_canceled() -> None:
    desk = working()
    desk.modify(quantity="90")
    assert "at a time" in desk.refusal(modify(quantity="80"), Role.TRADER).message
    desk.observe(changed())
    desk.command(cmd.CancelPlacement(placement_id="PLC-1"), Role.TRADER)
    assert "being canceled" in desk.refusal(modify(quantity="80"), Role.TRADER).message


def test_a_bracket_member_that_waits_is_changed_when_it_works() -> None:
    held = Handling(bracket=Bracket(bracket_id="B-1", role="child", size=3))
    desk = Desk(handling=held.model_dump()).place()
    desk.observe(reported(P.HELD, reason="waits for 2 more of bracket B-1"))
    assert "waits for its bracket" in desk.refusal(modify(quantity="50"), Role.TRADER).message
    assert waiting_on(desk.order).what == "IBKR: HELD, waits for 2 more of bracket B-1"
    desk.works().modify(quantity="50")
    locate = Desk().place()
    locate.observe(reported(P.HELD, reason="locating shares"))
    locate.modify(quantity="50")


def test_a_placement_nobody_knows() -> None:
    unknown = cmd.ModifyPlacement(placement_id="PLC-9", quantity=1)
    assert in_state(State.ROUTED).refused(unknown, Role.TRADER) is Code.PLACEMENT_NOT_FOUND


def test_a_halt_stops_new_prices_and_lets_an_order_become_smaller() -> None:
    assert is_halted(modify(limit_price="9"))
    assert is_halted(modify(limit_price="9", quantity="1"))
    assert not is_halted(modify(quantity="1"))


# -- what the venue answers ------------------------------------------------------------------------


def test_a_confirmed_change_makes_its_terms_the_placements() -> None:
    desk = working()
    desk.modify(quantity="60", limit_price="9.5")
    desk.observe(changed())
    placement = desk.placement()
    assert (placement.quantity, placement.limit_price, placement.revision) == (60, Decimal("9.5"), 1)
    assert (placement.change, desk.order.working_quantity, owed(desk)) == (None, 60, [])
    assert desk.observe(changed()) == []
    desk.place("40")
    desk.modify(quantity="50")
    assert desk.placement().change.revision == 2


def test_a_refused_change_leaves_what_worked() -> None:
    desk = working()
    desk.modify(quantity="60")
    desk.observe(change_refused(reason="the price is too far away"))
    placement = desk.placement()
    assert (placement.quantity, placement.change, placement.revision) == (100, None, 0)
    assert (placement.reason, placement.status) == ("the price is too far away", P.WORKING)
    assert owed(desk) == []
    assert desk.observe(change_refused(reason="again")) == []
    desk.modify(quantity="70")
    assert desk.placement().change.revision == 2
    assert desk.observe(changed(1)) == []
    assert desk.placement().quantity == 100
    desk.observe(changed(2))
    assert (desk.placement().quantity, desk.placement().revision) == (70, 2)


def test_a_refusal_that_the_venue_takes_back_is_a_change() -> None:
    """Whatever was said before: the venue works the new terms."""
    desk = working()
    desk.modify(quantity="60")
    desk.observe(change_refused(), changed())
    assert (desk.placement().quantity, desk.placement().revision) == (60, 1)
    assert desk.observe(change_refused()) == []


def test_a_change_in_doubt_is_shown_and_asked_for_until_there_is_evidence() -> None:
    desk = working()
    desk.modify(quantity="60")
    desk.observe(change_in_doubt(reason="sent, and the session fell"))
    (doubt,) = desk.order.exceptions
    assert (doubt.code, doubt.subject) == (ExceptionCode.PLACEMENT_IN_DOUBT, "PLC-1")
    assert (owed(desk), desk.placement().status) == ([DutyKind.MODIFY_AT_VENUE], P.WORKING)
    assert waiting_on(desk.order).on == Role.TRADER
    assert "the session fell" in waiting_on(desk.order).what
    assert desk.observe(change_in_doubt(reason="sent, and the session fell")) == []
    desk.observe(executed("A.1", "30"))
    assert desk.open_exceptions == ["PLACEMENT_IN_DOUBT"], (
        "a fill does not say with which terms it was worked"
    )
    desk.observe(changed())
    assert (desk.open_exceptions, desk.placement().quantity) == ([], 60)
    assert desk.observe(change_in_doubt()) == []


@pytest.mark.parametrize(
    "end", [change_refused(), reported(P.CANCELED, "0"), executed("A.1", "100"), reported(P.REJECTED, "0")]
)
def test_refusal_and_end_are_evidence_too(end: Any) -> None:
    desk = working()
    desk.modify(quantity="60")
    desk.observe(change_in_doubt(), end)
    assert "PLACEMENT_IN_DOUBT" not in desk.open_exceptions
    assert DutyKind.MODIFY_AT_VENUE not in owed(desk)
    assert desk.placement().change is None
    check(desk)


def test_a_doubtful_change_is_no_placement_to_resolve_by_hand() -> None:
    desk = working()
    desk.modify(quantity="60")
    desk.observe(change_in_doubt())
    resolve = cmd.ResolvePlacement(placement_id="PLC-1", status=P.CANCELED, reason="looked")
    assert "cancel the placement" in desk.refusal(resolve, Role.TRADER).message
    desk.command(cmd.CancelPlacement(placement_id="PLC-1"), Role.TRADER)
    assert owed(desk) == [DutyKind.CANCEL_AT_VENUE], "a cancel wins over a change"
    desk.observe(cancel_refused())
    assert owed(desk) == [DutyKind.MODIFY_AT_VENUE]


def test_a_fill_that_overtakes_the_change_wins() -> None:
    desk = working()
    desk.modify(quantity="60")
    desk.observe(executed("A.1", "100"))
    assert (desk.state, desk.placement().change, owed(desk)) == (State.FILLED, None, [])
    desk.observe(busted("A.1"))
    assert owed(desk) == [DutyKind.MODIFY_AT_VENUE], "it works again, and nobody has answered"


def test_a_placement_that_is_full_at_its_new_quantity_is_over() -> None:
    for said in ([changed(), reported(P.FILLED, "60")], [reported(P.FILLED, "60"), changed()]):
        desk = working()
        desk.modify(quantity="60")
        desk.observe(executed("A.1", "60"), *said)
        assert (desk.placement().quantity, desk.placement().status) == (60, P.FILLED)
        assert (desk.order.live_placements, desk.order.working_quantity) == ((), 0)
        desk.place("40")


def test_a_cancel_of_the_order_wins_over_a_change() -> None:
    desk = working()
    desk.modify(quantity="60")
    desk.command(cmd.CancelOrder(), Role.TRADER)
    assert owed(desk) == [DutyKind.CANCEL_AT_VENUE]
    desk.observe(reported(P.CANCELED, "0"))
    assert (desk.state, desk.order.is_over) == (State.CANCELED, True)


def test_automation_waits_for_the_answer_and_then_goes_on() -> None:
    desk = straight_through().drive()
    name = desk.order.placements[0].placement_id
    desk.works(name).modify(name, quantity="60")
    desk.observe(changed(placement_id=name), executed("A.1", "60", placement_id=name))
    assert desk.state is State.PARTIALLY_FILLED
    desk.drive()
    assert (desk.order.closed_at is not None, desk.order.unfilled_quantity) == (True, 40)


def test_word_of_a_change_that_nobody_asked_for_is_kept_for_a_person() -> None:
    desk = working()
    for one in (
        changed(1),
        change_refused(3),
        change_in_doubt(0),
        changed(1, placement_id="PLC-9"),
        rounded(1),
    ):
        assert [event.kind for event in desk.observe(one)] == ["fact_parked"]
        assert desk.observe(one) == []


# -- what was sent ---------------------------------------------------------------------------------


def test_roundings_are_journaled_once_for_each_revision_and_shown_for_what_works() -> None:
    desk = working(limit_price="10.004")
    assert [event.kind for event in desk.observe(rounded(), rounded())] == ["placement_terms_rounded"]
    (first,) = desk.placement().roundings
    assert (first.asked, first.sent, desk.placement().limit_price) == (
        Decimal("10.004"),
        10,
        Decimal("10.004"),
    )
    desk.modify(limit_price="9.5")
    assert desk.placement().roundings == (first,)
    desk.observe(changed())
    assert desk.placement().roundings == ()
    assert [event.kind for event in desk.observe(rounded(1))] == ["placement_terms_rounded"]
    assert len(desk.placement().roundings) == 1


# -- what a gateway is told ------------------------------------------------------------------------


def test_a_ticket_carries_what_the_venue_confirmed_and_a_change_ticket_what_is_to_be() -> None:
    desk = working(**TRAILS, handling={"trail_amount": "1"})
    desk.modify(quantity="60", trail_amount="0.5")
    known, wanted = ticket(desk.order, desk.placement()), change_ticket(desk.order, desk.placement())
    assert (known.quantity, known.handling.trail_amount, known.revision) == (100, 1, 0)
    assert (wanted.quantity, wanted.handling.trail_amount, wanted.revision) == (60, Decimal("0.5"), 1)
    assert wanted.order_ref == known.order_ref
    desk.observe(changed())
    for told in (ticket(desk.order, desk.placement()), change_ticket(desk.order, desk.placement())):
        assert told == wanted


# -- any order of facts ----------------------------------------------------------------------------

ANSWERS = [
    changed(1, ts_event_ns=1),
    change_in_doubt(1, ts_event_ns=2),
    change_refused(1, ts_event_ns=3),
    rounded(0, ts_event_ns=4),
    rounded(1, ts_event_ns=5),
    executed("A.1", "20", ts_event_ns=6),
    executed("B.1", "40", ts_event_ns=7),
    reported(P.FILLED, "60", ts_event_ns=8),
]


@settings(max_examples=200, deadline=None)
@given(
    st.permutations([*ANSWERS, *ANSWERS]), st.sampled_from([ANSWERS, ANSWERS[3:], ANSWERS[2:], ANSWERS[:7]])
)
def test_any_order_of_answers_ends_in_the_same_placement(shuffled: list[Any], said: list[Any]) -> None:
    told, mixed = working(), working()
    for desk in (told, mixed):
        desk.modify(quantity="60")
    told.observe(*said)
    for one in shuffled:
        if one in said:
            mixed.observe(one)
    check(mixed)
    assert (mixed.state, mixed.open_exceptions) == (told.state, told.open_exceptions)
    ours, theirs = mixed.placement(), told.placement()
    for field in ("quantity", "revision", "status", "change", "is_over", "roundings", "executed_quantity"):
        assert getattr(ours, field) == getattr(theirs, field), field
    assert not brings_news(mixed.order, said)
