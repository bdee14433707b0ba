"""Halted: what is new is rejected and never sent, what is in doubt is never sent again, cancels always go out."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.gateways.rig import ACCOUNT, Rig, eventually, minted, reason, resting, status, ticket

from oms.domain.apply import fold
from oms.domain.commands import Actor, CreateOrder
from oms.domain.decide import Opening, opening_events
from oms.domain.halts import Halt, HaltScope
from oms.domain.identifiers import ORDER, identifier
from oms.domain.reference import Account
from oms.domain.terms import Direction, OrderType, PlacementStatus, Role, TimeInForce
from oms.gateways.halting import Halting
from oms.store import IntentState, Store

OUR_ACCOUNT = Account(account_id="ACCT-001", name="Main", broker_account=ACCOUNT)
OTHER_ACCOUNT = Account(account_id="ACCT-002", name="Other", broker_account="DU654321")


def halt(store: Store, scope: HaltScope, subject: str = "") -> None:
    store.halts.set(
        Halt(scope=scope, subject=subject, reason="a fat finger", by="carol", since=datetime.now(UTC))
    )


def lift(store: Store, scope: HaltScope, subject: str = "") -> None:
    assert store.halts.lift(scope, subject, "carol", "all clear") is not None


COVERING = [
    (HaltScope.FIRM, ""),
    (HaltScope.PORTFOLIO, "PORT-001"),
    (HaltScope.ACCOUNT, ACCOUNT),
    (HaltScope.ACCOUNT, "ACCT-001"),
    (HaltScope.VENUE, "IBKR"),
]
OTHERS = [
    (HaltScope.PORTFOLIO, "PORT-002"),
    (HaltScope.ACCOUNT, "DU654321"),
    (HaltScope.ACCOUNT, "ACCT-002"),
    (HaltScope.ACCOUNT, "ACCT-unknown"),
    (HaltScope.VENUE, "OPTIONS"),
]


@pytest.mark.parametrize(("scope", "subject"), COVERING)
async def test_a_halted_placement_is_rejected_and_nothing_is_sent(
    rig: Rig, scope: HaltScope, subject: str
) -> None:
    rig.store.reference.put_account(OUR_ACCOUNT)
    gateway = await rig.gateway()
    order = ticket(portfolio_id="PORT-001")
    halt(rig.store, scope, subject)
    answer = await gateway.place(order)
    assert status(answer) is PlacementStatus.REJECTED
    assert reason(answer).startswith("HALTED: ")
    assert "carol" in reason(answer)
    assert "a fat finger" in reason(answer)
    assert rig.at_the_broker(order) == []
    assert rig.state(order) is IntentState.DONE
    await eventually(lambda: rig.orders.reports(order))
    assert rig.orders.statuses(order) == [PlacementStatus.REJECTED]
    lift(rig.store, scope, subject)
    assert status(await gateway.place(ticket(portfolio_id="PORT-001"))) is not PlacementStatus.REJECTED


async def test_a_rejected_placement_stays_rejected_after_the_halt(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket()
    halt(rig.store, HaltScope.FIRM)
    first = await gateway.place(order)
    lift(rig.store, HaltScope.FIRM)
    assert await gateway.place(order) == first
    assert rig.at_the_broker(order) == []


@pytest.mark.parametrize(("scope", "subject"), OTHERS)
async def test_a_halt_of_others_stops_nothing(rig: Rig, scope: HaltScope, subject: str) -> None:
    rig.store.reference.put_account(OUR_ACCOUNT)
    rig.store.reference.put_account(OTHER_ACCOUNT)
    gateway = await rig.gateway()
    halt(rig.store, scope, subject)
    order = resting(portfolio_id="PORT-001")
    assert status(await gateway.place(order)) is PlacementStatus.WORKING
    assert len(rig.at_the_broker(order)) == 1


async def test_a_halt_set_while_a_placement_waits_for_its_turn_stops_it(rig: Rig) -> None:
    gateway = await rig.gateway(messages_per_second=2)
    orders = [resting() for _ in range(6)]
    waiting = [asyncio.create_task(gateway.place(order)) for order in orders]
    await eventually(lambda: any(rig.at_the_broker(order) for order in orders))
    halt(rig.store, HaltScope.FIRM)
    answers = await asyncio.gather(*waiting)
    stopped = [status(answer) is PlacementStatus.REJECTED for answer in answers]
    assert sum(stopped) >= 3, "two were given a turn, a third may have been looked at before the halt"
    assert [rig.at_the_broker(order) == [] for order in orders] == stopped


async def test_cancels_go_out_while_halted(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting(portfolio_id="PORT-001")
    await gateway.place(order)
    for scope, subject in COVERING:
        halt(rig.store, scope, subject)
    assert status(await gateway.cancel(order)) is PlacementStatus.CANCELED
    (there,) = rig.at_the_broker(order)
    assert there.status == "Cancelled"


async def test_what_was_never_sent_is_withdrawn_while_halted(rig: Rig) -> None:
    gateway = await rig.gateway()
    halt(rig.store, HaltScope.FIRM)
    order = resting()
    assert status(await gateway.cancel(order)) is PlacementStatus.CANCELED
    assert rig.state(order) is IntentState.WITHDRAWN


async def test_an_order_that_reached_the_broker_is_found_while_halted(rig: Rig) -> None:
    """A halt hides nothing: the broker's word on what was sent before it counts."""
    first = await rig.gateway()
    order = resting()
    await first.place(order)
    rig.edit(order, state=IntentState.SENDING.value, detail=None)
    await rig.died(first)
    halt(rig.store, HaltScope.FIRM)
    second = await rig.gateway()
    assert status(await second.place(order)) is PlacementStatus.WORKING
    assert len(rig.at_the_broker(order)) == 1


async def test_what_is_in_doubt_is_not_sent_again_while_halted(rig: Rig) -> None:
    order = resting()
    rig.persist(order)
    halt(rig.store, HaltScope.FIRM)
    gateway = await rig.gateway()
    answer = await gateway.place(order)
    assert status(answer) is PlacementStatus.IN_DOUBT
    assert "HALTED: " in reason(answer)
    assert "a fat finger" in reason(answer)
    assert rig.state(order) is IntentState.IN_DOUBT
    assert rig.at_the_broker(order) == []
    assert await gateway.place(order) == answer
    await eventually(lambda: rig.orders.reports(order))
    assert set(rig.orders.statuses(order)) == {PlacementStatus.IN_DOUBT}
    assert "HALTED: " in (rig.orders.reports(order)[-1].reason or "")
    lift(rig.store, HaltScope.FIRM)
    assert status(await gateway.place(order)) is PlacementStatus.WORKING
    assert len(rig.at_the_broker(order)) == 1


async def test_a_doubt_from_before_the_halt_is_held_too(rig: Rig) -> None:
    order = resting()
    rig.persist(order, IntentState.IN_DOUBT)
    gateway = await rig.gateway()
    halt(rig.store, HaltScope.FIRM)
    answer = await gateway.place(order)
    assert (status(answer), rig.at_the_broker(order)) == (PlacementStatus.IN_DOUBT, [])
    assert "HALTED: " in reason(answer)
    assert await gateway.place(order) == answer


async def test_what_is_in_doubt_can_be_canceled_while_halted(rig: Rig) -> None:
    order = resting()
    rig.persist(order)
    halt(rig.store, HaltScope.FIRM)
    gateway = await rig.gateway()
    assert status(await gateway.place(order)) is PlacementStatus.IN_DOUBT
    assert status(await gateway.cancel(order)) is PlacementStatus.CANCELED
    assert rig.at_the_broker(order) == []


async def test_a_ticket_without_a_portfolio_is_looked_up_by_its_order(store: Store) -> None:
    order_id = _recorded_order(store, portfolio_id="PORT-001")
    halt(store, HaltScope.PORTFOLIO, "PORT-001")
    halting = Halting(store)
    assert (await halting.reason(ticket(order_id=order_id)) or "").startswith("HALTED: ")
    assert await halting.reason(ticket()) is None
    lift(store, HaltScope.PORTFOLIO, "PORT-001")
    assert await halting.reason(ticket(order_id=order_id)) is None


def _recorded_order(store: Store, **request: Any) -> str:
    terms = {
        "instrument_id": "INS-AAPL",
        "direction": Direction.BUY,
        "ordered_quantity": "10",
        "order_type": OrderType.MARKET,
        "time_in_force": TimeInForce.DAY,
    }
    opening = Opening(
        order_id=identifier(ORDER, minted()),
        request=CreateOrder(**{**terms, **request}),
        instrument=ticket().instrument,
        default_account_id="ACCT-001",
        actor=Actor(key="desk", roles=(Role.PM,)),
        ts_event_ns=0,
    )
    events = opening_events(opening, datetime.now(UTC))
    store.journal.record(fold(None, events), events)
    return opening.order_id
