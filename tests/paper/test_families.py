"""Brackets and OCA groups by themselves: who waits for whom, who dies with whom, and what is sent again."""

from decimal import Decimal
from typing import Any

import pytest
from tests.paper.test_matching import NOON, Bench, instrument, terms

from oms.paper.market import MarketSettings
from oms.paper.orders import OrderExecuted, OrderKept, OrderRefused, OrderReported, OrderTerms

PARENT = {"order_type": "LMT", "limit": Decimal(200)}
PROFIT = {"side": "SELL", "order_type": "LMT", "limit": Decimal(240), "parent_id": 1}
LOSS = {"side": "SELL", "order_type": "STP", "stop": Decimal(190), "parent_id": 1}


def family(**changes: Any) -> list[OrderTerms]:
    """A parent and its two children; the last one transmits."""
    return [
        terms(1, transmit=False, **{**PARENT, **changes}),
        terms(2, transmit=False, **{**PROFIT, **changes}),
        terms(3, **{**LOSS, **changes}),
    ]


def placed(bench: Bench, orders: list[OrderTerms]) -> None:
    for order in orders:
        bench.take(bench.engine.place(order, NOON))


def priced(bench: Bench, bid: str, ask: str, symbol: str = "AAPL", size: Decimal | None = None) -> None:
    bench.market.set_quote(instrument(symbol).con_id, Decimal(bid), Decimal(ask), size)
    bench.take(bench.engine.step(NOON))


def statuses(bench: Bench) -> list[str]:
    return [bench.status(order_id) for _, order_id in sorted(bench.known)]


def test_a_family_is_held_until_its_last_child_transmits() -> None:
    bench = Bench()
    placed(bench, family()[:2])
    assert [type(fact) for fact in bench.facts] == [OrderKept, OrderKept]
    priced(bench, "199.00", "199.90")
    assert statuses(bench) == ["Held", "Held"]
    priced(bench, "228.00", "228.02")
    bench.facts.clear()
    placed(bench, family()[2:])
    told = [fact.order.key[1] for fact in bench.facts if isinstance(fact, OrderReported)]
    assert told == [1, 2, 3]
    assert statuses(bench) == ["Submitted", "PreSubmitted", "PreSubmitted"]
    assert [bench.known[1, n].why_held for n in (2, 3)] == ["child", "child"]
    group = str(bench.known[1, 1].perm_id)
    assert [(o.terms.oca_group, o.terms.oca_type) for o in bench.engine.live.children((1, 1))] == [
        (group, 3)
    ] * 2


def test_children_work_when_the_parent_is_filled_and_end_each_other() -> None:
    bench = Bench()
    placed(bench, family())
    priced(bench, "199.00", "199.90")
    assert statuses(bench) == ["Filled", "Submitted", "PreSubmitted"]
    assert bench.known[1, 3].why_held == "trigger"
    priced(bench, "240.00", "240.02")
    assert statuses(bench) == ["Filled", "Filled", "Cancelled"]
    assert bench.codes() == [202]


def test_a_child_that_fills_on_its_parents_fill_leaves_no_brother_behind() -> None:
    bench = Bench()
    marketable = {**PROFIT, "limit": Decimal(100)}
    orders = [terms(1, transmit=False), terms(2, transmit=False, **marketable), terms(3, **LOSS)]
    placed(bench, orders)
    assert statuses(bench) == ["Filled", "Filled", "Cancelled"]
    assert not bench.engine.live


def test_a_part_of_the_parent_wakes_no_child() -> None:
    bench = Bench()
    thin = {"instrument": instrument("THIN")}
    orders = [
        terms(1, transmit=False, quantity=Decimal(150), order_type="LMT", limit=Decimal("12.10"), **thin),
        terms(
            2, quantity=Decimal(150), side="SELL", parent_id=1, order_type="LMT", limit=Decimal(11), **thin
        ),
    ]
    placed(bench, orders)
    assert (bench.known[1, 1].filled, bench.known[1, 2].why_held) == (100, "child")


@pytest.mark.parametrize("held", [True, False])
def test_children_die_when_the_parent_is_cancelled(held: bool) -> None:
    bench = Bench()
    placed(bench, family()[: 2 if held else 3])
    bench.facts.clear()
    bench.take(bench.engine.cancel((1, 1), NOON))
    assert set(statuses(bench)) == {"Cancelled"}
    assert set(bench.codes()) == {202}
    kind = OrderKept if held else OrderReported
    assert [type(f) for f in bench.facts if not isinstance(f, OrderRefused)] == [kind] * len(bench.known)


def test_children_die_when_the_parent_is_rejected() -> None:
    bench = Bench()
    placed(bench, family(instrument=instrument("HALTD")))
    # Nothing is refused before it is transmitted.
    assert statuses(bench) == ["Inactive", "Cancelled", "Cancelled"]
    assert bench.codes() == [201, 202, 202]
    assert not bench.engine.live
    bench.take(bench.engine.place(terms(4, **PROFIT), NOON))
    assert (bench.status(4), bench.codes()[-1]) == ("Inactive", 201)


def test_a_child_that_is_rejected_leaves_its_parent_alive() -> None:
    bench = Bench()
    placed(bench, [terms(1, **PARENT), terms(2, parent_id=1, side="SELL", instrument=instrument("HALTD"))])
    assert statuses(bench) == ["Submitted", "Inactive"]


@pytest.mark.parametrize("parent_id", [9, 2])
def test_a_child_needs_a_parent(parent_id: int) -> None:
    bench = Bench()
    placed(bench, [terms(2, parent_id=parent_id, transmit=False)])
    assert (statuses(bench), bench.codes()) == (["Inactive"], [201])


def test_a_held_child_is_not_woken_by_its_parents_fill() -> None:
    bench = Bench()
    placed(bench, [terms(1, **PARENT), terms(2, transmit=False, **PROFIT)])
    priced(bench, "199.00", "199.90")
    assert statuses(bench) == ["Filled", "Held"]
    placed(bench, [terms(3, **LOSS)])
    # Its brother took it along, and both work at once.
    assert statuses(bench) == ["Filled", "Submitted", "PreSubmitted"]


def test_a_held_order_that_is_sent_again_is_a_modify() -> None:
    bench = Bench()
    placed(bench, family()[:2])
    placed(bench, family(quantity=Decimal(50))[:2])
    assert [o.terms.quantity for o in bench.engine.live.values()] == [50, 50]
    assert len({o.perm_id for o in bench.known.values()}) == 2
    placed(bench, family(quantity=Decimal(50)))
    assert statuses(bench) == ["Submitted", "PreSubmitted", "PreSubmitted"]


def test_a_family_that_is_sent_again_is_a_modify_to_the_same_values() -> None:
    bench = Bench()
    placed(bench, family())
    before = {key: (o.perm_id, o.status, o.why_held, o.terms.quantity) for key, o in bench.known.items()}
    bench.facts.clear()
    placed(bench, family())
    after = {key: (o.perm_id, o.status, o.why_held, o.terms.quantity) for key, o in bench.known.items()}
    assert after == before
    assert [type(fact) for fact in bench.facts] == [OrderReported] * 3
    priced(bench, "199.00", "199.90")
    placed(bench, family())
    assert bench.codes() == [103]
    assert statuses(bench) == ["Filled", "Submitted", "PreSubmitted"]
    assert sum(isinstance(fact, OrderExecuted) for fact in bench.facts) == 1


def test_the_same_values_do_not_undo_what_the_group_made_of_an_order() -> None:
    bench = Bench()
    placed(bench, family())
    priced(bench, "199.00", "199.90")
    priced(bench, "240.00", "240.02", size=Decimal(40))
    assert bench.known[1, 3].terms.quantity == 60
    placed(bench, family()[1:])
    assert [bench.known[1, n].remaining for n in (2, 3)] == [60, 60]


def test_a_child_may_not_change_its_parent() -> None:
    bench = Bench()
    placed(bench, family())
    bench.take(bench.engine.place(terms(2, **{**PROFIT, "parent_id": 3}), NOON))
    assert bench.codes() == [105]
    bench.take(bench.engine.place(terms(2, **{**PROFIT, "parent_id": 0, "limit": Decimal(250)}), NOON))
    assert (bench.known[1, 2].terms.parent_id, bench.known[1, 2].terms.limit) == (1, 250)


def group(oca_type: int, first: int = 200, second: int = 200) -> list[OrderTerms]:
    """A marketable order in THIN, and one that rests, in one group."""
    grouped = {"oca_group": "g", "oca_type": oca_type, "order_type": "LMT"}
    return [
        terms(2, quantity=Decimal(second), limit=Decimal(100), **grouped),
        terms(1, quantity=Decimal(first), limit=Decimal("12.10"), instrument=instrument("THIN"), **grouped),
    ]


def test_type_1_any_fill_cancels_the_others() -> None:
    bench = Bench()
    placed(bench, group(1))
    assert (bench.known[1, 1].filled, statuses(bench)) == (100, ["Submitted", "Cancelled"])
    refusal = bench.facts[-1]
    assert isinstance(refusal, OrderRefused)
    assert (refusal.code, refusal.text) == (202, "Order Canceled - reason:OCA Group")


@pytest.mark.parametrize("oca_type", [2, 3, 0])
def test_types_2_and_3_reduce_the_others_in_proportion(oca_type: int) -> None:
    bench = Bench()
    placed(bench, group(oca_type, second=400))
    assert [bench.known[1, n].remaining for n in (1, 2)] == [100, 200]
    priced(bench, "11.99", "12.00", "THIN", Decimal(50))
    assert [bench.known[1, n].remaining for n in (1, 2)] == [50, 100]
    priced(bench, "11.99", "12.00", "THIN", Decimal(50))
    assert statuses(bench) == ["Filled", "Cancelled"]


def test_a_group_ends_where_nothing_is_left() -> None:
    bench = Bench()
    placed(bench, group(3, first=300, second=1))
    priced(bench, "11.99", "12.00", "THIN", Decimal(100))
    assert statuses(bench) == ["Submitted", "Cancelled"]


def test_groups_of_other_accounts_and_names_are_left_alone() -> None:
    bench = Bench()
    rest = {"order_type": "LMT", "limit": Decimal(100), "oca_type": 1}
    placed(
        bench,
        [terms(1, oca_group="g", account="DU2", **rest), terms(2, oca_group="h", **rest), terms(3, **rest)],
    )
    placed(bench, [terms(4, oca_group="g")])
    assert statuses(bench) == ["Submitted"] * 3 + ["Filled"]


def test_children_of_a_group_of_their_own_leave_their_brothers_alone() -> None:
    bench = Bench()
    pair = {"oca_group": "exits", "oca_type": 2, "quantity": Decimal(70)}
    alone = {**LOSS, "stop": Decimal(180), "quantity": Decimal(30)}
    exits = [terms(2, transmit=False, **PROFIT, **pair), terms(3, transmit=False, **LOSS, **pair)]
    placed(bench, [terms(1, transmit=False, **PARENT), *exits, terms(4, **alone)])
    priced(bench, "199.00", "199.90")
    priced(bench, "240.00", "240.02")
    assert statuses(bench) == ["Filled", "Filled", "Cancelled", "PreSubmitted"]
    assert bench.known[1, 4].terms.quantity == 30
    priced(bench, "180.00", "180.02")
    assert statuses(bench)[3] == "Filled"


def test_a_broker_that_refuses_a_symbol_says_so_on_transmission() -> None:
    bench = Bench()
    bench.engine._market.settings = MarketSettings(rejects={"AAPL": "not today"})
    placed(bench, family())
    assert statuses(bench) == ["Inactive", "Cancelled", "Cancelled"]
