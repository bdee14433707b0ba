"""Targets: whatever part of what works is executed, the position ends at the target and is never beyond it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.domain.decide import opening_events
from oms.domain.errors import Code, Refused
from oms.domain.events import Link
from oms.domain.programs.planning import (
    check_lots,
    leg_id,
    openings_of,
    plan,
    tolerated,
)
from oms.domain.programs.targets import AIMED_BY, Aim, Exposure, Plan, WorkingOrder
from oms.domain.terms import Direction, LinkKind, OrderType, Role, State, TimeInForce
from tests.domain.orders import AAPL, ACTORS, NOW, NS

D = Decimal
AMOUNTS = st.decimals(-200, 200, places=1)
PARTS = st.lists(st.integers(0, 10), min_size=12, max_size=12)
BUY, SELL, SHORT, COVER = Direction.BUY, Direction.SELL, Direction.SELL_SHORT, Direction.BUY_TO_COVER


def aim(target: Decimal | int | str, *, aim_id: str = "BATCH/0", **terms: Any) -> Aim:
    given_terms = {
        "aim_id": aim_id,
        "account": "DU123456",
        "account_id": "ACCT-001",
        "portfolio_id": "PORT-001",
        "instrument": AAPL,
        "target": target,
        "unbooked": 0,
        "actor": ACTORS[Role.PM],
        "ts_event_ns": NS,
        **terms,
    }
    return Aim.model_validate(given_terms)


def works(
    amount: Decimal | int | str, order_id: str = "ORD-1", *, ours: bool = False, **rest: Any
) -> WorkingOrder:
    return WorkingOrder(order_id=order_id, pending=D(amount), state=State.ROUTED, ours=ours, **rest)


def made(target: int | str, booked: int | str = 0, *working: WorkingOrder, **terms: Any) -> Plan:
    return plan(aim(target, **terms), Exposure(booked=D(booked), working=working))


def legs(of: Plan) -> list[tuple[Direction, Decimal]]:
    return [(leg.direction, leg.quantity) for leg in of.legs]


@st.composite
def standings(draw: st.DrawFn) -> tuple[WorkingOrder, ...]:
    amounts = draw(st.lists(AMOUNTS.filter(bool), max_size=6))
    return tuple(
        works(
            amount,
            f"ORD-{n}",
            ours=draw(st.booleans()),
            is_ending=draw(st.booleans()),
            is_overdue=draw(st.booleans()),
        )
        for n, amount in enumerate(amounts)
    )


# -- what is to be done ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "booked", "expected"),
    [
        (100, 50, [(BUY, 50)]),
        (0, 50, [(SELL, 50)]),
        (20, 50, [(SELL, 30)]),
        (-30, 0, [(SHORT, 30)]),
        (-30, -10, [(SHORT, 20)]),
        (0, -10, [(COVER, 10)]),
        (-4, -10, [(COVER, 6)]),
        (-50, 100, [(SELL, 100), (SHORT, 50)]),
        (50, -100, [(COVER, 100), (BUY, 50)]),
        (50, 50, []),
        (0, 0, []),
        ("0.25", "-0.5", [(COVER, D("0.5")), (BUY, D("0.25"))]),
    ],
)
def test_the_words_and_quantities_of_a_target(
    target: int, booked: int, expected: list[tuple[Direction, Decimal]]
) -> None:
    assert legs(made(target, booked)) == expected


def test_what_the_broker_holds_beside_our_book_is_held() -> None:
    one = made(100, 30, unbooked=20)
    assert (one.held, one.delta, legs(one)) == (50, 50, [(BUY, 50)])
    assert legs(made(0, 30, unbooked=-40)) == [(COVER, 10)]


def test_what_works_already_counts_and_through_zero_it_is_the_first_part() -> None:
    one = made(-50, 100, works(-30))
    assert (one.working, one.delta, legs(one)) == (-30, -120, [(SELL, 70), (SHORT, 50)])
    assert legs(made(-50, 100, works(-120))) == [(SHORT, 30)]
    assert legs(made(-50, 100, works(-150))) == []


def test_orders_of_others_are_never_ended_and_those_against_do_not_enlarge_the_delta() -> None:
    one = made(100, 0, works(-40), works(30, "ORD-2"), works(500, "ORD-3"))
    assert (one.ends, one.working, one.delta) == ((), 530, 0)
    assert legs(made(100, 0, works(-40), works(30, "ORD-2"))) == [(BUY, 70)]


def test_ours_are_ended_where_they_lead_elsewhere_or_further() -> None:
    assert made(100, 0, works(-40, ours=True)).ends == ("ORD-1",)
    assert made(100, 100, works(40, ours=True)).ends == ("ORD-1",)
    assert made(100, 0, works(101, ours=True)).ends == ("ORD-1",)
    assert made(100, 0, works(60, ours=True), works(60, "ORD-2")).ends == ("ORD-1",)
    kept = made(100, 0, works(60, ours=True), works(60, "ORD-2", ours=True))
    assert (kept.ends, kept.legs, kept.working) == (("ORD-2",), (), 60)


def test_one_of_ours_that_ends_already_is_waited_for() -> None:
    assert made(100, 0, works(60, ours=True, is_ending=True)).ends == ("ORD-1",)
    assert made(100, 0, works(60, is_ending=True)).ends == (), "another's may still be executed and counts"


def test_one_of_ours_that_may_never_be_sent_is_ended() -> None:
    assert made(100, 0, works(60, ours=True, is_overdue=True)).ends == ("ORD-1",)
    assert made(100, 0, works(60, is_overdue=True)).working == 60, "another's is never ended"


def test_one_of_ours_that_failed_its_check_is_ended_so_that_no_override_wakes_it() -> None:
    failed = works(0, ours=True)
    assert made(100, 0, failed).ends == ("ORD-1",)


# -- never beyond ------------------------------------------------------------------------------------


@given(AMOUNTS, AMOUNTS, AMOUNTS, standings(), PARTS)
def test_no_subset_of_what_works_brings_the_position_beyond_the_target(
    target: Decimal, booked: Decimal, unbooked: Decimal, working: Sequence[WorkingOrder], parts: list[int]
) -> None:
    one = plan(aim(target, unbooked=unbooked), Exposure(booked=booked, working=tuple(working)))
    left = [order for order in working if order.order_id not in one.ends]
    gap = target - one.held
    side = 1 if gap > 0 else -1
    others = sum((o.pending * side for o in left if not o.ours and o.pending * side > 0), D(0))
    own = [o.pending * side for o in left if o.ours]
    own += [leg.quantity * leg.direction.sign * side for leg in one.legs]
    room = max(D(0), gap * side - others)
    done = sum((amount * part / 10 for amount, part in zip(own, parts, strict=False)), D(0))
    assert all(amount > 0 for amount in own), "ours all lead to the target"
    assert done <= room
    if not one.ends:
        assert sum(own, D(0)) == room, "and all of it gets there"
    assert not (one.ends and one.legs), "nothing is opened beside what is to end"
    assert {o.order_id for o in working if not o.ours}.isdisjoint(one.ends)


@given(AMOUNTS, AMOUNTS, standings())
def test_a_delta_never_points_past_the_gap(
    target: Decimal, booked: Decimal, working: tuple[WorkingOrder, ...]
) -> None:
    one = plan(aim(target), Exposure(booked=booked, working=working))
    gap = target - booked
    assert abs(one.delta) <= abs(gap)
    assert one.delta * gap >= 0
    assert sum((leg.quantity * leg.direction.sign for leg in one.legs), D(0)) in (one.delta, 0)


class World:
    """An account in which nobody but us trades: each target is aimed at as the entity does it."""

    def __init__(self, booked: Decimal) -> None:
        self.booked = booked
        self.working: list[WorkingOrder] = []
        self.aims = 0

    def aim(self, target: Decimal, parts: Sequence[int]) -> Plan:
        """While something is to be ended a part of it is executed first; then the legs are opened."""
        self.aims += 1
        wanted = aim(target, aim_id=f"BATCH/{self.aims}")
        for _ in range(10):
            one = plan(wanted, Exposure(booked=self.booked, working=tuple(self.working)))
            if not one.ends:
                self.working += [
                    works(leg.quantity * leg.direction.sign, leg.order_id, ours=True) for leg in one.legs
                ]
                return one
            for order in [o for o in self.working if o.order_id in one.ends]:
                self.execute(order, parts[0])
                self.working = [o for o in self.working if o.order_id != order.order_id]
        raise AssertionError("it never came to an end")

    def execute(self, order: WorkingOrder, tenths: int) -> None:
        amount = order.pending * tenths / 10
        self.booked += amount
        rest = order.model_copy(update={"pending": order.pending - amount})
        self.working = [rest if o.order_id == order.order_id else o for o in self.working]
        self.working = [o for o in self.working if o.pending]


@given(AMOUNTS, st.lists(st.tuples(AMOUNTS, PARTS), min_size=1, max_size=5))
def test_any_targets_with_any_fills_between_them_end_at_the_last_one(
    booked: Decimal, steps: list[tuple[Decimal, list[int]]]
) -> None:
    world, target = World(booked), booked
    for target, parts in steps:
        world.aim(target, parts)
        again = world.aim(target, parts)
        assert (again.legs, again.ends) == ((), ()), "the same target twice is no change"
        side = 1 if target >= world.booked else -1
        for order, part in zip(list(world.working), parts, strict=False):
            world.execute(order, part)
            assert (target - world.booked) * side >= 0, "beyond"
            again = world.aim(target, parts)
            assert (again.legs, again.ends) == ((), ()), "a partial fill changes nothing"
    for order in list(world.working):
        world.execute(order, 10)
    assert world.booked == target


@pytest.mark.parametrize(
    ("target", "lot", "is_whole"),
    [
        ("100", "1", True),
        ("0", "100", True),
        ("-300", "100", True),
        ("0.5", "1", False),
        ("-150", "100", False),
    ],
)
def test_a_target_is_a_whole_number_of_lots(target: str, lot: str, is_whole: bool) -> None:
    instrument = AAPL.model_copy(update={"lot_size": D(lot)})
    if is_whole:
        check_lots(D(target), instrument)
        return
    with pytest.raises(Refused) as told:
        check_lots(D(target), instrument)
    assert (told.value.code, told.value.facts["field"]) == (Code.VALIDATION_FAILED, "quantity")


# -- prices ------------------------------------------------------------------------------------------


def test_an_order_is_limited_as_the_row_says() -> None:
    def priced(target: int, **terms: Any) -> tuple[OrderType, Decimal | None]:
        (leg,) = made(target, 0, **terms).legs
        return leg.order_type, leg.limit_price

    assert priced(1) == (OrderType.MARKET, None)
    assert priced(1, limit_price="150.505") == (OrderType.LIMIT, D("150.505"))
    both = {"expected_price": "150", "tolerance_pct": "0.5"}
    assert priced(1, **both) == (OrderType.LIMIT, D("150.75"))
    assert priced(-1, **both) == (OrderType.LIMIT, D("149.25"))
    assert priced(1, limit_price="7", **both) == (OrderType.LIMIT, 7)
    assert priced(1, expected_price="150") == (OrderType.MARKET, None)
    assert priced(1, tolerance_pct="0.5") == (OrderType.MARKET, None)
    assert priced(1, expected_price="150", tolerance_pct="0") == (OrderType.LIMIT, 150)


PRICES = st.decimals(D("0.000000000000000001"), D(10) ** 19, places=18)


@given(PRICES, st.decimals(0, D("99.999999999999999999"), places=18))
def test_a_tolerance_is_exact_or_rounded_to_the_better_price(expected: Decimal, tolerance: Decimal) -> None:
    high, low = (tolerated(expected, tolerance, is_buy=is_buy) for is_buy in (True, False))
    with_room = aim(1, limit_price=high), aim(1, limit_price=low)
    assert all(one.limit_price is not None for one in with_room), "both can be kept"
    assert expected <= high
    assert low <= expected
    best, worst = (Fraction(expected) * (100 + sign * Fraction(tolerance)) / 100 for sign in (1, -1))
    step = Fraction(1, 10 ** (18 if expected < 10**18 else 17))
    assert best - step < Fraction(high) <= best
    assert worst <= Fraction(low) < worst + step


# -- orders ------------------------------------------------------------------------------------------


def test_the_legs_through_zero_are_two_linked_orders_with_ids_of_their_own() -> None:
    wanted = aim(-50, send_by=NOW, metadata={"batch": "B"}, correlation_id="REQ-7")
    one = plan(wanted, Exposure(booked=D(100)))
    first, second = openings_of(wanted, one)
    assert (first.order_id, second.order_id) == (leg_id(wanted, 0), leg_id(wanted, 1))
    assert first.links == ()
    assert second.links == (Link(kind=LinkKind.CROSSES_ZERO, order_id=first.order_id, source=True),)
    request = first.request
    assert (request.direction, request.ordered_quantity) == (SELL, 100)
    assert (request.time_in_force, request.handling.send_by) == (TimeInForce.DAY, NOW)
    assert request.metadata == {"batch": "B", AIMED_BY: "BATCH/0", "target": "-50"}
    assert (request.route and request.route.account, first.default_account_id) == ("DU123456", "ACCT-001")
    for opening in (first, second):
        (event,) = opening_events(opening, NOW)
        assert event.correlation_id == "REQ-7"


def test_one_leg_alone_is_linked_to_nothing_and_the_same_aim_has_the_same_orders() -> None:
    wanted = aim(100)
    one = plan(wanted, Exposure(booked=D(40)))
    (opening,) = openings_of(wanted, one)
    assert opening.links == ()
    assert openings_of(wanted, one) == openings_of(aim(100), made(100, 40))
    other = aim(100, aim_id="BATCH/1")
    assert leg_id(other, 0) not in (leg_id(wanted, 0), leg_id(wanted, 1))
    assert openings_of(wanted, made(40, 40)) == ()
