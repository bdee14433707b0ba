"""Signed commands for tests: signed as any producer signs, started as the API starts them, done by a real worker."""

import asyncio
import itertools
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
    UnsandboxedWorkflowRunner,
    Worker,
)

from oms.activities.commanding import CommandActivities
from oms.activities.desk import Answer
from oms.api.order_book import OrderBook
from oms.domain.commands import Actor
from oms.domain.control import ControlEvent, ControlKind
from oms.domain.decide import Opening
from oms.domain.errors import Code, Refused
from oms.domain.order import Order
from oms.domain.programs import envelopes
from oms.domain.programs.envelopes import CommandKind
from oms.domain.programs.outcomes import Commanded, CommandInput, CommandOutcome, CommandRecord, CommandStatus
from oms.domain.programs.targets import AccountRead, BrokerPosition
from oms.domain.programs.tenants import Tenant
from oms.domain.reference import Account, InstrumentTerms, Portfolio
from oms.domain.rules.rule import Rule
from oms.domain.terms import Role
from oms.workers.order_worker import build_command_worker, build_desk_worker
from oms.workers.settings import Settings
from oms.workers.target_worker import build_target_worker
from oms.workflows.command import CommandWorkflow
from oms.workflows.programs import COMMAND_QUEUE, COMMAND_WORKFLOW, command_workflow_id
from tests.domain.orders import NOW
from tests.workflows.desk import AFTER
from tests.workflows.venue import ACCOUNT
from tests.workflows.world import World, replayed

SECRET = secrets.token_hex(16)
PM = Actor(key="program", roles=(Role.PM,))
ES = {
    "secType": "FUT",
    "symbol": "ES",
    "lastTradeDateOrContractMonth": "20300315",
    "exchange": "CME",
    "currency": "USD",
}
FUTURE = InstrumentTerms(
    symbol="ES", sec_type="FUT", exchange="CME", expiry="2030-03-15", multiplier="50", tick_size="0.25"
)
REFUSED = "refused"
SMALL_ORDERS = "RUL-notional"
ANOTHER_QUEUE = "oms-commands-of-another"
_numbers = itertools.count(1)


def entry(quantity: int = 1, action: str = "BUY", **more: Any) -> dict[str, Any]:
    """One entry of `orders`: a market order for ES. `order`: other terms of it."""
    order = {"action": action, "totalQuantity": quantity, **more.pop("order", {})}
    return {"contract": ES, "order": order, **more}


def bracketed(**more: Any) -> dict[str, Any]:
    """A bought entry that works at a limit, with a take profit and a stop loss."""
    limit = {"orderType": "LMT", "lmtPrice": 5000}
    return entry(order=limit, bracket={"takeProfitPrice": 5100, "stopLossPrice": 4900}, **more)


def prepare(world: World) -> None:
    """Two tenants with a portfolio each, and a future that is known."""
    store = world.store
    store.reference.put_account(Account(account_id="ACCT-002", name="Another", broker_account="DU999999"))
    store.reference.put_portfolio(
        Portfolio(portfolio_id="PORT-002", name="Another", default_account_id="ACCT-002")
    )
    store.tenants.put(Tenant(tenant="nts", portfolio_id="PORT-001"))
    store.tenants.put(Tenant(tenant="other", portfolio_id="PORT-002"))
    store.reference.put_instrument(FUTURE, "INS-ES")


def holding(world: World, quantity: int) -> None:
    """The broker holds so much of the future, and no order of ours made it."""
    position = BrokerPosition(
        conid=495512563,
        symbol="ES",
        sec_type="FUT",
        currency="USD",
        quantity=quantity,
        unbooked=quantity,
        instrument_id="INS-ES",
    )
    world.venue.accounts[ACCOUNT] = AccountRead(account=ACCOUNT, positions=(position,))


def signed(
    kind: str,
    payload: dict[str, Any],
    *,
    tenant: str = "nts",
    secret: str = SECRET,
    ts_ms: int | None = None,
    nonce: str | None = None,
    idem_key: str | None = None,
    actor: Actor = PM,
) -> CommandInput:
    """A command as the API hands it to Temporal; without an idem_key it stands under a new one."""
    now_ns = time.time_ns()
    key = idem_key or f"oms:{tenant}:test-{now_ns}-{next(_numbers)}"
    envelope = envelopes.sign(
        CommandKind(kind),
        tenant,
        payload,
        secret,
        nonce=nonce or secrets.token_urlsafe(16),
        ts_ms=now_ns // 1_000_000 if ts_ms is None else ts_ms,
        idem_key=key,
    )
    return CommandInput(
        message_id=f"{now_ns // 1_000_000:013d}-{next(_numbers):010d}",
        idem_key=key,
        envelope=envelopes.text(envelope),
        actor=actor,
        received_ns=now_ns,
        correlation_id="REQ-7",
    )


def submit(*orders: dict[str, Any], dry_run: bool = False, **more: Any) -> CommandInput:
    return signed("oms.submit", {"orders": list(orders), "dry_run": dry_run}, **more)


@dataclass
class Given:
    """A command that was handed to Temporal."""

    world: World
    asked: CommandInput
    handle: WorkflowHandle[Any, Any]

    @property
    def record(self) -> CommandRecord | None:
        return self.world.store.commands.get(self.asked.idem_key)

    def kept(self) -> CommandRecord:
        record = self.record
        assert record is not None
        return record

    def orders(self) -> list[Order]:
        """Every order that there is of the command, whether it was reported or not."""
        return [
            order for order in all_orders(self.world) if order.metadata.get("command") == self.asked.idem_key
        ]

    def order(self, told: Commanded) -> Order:
        order = self.world.store.orders.get(told.order_id or "")
        assert order is not None
        return order

    def alarms(self) -> list[ControlEvent]:
        events = self.world.store.control.stream(0, 10_000, kinds=[ControlKind.COMMAND_REFUSED])
        return [event for event in events if event.subject == self.asked.message_id]

    def events(self, event_type: str | None = None) -> list[dict[str, Any]]:
        tail = self.world.store.venue_events.tail(1000, message_id=self.asked.message_id)
        return [event.body for event in tail if event_type in (None, event.event_type)]

    async def outcome(self) -> CommandOutcome:
        """How the command ended; its history replays."""
        ended: CommandOutcome = await self.handle.result()
        await replayed(await self.handle.fetch_history(), workflow=CommandWorkflow)
        return ended

    async def is_refused(self, code: str) -> None:
        """Refused with this code, recorded and alarmed once, and nothing has moved."""
        ended = await self.outcome()
        assert (ended.status, ended.orders) == (CommandStatus.REFUSED, ())
        assert ended.refusal is not None
        assert ended.refusal.code == code
        assert [event.data["code"] for event in self.alarms()] == [code]
        assert self.orders() == []
        assert self.events() == []


def all_orders(world: World) -> list[Order]:
    orders: list[Order] = []
    cursor = None
    while True:
        page = world.store.orders.list(limit=500, cursor=cursor)
        orders += page.items
        cursor = page.next_cursor
        if cursor is None:
            return orders


async def hand_in(
    world: World, asked: CommandInput, *, workflow_id: str | None = None, queue: str = COMMAND_QUEUE
) -> Given:
    handle = await world.client.start_workflow(
        COMMAND_WORKFLOW,
        asked,
        id=workflow_id or command_workflow_id(asked.idem_key),
        task_queue=queue,
        result_type=CommandOutcome,
    )
    return Given(world, asked, handle)


def settings_of(world: World, secret: str = SECRET) -> Settings:
    return Settings(
        custodian_url=world.custodian_url, envelope_secret=secret, sticky_seconds=0.5, **world.settings
    )


@asynccontextmanager
async def commanding(world: World, secret: str = SECRET) -> AsyncIterator[None]:
    """The workers of commands, of the desk and of targets, as a worker process makes them."""
    settings = settings_of(world, secret)
    async with (
        build_desk_worker(world.client, world.store, settings),
        build_target_worker(world.client, world.store, settings),
        build_command_worker(world.client, world.store, settings),
    ):
        yield


@asynccontextmanager
async def commands_only(world: World) -> AsyncIterator[None]:
    """The worker of commands alone: who carries commands to orders is away."""
    async with build_command_worker(world.client, world.store, settings_of(world)):
        yield


def small_orders_only(world: World) -> None:
    """A rule that exits of a `bracketed` entry fail, and the entry itself does not."""
    rule = Rule(
        rule_id=SMALL_ORDERS,
        rule_type="max_order_notional",
        name="no order above 252,000",
        parameters={"max_notional": "252000"},
        created_by="compliance",
        created_at=NOW,
    )
    world.store.rules.put(rule)


@asynccontextmanager
async def another_worker(world: World, secret: str) -> AsyncIterator[None]:
    """One more worker of commands, on a queue of its own, that knows other secrets."""
    async with build_command_worker(
        world.client, world.store, settings_of(world, secret), queue=ANOTHER_QUEUE
    ):
        yield


@asynccontextmanager
async def commanding_over(world: World, book: Any, *interceptors: Interceptor) -> AsyncIterator[None]:
    """The same over another order book, or with somebody between Temporal and the commands' activities."""
    acts = CommandActivities(world.store, book, [SECRET], 300)
    async with (
        build_desk_worker(world.client, world.store, settings_of(world)),
        Worker(
            world.client,
            task_queue=COMMAND_QUEUE,
            workflows=[CommandWorkflow],
            activities=[
                acts.verify_command,
                acts.plan_entry,
                acts.open_entry,
                acts.look_at_entry,
                acts.settle_command,
            ],
            workflow_runner=UnsandboxedWorkflowRunner(),
            interceptors=interceptors,
        ),
    ):
        yield


class StopsAt(Interceptor):
    """Lets activity number `at` never answer, `BEFORE` or `AFTER` it was done; so it stays until the worker ends."""

    def __init__(self, at: int, when: str) -> None:
        self.at, self.when = at, when
        self.calls: list[str] = []
        self.hangs = asyncio.Event()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the SDK's name
        return _Stopping(next, self)


class _Stopping(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, stop: StopsAt) -> None:
        super().__init__(following)
        self._stop = stop

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        stop = self._stop
        stop.calls.append(activity.info().activity_type)
        if len(stop.calls) - 1 != stop.at:
            return await super().execute_activity(input)
        if stop.when == AFTER:
            await super().execute_activity(input)
        stop.hangs.set()
        return await asyncio.Event().wait()


class Admitting:
    """The order book, whose call number `at` to open an order is refused, or never answers, `AFTER` or before it was done."""

    def __init__(self, book: OrderBook, at: int, how: str) -> None:
        self._book, self._at, self._how = book, at, how
        self.opened: list[str] = []
        self.hangs = asyncio.Event()
        self.check, self.instrument = book.check, book.instrument

    async def admit(self, opening: Opening) -> Answer:
        self.opened.append(opening.order_id)
        if len(self.opened) - 1 != self._at:
            return await self._book.admit(opening)
        if self._how == REFUSED:
            raise Refused(Code.HALTED, "Trading is halted for the firm since now by risk: a drill.")
        if self._how == AFTER:
            await self._book.admit(opening)
        self.hangs.set()
        return await asyncio.Event().wait()
