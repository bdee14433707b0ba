"""Reconciliation with the broker's statements, end to end: a broker, its gateway, orders, the Flex service."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import ib_async as iba
import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError
from temporalio.worker import Worker

from oms.activities.venue import VenueActivities
from oms.domain.breaks import BreakCategory, BreakStatus
from oms.domain.control import ControlKind
from oms.domain.statements import FlexAsk
from oms.domain.terms import State
from oms.gateways.ibkr import IBKRGateway, IBKRSettings
from oms.paper.flex import FlexPlan, FlexService
from oms.paper.ib_gateway import PaperIBGateway
from oms.paper.market import MarketSettings
from oms.store import IntentState, Store
from oms.workers.delivery import FactDelivery
from oms.workers.flex import flex_worker
from oms.workers.settings import Settings
from oms.workflows.contract import gateway_queue
from oms.workflows.flex import (
    CONFIGURE_SIGNAL,
    FLEX_WORKFLOW,
    LAST_QUERY,
    RECONCILE_UPDATE,
    FlexInput,
    FlexOutcome,
    FlexReconciliation,
    FlexSchedule,
)
from tests.flexing import HURRIED, serving
from tests.flexing import Broker as Book
from tests.flexing import service as flex_service
from tests.stack import TemporalServer, temporal_server, until
from tests.workflows.venue import ScriptedVenue
from tests.workflows.world import World, custodian, new_store, quiet, replayed

ACCOUNT, ZONE = "DU123456", "US/Eastern"
DAY = timedelta(days=1)


class Clock:
    """The time, and as many days later as a test has lived through."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def ns(self) -> int:
        return int(self().timestamp() * 1e9)


class Broker:
    """The paper broker, its gateway processes and its statements, all with one clock."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.clock = Clock()
        market = MarketSettings(step_seconds=0.02, moving=False)
        self.paper = PaperIBGateway(state_file=folder / "paper.db", market=market, clock=self.clock)
        self.flex: FlexService = flex_service(
            folder / "paper.db", days=2, clock=lambda: self.clock() + timedelta(seconds=2)
        )

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[IBKRGateway]:
        """One life of the gateway process, until it dies."""
        settings = IBKRSettings(
            port=self.paper.port,
            accounts=(ACCOUNT,),
            name="ibkr/1",
            acknowledge_seconds=0.6,
            grace_seconds=0.2,
            backoff_seconds=0.2,
            lease_seconds=1.0,
            end_of_day=None,
        )
        delivery = FactDelivery(self.world.client, self.world.store, "IBKR")
        gateway = IBKRGateway(settings, self.world.store, delivery, clock=self.clock.ns)
        venue = VenueActivities(gateway)
        worker = Worker(
            self.world.client,
            task_queue=gateway_queue("IBKR", ACCOUNT),
            activities=[venue.place, venue.modify, venue.cancel, venue.ask, venue.resync],
        )
        await gateway.start()
        try:
            async with worker:
                await asyncio.wait_for(gateway.ready(), 15)
                yield gateway
        finally:
            await gateway.stop()

    def falls(self, symbol: str) -> None:
        """The market comes down to every resting buy."""
        quote = self.paper.quote(symbol)
        self.paper.set_price(symbol, quote.bid / 100, quote.ask / 100)

    async def trade_by_hand(self, symbol: str, quantity: int) -> None:
        """Somebody else buys in our account."""
        client = iba.IB()
        await client.connectAsync("127.0.0.1", self.paper.port, clientId=99, timeout=5)
        trade = client.placeOrder(iba.Stock(symbol, "SMART", "USD"), iba.MarketOrder("BUY", quantity))
        await until(lambda: trade.orderStatus.status == "Filled", "the order by hand is filled")
        client.disconnect()


@pytest.fixture(scope="module")
async def temporal() -> AsyncIterator[TemporalServer]:
    quiet()
    async with temporal_server() as running:
        yield running


@pytest.fixture
async def world(temporal: TemporalServer, tmp_path: Path) -> AsyncIterator[World]:
    """Orders that meet a real gateway; nothing here is scripted."""
    client = await temporal.client()
    store = new_store(tmp_path)
    with custodian(tmp_path / "custodian.db") as url:
        made = World(client, store, ScriptedVenue(), url, account=ACCOUNT)
        async with made.working():
            yield made
    store.close()


@pytest.fixture
async def broker(world: World, tmp_path: Path) -> AsyncIterator[Broker]:
    made = Broker(world, tmp_path)
    await made.paper.start()
    yield made
    await made.paper.stop()


@asynccontextmanager
async def reconciling(
    client: Client, store: Store, flex: FlexService, workflow_id: str | None = None
) -> AsyncIterator[WorkflowHandle[Any, Any]]:
    """The worker and its workflow, as every process with a token has them."""
    name = workflow_id or f"flex/{uuid.uuid4().hex}"
    with serving(flex) as at:
        settings = Settings(flex_url=at.url, flex_token=at.token, flex_query_id=at.query_id)
        worker = flex_worker(client, store, settings, queue=name, workflow_id=name, pace=HURRIED)
        async with worker:
            yield client.get_workflow_handle(name)
    if workflow_id is None:
        await client.get_workflow_handle(name).terminate("the test is over")


async def reconcile(handle: WorkflowHandle[Any, Any], **ask: Any) -> FlexOutcome:
    outcome: FlexOutcome = await handle.execute_update(
        RECONCILE_UPDATE, FlexAsk(**ask), result_type=FlexOutcome
    )
    return outcome


async def last(handle: WorkflowHandle[Any, Any]) -> FlexOutcome | None:
    found: FlexOutcome | None = await handle.query(LAST_QUERY, result_type=FlexOutcome)
    return found


async def test_an_execution_that_nobody_heard_of_is_booked_once_and_a_foreign_one_is_a_break(
    world: World, broker: Broker
) -> None:
    """The gateway dies, the order is filled, the day ends: no list of the broker's gateway shows it any more."""
    limit = {"order_type": "Limit", "limit_price": "5", "ordered_quantity": "10"}
    async with broker.gateway() as gateway:
        known = await world.open(
            symbol="MSFT", order_type="Market", limit_price=None, automation="straight_through"
        )
        missed = await world.open(symbol="AAPL", automation="straight_through", **limit)
        await known.becomes(lambda order: order.executed_quantity == 100, "filled")
        await missed.becomes(lambda order: order.placements and order.state is State.ROUTED, "working")
        await until(
            lambda: world.store.intents.in_state(1, IntentState.ACKNOWLEDGED, gateway=gateway.settings.name),
            "acknowledged",
        )
    broker.falls("AAPL")
    await until(lambda: [e for e in broker.paper.executions() if e.symbol == "AAPL"], "filled at the broker")
    broker.clock.ahead = DAY
    await broker.trade_by_hand("XOM", 7)

    async with broker.gateway(), reconciling(world.client, world.store, broker.flex) as handle:
        await until(
            lambda: world.store.intents.in_state(1, IntentState.IN_DOUBT, gateway=gateway.settings.name),
            "nobody knows",
        )
        outcome = await reconcile(handle)
        assert outcome.failed is None
        (first,) = outcome.compared
        assert (first.matched, first.waiting, first.trades - first.matched) == (first.trades - 1, 0, 1)
        assert first.given >= 3
        order = await missed.becomes(lambda order: order.executed_quantity == 10, "booked")
        theirs = [e for e in broker.paper.executions() if e.symbol == "AAPL"]
        assert {e.exec_id: e.quantity for e in order.ledger.executions.values()} == {
            e.exec_id: e.quantity for e in theirs
        }
        (intent,) = world.store.intents.in_state(1, IntentState.DONE, gateway=gateway.settings.name)[-1:]
        assert intent.placement_id == missed.placement_id
        assert (await reconcile(handle)).compared[0].given == 0
        assert sum(e.kind == "fill_booked" for e in world.store.journal.of_order(missed.order_id)) == len(
            theirs
        )

        opened = world.store.breaks.list(status=BreakStatus.OPEN, account=ACCOUNT)
        flex = {one.category: one for one in opened if one.source.startswith("flex/")}
        assert (flex[BreakCategory.TRADE].theirs, flex[BreakCategory.TRADE].ours) == ("7", "")
        assert (flex[BreakCategory.POSITION].theirs, flex[BreakCategory.POSITION].ours) == ("7", "0")
        world.store.breaks.resolve(
            flex[BreakCategory.TRADE].break_id, "ops", "the treasurer's", broker.clock.ns()
        )
        again = (await reconcile(handle)).compared[0]
        assert (again.opened, again.given) == (0, 0)
        told = world.store.control.stream(0, kinds=[ControlKind.BREAK_OPENED])
        assert sum(event.subject == flex[BreakCategory.TRADE].break_id for event in told) == 1
        await replayed(await handle.fetch_history(), workflow=FlexReconciliation)


# -- the workflow -----------------------------------------------------------------------------------------------------


@pytest.fixture
def flex(tmp_path: Path) -> FlexService:
    """A service over a broker's book in which nothing has happened."""
    book = Book(tmp_path / "quiet.db")
    book.trades("1", account="DU-OTHER")
    return flex_service(book.file)


async def test_it_runs_at_its_time_of_day_by_itself(world: World, flex: FlexService) -> None:
    async with reconciling(world.client, world.store, flex) as handle:
        assert await last(handle) is None
        soon = (datetime.now(UTC) + timedelta(seconds=1)).time().replace(microsecond=0)
        await handle.signal(CONFIGURE_SIGNAL, FlexSchedule(at=soon, zone="UTC"))

        async def has_run() -> FlexOutcome | None:
            return await last(handle)

        outcome = await until(has_run, "the daily run")
        assert [one.account for one in outcome.compared] == [ACCOUNT]
        assert len(world.store.statements.list()) == 1


async def test_what_the_service_refuses_is_shown_and_asked_again(world: World, flex: FlexService) -> None:
    flex.follow(FlexPlan(send=(1012,), in_progress=0))
    async with reconciling(world.client, world.store, flex) as handle:
        outcome = await reconcile(handle)
        assert "make a new token" in (outcome.failed or "")
        assert outcome.compared == ()
        assert (await reconcile(handle)).is_clean
        assert await last(handle) is not None
    assert world.store.breaks.list() == ()


async def test_several_who_ask_at_once_are_answered_each(world: World, flex: FlexService) -> None:
    async with reconciling(world.client, world.store, flex) as handle:
        outcomes = await asyncio.gather(*(reconcile(handle) for _ in range(3)))
        assert all(outcome.is_clean for outcome in outcomes)
        assert len(world.store.statements.list()) == 1


async def test_it_goes_on_in_another_history_and_answers_everybody(world: World, flex: FlexService) -> None:
    name = f"flex/{uuid.uuid4().hex}"
    given = FlexInput(schedule=FlexSchedule(at=time(7), zone=ZONE), runs=1)
    handle = await world.client.start_workflow(FLEX_WORKFLOW, given, id=name, task_queue=name)
    latest = world.client.get_workflow_handle(name)
    async with reconciling(world.client, world.store, flex, workflow_id=name):
        outcomes = await asyncio.gather(*(reconcile(latest) for _ in range(4)))
        assert all(outcome.is_clean for outcome in outcomes)

        async def is_another() -> bool:
            return (await latest.describe()).run_id != handle.first_execution_run_id

        await until(is_another, "another history")
        assert await last(latest) is not None
        await replayed(await handle.fetch_history(), workflow=FlexReconciliation)
    await latest.terminate("the test is over")


async def test_a_worker_that_dies_between_the_steps_repeats_nothing_harmful(
    world: World, flex: FlexService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies when the statement is kept and before anything is compared; the next worker goes on from there."""
    name = f"flex/{uuid.uuid4().hex}"
    kept = asyncio.Event()
    loop = asyncio.get_running_loop()
    real = world.store.statements.body

    def dying(statement_id: str) -> bytes:
        loop.call_soon_threadsafe(kept.set)
        raise ConnectionError("the worker is going down")

    monkeypatch.setattr(world.store.statements, "body", dying)
    async with reconciling(world.client, world.store, flex, workflow_id=name) as handle:
        asked = asyncio.create_task(reconcile(handle))
        await asyncio.wait_for(kept.wait(), 20)
    monkeypatch.setattr(world.store.statements, "body", real)
    async with reconciling(world.client, world.store, flex, workflow_id=name):
        outcome = await asyncio.wait_for(asked, 30)
    assert (outcome.is_clean, outcome.fresh) == (True, 1)
    assert len(world.store.statements.list()) == 1
    await handle.terminate("the test is over")


async def test_without_a_token_nothing_runs(world: World) -> None:
    name = f"flex/{uuid.uuid4().hex}"
    async with flex_worker(world.client, world.store, Settings(), queue=name, workflow_id=name):
        with pytest.raises(RPCError, match="not found"):
            await world.client.get_workflow_handle(name).describe()
