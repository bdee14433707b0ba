"""A paper Interactive Brokers Gateway on a TCP port.

Speaks the TWS API socket protocol (server versions 157 to 178), keeps its state in one SQLite file and
offers a control interface for tests and faults. Nothing is sent before it is committed.

What becomes of an order:

==================================  ================================================================
MKT                                 fills at once up to the displayed size, the rest at each market
                                    step (liquid names show a few hundred to a few thousand shares)
LMT that the market reaches         the same, at the better price it finds
LMT away from the market            rests; fills at its own price, in parts, when the market comes
STP, STP LMT                        wait for the bid or offer to reach the stop, then as MKT or LMT
MOC, LOC, tif OPG                   trade whole at the last price in the auction: the session's end or
                                    beginning, or the next market step when there are no hours
IOC, FOK                            what does not fill at once is cancelled with 202
DAY, GTD                            cancelled with 202 at the session's end (only with hours), at the date
THIN, any type                      100 shares a side, then nothing until a price is set by hand
HALTD, any type                     rejected: status Inactive, then error 201
==================================  ================================================================

A commission report follows each execution: 0.005 USD a unit, at least 1.00, at most 1 % of its value.
Accounts begin with a million USD; buying power is shown, not enforced.
"""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from oms.paper import ib_messages as messages
from oms.paper.faults import FaultKind, FaultPlan
from oms.paper.hours import TradingHours
from oms.paper.ib_book import PaperExecution, PaperOrderLine
from oms.paper.ib_desk import Clock, Desk
from oms.paper.ib_front import GatewayFront
from oms.paper.ib_requests import CONNECTIVITY_LOST, handle
from oms.paper.ib_session import Session
from oms.paper.instruments import Instrument, find
from oms.paper.market import MarketSettings, Quote
from oms.paper.orders import commission, corrected_id

_LOG = logging.getLogger(__name__)

SERVER_VERSIONS = range(157, 179)


def system_clock() -> datetime:
    """Now, aware, in UTC."""
    return datetime.now(UTC)


class PaperIBGateway(GatewayFront):
    """The gateway. Run one inside an event loop: ``start``, connect clients to ``port``, ``stop``.

    server_version: what is answered to a client that offers it (157 to 178).
    seed: of the market model. state_file: None keeps nothing over a restart.
    clock: the time of executions, expiries and lists; must return aware datetimes.
    hours: None trades always. list_days: how many days (New York) completed orders and executions list.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        server_version: int = 178,
        accounts: tuple[str, ...] = ("DU123456",),
        seed: int = 1,
        state_file: Path | None = None,
        clock: Clock = system_clock,
        hours: TradingHours | None = None,
        market: MarketSettings | None = None,
        faults: FaultPlan | None = None,
        list_days: int = 1,
    ) -> None:
        if server_version not in SERVER_VERSIONS:
            raise ValueError(f"server version {server_version} is not one of 157 to 178")
        if not accounts:
            raise ValueError("at least one account is needed")
        self._address = (host, port)
        self._settings = market or MarketSettings()
        desk = Desk(
            accounts=accounts,
            seed=seed,
            state_file=state_file,
            clock=clock,
            hours=hours,
            market=self._settings,
            list_days=list_days,
        )
        super().__init__(server_version, desk, faults or FaultPlan())

    # Life

    @property
    def port(self) -> int:
        """The port listened on. Raises RuntimeError before ``start``."""
        if self._server is None:
            raise RuntimeError("the paper gateway is not started")
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Listen, and let the market move."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Session(self), *self._address)
        if self._settings.step_seconds is not None:
            self._market_task = loop.create_task(self._run_market(self._settings.step_seconds))
            self._market_task.add_done_callback(_report_end)
        self._wake()
        _LOG.info("paper gateway listens on %s:%d", self._address[0], self.port)

    async def stop(self) -> None:
        """Close every connection and the state file."""
        if self._market_task is not None:
            self._market_task.cancel()
            await asyncio.wait([self._market_task])
        for session in list(self._connections):
            session.close()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        self._desk.ledger.close()

    async def _run_market(self, step_seconds: float) -> None:
        while True:
            await self._busy.wait()
            await asyncio.sleep(step_seconds)
            self.step_market()
            if not self._desk.busy:
                self._busy.clear()

    # Control interface

    def executions(self) -> list[PaperExecution]:
        """The gateway's own book: executions in force, oldest first."""
        return [
            PaperExecution(
                e.exec_id,
                e.order_ref,
                e.perm_id,
                e.client_id,
                e.order_id,
                e.account,
                e.instrument.symbol,
                e.side,
                e.quantity,
                e.price,
                e.commission,
            )
            for e in self._desk.ledger.executions(effective=True)
        ]

    def orders(self) -> list[PaperOrderLine]:
        """All orders the gateway has taken, by permId."""
        return [
            PaperOrderLine(
                *o.key,
                o.perm_id,
                o.terms.order_ref,
                o.terms.account,
                o.terms.instrument.symbol,
                o.terms.side,
                o.terms.quantity,
                o.terms.order_type,
                o.status,
                o.filled,
            )
            for o in self._desk.ledger.all_orders()
        ]

    def quote(self, symbol: str) -> Quote:
        """The current quote of a symbol. Raises KeyError for an unknown one."""
        return self._desk.market.quote(_instrument(symbol).con_id)

    def set_price(self, symbol: str, bid: Decimal, ask: Decimal, size: Decimal | None = None) -> None:
        """Set and hold a price, and match at once.

        With a size, exactly that much can be bought and that much sold until it is set again; without
        one the symbol's own liquidity stands. Raises KeyError for an unknown symbol.
        """
        con_id = _instrument(symbol).con_id
        self._desk.market.set_quote(con_id, bid, ask, size)
        if self._desk.online:
            self._desk.apply(self._desk.engine.step(self._desk.clock(), con_id))
        self._settle()

    def release_price(self, symbol: str) -> None:
        """Let a price that was set by hand walk again."""
        self._desk.market.release(_instrument(symbol).con_id)
        self._settle()

    def step_market(self, steps: int = 1) -> None:
        """Take market steps now, besides those the wall clock takes."""
        for _ in range(steps):
            self._desk.step()
            self._settle()

    def correct_execution(self, exec_id: str, quantity: Decimal, price: Decimal) -> str:
        """Correct an execution (quantity 0 is a bust) and tell the client; returns the correction's id.

        The order's figures, the position and the cash follow; a finished order stays finished. Raises
        KeyError for an unknown execution, ValueError when it was corrected before or would overfill.
        """
        ledger = self._desk.ledger
        before = ledger.execution(exec_id)
        order = ledger.order((before.client_id, before.order_id)) if before else None
        if before is None or order is None:
            raise KeyError(exec_id)
        new_id = corrected_id(exec_id)
        if ledger.execution(new_id) is not None:
            raise ValueError(f"{exec_id} was corrected already")
        filled = order.filled - before.quantity + quantity
        if quantity < 0 or filled > order.terms.quantity:
            raise ValueError(f"a correction to {quantity} does not fit the order")
        fee = commission(quantity, price, before.instrument.multiplier)
        order = replace(
            order,
            filled=filled,
            cost=order.cost - before.quantity * before.price + quantity * price,
            commission=order.commission - before.commission + fee,
        )
        if order.live and order.remaining == 0:
            raise ValueError("a correction that completes a live order is not offered")
        after = replace(
            before,
            exec_id=new_id,
            quantity=quantity,
            price=price,
            cumulative=before.cumulative - before.quantity + quantity,
            average_price=order.average_price,
            commission=fee,
        )
        self._desk.record_correction(before, after, order)
        self._settle()
        return new_id

    def drop_connections(self) -> None:
        """Break every connection without a word."""
        for session in list(self._connections):
            self._break(session)

    def connectivity_lost(self) -> None:
        """Error 1100 to all: the gateway lost its broker; orders are taken but neither told nor matched.

        Orders taken meanwhile are in memory only, as a gateway holds them, and die with the process.
        """
        self._desk.online = False
        self._broadcast(1100, CONNECTIVITY_LOST)

    def connectivity_restored(self, *, data_lost: bool) -> None:
        """Error 1101 (market-data subscriptions are gone) or 1102 to all; waiting orders are handled."""
        self._desk.online = True
        if data_lost:
            for session in self._desk.sessions.values():
                session.market_data.clear()
        kept = "lost" if data_lost else "maintained"
        text = f"Connectivity between IBKR and Trader Workstation has been restored - data {kept}."
        self._broadcast(1101 if data_lost else 1102, text)
        waiting, self._deferred = self._deferred, []
        for session, texts in waiting:
            handle(self._desk, session, texts)
        self._settle()
        self._wake()

    def fall_silent(self) -> None:
        """Neither read nor answer, with every connection left open, until ``speak_again``."""
        self._silent = True

    def speak_again(self) -> None:
        """Handle what arrived in the silence and send what was held back."""
        self._silent = False
        waiting, self._unread = self._unread, []
        for session, payloads in waiting:
            self.receive(session, payloads)
        self._settle()

    def roll_back_ids(self) -> None:
        """Answer nextValidId 1 to the next connection of each client, as after a daily restart.

        Ids used before stay used: an order under one of them is refused with 103 or modifies a live one.
        """
        self._desk.ids_rolled_back = set(self._desk.known_clients())

    def fail_next_place(self, kind: FaultKind | str, order_ref: str = "") -> None:
        """Commit a fault on the next placeOrder, or on the next one with an orderRef."""
        if order_ref:
            self.faults.by_order_ref[order_ref] = FaultKind(kind)
        else:
            self.faults.queued.append(FaultKind(kind))

    def _broadcast(self, code: int, text: str) -> None:
        for session in self._desk.sessions.values():
            session.send(messages.error(-1, code, text, session.version))
        self._settle()


def _instrument(symbol: str) -> Instrument:
    hits = find(symbol=symbol)
    if not hits:
        raise KeyError(symbol)
    return hits[0]


def _report_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _LOG.critical("the paper market stopped", exc_info=task.exception())
