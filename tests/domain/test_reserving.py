"""What an order holds of its portfolios' limits follows from the order, and is exactly what may still trade."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.domain import commands as cmd
from oms.domain.events import Share
from oms.domain.numbers import total
from oms.domain.reserving import Held, executed_parts, held_in_advance, in_proportion, reserved
from oms.domain.terms import Direction, PlacementStatus, State
from tests.store.building import Tale


def quantities(held: tuple[Held, ...]) -> list[Decimal]:
    return [each.quantity for each in held]


def shares(*parts: tuple[str, int]) -> list[Share]:
    return [
        Share(order_id=f"ORD-{n}", portfolio_id=owner, account_id=f"A-{owner}", quantity=Decimal(quantity))
        for n, (owner, quantity) in enumerate(parts)
    ]


def test_nothing_is_held_before_the_check_has_passed() -> None:
    tale = Tale()
    assert reserved(tale.order) == ()
    assert reserved(tale.waiting().order) == ()
    assert reserved(tale.do(cmd.PassPreTradeCompliance()).order) == held_in_advance(tale.order)
    (held,) = reserved(tale.order)
    assert held == Held(
        portfolio_id="PORT-001",
        instrument_id="INS-AAPL",
        direction=Direction.BUY,
        quantity=Decimal(100),
        price=None,
    )


def test_a_limit_values_what_is_held() -> None:
    tale = Tale(order_type="Limit", limit_price=Decimal(12)).placed()
    assert reserved(tale.order)[0].price == 12


def test_fills_shrink_it_and_a_bust_brings_it_back() -> None:
    tale = Tale().placed()
    first = tale.execution(30, 10)
    tale.hear(first)
    assert quantities(reserved(tale.order)) == [70]
    tale.filled(70)
    assert (tale.order.state, reserved(tale.order)) == (State.FILLED, ())
    tale.busted(first.exec_id)
    assert (tale.order.state, quantities(reserved(tale.order))) == (State.PARTIALLY_FILLED, [30])


def test_an_overfill_holds_nothing() -> None:
    assert reserved(Tale().placed().filled(130).order) == ()


def test_an_override_holds_as_a_pass_does() -> None:
    violation = cmd.Violation(rule_id="R", rule_name="R", description="too much")
    tale = Tale().waiting().do(cmd.FailPreTradeCompliance(violations=(violation,)))
    assert reserved(tale.order) == ()
    tale.as_actor("chief").do(
        cmd.OverridePreTradeCompliance(override_id="OVR-1", reason="r", approver_id="ceo")
    )
    assert quantities(reserved(tale.order)) == [100]


@pytest.mark.parametrize("end", ["cancel", "close", "expire"])
def test_what_is_over_holds_nothing(end: str) -> None:
    tale = Tale().placed()
    if end == "close":
        tale.filled(40).do(cmd.CloseOrder())
    elif end == "cancel":
        tale.do(cmd.CancelOrder(reason="enough"))
    tale.reported(PlacementStatus.EXPIRED if end == "expire" else PlacementStatus.CANCELED)
    assert tale.order.state in (State.CLOSED, State.CANCELED)
    assert reserved(tale.order) == ()


def test_a_merged_order_holds_for_each_portfolio_in_proportion() -> None:
    """A third of 100 has no end: it is rounded to 12 places, and the sum is exact all the same."""
    parts = shares(("PORT-002", 40), ("PORT-001", 30), ("PORT-003", 10), ("PORT-001", 20))
    tale = Tale(shares=parts).placed()
    held = reserved(tale.order)
    assert [(each.portfolio_id, each.quantity) for each in held] == [
        ("PORT-001", 50),
        ("PORT-002", 40),
        ("PORT-003", 10),
    ]
    tale.filled(Decimal(100) - Decimal(100) / 64 - Decimal("0.000000000000000001"))
    held = reserved(tale.order)
    assert total(quantities(held)) == tale.order.unfilled_quantity
    assert [round(each.quantity, 6) for each in held] == [
        Decimal("0.78125"),
        Decimal("0.625"),
        Decimal("0.15625"),
    ]


def test_what_a_merged_order_executed_counts_where_it_belongs_before_it_is_allocated() -> None:
    """Positions show all of it in the order's own portfolio, until it is allocated."""
    tale = Tale(shares=shares(("PORT-001", 60), ("PORT-002", 40))).placed().filled(50)
    assert [(each.quantity, each.unallocated) for each in reserved(tale.order)] == [(30, -20), (20, 20)]
    tale.filled(50)
    assert [(each.quantity, each.unallocated) for each in reserved(tale.order)] == [(0, -40), (0, 40)]
    tale.allocated("A-2", 10, "PORT-002")
    assert [each.unallocated for each in reserved(tale.order)] == [-30, 30]
    tale.allocated("A-2", 30, "PORT-002").allocated("A-1", 60)
    assert reserved(tale.order) == ()


def test_the_executed_trade_is_for_the_portfolios_it_is_allocated_to() -> None:
    tale = Tale().placed().filled(90).allocated("A-1", 30).allocated("A-2", 20, "PORT-002")
    parts = [(part.portfolio_id, part.account_ids, part.quantity) for part in executed_parts(tale.order)]
    assert parts == [("PORT-001", ("A-1", "ACCT-001"), 70), ("PORT-002", ("A-2",), 20)]
    assert executed_parts(Tale().order) == ()


NUMBERS = st.decimals(min_value="1e-18", max_value="1e12", places=18)


@given(amount=st.one_of(st.just(Decimal(0)), NUMBERS), weights=st.lists(NUMBERS, min_size=1, max_size=8))
def test_parts_in_proportion_add_up_and_none_is_negative(amount: Decimal, weights: list[Decimal]) -> None:
    parts = in_proportion(amount, weights)
    assert total(parts) == amount
    assert len(parts) == len(weights)
    assert min(parts) >= 0


def test_the_whole_in_proportion_is_the_weights_themselves() -> None:
    weights = [Decimal("0.000000000000000001"), Decimal("0.000000000000000002")]
    assert in_proportion(Decimal("0.000000000000000003"), weights) == tuple(weights)
