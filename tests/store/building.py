"""Real orders for the tests of the store, made by the domain itself: each step is one batch of events."""

import itertools
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from oms.domain import commands as cmd
from oms.domain import facts as fact
from oms.domain.apply import fold
from oms.domain.commands import SYSTEM, Actor
from oms.domain.compliance import Verdict, pre_trade_command
from oms.domain.decide import Opening, decide, opening_events
from oms.domain.events import Event, Share
from oms.domain.identifiers import identifier, uuid7
from oms.domain.observe import observe
from oms.domain.order import Order
from oms.domain.reference import Instrument
from oms.domain.terms import Direction, OrderType, PlacementStatus, Role, TimeInForce
from oms.store import Store

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
NS = int(NOON.timestamp()) * 1_000_000_000
EVERYBODY = Actor(key="desk", roles=(Role.PM, Role.TRADER, Role.OPS, Role.COMPLIANCE))
APPLE = Instrument(instrument_id="INS-AAPL", symbol="AAPL")
_count = itertools.count()


def new_id(prefix: str) -> str:
    """A fresh identifier; later ones sort after earlier ones."""
    return identifier(prefix, uuid7(NS // 1_000_000 + next(_count), os.urandom(10)))


class Tale:
    """One order and how it came about: `batches` are (order after, events), as a workflow would record them."""

    def __init__(
        self,
        *,
        at: datetime = NOON,
        instrument: Instrument = APPLE,
        shares: Sequence[Share] = (),
        **request: Any,
    ) -> None:
        wanted = {
            "portfolio_id": "PORT-001",
            "instrument_id": instrument.instrument_id,
            "direction": Direction.BUY,
            "ordered_quantity": Decimal(100),
            "order_type": OrderType.MARKET,
            "time_in_force": TimeInForce.DAY,
        }
        self.at = at
        self.actor = EVERYBODY
        opening = Opening(
            order_id=new_id("ORD"),
            request=cmd.CreateOrder(**{**wanted, **request}),
            instrument=instrument,
            default_account_id="ACCT-001",
            actor=EVERYBODY,
            ts_event_ns=self.now_ns,
            shares=tuple(shares),
        )
        events = opening_events(opening, at)
        self.order: Order = fold(None, events)
        self.batches: list[tuple[Order, list[Event]]] = [(self.order, events)]

    @property
    def id(self) -> str:
        return self.order.order_id

    @property
    def now_ns(self) -> int:
        return int(self.at.timestamp()) * 1_000_000_000 + self.at.microsecond * 1_000

    @property
    def events(self) -> list[Event]:
        return [event for _, events in self.batches for event in events]

    def took(self, events: Sequence[Event]) -> "Tale":
        if events:
            self.order = fold(self.order, events)
            self.batches.append((self.order, list(events)))
        return self

    def do(self, *commands: Any) -> "Tale":
        """Give the commands, a second apart, with every role there is."""
        for command in commands:
            self.at += timedelta(seconds=1)
            asked = cmd.Instruction(command=command, actor=self.actor, ts_event_ns=self.now_ns)
            self.took(decide(self.order, asked, self.at))
        return self

    def as_actor(self, key: str) -> "Tale":
        """Commands from here on come from somebody else, with every role there is."""
        self.actor = Actor(key=key, roles=EVERYBODY.roles)
        return self

    def hear(self, *facts: fact.Fact) -> "Tale":
        """Observe the facts as one batch."""
        self.at += timedelta(seconds=1)
        return self.took(observe(self.order, facts, self.at, "IBKR"))

    def waiting(self) -> "Tale":
        """Its pre-trade check is asked for."""
        return self.do(cmd.RequestPreTradeCompliance())

    def judged(self, verdict: Verdict) -> "Tale":
        """What the engine said becomes what happened, as the workflow has it."""
        return self.do(pre_trade_command(verdict))

    def placed(self) -> "Tale":
        """Through compliance to the desk and to the venue, whole."""
        return self.waiting().do(cmd.PassPreTradeCompliance()).sent()

    def sent(self) -> "Tale":
        """From a passed check to the desk and to the venue, whole."""
        self.do(cmd.SendToTrader())
        return self.do(
            cmd.CreatePlacement(
                placement_id=new_id("PLC"), venue="IBKR", account="DU1", quantity=self.order.ordered_quantity
            )
        )

    def execution(self, quantity: object, price: object, exec_id: str | None = None) -> fact.Executed:
        return fact.Executed(
            placement_id=self.order.placements[-1].placement_id,
            exec_id=exec_id or f"{new_id('X')}.01",
            quantity=Decimal(str(quantity)),
            price=Decimal(str(price)),
            currency="USD",
            venue="IBKR",
            ts_event_ns=self.now_ns,
            ts_init_ns=self.now_ns,
        )

    def filled(self, quantity: object = None, price: object = "150.25") -> "Tale":
        """One execution of `quantity` (default: all)."""
        return self.hear(self.execution(quantity or self.order.ordered_quantity, price))

    def charged(self, exec_id: str, commission: str = "1.05") -> "Tale":
        return self.hear(
            fact.Charged(
                exec_id=exec_id,
                commission=Decimal(commission),
                currency="USD",
                ts_event_ns=self.now_ns,
                ts_init_ns=self.now_ns,
            )
        )

    def busted(self, exec_id: str) -> "Tale":
        placement_id = self.order.placements[-1].placement_id
        times = {"ts_event_ns": self.now_ns, "ts_init_ns": self.now_ns}
        return self.hear(fact.Busted(placement_id=placement_id, exec_id=exec_id, **times))

    def reported(self, status: PlacementStatus, **more: Any) -> "Tale":
        placement_id = self.order.placements[-1].placement_id
        times = {"ts_event_ns": self.now_ns, "ts_init_ns": self.now_ns}
        return self.hear(fact.PlacementReported(placement_id=placement_id, status=status, **times, **more))

    def allocated(self, account_id: str, quantity: object, portfolio_id: str = "PORT-001") -> "Tale":
        return self.do(
            cmd.CreateAllocation(
                allocation_id=new_id("ALC"),
                account_id=account_id,
                portfolio_id=portfolio_id,
                quantity=Decimal(str(quantity)),
            )
        )

    def recorded(self, store: Store) -> "Tale":
        """Record every batch that is not recorded yet, one after the other."""
        last = len(store.journal.of_order(self.id))
        for order, events in self.batches:
            if order.version > last:
                store.journal.record(order, events)
        return self


def straight_through(**request: Any) -> Tale:
    """An order that is created, filled in two parts, closed, allocated and confirmed: about twenty events."""
    tale = Tale(**request).placed().reported(PlacementStatus.WORKING, venue_order_ids=("7",))
    half = tale.order.ordered_quantity / 2
    first, second = tale.execution(half, "150.25"), tale.execution(half, "150.75")
    tale.hear(first).hear(second).charged(first.exec_id).charged(second.exec_id)
    tale.do(cmd.CloseOrder(), cmd.SendToOperations(allocation_id=new_id("ALC")))
    return tale.do(cmd.RequestPostTradeCompliance(), cmd.PassPostTradeCompliance(), cmd.ConfirmOrder())


__all__ = ["APPLE", "EVERYBODY", "NOON", "NS", "SYSTEM", "Tale", "new_id", "straight_through"]
