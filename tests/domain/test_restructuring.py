"""Which new orders come of which sources: quantities conserve, links and terms are kept, what differs is named."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from oms.domain import commands as cmd
from oms.domain.apply import fold
from oms.domain.decide import Opening, opening_events
from oms.domain.errors import Code, Refused
from oms.domain.numbers import total
from oms.domain.order import Order
from oms.domain.restructuring import Merge, Plan, Remainder, Split, check, openings, sources_of
from oms.domain.terms import LinkKind, Role, State
from tests.domain.orders import ACTORS, NOW, NS, Desk, executed, in_state

PM = ACTORS[Role.PM]


def order(number: int = 1, account: str = "ACCT-001", **terms: Any) -> Order:
    made = Desk(**terms).order
    return made.model_copy(update={"order_id": f"ORD-{number}", "default_account_id": account})


def merge(*sources: Order, allocation: Any = None) -> tuple[Opening, ...]:
    plan = Merge(source_ids=tuple(s.order_id for s in sources), order_id="ORD-9", allocation=allocation)
    return check(plan, sources, PM, NOW, NS)


def split(source: Order, *quantities: str) -> tuple[Opening, ...]:
    ids = tuple(f"ORD-9{n}" for n in range(len(quantities)))
    return check(
        Split(source_id=source.order_id, quantities=quantities, order_ids=ids), [source], PM, NOW, NS
    )


def refusal(call: Any, *given: Any, **more: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        call(*given, **more)
    return refused.value


def opened(opening: Opening) -> Order:
    return fold(None, opening_events(opening, NOW))


QUANTITIES = st.decimals(min_value="0.000000000001", max_value="1000000000", places=12)


@given(st.lists(QUANTITIES, min_size=2, max_size=20))
def test_a_merge_and_a_split_conserve_the_quantity_exactly(quantities: list[Decimal]) -> None:
    sources = [order(n, ordered_quantity=str(q)) for n, q in enumerate(quantities)]
    (merged,) = merge(*sources)
    assert merged.request.ordered_quantity == total(quantities)
    whole = opened(merged).model_copy(update={"order_id": "ORD-1"})
    parts = split(whole, *map(str, quantities))
    assert [part.request.ordered_quantity for part in parts] == quantities


@given(st.lists(QUANTITIES, min_size=2, max_size=5), QUANTITIES)
def test_a_split_that_does_not_sum_is_refused_with_the_numbers(
    quantities: list[Decimal], more: Decimal
) -> None:
    source = order(ordered_quantity=str(total([*quantities, more])))
    refused = refusal(split, source, *map(str, quantities))
    assert refused.code is Code.SPLIT_MISMATCH
    assert Decimal(refused.facts["sum"]) == total(quantities)
    assert Decimal(refused.facts["ordered_quantity"]) == source.ordered_quantity


def test_a_new_order_has_the_terms_of_now_and_is_a_new_order() -> None:
    desk = Desk(client_order_id="mine-1", metadata={"desk": 7}, basket_id="BSK-1", time_in_force="GTC")
    changes = cmd.OrderChanges(limit_price="11.5", counterparty_id="BRK-1")
    desk.command(cmd.UpdateOrder(changes=changes), Role.PM)
    first, second = (opened(opening) for opening in split(desk.order, "30", "70"))
    assert (first.ordered_quantity, second.ordered_quantity) == (30, 70)
    for made in (first, second):
        assert (made.limit_price, made.time_in_force) == (Decimal("11.5"), "GTC")
        assert (made.counterparty_id, made.metadata, made.basket_id) == ("BRK-1", {"desk": 7}, "BSK-1")
        assert made.request.client_order_id is None
        assert made.route == desk.order.route
        assert made.created_by == PM.key
        assert [(link.kind, link.order_id, link.source) for link in made.links] == [
            (LinkKind.SPLIT, desk.order.order_id, True)
        ]


DIFFERENT: dict[str, dict[str, Any]] = {
    "instrument_id": {"instrument_id": "INS-OTHER"},
    "direction": {"direction": "Sell"},
    "order_type": {"order_type": "Market", "limit_price": None},
    "limit_price": {"limit_price": "10.01"},
    "time_in_force": {"time_in_force": "GTC"},
    "expires_at": {"time_in_force": "GTD", "expires_at": NOW + timedelta(days=2)},
    "route": {"route": {"venue": "IBKR", "account": "DU999"}},
    "automation": {"automation": "straight_through"},
    "compliance": {"compliance": "external"},
    "portfolio_id": {"portfolio_id": "PORT-002"},
}


@pytest.mark.parametrize("field", DIFFERENT)
def test_a_merge_names_what_differs_with_both_values(field: str) -> None:
    first = order(1)
    if field == "expires_at":
        first = order(1, time_in_force="GTD", expires_at=NOW + timedelta(days=1))
    other = order(2, **DIFFERENT[field])
    refused = refusal(merge, first, other)
    assert (refused.code, refused.facts["field"]) == (Code.MERGE_MISMATCH, field)
    assert refused.facts["order_ids"] == ["ORD-1", "ORD-2"]
    ours, theirs = refused.facts["values"]
    assert ours != theirs
    assert ours in refused.message
    assert theirs in refused.message
    assert refusal(merge, other, first).facts["values"] == [theirs, ours]


def test_another_route_is_told_in_words() -> None:
    refused = refusal(merge, order(1), order(2, **DIFFERENT["route"]))
    assert refused.facts["values"] == ["IBKR DU123456", "IBKR DU999"]


def test_equal_numbers_are_equal_however_they_are_written() -> None:
    (merged,) = merge(order(1, limit_price="10"), order(2, limit_price="10.00"))
    assert merged.request.limit_price == 10


def test_one_order_twice_is_refused() -> None:
    refused = refusal(merge, order(1), order(2), order(1))
    assert (refused.code, refused.facts["order_ids"]) == (Code.MERGE_MISMATCH, ["ORD-1"])


def test_another_account_of_the_same_portfolio_needs_an_allocation() -> None:
    sources = order(1), order(2, account="ACCT-002")
    assert refusal(merge, *sources).facts["values"] == ["ACCT-001", "ACCT-002"]
    (merged,) = merge(*sources, allocation="by_source")
    assert [share.account_id for share in merged.shares] == ["ACCT-001", "ACCT-002"]


def test_a_merge_by_source_keeps_every_share_through_further_merges() -> None:
    first, second = order(1), order(2, portfolio_id="PORT-002", ordered_quantity="50")
    (merged,) = merge(first, second, allocation="by_source")
    assert [(s.order_id, s.portfolio_id, s.quantity) for s in merged.shares] == [
        ("ORD-1", "PORT-001", 100),
        ("ORD-2", "PORT-002", 50),
    ]
    third = order(3, portfolio_id="PORT-003", ordered_quantity="7")
    (again,) = merge(opened(merged), third, allocation="by_source")
    assert [share.order_id for share in again.shares] == ["ORD-1", "ORD-2", "ORD-3"]
    assert total(share.quantity for share in again.shares) == again.request.ordered_quantity == 157
    assert refusal(split, opened(merged), "100", "50").code is Code.SPLIT_MISMATCH


def test_shares_are_never_lost_by_a_plain_merge() -> None:
    (merged,) = merge(order(1), order(2, portfolio_id="PORT-002"), allocation="by_source")
    for sources in ((opened(merged), order(3)), (order(3), opened(merged))):
        refused = refusal(merge, *sources)
        assert (refused.code, refused.facts["field"]) == (Code.MERGE_MISMATCH, "allocation")


def test_booking_fields_are_what_all_sources_say() -> None:
    first = order(1, metadata={"desk": 7, "note": "a"}, basket_id="BSK-1", counterparty_id="BRK-1")
    second = order(2, metadata={"desk": 7, "note": "b"}, basket_id="BSK-2", counterparty_id="BRK-1")
    (merged,) = merge(first, second)
    request = merged.request
    assert (request.metadata, request.basket_id, request.counterparty_id) == ({"desk": 7}, None, "BRK-1")


def test_a_remainder_is_the_unfilled_part() -> None:
    desk = Desk().close("40")
    plan = Remainder(source_id=desk.order.order_id, order_id="ORD-9")
    (rest,) = check(plan, [desk.order], PM, desk.now, NS)
    assert (rest.request.ordered_quantity, rest.links[0].kind) == (60, LinkKind.REMAINDER)
    desk.observe(executed("late.01", "60"))
    assert refusal(check, plan, [desk.order], PM, desk.now, NS).code is Code.NO_REMAINDER


def merged_for_two(**terms: Any) -> Order:
    """60 for PORT-001 and 40 for PORT-002."""
    ours = order(1, ordered_quantity="60", **terms)
    theirs = order(2, "ACCT-002", ordered_quantity="40", portfolio_id="PORT-002", **terms)
    (opening,) = merge(ours, theirs, allocation="by_source")
    return opened(opening)


def test_the_quantity_of_an_order_with_shares_cannot_change() -> None:
    desk = Desk()
    desk.order = merged_for_two()
    bigger = cmd.UpdateOrder(changes=cmd.OrderChanges(ordered_quantity=Decimal(50_000)))
    refused = refusal(desk.command, bigger, Role.PM)
    assert (refused.code, refused.facts["fields"]) == (Code.FIELD_LOCKED, ["ordered_quantity"])


def test_a_remainder_of_an_order_with_shares_is_for_them_in_proportion() -> None:
    desk = Desk().close("40")
    source = desk.order.model_copy(update={"shares": merged_for_two().shares})
    plan = Remainder(source_id=source.order_id, order_id="ORD-9")
    (rest,) = check(plan, [source], PM, desk.now, NS)
    assert [(s.portfolio_id, s.quantity) for s in rest.shares] == [("PORT-001", 36), ("PORT-002", 24)]


def test_a_merge_of_merges_keeps_so_many_shares_and_no_more() -> None:
    many = merged_for_two()
    share = many.shares[0]
    crowded = many.model_copy(
        update={"shares": (share,) * 300, "ordered_quantity": share.quantity * 300, "order_id": "ORD-1"}
    )
    other = crowded.model_copy(update={"order_id": "ORD-2"})
    refused = refusal(merge, crowded, other, allocation="by_source")
    assert (refused.code, refused.facts["limit"], refused.facts["actual"]) == (Code.MERGE_MISMATCH, 500, 600)


def test_parameters_of_the_route_are_compared() -> None:
    plain_route = cmd.Route(venue="IBKR", account="DU1")
    outside = plain_route.model_copy(update={"params": {"outsideRth": "1"}})
    refused = refusal(merge, order(1, route=plain_route), order(2, route=outside))
    assert refused.facts["field"] == "route"


def test_the_same_undertaking_again_goes_on_with_what_it_holds() -> None:
    desk = Desk()
    desk.command(cmd.BeginRestructuring(restructuring_id="RST-1", link="SPLIT"), Role.PM)
    plan = Split(source_id=desk.order.order_id, quantities=("50", "50"), order_ids=("ORD-8", "ORD-9"))
    assert len(check(plan, [desk.order], PM, desk.now, NS, restructuring_id="RST-1")) == 2
    assert refusal(check, plan, [desk.order], PM, desk.now, NS).code is Code.RESTRUCTURING


def test_a_term_that_has_passed_is_told_before_anything_begins() -> None:
    gone = order(1, time_in_force="GTD", expires_at=NOW + timedelta(days=1))
    ids = {"source_id": "ORD-1", "quantities": ("50", "50"), "order_ids": ("ORD-8", "ORD-9")}
    refused = refusal(check, Split(**ids), [gone], PM, NOW + timedelta(days=2), NS)
    assert (refused.code, refused.facts["field"]) == (Code.VALIDATION_FAILED, "expires_at")


def test_a_sum_that_cannot_be_kept_is_refused() -> None:
    most = "9" * 38
    refused = refusal(merge, order(1, ordered_quantity=most), order(2, ordered_quantity=most))
    assert (refused.code, refused.facts["field"]) == (Code.VALIDATION_FAILED, "ordered_quantity")


def test_what_a_source_would_refuse_is_refused_at_once() -> None:
    late = in_state(State.SENT_TO_TRADER).order
    refused = refusal(merge, order(1), late)
    assert (refused.code, refused.facts["state"]) == (Code.INVALID_STATE, "SENT_TO_TRADER")
    plan = Split(source_id="ORD-1", quantities=("50", "50"), order_ids=("ORD-8", "ORD-9"))
    assert refusal(check, plan, [order(1)], ACTORS[Role.TRADER], NOW, NS).code is Code.NOT_AUTHORIZED
    assert refusal(check, plan, [order(1)], PM, NOW, NS, 2).code is Code.VERSION_CONFLICT


@pytest.mark.parametrize(
    "fields",
    [
        {"quantities": ("100",), "order_ids": ("ORD-8",)},
        {"quantities": ("50", "50"), "order_ids": ("ORD-8", "ORD-9", "ORD-7")},
        {"quantities": ("50", "0"), "order_ids": ("ORD-8", "ORD-9")},
        {"quantities": ("1",) * 101, "order_ids": ("ORD-8",) * 101},
    ],
)
def test_what_is_no_split(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Split(source_id="ORD-1", **fields)


def test_an_opening_is_the_same_however_often_it_is_made() -> None:
    """A replay makes the same order again."""
    plan: Plan = Merge(source_ids=("ORD-1", "ORD-2"), order_id="ORD-9")
    sources = [order(1), order(2)]
    assert openings(plan, sources, PM, NS) == openings(plan, sources, PM, NS)
    assert sources_of(plan) == ("ORD-1", "ORD-2")
