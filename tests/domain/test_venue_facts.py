"""What a venue says: booked once, in any state, and never taken on trust where executions say otherwise."""

from decimal import Decimal

import pytest

from oms.domain import commands as cmd
from oms.domain import facts as fact
from oms.domain.duties import waiting_on
from oms.domain.errors import Code
from oms.domain.executions import revision
from oms.domain.observe import brings_news
from oms.domain.terms import Automation, PlacementStatus, Role, State
from tests.domain.orders import (
    NS,
    Desk,
    busted,
    cancel_refused,
    charged,
    executed,
    in_state,
    reported,
    straight_through,
)

P = PlacementStatus


def unreadable(raw: str = "\x00garbage") -> fact.Unreadable:
    return fact.Unreadable(source="IBKR", raw=raw, reason="not a message", ts_event_ns=NS, ts_init_ns=NS)


# -- fills -----------------------------------------------------------------------------------------


def test_a_fill_is_booked_once_by_its_id() -> None:
    desk = Desk().place()
    desk.observe(executed("A.01", "30"), executed("A.01", "30"))
    assert desk.observe(executed("A.01", "30")) == []
    assert (desk.order.executed_quantity, desk.state) == (30, State.PARTIALLY_FILLED)


def test_quantity_and_average_come_from_executions_and_never_from_counters() -> None:
    desk = Desk().place()
    desk.observe(reported(P.WORKING, "99"))
    assert (desk.order.executed_quantity, desk.state) == (0, State.ROUTED)
    desk.observe(executed("A.1", "30", "10"), executed("B.1", "10", "11"))
    assert desk.order.average_price == Decimal("10.25")
    assert desk.placement().average_price == Decimal("10.25")


def test_an_average_is_exact_to_twelve_places() -> None:
    desk = Desk().place()
    desk.observe(executed("A.1", "1", "10"), executed("B.1", "2", "9.5"))
    assert desk.order.average_price == Decimal("9.666666666667")


def test_a_correction_replaces_the_execution_it_names() -> None:
    desk = Desk().place()
    desk.observe(executed("0001.63f8.01.01", "60", "10"))
    desk.observe(executed("0001.63f8.01.02", "50", "9"))
    assert (desk.order.executed_quantity, desk.order.average_price) == (50, 9)
    assert desk.observe(executed("0001.63f8.01.01", "60", "10")) == []
    assert desk.kinds[-1] == "fill_corrected"
    assert desk.open_exceptions == []


def test_a_correction_that_comes_first_is_not_undone_by_what_it_corrects() -> None:
    desk = Desk().place()
    desk.observe(executed("A.02", "50"))
    desk.observe(executed("A.01", "60"))
    assert desk.order.executed_quantity == 50
    assert desk.observe(executed("A.01", "60")) == []


def test_a_bust_takes_the_state_back_before_close() -> None:
    desk = Desk().fill("60", "A.1").fill("40", "B.1")
    assert desk.state is State.FILLED
    desk.observe(busted("A.1"))
    assert (desk.state, desk.order.executed_quantity) == (State.PARTIALLY_FILLED, 40)
    desk.observe(busted("B.1"))
    assert (desk.state, desk.order.average_price) == (State.ROUTED, None)
    assert desk.open_exceptions == []


def test_a_bust_below_full_leaves_the_rest_to_be_placed_again() -> None:
    desk = Desk().fill("100", "A.1")
    desk.observe(reported(P.FILLED, "100"), executed("A.2", "90"))
    assert (desk.state, desk.placement().status) == (State.PARTIALLY_FILLED, P.FILLED)
    assert desk.order.live_placements == ()
    desk.place("10")
    assert desk.order.working_quantity == 10


def test_a_bust_that_comes_before_its_execution_keeps_it_out() -> None:
    desk = Desk().place()
    desk.observe(busted("A.1"))
    assert desk.observe(executed("A.1")) == []
    assert desk.observe(busted("A.1")) == []
    assert (desk.order.executed_quantity, desk.state) == (0, State.ROUTED)


def test_a_bust_or_correction_stays_with_the_placement_of_its_execution() -> None:
    desk = Desk().place("50").place("50")
    desk.observe(executed("A.1", "30"), executed("A.2", "20", placement_id="PLC-2"))
    assert [p.executed_quantity for p in desk.order.placements] == [20, 0]
    desk.observe(busted("A.1", placement_id="PLC-2"))
    assert [p.executed_quantity for p in desk.order.placements] == [0, 0]


def test_commissions_may_come_before_their_executions_and_are_counted_once() -> None:
    desk = Desk().place()
    desk.observe(charged("A.1", "1.25"), charged("A.1", "1.25"))
    assert desk.order.ledger.commission_in("USD") == 0
    desk.observe(executed("A.1", "10"))
    assert desk.order.ledger.commission_in("USD") == Decimal("1.25")
    desk.observe(executed("A.2", "9"), charged("A.2", "1.20"), charged("A.1", "1.25"))
    assert desk.order.ledger.commission_in("USD") == Decimal("1.20")
    desk.observe(busted("A.2"))
    assert desk.order.ledger.commission_in("USD") == 0


def test_commissions_in_another_currency_are_never_added_up() -> None:
    desk = Desk().fill("50", "A.1").fill("50", "B.1")
    desk.observe(charged("A.1", "1"), charged("B.1", "2", currency="EUR"))
    assert desk.order.ledger.commission_in("USD") == 1
    assert desk.order.ledger.commission_in("EUR") == 2


@pytest.mark.parametrize(
    ("exec_id", "expected"),
    [
        ("0001.63f8.01.02", ("0001.63f8.01", 2)),
        ("plain", ("plain", 0)),
        ("trailing.", ("trailing.", 0)),
        (".5", (".5", 0)),
        ("a.b", ("a.b", 0)),
        ("a.²", ("a.²", 0)),
        ("a." + "9" * 5000, ("a." + "9" * 5000, 0)),
    ],
)
def test_a_revision_is_the_number_after_the_last_dot(exec_id: str, expected: tuple[str, int]) -> None:
    assert revision(exec_id) == expected


# -- late and over ----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", list(State)[list(State).index(State.CLOSED) :])
def test_after_the_end_of_trading_every_fact_is_booked_and_seen(state: State) -> None:
    desk = in_state(state)
    if not desk.order.placements:
        desk = Desk().place()
        desk.command(cmd.CancelOrder(), Role.TRADER)
        desk.observe(reported(P.CANCELED, "0"))
        if state is State.REJECTED:
            desk = Desk().place().reject()
    before = desk.order.executed_quantity
    desk.observe(executed("LATE.1", "5"))
    assert desk.state is state
    assert desk.order.executed_quantity == before + 5
    assert "LATE_FILL" in desk.open_exceptions
    assert not desk.order.is_over
    desk.observe(executed("LATE.2", "4"))
    assert "FILL_CORRECTED" in desk.open_exceptions
    desk.observe(busted("LATE.2"))
    assert "FILL_BUSTED" in desk.open_exceptions
    assert (desk.order.executed_quantity, desk.state) == (before, state)


def test_a_late_bust_of_what_was_never_booked_disturbs_nobody() -> None:
    desk = in_state(State.CLOSED)
    desk.observe(busted("X.1"))
    assert desk.open_exceptions == []


def test_an_overfill_is_booked_and_seen_and_a_bust_clears_it() -> None:
    desk = Desk().place().fill("100", "A.1").fill("7.50", "B.1")
    assert (desk.order.executed_quantity, desk.state) == (Decimal("107.5"), State.FILLED)
    assert desk.order.unfilled_quantity == 0
    (overfill,) = desk.order.exceptions
    assert (overfill.code, overfill.owner) == ("OVERFILL", Role.OPS)
    assert overfill.detail == "107.5 executed of 100 ordered"
    desk.observe(busted("B.1"))
    assert desk.open_exceptions == []


# -- placement status ----------------------------------------------------------------------------------


def test_the_first_terminal_report_does_not_end_a_placement_whose_executions_are_missing() -> None:
    desk = Desk().place()
    desk.observe(reported(P.FILLED, "100"))
    assert (desk.placement().status, desk.placement().is_over) == (P.WORKING, False)
    desk.fill("60", "A.1")
    assert (desk.placement().status, desk.placement().is_over) == (P.PARTIALLY_FILLED, False)
    desk.fill("40", "B.1")
    assert (desk.placement().status, desk.placement().is_over) == (P.FILLED, True)


def test_filled_without_a_number_claims_the_whole_placement() -> None:
    desk = Desk().place().fill("60", "A.1")
    desk.observe(reported(P.FILLED))
    assert not desk.placement().is_over


@pytest.mark.parametrize("ended", [P.CANCELED, P.EXPIRED, P.REJECTED])
def test_an_order_is_not_over_while_its_venue_claims_executions_that_have_not_come(ended: P) -> None:
    desk = straight_through(time_in_force="GTC").drive()
    name = desk.order.placements[0].placement_id
    desk.observe(reported(ended, "30", placement_id=name))
    assert desk.state is State.ROUTED
    desk.observe(executed("A.1", "30", placement_id=name))
    assert desk.drive(settle=False).order.executed_quantity == 30


def test_after_a_bust_a_counter_from_before_it_is_not_waited_for() -> None:
    desk = Desk().fill("30", "A.1")
    desk.observe(reported(P.CANCELED, "30", ts_event_ns=NS))
    desk.observe(busted("A.1", ts_event_ns=NS + 1))
    assert desk.placement().is_over
    assert (desk.state, waiting_on(desk.order).on) == (State.ROUTED, Role.TRADER)
    desk.command(cmd.CancelOrder(), Role.TRADER)
    assert desk.state is State.CANCELED


def test_the_newest_counter_counts_and_a_delayed_one_does_not() -> None:
    desk = Desk().place()
    desk.observe(reported(P.WORKING, "30", ts_event_ns=NS + 2), reported(P.WORKING, "10", ts_event_ns=NS + 1))
    assert desk.placement().venue_filled == 30
    desk.observe(reported(P.WORKING, "0", ts_event_ns=NS + 3))
    assert desk.placement().venue_filled == 0


def test_reports_move_a_placement_forward_only() -> None:
    desk = Desk().place()
    desk.observe(reported(P.WORKING, venue_order_ids=("7",)))
    for older in (P.PENDING, P.SENT, P.IN_DOUBT, P.HELD):
        assert desk.observe(reported(older)) == []
    desk.observe(reported(P.CANCELED, "0", venue_order_ids=("7", "8")))
    assert desk.observe(reported(P.WORKING)) == []
    assert desk.placement().venue_order_ids == ("7", "8")


@pytest.mark.parametrize("ours", [P.PARTIALLY_FILLED, P.CANCEL_PENDING])
def test_what_only_the_book_concludes_says_from_a_venue_that_it_works(ours: P) -> None:
    desk = Desk().place()
    desk.observe(reported(ours))
    assert desk.placement().status is P.WORKING


def test_a_reason_belongs_to_the_status_it_came_with() -> None:
    desk = Desk().place()
    desk.observe(reported(P.REJECTED, reason="no margin"))
    desk.observe(reported(P.HELD, reason="locate", venue_order_ids=("9",)))
    assert desk.placement().reason == "no margin"


def test_a_cancel_that_nobody_asked_for_is_not_refused() -> None:
    assert Desk().place().observe(cancel_refused()) == []


# -- over without a fill ------------------------------------------------------------------------------------


def test_rejected_placements_leave_a_manual_order_to_the_trader() -> None:
    desk = Desk().place()
    desk.observe(reported(P.REJECTED, reason="no margin"))
    assert (desk.state, desk.open_exceptions) == (State.ROUTED, ["PLACEMENT_REJECTED"])
    assert waiting_on(desk.order).on == Role.TRADER
    desk.place("50")
    assert desk.open_exceptions == []


@pytest.mark.parametrize("ending", ["cancel", "close"])
def test_a_rejected_placement_bothers_nobody_once_the_order_is_done(ending: str) -> None:
    desk = Desk().place("50").place("50")
    desk.observe(reported(P.REJECTED, placement_id="PLC-2", reason="no margin"))
    if ending == "close":
        desk.fill("50").command(cmd.CloseOrder(), Role.TRADER)
    else:
        desk.command(cmd.CancelOrder(), Role.TRADER)
        desk.observe(reported(P.CANCELED, "0"))
    assert desk.state is (State.CLOSED if ending == "close" else State.CANCELED)
    assert desk.open_exceptions == []


@pytest.mark.parametrize("automation", list(Automation))
def test_an_expired_order_ends_canceled(automation: Automation) -> None:
    desk = Desk(automation=automation).place("60").place("40")
    desk.observe(reported(P.EXPIRED, "0"))
    assert desk.state is State.ROUTED
    desk.observe(reported(P.EXPIRED, "0", placement_id="PLC-2"))
    assert (desk.state, desk.order.reason) == (State.CANCELED, "EXPIRED")


def test_partly_filled_and_over_stays_so_until_the_trader_closes() -> None:
    desk = Desk().fill("40")
    desk.observe(reported(P.EXPIRED, "40"))
    assert (desk.state, desk.placement().status) == (State.PARTIALLY_FILLED, P.EXPIRED)
    assert waiting_on(desk.order).on == Role.TRADER


# -- what nobody can use ----------------------------------------------------------------------------------------


def test_what_nobody_can_read_is_parked_once_and_changes_nothing_else() -> None:
    desk = Desk().place()
    before = desk.order
    (parked,) = desk.observe(unreadable(), unreadable())
    assert parked.kind == "fact_parked"
    assert desk.observe(unreadable()) == []
    kept = {"version", "updated_at", "parked"}
    assert desk.order.model_dump(exclude=kept) == before.model_dump(exclude=kept)


@pytest.mark.parametrize(
    "stray",
    [
        executed("A.1", placement_id="PLC-9"),
        busted("A.1", placement_id="PLC-9"),
        reported(P.FILLED, "100", placement_id="PLC-9"),
        fact.SettlementReported(instruction_id="SI-9", settled=True, ts_event_ns=NS, ts_init_ns=NS),
    ],
)
def test_a_fact_about_something_else_is_parked(stray: fact.Fact) -> None:
    desk = Desk().place()
    (parked,) = desk.observe(stray)
    assert parked.kind == "fact_parked"
    assert desk.state is State.ROUTED
    again = stray.model_copy(update={"ts_init_ns": NS + 5})
    assert desk.observe(again) == []


def test_an_execution_too_long_to_be_kept_exactly_is_parked() -> None:
    desk = Desk().place()
    desk.observe(executed("A.1", "0.000000000000000001"))
    desk.observe(executed("B.1", "1" + "0" * 37))
    assert desk.kinds[-1] == "fact_parked"
    assert desk.order.executed_quantity == Decimal("1e-18")


def test_a_doubtful_clock_never_puts_receipt_before_the_source() -> None:
    desk = Desk().place()
    (event, *_) = desk.observe(executed("A.1", ts_event_ns=NS + 10**15, ts_init_ns=NS))
    assert event.ts_event_ns == NS + 10**15
    assert event.ts_init_ns == event.ts_event_ns


# -- the custodian -----------------------------------------------------------------------------------------------


def test_the_custodians_last_word_is_settled() -> None:
    desk = in_state(State.CONFIRMED).instruct()
    desk.custodian_says()
    assert desk.custodian_says(settled=False, reason="too late") == []
    assert desk.custodian_says() == []
    assert desk.open_exceptions == []


def test_a_date_and_an_instruction_are_taken_once() -> None:
    desk = in_state(State.CONFIRMED).instruct()
    version = desk.order.version
    assert desk.instruct().order.version == version


def test_a_fill_during_the_post_trade_check_makes_its_verdict_stale() -> None:
    desk = in_state(State.PENDING_POST_TRADE_COMPLIANCE)
    asked = desk.order.post_trade.version
    desk.fill("5", "LATE.1")
    stale = cmd.PassPostTradeCompliance(order_version=asked)
    assert desk.refused(stale, Role.COMPLIANCE) is Code.STALE_VERDICT


def test_what_a_closed_book_is_told_again_is_no_news() -> None:
    desk = in_state(State.RECONCILED)
    (known,) = desk.order.ledger.executions.values()
    again = [
        executed(known.exec_id, "100"),
        reported(P.FILLED, "100"),
        reported(P.WORKING, "0", ts_event_ns=NS - 1),
    ]
    assert not brings_news(desk.order, again)
    for news in (
        executed("Z.1", "1"),
        executed("A.1", placement_id="PLC-9"),
        busted(known.exec_id),
        charged(known.exec_id, "7"),
        unreadable(),
    ):
        assert brings_news(desk.order, [again[0], news]), news.kind
