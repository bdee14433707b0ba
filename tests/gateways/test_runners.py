"""A bracket that leaves a part to run: a pair of exits that end one another, and a stop that begins to trail."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateways.brackets import all_working, placed_all
from tests.gateways.rig import Rig, eventually, reason, resting, settled, status, ticket

from oms.domain.handling import Adjustment, Bracket, BracketRole, Handling, OcaType
from oms.domain.terms import Direction, OrderType, PlacementStatus
from oms.domain.venues import PlacementTicket
from oms.gateways.ibkr.orders import order_of
from oms.gateways.ibkr.rounding import Band, Ticks, Unroundable, on_tick, ticks
from oms.paper.faults import FaultKind
from oms.store import IntentState

CENTS = ticks(Decimal("0.01"))
BANDS = ticks(Decimal("0.01"), [Band(Decimal(0), Decimal("0.01")), Band(Decimal(3), Decimal("0.05"))])
FILLED, CANCELED = PlacementStatus.FILLED, PlacementStatus.CANCELED


def stop(
    trigger: str,
    at: str,
    *,
    direction: Direction = Direction.SELL,
    amount: str | None = None,
    percent: str | None = None,
    begins: str | None = None,
    **changes: Any,
) -> PlacementTicket:
    """A stop `at` a price that begins to trail at `trigger`."""
    adjustment = Adjustment(
        trigger_price=Decimal(trigger),
        stop_price=Decimal(begins) if begins else None,
        trail_amount=Decimal(amount) if amount else None,
        trail_percent=Decimal(percent) if percent else None,
    )
    handling = changes.pop("handling", Handling()).model_copy(update={"adjustment": adjustment})
    terms = {"order_type": OrderType.STOP, "stop_price": Decimal(at), "direction": direction}
    return ticket(**{**terms, "handling": handling, **changes})


def adjusted(order: PlacementTicket, increments: Ticks = CENTS) -> tuple[Any, ...]:
    """Trigger, stop, distance and unit as they go out."""
    sent = order_of(on_tick(order, increments).ticket, 1)
    assert (sent.orderType, sent.adjustedOrderType) == ("STP", "TRAIL")
    return (
        sent.triggerPrice,
        sent.adjustedStopPrice,
        sent.adjustedTrailingAmount,
        sent.adjustableTrailingUnit,
    )


# What goes out


@pytest.mark.parametrize(
    ("order", "told"),
    [
        (stop("110", "90", amount="5"), ("110", "105", "5", 0)),
        (stop("110", "90", percent="10"), ("110", "99", "10", 1)),
        (stop("110", "90", percent="10", begins="95"), ("110", "95", "10", 1)),
        (stop("90", "110", amount="5", direction=Direction.BUY_TO_COVER), ("90", "95", "5", 0)),
        (stop("90", "110", percent="1", direction=Direction.BUY), ("90", "90.9", "1", 1)),
        # Off the tick: never earlier, never tighter.
        (stop("110.001", "90", amount="5.001"), ("110.01", "105", "5.01", 0)),
        (stop("110.001", "90", percent="3.3"), ("110.01", "106.37", "3.3", 1)),
        (stop("89.999", "110", amount="5.001", direction=Direction.BUY), ("89.99", "95", "5.01", 0)),
        (stop("110", "90", amount="5", begins="104.999"), ("110", "104.99", "5", 0)),
    ],
)
def test_the_fields_of_an_adjusted_stop(order: PlacementTicket, told: tuple[Any, ...]) -> None:
    assert adjusted(order) == told


def test_each_price_is_rounded_by_the_band_it_is_in() -> None:
    assert adjusted(stop("3.02", "1", amount="0.11"), BANDS) == ("3.05", "2.9", "0.15", 0)


def test_what_was_rounded_is_told_and_where_it_begins_is_kept() -> None:
    order = stop("110.001", "90.001", amount="5.001")
    sent, roundings = on_tick(order, CENTS)
    assert [(one.field, str(one.asked), str(one.sent)) for one in roundings] == [
        ("stop_price", "90.001", "90.00"),
        ("adjustment.trigger_price", "110.001", "110.01"),
        ("adjustment.trail_amount", "5.001", "5.01"),
    ]
    assert sent.handling.adjustment is not None
    assert sent.handling.adjustment.stop_price == Decimal("105.00")
    # What was sent once is the same however often it is looked at, whatever is learned about ticks meanwhile.
    assert on_tick(sent, CENTS) == (sent, ())


prices = st.decimals(Decimal("0.01"), Decimal(10_000), places=6)


@given(trigger=prices, share=st.decimals(Decimal("0.01"), Decimal(99), places=4), buys=st.booleans())
def test_a_trail_by_percentage_never_begins_tighter_than_asked(
    trigger: Decimal, share: Decimal, buys: bool
) -> None:
    direction = Direction.BUY if buys else Direction.SELL
    far = trigger * 3 if buys else trigger / 1000
    try:
        sent, _ = on_tick(
            stop(str(trigger), f"{far:f}", percent=str(share), direction=direction), Ticks(Decimal("0.01"))
        )
    except Unroundable:
        return
    adjustment = sent.handling.adjustment
    assert adjustment is not None
    assert adjustment.stop_price is not None
    asked = trigger * (100 + direction.sign * share) / 100
    assert (adjustment.stop_price >= asked - 1) if buys else (adjustment.stop_price <= asked + 1)
    distance = (adjustment.trigger_price - adjustment.stop_price) * -direction.sign
    assert distance >= adjustment.trigger_price * share / 100
    assert distance < adjustment.trigger_price * share / 100 + Decimal("0.01")


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (stop("90", "100", amount="5"), "begins to trail at a price above it, not at 90"),
        (stop("110", "100", amount="5", direction=Direction.BUY), "at a price below it, not at 110"),
        (
            stop("110", "90", amount="5", begins="110"),
            "a Sell stop at 110 begins to trail at a price above it",
        ),
        (stop("110", "90", amount="110"), "no price above zero"),
        (stop("0.02", "0.01", amount="0.0199999"), "no price above zero"),
        (stop("0.0001", "0.00001", amount="0.00001"), "stop_price 0.00001 is less than one tick"),
    ],
)
async def test_what_makes_no_sense_is_refused_unsent(rig: Rig, order: PlacementTicket, why: str) -> None:
    gateway = await rig.gateway()
    answer = await gateway.place(order)
    assert (status(answer), why in reason(answer)) == (PlacementStatus.REJECTED, True)
    assert rig.wired(order) == []


# What becomes of it


def quote(rig: Rig, bid: str, ask: str) -> None:
    rig.paper.set_price("AAPL", Decimal(bid), Decimal(ask))


async def test_a_stop_begins_to_trail_and_is_filled_where_the_market_turns(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = stop("240.001", "220", amount="5")
    assert status(await gateway.place(order)) is PlacementStatus.WORKING
    sent = rig.sent(order)
    assert {name: sent[name] for name in ("triggerPrice", "adjustedStopPrice", "adjustedTrailingAmount")} == {
        "triggerPrice": "240.01",
        "adjustedStopPrice": "235.01",
        "adjustedTrailingAmount": "5",
    }
    quote(rig, "250.00", "250.02")
    await rig.reconciled(gateway)
    assert (rig.state(order), rig.orders.statuses(order)) == (
        IntentState.ACKNOWLEDGED,
        [PlacementStatus.WORKING],
    )
    quote(rig, "245.00", "245.02")
    (fill,) = await rig.fills(order)
    assert fill.price == 245
    assert rig.orders.unreadable(order) == []


async def test_it_is_sent_again_with_the_same_bytes(rig: Rig) -> None:
    order = stop("240.001", "220", percent="2.5")
    first = await rig.gateway()
    rig.paper.fail_next_place(FaultKind.LOST_BEFORE_READ, order.order_ref)
    assert status(await first.place(order)) is PlacementStatus.IN_DOUBT
    assert await settled(first, order) is PlacementStatus.WORKING
    one, other = rig.wired(order)
    assert one == other


async def test_it_is_not_changed_but_can_be_canceled(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = stop("240", "220", amount="5")
    await gateway.place(order)
    (fact,) = (await gateway.modify(order.model_copy(update={"revision": 1, "quantity": Decimal(5)}))).facts
    assert (fact.kind, "begins to trail by itself" in fact.reason) == ("change_refused", True)
    assert len(rig.wired(order)) == 1
    assert status(await gateway.cancel(order)) is CANCELED


# Beside a pair of exits


def runner_family(name: str = "B1", oca_type: OcaType = OcaType.REDUCE) -> list[PlacementTicket]:
    """Buy 10 at 200. Of them 7 are sold at 240 or stopped at 190; 3 are stopped at 190, or trail by 5 from 240 on."""

    def place(role: BracketRole, group: str | None = None) -> Handling:
        bracket = Bracket(bracket_id=name, role=role, size=4)
        return Handling(bracket=bracket, oca_group=group, oca_type=oca_type if group else OcaType.CANCEL)

    pair = {"direction": Direction.SELL, "handling": place(BracketRole.CHILD, "exits")}
    alone = {"handling": place(BracketRole.CHILD), "quantity": Decimal(3)}
    return [
        resting(limit_price=Decimal(200), handling=place(BracketRole.PARENT), portfolio_id="PORT-1"),
        ticket(
            quantity="7", order_type=OrderType.LIMIT, limit_price=Decimal(240), portfolio_id="PORT-1", **pair
        ),
        ticket(
            quantity="7", order_type=OrderType.STOP, stop_price=Decimal(190), portfolio_id="PORT-1", **pair
        ),
        stop("240", "190", amount="5", portfolio_id="PORT-1", **alone),
    ]


async def entered(rig: Rig) -> list[PlacementTicket]:
    gateway = await rig.gateway()
    members = runner_family()
    await placed_all(gateway, members)
    await all_working(rig, members)
    quote(rig, "199.98", "200.00")
    await rig.fills(members[0])
    return members


async def over(rig: Rig, order: PlacementTicket, end: PlacementStatus) -> None:
    await eventually(lambda: rig.orders.statuses(order)[-1:] == [end])


async def test_the_pair_has_a_group_of_its_own_and_the_runner_has_none(rig: Rig) -> None:
    _, target, loss, runner = await entered(rig)
    groups = [rig.sent(one).get("ocaGroup", "") for one in (target, loss, runner)]
    assert groups[0] == groups[1] != ""
    assert groups[0].startswith("exits-")
    assert groups[2] == ""
    assert [rig.sent(one).get("ocaType") for one in (target, loss)] == ["2", "2"]


async def test_the_target_ends_its_stop_and_the_runner_runs_on(rig: Rig) -> None:
    _, target, loss, runner = await entered(rig)
    quote(rig, "240.00", "240.02")
    await rig.fills(target)
    await over(rig, loss, CANCELED)
    quote(rig, "260.00", "260.02")
    assert rig.orders.statuses(runner) == [PlacementStatus.WORKING]
    quote(rig, "255.00", "255.02")
    (fill,) = await rig.fills(runner)
    assert (fill.quantity, fill.price) == (3, 255)
    assert sum(one.quantity for one in rig.executed(target)) == 7


async def test_the_stops_end_all_of_it(rig: Rig) -> None:
    _, target, loss, runner = await entered(rig)
    quote(rig, "190.00", "190.02")
    await rig.fills(loss)
    await rig.fills(runner)
    await over(rig, target, CANCELED)
    assert rig.executed(target) == []


async def test_a_runner_that_is_stopped_first_leaves_the_pair_alone(rig: Rig) -> None:
    members = await entered(rig)
    _, target, loss, runner = members
    (gateway,) = rig.gateways
    assert status(await gateway.cancel(runner)) is CANCELED
    await rig.reconciled(gateway)
    assert [rig.orders.statuses(one)[-1] for one in (target, loss)] == [PlacementStatus.WORKING] * 2


async def test_a_target_in_parts_leaves_a_smaller_stop(rig: Rig) -> None:
    _, target, loss, runner = await entered(rig)
    rig.paper.set_price("AAPL", Decimal("240.00"), Decimal("240.02"), Decimal(4))
    await eventually(lambda: rig.orders.executions(target))
    (gateway,) = rig.gateways
    await rig.reconciled(gateway)
    assert rig.at_the_broker(loss)[0].quantity == 3
    assert rig.at_the_broker(runner)[0].quantity == 3
    quote(rig, "190.00", "190.02")
    (fill,) = await rig.fills(loss)
    assert fill.quantity == 3
    assert PlacementStatus.IN_DOUBT not in rig.orders.statuses(loss)


async def test_the_same_group_of_another_portfolio_is_another(rig: Rig) -> None:
    gateway = await rig.gateway()
    ours = runner_family()
    theirs = [one.model_copy(update={"portfolio_id": "PORT-2"}) for one in runner_family()]
    await placed_all(gateway, [*ours, *theirs])
    await all_working(rig, [*ours, *theirs])
    assert rig.sent(ours[1])["ocaGroup"] != rig.sent(theirs[1])["ocaGroup"]
    quote(rig, "199.98", "200.00")
    for parent in (ours[0], theirs[0]):
        await rig.fills(parent)
    quote(rig, "240.00", "240.02")
    for one in (ours[1], theirs[1]):
        await rig.fills(one)
