"""Flattening an account by a signed command: every position to zero and never beyond, whatever works or stops."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from temporalio.worker import Worker

from oms.activities.flattening import FlattenActivities
from oms.api.aiming import Targets
from oms.domain.drafting import nanoseconds
from oms.domain.errors import Code
from oms.domain.order import Order
from oms.domain.programs.events import RECEIVED
from oms.domain.programs.outcomes import CommandOutcome, CommandStatus, Part
from oms.domain.programs.tenants import Tenant
from oms.domain.reference import InstrumentTerms, Portfolio
from oms.domain.terms import OrderType, Role, State
from oms.gateways.errors import GatewayNotReady
from oms.store import ForeignOrder
from oms.workers.order_worker import build_command_worker, build_desk_worker
from oms.workflows import flattening
from oms.workflows.programs import TARGET_QUEUE
from tests.stack import temporal_server, until
from tests.workflows import commanding
from tests.workflows.aiming import AFTER, BEFORE, LONG_AGO_NS, Dying, Range, a_range, book_of, holds, position
from tests.workflows.commanding import Given, all_orders, entry, hand_in, settings_of, signed, submit
from tests.workflows.venue import ACCOUNT
from tests.workflows.world import World, quiet

Tell = Callable[..., None]


@pytest.fixture
async def aims(tmp_path: Path) -> AsyncIterator[Range]:
    quiet()
    async with temporal_server() as server, a_range(await server.client(), tmp_path) as made:
        commanding.prepare(made.world)
        made.venue.filled |= {"ES", "NQ", "CL", "AAPL"}
        for symbol in ("NQ", "CL"):
            made.store.reference.put_instrument(
                InstrumentTerms(symbol=symbol, sec_type="FUT", exchange="CME", expiry="2030-03-15"),
                f"INS-{symbol}",
            )
        made.store.reference.put_instrument(InstrumentTerms(symbol="AAPL"), "INS-AAPL")
        yield made


async def flatten(world: World, **payload: Any) -> Given:
    return await hand_in(world, signed("oms.flatten", payload))


def sent(world: World, outcome: CommandOutcome) -> dict[str, tuple[str, Decimal]]:
    """What each leg of the report has sent: direction and quantity."""
    assert [leg.part for leg in outcome.orders] == [Part.FLATTEN] * len(outcome.orders)
    orders = {leg.symbol: world.store.orders.get(leg.order_id) for leg in outcome.orders if leg.order_id}
    return {
        symbol: (order.direction.value, order.ordered_quantity) for symbol, order in orders.items() if order
    }


async def working(aims: Range, quantity: int, action: str) -> Order:
    """An order for ES that works and that somebody else's command opened."""
    aims.venue.filled.discard("ES")
    outcome = await (await hand_in(aims.world, submit(entry(quantity, action)))).outcome()
    order_id = outcome.orders[0].order_id or ""
    await until(lambda: aims.store.orders.get(order_id).live_placements, "it works")
    aims.venue.filled.add("ES")
    order: Order = aims.store.orders.get(order_id)
    return order


async def test_every_position_that_is_meant_and_no_other(aims: Range) -> None:
    holds(
        aims,
        position("ES", 3),
        position("NQ", -2),
        position("CL", 5),
        position("AAPL", 100, sec_type="STK"),
    )
    async with commanding.commanding(aims.world):
        given = await flatten(aims.world, exclude=["CL"])
        outcome = await given.outcome()
    assert (outcome.status, outcome.detail) == (CommandStatus.DONE, None)
    assert sent(aims.world, outcome) == {"ES": ("Sell", 3), "NQ": ("BuyToCover", 2)}
    es = given.order(next(leg for leg in outcome.orders if leg.symbol == "ES"))
    assert es.order_type is OrderType.MARKET
    assert es.metadata["message_id"] == given.asked.message_id
    assert es.request.handling.send_by is not None
    assert len(given.orders()) == 2
    told = sorted(event["symbol"] for event in given.events("ib.order_received"))  # aimed several at a time
    assert told == ["ES", "NQ"]


async def test_twice_is_once_and_flat_stays_flat(aims: Range) -> None:
    holds(aims, position("ES", 3))
    async with commanding.commanding(aims.world):
        first, second = await asyncio.gather(flatten(aims.world), flatten(aims.world))
        legs = [*(await first.outcome()).orders, *(await second.outcome()).orders]
        await until(lambda: sum(aims.store.targets.held_in(ACCOUNT).values()) == -3, "the fill")
        third = await (await flatten(aims.world)).outcome()
    assert len([leg for leg in legs if leg.order_id]) == 1
    assert [leg.detail for leg in third.orders] == ["nothing to do: 0 is held"]
    assert aims.at_the_venue("ES") == -3


async def test_orders_that_work_are_ended_first(aims: Range) -> None:
    async with commanding.commanding(aims.world):
        order = await working(aims, 2, "BUY")
        holds(aims, position("ES", 3))
        outcome = await (await flatten(aims.world)).outcome()
    assert aims.store.orders.get(order.order_id).state is State.CANCELED
    assert sent(aims.world, outcome) == {"ES": ("Sell", 3)}


async def test_orders_that_do_not_end_in_time_are_told_of_and_count(aims: Range) -> None:
    aims.venue.refuses_cancels.add("ES")
    async with commanding.commanding(aims.world):
        selling, buying = await working(aims, 1, "SELL"), await working(aims, 2, "BUY")
        aims.venue.refuses_cancels.discard("ES")
        holds(aims, position("ES", 3))
        outcome = await (await flatten(aims.world, wait_seconds=1)).outcome()
    assert outcome.detail is not None
    assert selling.order_id in outcome.detail
    assert buying.order_id in outcome.detail
    assert sent(aims.world, outcome) == {"ES": ("Sell", 2)}, "one is being sold already"


async def test_open_orders_stay_where_nobody_asked_to_end_them(aims: Range) -> None:
    async with commanding.commanding(aims.world):
        order = await working(aims, 1, "SELL")
        holds(aims, position("ES", 1))
        outcome = await (await flatten(aims.world, cancel_open_first=False)).outcome()
    assert aims.store.orders.get(order.order_id).state is State.ROUTED
    assert [leg.detail for leg in outcome.orders] == ["nothing to do: -1 works towards flat already"]


async def test_in_a_shared_account_only_what_is_the_portfolios_own(aims: Range) -> None:
    other = Portfolio(portfolio_id="PORT-003", name="Beside", default_account_id="ACCT-001")
    aims.store.reference.put_portfolio(other)
    async with commanding.commanding(aims.world):
        await (await hand_in(aims.world, submit(entry(2)))).outcome()
        await until(lambda: aims.store.targets.held_in(ACCOUNT), "the fill")
        held = position("ES", 9).model_copy(update={"unbooked": 7})
        holds(aims, held, position("NQ", 4))
        outcome = await (await flatten(aims.world)).outcome()
    assert sent(aims.world, outcome) == {"ES": ("Sell", 2)}
    assert outcome.detail is not None
    assert "others trade in" in outcome.detail


async def test_an_account_that_others_begin_to_trade_in_meanwhile(aims: Range) -> None:
    """A flatten may wait for its gateway for an hour: what is the portfolio's own is looked at when it goes on."""
    async with commanding.commanding(aims.world):
        await (await hand_in(aims.world, submit(entry(2)))).outcome()
        await until(lambda: aims.store.targets.held_in(ACCOUNT), "the fill")
        aims.venue.accounts[ACCOUNT] = GatewayNotReady("the session is being restored")
        given = await flatten(aims.world)
        await until(lambda: aims.venue.readings >= 1, "the first reading")
        other = Portfolio(portfolio_id="PORT-003", name="Beside", default_account_id="ACCT-001")
        aims.store.reference.put_portfolio(other)
        holds(aims, position("ES", 9).model_copy(update={"unbooked": 7}), position("NQ", 4))
        outcome = await given.outcome()
    assert sent(aims.world, outcome) == {"ES": ("Sell", 2)}
    assert "others trade in" in (outcome.detail or "")


async def test_a_gateway_that_comes_back_is_asked_then(aims: Range) -> None:
    aims.venue.accounts[ACCOUNT] = GatewayNotReady("the session is being restored")
    async with commanding.commanding(aims.world):
        given = await flatten(aims.world)
        await until(lambda: aims.venue.readings >= 1, "the first reading")
        holds(aims, position("ES", 3, steady=False))
        await until(lambda: aims.venue.readings >= 2, "the second reading")
        holds(aims, position("ES", 3))
        outcome = await given.outcome()
    assert sent(aims.world, outcome) == {"ES": ("Sell", 3)}


async def test_a_gateway_that_stays_away_is_given_up(aims: Range, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flattening, "BEYOND", timedelta(seconds=1))
    aims.venue.accounts[ACCOUNT] = GatewayNotReady("the session is being restored")
    async with commanding.commanding(aims.world):
        outcome = await (await flatten(aims.world, wait_seconds=0)).outcome()
    assert (outcome.status, outcome.orders) == (CommandStatus.DONE, ())
    assert outcome.detail is not None
    assert "the session is being restored" in outcome.detail
    assert all_orders(aims.world) == []


async def test_a_position_that_never_stands_still_is_left(
    aims: Range, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flattening, "BEYOND", timedelta(seconds=1))
    holds(aims, position("ES", 3, steady=False), position("NQ", 1))
    async with commanding.commanding(aims.world):
        outcome = await (await flatten(aims.world, wait_seconds=0)).outcome()
    es, nq = outcome.orders
    assert (es.symbol, es.order_id) == ("ES", None)
    assert "on their way" in (es.detail or "")
    assert nq.order_id is not None


async def test_a_leg_that_nobody_comes_to_in_time_is_planned_with_a_new_reading(aims: Range) -> None:
    holds(aims, position("ES", 3), read_ns=time.time_ns() - LONG_AGO_NS)
    async with commanding.commanding(aims.world):
        given = await flatten(aims.world)
        await until(lambda: aims.venue.readings >= 2, "the second reading")
        holds(aims, position("ES", 1))
        outcome = await given.outcome()
    assert sent(aims.world, outcome) == {"ES": ("Sell", 1)}
    assert outcome.detail is None


async def test_a_leg_that_nobody_ever_comes_to_in_time_is_left(
    aims: Range, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flattening, "BEYOND", timedelta(seconds=1))
    holds(aims, position("ES", 3), read_ns=time.time_ns() - LONG_AGO_NS)
    async with commanding.commanding(aims.world):
        outcome = await (await flatten(aims.world, wait_seconds=0)).outcome()
    (leg,) = outcome.orders
    assert leg.order_id is None
    assert (
        leg.detail
        == "not flattened: nobody came to it while the reading of the account was fresh, until the end"
    )
    assert (outcome.detail or "").startswith("given up at 20")
    assert all_orders(aims.world) == []


async def test_a_dry_run_says_what_it_would_do(aims: Range) -> None:
    holds(aims, position("ES", 3))
    async with commanding.commanding(aims.world):
        outcome = await (await flatten(aims.world, dry_run=True)).outcome()
    assert outcome.status is CommandStatus.DRY_RUN
    assert [(leg.order_id, leg.detail) for leg in outcome.orders] == [(None, "dry run: Sell 3")]
    assert all_orders(aims.world) == []


async def test_a_dry_run_reckons_with_the_orders_that_it_would_end(aims: Range) -> None:
    async with commanding.commanding(aims.world):
        order = await working(aims, 1, "SELL")
        holds(aims, position("ES", 3))
        ending = await (await flatten(aims.world, dry_run=True)).outcome()
        beside = await (await flatten(aims.world, dry_run=True, cancel_open_first=False)).outcome()
    assert [leg.detail for leg in ending.orders] == ["dry run: Sell 3"]
    assert ending.detail == f"dry run: ended first would be {order.order_id}"
    assert [leg.detail for leg in beside.orders] == ["dry run: Sell 2"]
    assert beside.detail is None
    assert aims.store.orders.get(order.order_id).state is State.ROUTED


async def test_where_nothing_is_held_it_says_so(aims: Range) -> None:
    holds(aims, position("AAPL", 100, sec_type="STK"))
    async with commanding.commanding(aims.world):
        outcome = await (await flatten(aims.world, sec_types=["FUT", "OPT"])).outcome()
    assert (outcome.status, outcome.orders) == (CommandStatus.DONE, ())
    assert outcome.detail == f"nothing of FUT, OPT to flatten is held in {ACCOUNT}"


async def test_an_account_that_is_not_the_tenants_or_out_of_reach_is_refused(aims: Range) -> None:
    holds(aims, position("ES", 3))
    beyond = signed("oms.flatten", {}).model_copy(update={"reach": ("ACCT-002",)})
    async with commanding.commanding(aims.world):
        asked = [await flatten(aims.world, account=name) for name in ("DU999999", "ACCT-002", "NOBODY")]
        refused = [await given.outcome() for given in [*asked, await hand_in(aims.world, beyond)]]
    assert {outcome.status for outcome in refused} == {CommandStatus.REFUSED}
    codes = [outcome.refusal.code for outcome in refused if outcome.refusal is not None]
    assert codes == [Code.INVALID_ACCOUNT] * 3 + [Code.INVALID_TENANT]
    assert all_orders(aims.world) == []


async def test_an_account_that_the_key_has_lost_since_is_refused(aims: Range) -> None:
    aims.store.tenants.put(Tenant(tenant="nts", portfolio_id="PORT-001", accounts=("ACCT-002",)))
    aims.store.keys.create("program", [Role.PM], "secret-program", accounts=["ACCT-001"])
    async with commanding.commanding(aims.world):
        outcome = await (await flatten(aims.world, account="ACCT-002")).outcome()
    assert outcome.status is CommandStatus.REFUSED
    assert outcome.refusal is not None
    assert outcome.refusal.code == Code.INVALID_ACCOUNT


async def test_a_leg_is_announced_before_the_venue_speaks_of_it(aims: Range) -> None:
    holds(aims, position("ES", 3))
    async with commanding.commanding(aims.world):
        given = await flatten(aims.world)
        outcome = await given.outcome()
    order = given.order(outcome.orders[0])
    (event,) = aims.store.venue_events.tail(1, message_id=given.asked.message_id)
    assert (event.event_type, event.order_id, event.order_index) == (RECEIVED, order.order_id, 0)
    assert (event.body["action"], event.body["totalQuantity"]) == ("SELL", 3)
    assert event.ts_init_ns < nanoseconds(order.created_at)


@asynccontextmanager
async def dying_targets(aims: Range, dying: Dying) -> AsyncIterator[None]:
    """The workers of a flatten, of which the one that waits for targets dies."""
    world, settings = aims.world, settings_of(aims.world, commanding.SECRET)
    acts = FlattenActivities(world.store, book_of(world), dying)  # type: ignore[arg-type]  # all that is asked of it
    async with (
        build_desk_worker(world.client, world.store, settings),
        build_command_worker(world.client, world.store, settings),
        Worker(
            world.client,
            task_queue=TARGET_QUEUE,
            activities=[acts.scope_flatten, acts.list_positions, acts.aim_position],
        ),
    ):
        yield


@pytest.mark.parametrize("when", [BEFORE, AFTER])
async def test_a_crash_between_two_legs_is_not_seen(aims: Range, when: str) -> None:
    holds(aims, position("ES", 3), position("NQ", -2))
    dying = Dying(Targets(aims.world.client), 1, when, "ask")
    async with dying_targets(aims, dying):
        given = await flatten(aims.world)
        await asyncio.wait_for(dying.hangs.wait(), 20)
    async with commanding.commanding(aims.world):
        outcome = await given.outcome()
    assert sent(aims.world, outcome) == {"ES": ("Sell", 3), "NQ": ("BuyToCover", 2)}
    assert len(given.orders()) == 2


async def test_one_contract_under_two_descriptions_is_one_leg(aims: Range) -> None:
    """In an account of one's own, and in a shared one, where the books alone say what is held."""
    for name in ("SMART", "NASDAQ"):
        terms = InstrumentTerms(symbol="TWIN", exchange=name, conid=555)
        aims.instruments[name] = aims.store.reference.put_instrument(terms, f"INS-{name}")
    aims.venue.filled.add("TWIN")
    twin = {"sec_type": "STK", "symbol": "TWIN", "conid": 555, "instrument_id": "INS-NASDAQ"}
    async with commanding.commanding(aims.world):
        for is_shared, asked in ((False, (100, 50)), (True, (30, 40))):
            if is_shared:
                other = Portfolio(portfolio_id="PORT-003", name="Beside", default_account_id="ACCT-001")
                aims.store.reference.put_portfolio(other)
            for name, quantity in zip(("NASDAQ", "SMART"), asked, strict=True):
                await aims.ask(aims.aim(name, quantity))
                await until_held(aims, quantity)
            held = position("TWIN", asked[1]).model_copy(update={**twin, "unbooked": Decimal(0)})
            holds(aims, held)
            outcome = await (await flatten(aims.world, sec_types=["STK"])).outcome()
            assert len(outcome.orders) == 1
            await until_held(aims, 0)
            assert aims.at_the_venue("TWIN") == 0


async def until_held(aims: Range, quantity: int) -> None:
    await until(lambda: sum(aims.store.targets.held_in(ACCOUNT).values()) == quantity, f"{quantity} are held")


@pytest.mark.parametrize("written", ["BRK.B", "BRK B", "brk/b", "OTHER"])
async def test_what_is_excluded_is_so_under_each_of_its_names(aims: Range, written: str) -> None:
    """Ours, the broker's, that of another description, and however the share class is set apart."""
    for number, symbol in enumerate(("BRK.B", "OTHER")):
        terms = InstrumentTerms(symbol=symbol, conid=72063691)
        aims.instruments[symbol] = aims.store.reference.put_instrument(terms, f"INS-BRK-{number}")
    async with commanding.commanding(aims.world):
        await aims.ask(aims.aim("BRK.B", 10))
        await until(lambda: aims.orders("BRK.B") and aims.orders("BRK.B")[0].live_placements, "it works")
        theirs = {"symbol": "BRK B", "conid": 72063691, "instrument_id": None}
        holds(aims, position("BRK B", 9, sec_type="STK").model_copy(update=theirs), position("ES", 1))
        outcome = await (await flatten(aims.world, exclude=[written], sec_types=["STK", "FUT"])).outcome()
    assert sent(aims.world, outcome) == {"ES": ("Sell", 1)}
    assert [order.state for order in aims.orders("BRK.B")] == [State.ROUTED]


async def test_orders_of_others_count_and_are_named(aims: Range) -> None:
    told = {"gateway": "ibkr", "account": ACCOUNT, "status": "Submitted", "origin": "TWS", "action": "SELL"}
    seen = {"sec_type": "FUT", "conid": 0, "first_seen_ns": 1, "last_seen_ns": 1, **told}
    orders = [
        ForeignOrder.model_validate(
            {"key": "perm/1", "symbol": "AAPL", "quantity": 2, **seen, "sec_type": "STK"}
        ),
        ForeignOrder.model_validate({"key": "perm/2", "symbol": "CL", "quantity": 5, **seen}),
        ForeignOrder.model_validate({"key": "perm/3", "symbol": "NQ", "quantity": 5, **seen}),
    ]
    aims.store.foreign.keep("ibkr", orders, [], 1)
    holds(aims, position("AAPL", 3, sec_type="STK"))
    async with commanding.commanding(aims.world):
        given = await flatten(aims.world, exclude=["NQ"], sec_types=["STK", "FUT"])
        outcome = await given.outcome()
    assert sent(aims.world, outcome) == {"AAPL": ("Sell", 1)}
    assert (outcome.detail or "").endswith(
        "not placed through this order book: perm/1 (SELL 2 AAPL, TWS), perm/2 (SELL 5 CL, TWS)"
    )
