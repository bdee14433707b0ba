"""Target positions: batches and plans kept once, and what an account has of our orders in one moment."""

import threading
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.store.building import APPLE, EVERYBODY, NOON, SYSTEM, Tale

from oms.domain import commands as cmd
from oms.domain.errands import Refusal
from oms.domain.errors import Code, Refused
from oms.domain.programs.targets import AIMED_BY, Aimed, Exposure, Leg, Plan, TargetBatch, TargetRow
from oms.domain.reference import Instrument
from oms.domain.terms import Automation, Direction, OrderType, PlacementStatus, State, Venue
from oms.store import Store

FORD = Instrument(instrument_id="INS-F", symbol="F")
TINY = Decimal("0.000000000000000001")


def plan(held: str = "0") -> Plan:
    leg = Leg(order_id="ORD-1", direction=Direction.BUY, quantity=Decimal(7), order_type=OrderType.MARKET)
    return Plan(aim_id="b/0", held=Decimal(held), working=Decimal(0), delta=Decimal("7.5"), legs=(leg,))


def refusal(text: str = "no") -> Refusal:
    return Refusal(code=Code.INVALID_INSTRUMENT, message=text, facts={"row": 1})


def batch(number: int, **more: Any) -> TargetBatch:
    given = {
        "batch_id": f"{number:016x}",
        "account": "DU1",
        "account_id": "ACCT-001",
        "portfolio_id": "PORT-001",
        "client": "quant",
        "actor": EVERYBODY,
        "submitted_at": NOON + timedelta(seconds=number),
        "send_by": NOON + timedelta(seconds=number + 60),
        "rows": (TargetRow(symbol="AAPL", quantity=Decimal("-100.5")),),
    }
    return TargetBatch(**{**given, **more})


def on_its_way(**request: Any) -> Tale:
    """A straight-through order for DU1 that nobody has placed yet."""
    route = cmd.Route(venue=Venue.IBKR, account=request.pop("account", "DU1"))
    return Tale(automation=Automation.STRAIGHT_THROUGH, route=route, **request)


def pending(exposure: Exposure) -> list[Decimal]:
    return [one.pending for one in exposure.working]


# -- Batches and aims ------------------------------------------------------------------------------------


def test_a_batch_is_kept_as_it_was_posted_first(store: Store) -> None:
    first = batch(1)
    assert store.targets.open_batch(first) == first
    assert store.targets.open_batch(first.model_copy(update={"client": "other"})) == first
    assert store.targets.batch(first.batch_id) == first
    assert store.targets.batch("0") is None


def test_batches_are_listed_newest_first_as_far_as_they_may_be_seen(store: Store) -> None:
    batches = [
        store.targets.open_batch(batch(n, account_id=f"ACCT-{n % 2}", portfolio_id=f"PORT-{n % 3}"))
        for n in range(6)
    ]
    assert store.targets.recent(4) == batches[:1:-1]
    assert store.targets.recent(9, ["ACCT-1"]) == [batches[5], batches[3], batches[1]]
    assert store.targets.recent(9, portfolio_ids=["PORT-0", "PORT-1"]) == [batches[n] for n in (4, 3, 1, 0)]
    assert store.targets.recent(9, ["ACCT-1"], ["PORT-0"]) == [batches[3]]
    assert store.targets.recent(9, []) == []


def test_a_plan_is_kept_once(store: Store) -> None:
    assert store.targets.aim("b/0") is None
    assert store.targets.plan_once("b/0", plan("1")) == plan("1")
    assert store.targets.plan_once("b/0", plan("2")) == plan("1")
    assert store.targets.aim("b/0") == Aimed(plan=plan("1"))


def test_a_refusal_stands_beside_the_plan_and_is_the_first(store: Store) -> None:
    store.targets.plan_once("b/0", plan())
    assert store.targets.keep("b/0", refusal("a leg")) == refusal("a leg")
    assert store.targets.keep("b/0", refusal("later")) == refusal("a leg")
    assert store.targets.plan_once("b/0", plan("3")) == plan()
    assert store.targets.aim("b/0") == Aimed(plan=plan(), refusal=refusal("a leg"))


def test_an_aim_that_was_refused_never_gets_a_plan(store: Store) -> None:
    store.targets.keep("b/0", refusal())
    for _ in range(2):
        with pytest.raises(Refused, match="no") as refused:
            store.targets.plan_once("b/0", plan())
        assert (refused.value.code, refused.value.facts) == (Code.INVALID_INSTRUMENT, {"row": 1})
    assert store.targets.aim("b/0") == Aimed(refusal=refusal())


def test_the_aims_of_a_batch_are_its_own(store: Store) -> None:
    store.targets.plan_once("b/0", plan())
    store.targets.keep("b/10", refusal())
    for other in ("b2/0", "b/0/1", "a/0"):
        store.targets.plan_once(other, plan())
    assert store.targets.aimed("b") == {"b/0": Aimed(plan=plan()), "b/10": Aimed(refusal=refusal())}
    assert store.targets.aimed("nothing") == {}


# -- Standing --------------------------------------------------------------------------------------------


def test_what_was_executed_adds_up_exactly_by_the_account_of_the_placement(store: Store) -> None:
    Tale().placed().filled("60.5").filled(TINY).recorded(store)
    Tale(direction=Direction.SELL).placed().filled(30).recorded(store)
    Tale(direction=Direction.SELL_SHORT, instrument=FORD).placed().filled(100).recorded(store)
    Tale(portfolio_id="PORT-002").placed().filled(5).recorded(store)
    assert store.targets.exposure("DU1", "INS-AAPL").booked == Decimal("35.5") + TINY
    assert store.targets.exposure("DU1", "INS-AAPL", "PORT-002").booked == 5
    assert store.targets.exposure("DU1", "INS-F").booked == -100
    assert store.targets.exposure("DU2", "INS-AAPL") == Exposure(booked=Decimal(0))
    assert store.targets.held_in("DU1") == {"INS-AAPL": Decimal("35.5") + TINY, "INS-F": -100}
    assert store.targets.held_in("DU1", "PORT-002") == {"INS-AAPL": 5}
    assert store.targets.held_in("DU2") == {}


def test_what_is_flat_is_left_out(store: Store) -> None:
    Tale().placed().filled(30).recorded(store)
    Tale(direction=Direction.SELL).placed().filled(30).recorded(store)
    assert store.targets.held_in("DU1") == {}
    assert store.targets.exposure("DU1", "INS-AAPL").booked == 0


def test_corrections_and_busts_count_as_they_stand(store: Store) -> None:
    tale = Tale().placed()
    tale.hear(tale.execution(10, 5, "E1.01")).recorded(store)
    assert store.targets.exposure("DU1", "INS-AAPL").booked == 10
    tale.hear(tale.execution(7, 5, "E1.02")).recorded(store)
    exposure = store.targets.exposure("DU1", "INS-AAPL")
    assert (exposure.booked, pending(exposure)) == (7, [93])
    tale.busted("E1.02").recorded(store)
    exposure = store.targets.exposure("DU1", "INS-AAPL")
    assert (exposure.booked, pending(exposure)) == (0, [100])


def test_what_still_works_is_signed_and_oldest_first(store: Store) -> None:
    bought = Tale().placed().filled("60.5").recorded(store)
    sold = Tale(at=NOON + timedelta(hours=1), direction=Direction.SELL).placed().recorded(store)
    Tale(instrument=FORD).placed().recorded(store)
    exposure = store.targets.exposure("DU1", "INS-AAPL")
    assert [(one.order_id, one.pending) for one in exposure.working] == [
        (bought.id, Decimal("39.5")),
        (sold.id, -100),
    ]
    assert [one.state for one in exposure.working] == [bought.order.state, sold.order.state]
    assert store.targets.working_in("DU1")[0].executed_quantity == Decimal("60.5")
    assert len(store.targets.working_in("DU1")) == 3


def test_what_is_over_works_no_more(store: Store) -> None:
    tales = [Tale().placed().filled(), Tale().placed(), Tale().placed().filled(40)]
    tales[1].reported(PlacementStatus.REJECTED)
    tales[2].reported(PlacementStatus.CANCELED, filled_quantity=Decimal(40)).do(cmd.CloseOrder())
    for tale in tales:
        tale.recorded(store)
    assert store.targets.exposure("DU1", "INS-AAPL") == Exposure(booked=Decimal(140))
    assert store.targets.working_in("DU1") == []


def test_an_order_that_is_over_while_its_placement_works_still_counts(store: Store) -> None:
    tale = Tale().placed()
    tale.actor = SYSTEM
    tale.do(cmd.RejectOrder(reason="late")).recorded(store)
    assert tale.order.state is State.REJECTED
    assert pending(store.targets.exposure("DU1", "INS-AAPL")) == [100]
    assert [order.order_id for order in store.targets.working_in("DU1")] == [tale.id]
    tale.reported(PlacementStatus.CANCELED).recorded(store)
    assert store.targets.exposure("DU1", "INS-AAPL").working == ()


def test_executions_that_an_ended_placement_claims_may_still_come(store: Store) -> None:
    tale = (
        Tale()
        .placed()
        .filled(30)
        .reported(PlacementStatus.CANCELED, filled_quantity=Decimal(50))
        .recorded(store)
    )
    assert pending(store.targets.exposure("DU1", "INS-AAPL")) == [tale.order.working_quantity]
    assert tale.order.working_quantity > 0


def test_without_a_placement_the_route_says_where_an_order_goes(store: Store) -> None:
    on_its_way(direction=Direction.SELL).recorded(store)
    on_its_way(account="DU2").recorded(store)
    Tale().recorded(store)
    Tale(automation=Automation.STRAIGHT_THROUGH).recorded(store)
    assert pending(store.targets.exposure("DU1", "INS-AAPL")) == [-100]
    assert pending(store.targets.exposure("DU2", "INS-AAPL")) == [100]
    assert len(store.targets.working_in("DU1")) == len(store.targets.working_in("DU2")) == 1


def test_a_placement_elsewhere_than_the_route_counts_where_it_is(store: Store) -> None:
    tale = on_its_way(account="DU2").waiting().do(cmd.PassPreTradeCompliance(), cmd.SendToTrader())
    tale.recorded(store)
    assert pending(store.targets.exposure("DU2", "INS-AAPL")) == [100]
    tale.do(cmd.CreatePlacement(placement_id="PLC-1", venue="IBKR", account="DU1", quantity=Decimal(60)))
    tale.recorded(store)
    assert pending(store.targets.exposure("DU1", "INS-AAPL")) == [60]
    assert pending(store.targets.exposure("DU2", "INS-AAPL")) == []


def test_of_an_order_in_two_accounts_each_sees_its_part(store: Store) -> None:
    tale = Tale().waiting().do(cmd.PassPreTradeCompliance(), cmd.SendToTrader())
    for number, (account, quantity) in enumerate((("DU1", 60), ("DU2", 40))):
        tale.do(
            cmd.CreatePlacement(
                placement_id=f"PLC-{number}", venue="IBKR", account=account, quantity=Decimal(quantity)
            )
        )
    tale.filled(15).recorded(store)
    one, two = store.targets.exposure("DU1", "INS-AAPL"), store.targets.exposure("DU2", "INS-AAPL")
    assert (one.booked, pending(one)) == (0, [60])
    assert (two.booked, pending(two)) == (15, [25])
    assert store.targets.working_in("DU1") == store.targets.working_in("DU2")


def test_of_one_portfolio_alone(store: Store) -> None:
    mine = Tale().placed().filled(10).recorded(store)
    Tale(portfolio_id="PORT-002").placed().filled(20).recorded(store)
    exposure = store.targets.exposure("DU1", "INS-AAPL", "PORT-001")
    assert (exposure.booked, [one.order_id for one in exposure.working]) == (10, [mine.id])
    assert [order.order_id for order in store.targets.working_in("DU1", "PORT-001")] == [mine.id]
    assert len(store.targets.working_in("DU1")) == 2


def test_an_order_of_a_target_is_ours(store: Store) -> None:
    on_its_way(metadata={AIMED_BY: "b/0"}).recorded(store)
    on_its_way(at=NOON + timedelta(hours=1), metadata={"aimed": "b/0"}).recorded(store)
    assert [one.ours for one in store.targets.exposure("DU1", "INS-AAPL").working] == [True, False]


def test_one_moment_is_seen_however_it_changes(url: str) -> None:
    """What is booked and what works of an order are always the whole order together."""
    store, writer = Store(url), Store(url)
    tale = Tale(ordered_quantity=Decimal(60)).placed().recorded(store)
    for _ in range(60):
        tale.filled(1)
    writing = threading.Thread(target=tale.recorded, args=(writer,))
    writing.start()
    seen = []
    while writing.is_alive():
        exposure = store.targets.exposure("DU1", "INS-AAPL")
        seen.append(exposure.booked)
        assert exposure.booked + sum(pending(exposure)) == 60
    writing.join()
    assert store.targets.exposure("DU1", "INS-AAPL").booked == 60
    assert seen == sorted(seen)
    store.close()
    writer.close()


def test_an_instrument_is_looked_at_by_itself(store: Store) -> None:
    for instrument in (APPLE, FORD):
        Tale(instrument=instrument).placed().filled(1).recorded(store)
    for instrument in (APPLE, FORD):
        exposure = store.targets.exposure("DU1", instrument.instrument_id)
        assert (exposure.booked, pending(exposure)) == (1, [99])


def test_a_plan_is_overtaken_by_a_later_one_for_the_same_target(store: Store) -> None:
    for aim_id, target in (("b/0", "DU1/INS-1"), ("b/1", "DU1/INS-2"), ("c/0", "DU1/INS-1"), ("d/0", None)):
        store.targets.plan_once(aim_id, plan(), target)
    store.targets.plan_once("b/0", plan(), "DU1/INS-1")
    store.targets.keep("e/0", refusal())
    aims = ("b/0", "b/1", "c/0", "d/0", "e/0", "nobody")
    assert [store.targets.is_overtaken(aim_id) for aim_id in aims] == [True, *[False] * 5]
    store.targets.plan_once("b/1", plan(), "DU1/INS-2")
    store.targets.plan_once("f/0", plan(), "DU1/INS-2")
    assert store.targets.is_overtaken("b/1")
    assert store.targets.keep("b/1", refusal()) == refusal()
    assert store.targets.is_overtaken("b/1"), "a refusal changes nothing of that"
