"""In doubt, and alive after a rejection: what nobody knows is shown, and evidence or a person ends it."""

import pytest

from oms.domain import commands as cmd
from oms.domain import facts as fact
from oms.domain.errors import Code
from oms.domain.terms import PlacementStatus, Role, State
from tests.domain.invariants import check
from tests.domain.orders import (
    NS,
    Desk,
    charged,
    executed,
    reported,
    straight_through,
)

P = PlacementStatus


def unreadable(raw: str = "\x00garbage") -> fact.Unreadable:
    return fact.Unreadable(source="IBKR", raw=raw, reason="not a message", ts_event_ns=NS, ts_init_ns=NS)


def in_doubt() -> Desk:
    desk = Desk().place()
    desk.observe(reported(P.SENT), reported(P.IN_DOUBT, reason="no answer"))
    assert (desk.placement().status, desk.open_exceptions) == (P.IN_DOUBT, ["PLACEMENT_IN_DOUBT"])
    return desk


@pytest.mark.parametrize(
    "evidence",
    [
        reported(P.WORKING),
        reported(P.HELD),
        reported(P.REJECTED),
        reported(P.CANCELED, "0"),
        reported(P.EXPIRED, "0"),
        executed("A.1", "30"),
        executed("A.1", "100"),
    ],
)
def test_a_doubt_ends_by_evidence(evidence: fact.VenueFact) -> None:
    desk = in_doubt()
    desk.observe(evidence)
    assert desk.placement().status is not P.IN_DOUBT
    assert "PLACEMENT_IN_DOUBT" not in desk.open_exceptions


def test_nothing_else_ends_a_doubt() -> None:
    desk = in_doubt()
    desk.observe(reported(P.SENT), reported(P.PENDING), charged("A.1"), unreadable())
    desk.command(cmd.CancelPlacement(placement_id="PLC-1"), Role.TRADER)
    desk.command(cmd.CancelOrder(), Role.TRADER)
    assert (desk.placement().status, desk.open_exceptions) == (P.IN_DOUBT, ["PLACEMENT_IN_DOUBT"])


@pytest.mark.parametrize("known", [P.WORKING, P.HELD])
def test_an_order_that_the_venue_no_longer_shows_is_in_doubt_until_it_does(known: P) -> None:
    desk = Desk().place()
    desk.observe(reported(known, ts_event_ns=NS + 1))
    desk.observe(reported(P.IN_DOUBT, reason="the broker lists no such order", ts_event_ns=NS + 2))
    assert (desk.placement().status, desk.open_exceptions) == (P.IN_DOUBT, ["PLACEMENT_IN_DOUBT"])
    desk.observe(reported(known, ts_event_ns=NS + 3))
    assert (desk.placement().status, desk.open_exceptions) == (known, [])


def test_a_partly_filled_placement_can_be_in_doubt_again_and_a_fill_ends_that() -> None:
    desk = Desk().place()
    desk.observe(executed("A.1", "30"))
    desk.observe(reported(P.IN_DOUBT, ts_event_ns=2 * NS))
    assert desk.placement().status is P.IN_DOUBT
    desk.observe(executed("A.2", "10"))
    assert (desk.placement().status, desk.open_exceptions) == (P.PARTIALLY_FILLED, [])


def test_a_rejected_placement_that_turns_up_alive_works_again() -> None:
    desk = Desk().place()
    desk.observe(reported(P.REJECTED, reason="inactive", ts_event_ns=NS + 2))
    assert desk.open_exceptions == ["PLACEMENT_REJECTED"]
    assert desk.observe(reported(P.WORKING, ts_event_ns=NS + 1)) == []
    desk.observe(reported(P.WORKING, ts_event_ns=NS + 3))
    assert (desk.placement().status, desk.open_exceptions) == (P.WORKING, [])
    assert desk.observe(reported(P.REJECTED, ts_event_ns=NS + 2)) == []
    check(desk)


def test_one_that_turns_up_alive_when_its_quantity_is_gone_is_canceled() -> None:
    desk = Desk().place()
    desk.observe(reported(P.REJECTED, ts_event_ns=NS + 1))
    desk.place()
    desk.observe(reported(P.WORKING, ts_event_ns=NS + 2))
    assert desk.placement().status is P.CANCEL_PENDING
    ended = straight_through().drive()
    placement_id = ended.order.placements[0].placement_id
    ended.observe(reported(P.REJECTED, placement_id=placement_id, ts_event_ns=NS + 1))
    assert ended.state is State.REJECTED
    ended.observe(reported(P.WORKING, placement_id=placement_id, ts_event_ns=NS + 2))
    assert (ended.state, ended.order.is_over) == (State.REJECTED, False)
    ended.observe(reported(P.CANCELED, "0", placement_id=placement_id, ts_event_ns=NS + 3))
    assert ended.order.is_over


def test_an_older_word_that_comes_again_does_not_bring_a_doubt_back_or_end_it() -> None:
    desk = Desk().place()
    told = []
    for at, status in enumerate((P.WORKING, P.IN_DOUBT, P.WORKING, P.IN_DOUBT, P.WORKING), start=1):
        told.append(reported(status, ts_event_ns=NS + at))
        desk.observe(told[-1])
        for again in (*told, *reversed(told)):
            desk.observe(again)
            assert desk.placement().status is status


@pytest.mark.parametrize("became", [P.WORKING, P.REJECTED, P.CANCELED, P.EXPIRED])
def test_a_named_person_ends_a_doubt_with_a_reason(became: P) -> None:
    desk = in_doubt()
    command = cmd.ResolvePlacement(placement_id="PLC-1", status=became, reason="asked the broker")
    (resolved, *_) = desk.command(command, Role.TRADER)
    assert (resolved.kind, resolved.actor.key) == ("placement_resolved", "trader-key")
    assert desk.placement().status is became
    assert desk.open_exceptions == []
    assert desk.refused(command, Role.OPS) is Code.INVALID_STATE


def test_the_venue_knows_better_than_the_person_who_ended_the_doubt() -> None:
    desk = in_doubt()
    desk.command(
        cmd.ResolvePlacement(placement_id="PLC-1", status=P.REJECTED, reason="nothing on the screen"),
        Role.TRADER,
    )
    desk.observe(reported(P.WORKING))
    assert (desk.placement().status, desk.order.working_quantity) == (P.WORKING, 100)
    assert desk.observe(reported(P.HELD)) == []
