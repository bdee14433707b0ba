"""Allocations of an order: what is executed is allocated, each source of a merge gets its own, money conserves."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from oms.domain import commands as cmd
from oms.domain.allocating import Scheme
from oms.domain.allocations import allocation_ids, money_of
from oms.domain.apply import fold
from oms.domain.decide import opening_events
from oms.domain.errors import Code
from oms.domain.events import Share
from oms.domain.identifiers import ALLOCATION, is_identifier
from oms.domain.settlement import principal
from oms.domain.terms import Role, SecType, State
from tests.domain.invariants import check
from tests.domain.orders import AAPL, NOW, SETTLES, Desk, busted, charged, executed, opening

SCHEMES = TypeAdapter[Scheme](Scheme)
HAND_OFF = cmd.SendToOperations(allocation_id="ALC-1")


def allocate(kind: str, *accounts: dict[str, Any], ids: str = "ALC-S", **rest: Any) -> cmd.Allocate:
    named = tuple(
        {"account_id": f"A{n}", "portfolio_id": "P", **terms} for n, terms in enumerate(accounts, 1)
    )
    asked = SCHEMES.validate_python({"scheme": kind, "accounts": named, **rest})
    return cmd.Allocate(scheme=asked, allocation_ids=allocation_ids(ids, len(accounts) + 1))


def by_weight(*weights: int, kind: str = "pro_rata", **rest: Any) -> cmd.Allocate:
    return allocate(kind, *({"weight": weight} for weight in weights), **rest)


def merged(*shares: tuple[str, str], lot: str = "1", **terms: Any) -> Desk:
    """An order made of sources: (account, quantity) each, for portfolio P-account."""
    instrument = AAPL.model_copy(update={"lot_size": Decimal(lot)})
    made = opening(instrument=instrument, **terms).model_copy(
        update={
            "shares": tuple(
                Share(order_id=f"ORD-{n}", portfolio_id=f"P-{name}", account_id=name, quantity=quantity)
                for n, (name, quantity) in enumerate(shares)
            )
        }
    )
    desk = Desk()
    desk.journal = opening_events(made, NOW)
    desk.order = fold(None, desk.journal)
    return desk


def allocated(desk: Desk) -> dict[str, Decimal]:
    return {a.account_id: a.quantity for a in desk.order.allocations}


# -- schemes on an order ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        by_weight(1, 1, 1),
        by_weight(2, 3, kind="average_price"),
        allocate("percentage", {"percentage": "33.3"}, {"percentage": "66.7"}),
        allocate("step_down", {"quantity": "60"}, {"quantity": "60"}),
        allocate("quantity", {"quantity": "99.5"}, {"quantity": "0.5"}),
        allocate("step_down", {"quantity": "60"}, residual_account_id="A1"),
    ],
    ids=lambda command: command.scheme.scheme,
)
def test_after_any_scheme_executed_is_allocated_at_the_hand_off(command: cmd.Allocate) -> None:
    desk = Desk().close()
    desk.command(command, Role.TRADER)
    assert desk.order.allocated_quantity == desk.order.executed_quantity == 100
    assert {a.scheme for a in desk.order.allocations} == {command.scheme.scheme}
    assert all(a.why for a in desk.order.allocations)
    desk.command(HAND_OFF, Role.TRADER)
    assert desk.state is State.SENT_TO_OPERATIONS
    check(desk)


def test_a_scheme_spreads_what_is_left() -> None:
    desk = Desk().fill("40")
    desk.command(
        cmd.CreateAllocation(allocation_id="ALC-0", account_id="A9", portfolio_id="P", quantity=10), Role.OPS
    )
    desk.command(by_weight(1, 1), Role.OPS)
    assert allocated(desk) == {"A9": 10, "A1": 15, "A2": 15}
    desk.fill("60")
    desk.command(by_weight(1, 1, ids="ALC-T"), Role.OPS)
    assert desk.order.allocated_quantity == 100


def test_the_same_request_again_changes_nothing() -> None:
    desk = Desk().close()
    desk.command(by_weight(1, 1), Role.TRADER)
    assert desk.command(by_weight(1, 1), Role.TRADER) == []


def test_where_nothing_is_left_a_scheme_is_refused_with_the_numbers() -> None:
    desk = Desk().close()
    desk.command(by_weight(1, 1), Role.TRADER)
    refused = desk.refusal(by_weight(1, 1, ids="ALC-T"), Role.TRADER)
    assert (refused.code, refused.facts) == (
        Code.ALLOCATION_MISMATCH,
        {"allocated": "100", "executed": "100"},
    )
    assert refused.message.startswith("Nothing is left to allocate")


def test_too_much_by_quantity_is_refused_whole() -> None:
    desk = Desk().close()
    refused = desk.refusal(allocate("quantity", {"quantity": "60"}, {"quantity": "41"}), Role.OPS)
    assert (refused.code, refused.facts) == (Code.ALLOCATION_MISMATCH, {"asked": "101", "quantity": "100"})
    assert desk.order.allocations == ()


def test_every_account_needs_an_id() -> None:
    command = by_weight(1, 1, 1).model_copy(update={"allocation_ids": ("ALC-1", "ALC-2")})
    refused = Desk().close().refusal(command, Role.TRADER)
    assert (refused.code, refused.facts["field"]) == (Code.VALIDATION_FAILED, "allocation_ids")


def test_before_a_fill_there_is_nothing_to_spread() -> None:
    refused = Desk().place().refusal(by_weight(1, 1), Role.TRADER)
    assert refused.code is Code.INVALID_STATE


def test_ids_follow_from_the_first_and_are_identifiers_too() -> None:
    first = "ALC-01936d8a-7c1e-7b2a-8f3d-4e5a6b7c8d9e"
    ids = allocation_ids(first, 500)
    assert ids[0] == first
    assert ids == allocation_ids(first, 500)
    assert len(set(ids)) == 500
    assert all(is_identifier(ALLOCATION, one) and one.startswith("ALC-01936d8a-7c1e-7") for one in ids)
    assert not set(ids) & set(allocation_ids(first.replace("9e", "9f"), 500))


# -- merged orders ----------------------------------------------------------------------------------------------


def test_a_merged_order_goes_to_its_sources_accounts() -> None:
    desk = merged(("A1", "60"), ("A2", "40")).close()
    desk.command(HAND_OFF, Role.TRADER)
    assert [(a.portfolio_id, a.account_id, a.quantity) for a in desk.order.allocations] == [
        ("P-A1", "A1", 60),
        ("P-A2", "A2", 40),
    ]
    assert desk.order.allocations[0].allocation_id == "ALC-1"
    assert desk.state is State.SENT_TO_OPERATIONS


def test_a_partly_filled_merge_is_shared_in_proportion() -> None:
    desk = merged(("A1", "60"), ("A2", "40")).close("33")
    desk.command(HAND_OFF, Role.TRADER)
    assert allocated(desk) == {"A1": 20, "A2": 13}


def test_sources_for_the_same_account_are_one_allocation() -> None:
    desk = merged(("A1", "30"), ("A2", "40"), ("A1", "30")).close()
    desk.command(HAND_OFF, Role.TRADER)
    assert allocated(desk) == {"A1": 60, "A2": 40}


def test_a_source_that_ordered_no_whole_lot_gets_what_it_ordered() -> None:
    desk = merged(("A1", "50"), ("A2", "50"), lot="100").close()
    desk.command(HAND_OFF, Role.TRADER)
    assert allocated(desk) == {"A1": 50, "A2": 50}
    odd = merged(("A1", "50.5"), ("A2", "49.5"), lot="100").close()
    odd.command(HAND_OFF, Role.TRADER)
    assert allocated(odd) == {"A1": Decimal("50.5"), "A2": Decimal("49.5")}


def test_sources_in_whole_lots_are_served_in_whole_lots() -> None:
    desk = merged(("A1", "60"), ("A2", "40"), lot="20").close("60")
    desk.command(HAND_OFF, Role.TRADER)
    assert allocated(desk) == {"A1": 40, "A2": 20}


def test_allocations_made_by_hand_stand_before_the_shares() -> None:
    desk = merged(("A1", "60"), ("A2", "40")).close()
    desk.command(by_weight(1), Role.TRADER)
    desk.command(HAND_OFF, Role.TRADER)
    assert allocated(desk) == {"A1": 100}
    assert desk.order.allocations[0].portfolio_id == "P"


def test_a_straight_through_merge_is_allocated_by_the_system() -> None:
    desk = merged(("A1", "60"), ("A2", "40"), automation="straight_through").drive()
    desk.observe(executed("A.1", placement_id=desk.order.placements[0].placement_id))
    desk.drive()
    assert desk.state is State.RECONCILED
    assert allocated(desk) == {"A1": 60, "A2": 40}


@given(
    shares=st.lists(st.integers(1, 10**6), min_size=1, max_size=12),
    lot=st.sampled_from(["1", "10", "100", "0.25"]),
    data=st.data(),
)
def test_whatever_a_merge_executes_is_allocated(shares: list[int], lot: str, data: st.DataObject) -> None:
    whole = sum(shares)
    sources = [(f"A{n % 5}", str(quantity)) for n, quantity in enumerate(shares)]
    desk = merged(*sources, lot=lot, ordered_quantity=str(whole)).place(str(whole))
    desk.close(str(data.draw(st.integers(1, whole) | st.just(whole), label="executed")))
    desk.command(HAND_OFF, Role.TRADER)
    assert desk.order.allocated_quantity == desk.order.executed_quantity
    if desk.order.executed_quantity == whole:
        for name in {name for name, _ in sources}:
            assert allocated(desk)[name] == sum(int(q) for n, q in sources if n == name)


# -- money ------------------------------------------------------------------------------------------------------


def traded(**terms: Any) -> Desk:
    desk = Desk(**terms).place()
    desk.observe(executed("A.1", "60", "10.01"), executed("B.1", "40", "10.5"))
    desk.observe(charged("A.1", "1"), charged("B.1", "0.5", currency="EUR"))
    return desk


def test_money_is_divided_by_quantity_to_the_cent() -> None:
    desk = traded()
    desk.command(by_weight(1, 1, 1), Role.TRADER)
    first, second, third = money_of(desk.order)
    assert first.average_price == second.average_price == third.average_price == Decimal("10.206")
    assert [m.principal for m in (first, second, third)] == [
        Decimal(347),
        Decimal("336.8"),
        Decimal("336.8"),
    ]
    assert [m.commission for m in (first, second, third)] == [
        Decimal("0.34"),
        Decimal("0.33"),
        Decimal("0.33"),
    ]
    assert [m.other_commissions for m in (first, second, third)] == [
        {"EUR": Decimal("0.17")},
        {"EUR": Decimal("0.17")},
        {"EUR": Decimal("0.16")},
    ]


def test_what_is_not_allocated_yet_keeps_its_part() -> None:
    desk = traded()
    desk.command(allocate("quantity", {"quantity": "25"}), Role.TRADER)
    (only,) = money_of(desk.order)
    assert (only.principal, only.commission) == (Decimal("255.15"), Decimal("0.25"))
    assert money_of(Desk().order) == ()


def test_a_contract_carries_its_multiplier() -> None:
    future = AAPL.model_copy(
        update={"sec_type": SecType.FUTURE, "expiry": SETTLES.trade_date, "multiplier": Decimal(50)}
    )
    desk = traded(instrument=future)
    desk.command(by_weight(1, 1), Role.TRADER)
    assert [m.principal for m in money_of(desk.order)] == [25515, 25515]


def test_after_every_fill_is_busted_there_is_no_money() -> None:
    desk = traded()
    desk.command(cmd.CloseOrder(), Role.TRADER)
    desk.command(by_weight(1, 1), Role.TRADER)
    desk.observe(busted("A.1"), busted("B.1"))
    assert [(m.average_price, m.principal, m.commission) for m in money_of(desk.order)] == [(None, 0, 0)] * 2
    for allocation in desk.order.allocations:
        desk.command(cmd.UpdateAllocation(allocation_id=allocation.allocation_id, quantity=0), Role.OPS)
    assert [m.principal for m in money_of(desk.order)] == [0, 0]


@given(
    weights=st.lists(st.integers(1, 10**6), min_size=1, max_size=15),
    fills=st.lists(
        st.tuples(st.integers(1, 50), st.decimals("0.0001", 10**5, places=4)), min_size=1, max_size=6
    ),
    charge=st.decimals("-5", 50, places=4),
)
def test_the_parts_of_money_add_up_to_the_orders(
    weights: list[int], fills: list[tuple[int, Decimal]], charge: Decimal
) -> None:
    desk = Desk(ordered_quantity="300").place("300")
    for number, (quantity, price) in enumerate(fills):
        desk.observe(executed(f"E{number}.1", str(quantity), price), charged(f"E{number}.1", str(charge)))
    desk.command(by_weight(*weights), Role.TRADER)
    money = money_of(desk.order)
    assert sum((Fraction(m.principal) for m in money), Fraction(0)) == Fraction(principal(desk.order))
    assert sum((Fraction(m.commission) for m in money), Fraction(0)) == len(fills) * Fraction(charge)
