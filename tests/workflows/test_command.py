"""Signed commands, done by a real worker on a real server: what each opens, what it tells, what it leaves alone."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.sdk.v1 import WorkflowMetadata

from oms.domain.errors import Code
from oms.domain.halts import Halt, HaltScope
from oms.domain.handling import BracketRole
from oms.domain.order import Order
from oms.domain.programs.outcomes import CommandStatus, Part
from oms.domain.terms import Direction, OrderType, State, TimeInForce
from tests.domain.orders import NOW
from tests.stack import temporal_server, until
from tests.workflows.commanding import (
    ES,
    FUTURE,
    SECRET,
    SMALL_ORDERS,
    Given,
    bracketed,
    commanding,
    entry,
    hand_in,
    holding,
    prepare,
    signed,
    small_orders_only,
    submit,
)
from tests.workflows.world import World, a_world, quiet


@pytest.fixture(scope="module")
async def desks(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A world with a Temporal server of its own, orders, and workers of commands and of the desk."""
    quiet()
    folder: Path = tmp_path_factory.mktemp("commands")
    async with temporal_server() as server, a_world(await server.client(), folder) as made, made.working():
        prepare(made)
        async with commanding(made):
            yield made


async def placed(given: Given, count: int) -> list[Order]:
    """The command's orders, once each has a placement at the venue."""

    def there() -> list[Order]:
        orders = given.orders()
        return orders if len(orders) == count and all(order.placements for order in orders) else []

    found: list[Order] = await until(there, f"{count} placements")
    return found


async def test_a_ping_goes_through_and_moves_nothing(desks: World) -> None:
    given = await hand_in(desks, signed("oms.ping", {"echo": "hello-nts"}))
    ended = await given.outcome()
    assert (ended.status, ended.orders) == (CommandStatus.DONE, ())
    assert given.kept().status is CommandStatus.DONE
    assert [event["echo"] for event in given.events("oms.ping")] == ["hello-nts"]


async def test_an_entry_is_opened_for_the_tenant_and_told_of(desks: World) -> None:
    refs = {"case": "demo", "strategy": "nts-demo"}
    given = await hand_in(desks, submit(entry(order={"outsideRth": True}, refs=refs)))
    ended = await given.outcome()
    assert ended.status is CommandStatus.DONE
    (told,) = ended.orders
    assert (told.order_index, told.part, told.symbol, told.quantity) == (0, Part.ENTRY, "ES", "1")
    (order,) = await placed(given, 1)
    assert order.order_id == told.order_id
    assert (order.portfolio_id, order.direction, order.order_type) == (
        "PORT-001",
        Direction.BUY,
        OrderType.MARKET,
    )
    assert order.is_straight_through
    assert order.request.handling.outside_rth
    assert order.metadata["refs"] == refs
    assert order.metadata["message_id"] == given.asked.message_id
    assert given.kept().orders == ended.orders
    assert [event["event_type"] for event in given.events()] == ["oms.submit", "ib.order_received"]
    (received,) = given.events("ib.order_received")
    assert (received["symbol"], received["action"], received["totalQuantity"]) == ("ES", "BUY", 1)


async def test_a_bracket_is_an_entry_with_two_exits_that_belong_to_it(desks: World) -> None:
    given = await hand_in(desks, submit(bracketed()))
    ended = await given.outcome()
    assert [told.part for told in ended.orders] == [Part.ENTRY, Part.TAKE_PROFIT, Part.STOP_LOSS]
    parent, profit, loss = (given.order(told) for told in ended.orders)
    brackets = [order.request.handling.bracket for order in (parent, profit, loss)]
    assert len({bracket.bracket_id for bracket in brackets if bracket}) == 1
    assert [bracket.role for bracket in brackets if bracket] == [
        BracketRole.PARENT,
        BracketRole.CHILD,
        BracketRole.CHILD,
    ]
    assert (profit.order_type, profit.limit_price) == (OrderType.LIMIT, 5100)
    assert (loss.order_type, loss.stop_price) == (OrderType.STOP, 4900)
    assert {order.direction.sign for order in (profit, loss)} == {-1}
    assert profit.time_in_force is TimeInForce.GTC
    assert len(given.events("ib.order_received")) == 1


async def test_entries_are_opened_in_their_order_and_each_for_itself(desks: World) -> None:
    late = entry(order={"goodTillDate": "20200102 15:00:00"})
    given = await hand_in(desks, submit(entry(1), late, entry(3)))
    ended = await given.outcome()
    assert ended.status is CommandStatus.DONE
    first, refused, third = ended.orders
    assert (first.refusal, third.refusal, third.quantity) == (None, None, "3")
    assert (refused.order_index, refused.order_id, refused.symbol) == (1, None, "ES")
    assert refused.refusal is not None
    assert (refused.refusal.code, refused.refusal.facts["field"]) == (
        Code.VALIDATION_FAILED,
        "orders.1.order.goodTillDate",
    )
    assert [order.metadata["order_index"] for order in reversed(given.orders())] == [0, 2]
    assert len(given.events("ib.order_received")) == 2


async def test_an_entry_waits_for_its_instrument_and_holds_up_no_other(desks: World) -> None:
    unknown = entry(1, contract={**ES, "symbol": "NQ"})
    given = await hand_in(desks, submit(unknown, entry(2)))
    await until(lambda: len(given.orders()) == 1, "the entry after it is opened", 30)
    assert given.kept().status is CommandStatus.WORKING
    assert given.orders()[0].metadata["order_index"] == 1
    desks.store.reference.put_instrument(FUTURE.model_copy(update={"symbol": "NQ"}), "INS-NQ")
    ended = await given.outcome()
    assert [(told.order_index, told.symbol) for told in ended.orders] == [(0, "NQ"), (1, "ES")]
    assert len(given.orders()) == 2


async def test_a_dry_run_says_what_it_would_open_and_opens_nothing(desks: World) -> None:
    given = await hand_in(desks, submit(bracketed(), entry(2), dry_run=True))
    ended = await given.outcome()
    assert ended.status is CommandStatus.DRY_RUN
    assert [(told.order_index, told.part, told.order_id) for told in ended.orders] == [
        (0, Part.ENTRY, None),
        (0, Part.TAKE_PROFIT, None),
        (0, Part.STOP_LOSS, None),
        (1, Part.ENTRY, None),
    ]
    assert "Buy 2 ES Market" in (ended.orders[3].detail or "")
    assert given.orders() == []
    assert [event["event_type"] for event in given.events()] == ["oms.submit"]
    assert given.kept().status is CommandStatus.DRY_RUN


async def test_a_halt_refuses_entries_and_a_dry_run_of_them(desks: World) -> None:
    halt = Halt(scope=HaltScope.PORTFOLIO, subject="PORT-001", reason="a drill", by="risk", since=NOW)
    desks.store.halts.set(halt)
    try:
        for dry_run in (False, True):
            given = await hand_in(desks, submit(entry(), dry_run=dry_run))
            (told,) = (await given.outcome()).orders
            assert told.refusal is not None
            assert told.refusal.code == Code.HALTED
            assert given.orders() == []
    finally:
        desks.store.halts.lift(HaltScope.PORTFOLIO, "PORT-001", "risk", "over")


async def test_an_exit_that_fails_its_check_takes_its_entry_with_it(desks: World) -> None:
    small_orders_only(desks)
    try:
        given = await hand_in(desks, submit(bracketed()))
        ended = await given.outcome()
    finally:
        desks.store.rules.deactivate(SMALL_ORDERS)
    assert "it failed its pre-trade check" in (ended.orders[1].detail or "")
    assert "canceled with its entry" in (ended.orders[0].detail or "")
    orders = await until(
        lambda: [o for o in given.orders() if o.state is State.CANCELED], "the whole entry is canceled"
    )
    assert len(orders) == 3
    assert all(not order.executed_quantity for order in orders)


async def test_a_flatten_reports_each_leg_and_its_order_is_the_commands(desks: World) -> None:
    holding(desks, 3)
    payload = {"cancel_open_first": False, "wait_seconds": 1}
    dry = await hand_in(desks, signed("oms.flatten", {**payload, "dry_run": True}))
    tried = await dry.outcome()
    assert tried.status is CommandStatus.DRY_RUN
    assert [(told.part, told.order_id) for told in tried.orders] == [(Part.FLATTEN, None)]
    given = await hand_in(desks, signed("oms.flatten", payload))
    (told,) = (await given.outcome()).orders
    order = given.order(told)
    assert (told.part, order.direction.sign, order.order_type) == (Part.FLATTEN, -1, OrderType.MARKET)
    assert order.metadata["message_id"] == given.asked.message_id
    assert [event["event_type"] for event in given.events()] == ["oms.flatten", "ib.order_received"]
    assert given.kept().status is CommandStatus.DONE


async def test_a_flatten_of_an_account_that_is_not_the_tenants_is_refused(desks: World) -> None:
    given = await hand_in(desks, signed("oms.flatten", {"account": "DU999999"}))
    ended = await given.outcome()
    assert (ended.status, ended.orders) == (CommandStatus.REFUSED, ())
    assert [event.data["code"] for event in given.alarms()] == [Code.INVALID_ACCOUNT]


async def test_a_command_is_shown_with_its_tenant_its_entries_and_its_outcome(desks: World) -> None:
    given = await hand_in(desks, submit(entry(4)))
    ended = await given.outcome()
    history = await given.handle.fetch_history()
    summaries = [
        event.user_metadata.summary.data.decode()
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    ]
    assert any("BUY 4 ES" in summary for summary in summaries)
    assert any("Buy 4 ES Market" in summary for summary in summaries)
    assert SECRET not in str(history.to_json())
    details = await current_details(given)
    assert f"**{ended.status}**" in details
    for said in ("oms.submit", "**nts**", "1 entries", ended.orders[0].order_id or "", "`program`"):
        assert said in details


async def current_details(given: Given) -> str:
    metadata = await given.handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    return str(metadata.current_details)


async def test_the_same_command_started_again_is_answered_and_done_once(desks: World) -> None:
    given = await hand_in(desks, submit(entry()))
    ended = await given.outcome()
    again = await hand_in(desks, given.asked)
    assert (await again.outcome()).orders == ended.orders
    assert len(given.orders()) == 1
    assert len(given.events()) == 2
    assert given.alarms() == []
