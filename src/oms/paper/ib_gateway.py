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
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from oms.paper.fault_events import Event, Operation
from oms.paper.fault_run import Committed, FaultRun
from oms.paper.faults import FaultKind, FaultPlan, Rule
from oms.paper.happenings import happen
from oms.paper.hours import TradingHours
from oms.paper.ib_book import PaperExecution, PaperOrderLine
from oms.paper.ib_desk import Clock, Desk
from oms.paper.ib_hands import instrument_of
from oms.paper.ib_outages import OutageFront
from oms.paper.market import MarketSettings, Quote
from oms.paper.order_identity import told_key

_LOG = logging.getLogger(__name__)

SERVER_VERSIONS = range(157, 179)


def system_clock() -> datetime:
    """Now, aware, in UTC."""
    return datetime.now(UTC)


class PaperIBGateway(OutageFront):
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
        self._address = host, port
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
        self._executions_before = 0

    # Life

    @property
    def port(self) -> int:
        """The port listened on. Raises RuntimeError before ``start``."""
        if self._server is None:
            raise RuntimeError("the paper gateway is not started")
        return self._address[1]

    async def start(self) -> None:
        """Listen, let the market move, and take up the fault plan."""
        await self._listen()
        if self._settings.step_seconds is not None:
            moving = self._run_market(self._settings.step_seconds)
            self._market_task = asyncio.get_running_loop().create_task(moving)
            self._market_task.add_done_callback(_report_end)
        self._wake()
        self.use_plan(self.faults)

    async def stop(self) -> None:
        """Close every connection and the state file."""
        for timer in self._timers:
            timer.cancel()
        for task in (self._market_task, self._opening):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
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
                *told_key((e.client_id, e.order_id)),
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
                *told_key(o.key),
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
        return self._desk.market.quote(instrument_of(symbol).con_id)

    def set_price(self, symbol: str, bid: Decimal, ask: Decimal, size: Decimal | None = None) -> None:
        """Set and hold a price, and match at once.

        With a size, exactly that much can be bought and that much sold until it is set again; without
        one the symbol's own liquidity stands. Raises KeyError for an unknown symbol.
        """
        con_id = instrument_of(symbol).con_id
        self._desk.market.set_quote(con_id, bid, ask, size)
        if self._desk.online:
            self._desk.apply(self._desk.engine.step(self._desk.clock(), con_id))
        self._settle()

    def release_price(self, symbol: str) -> None:
        """Let a price that was set by hand walk again."""
        self._desk.market.release(instrument_of(symbol).con_id)
        self._settle()

    def step_market(self, steps: int = 1) -> None:
        """Take market steps now, besides those the wall clock takes."""
        for _ in range(steps):
            self._run.steps += 1
            self._desk.step()
            self._settle()

    def correct_execution(self, exec_id: str, quantity: Decimal, price: Decimal) -> str:
        """Correct an execution (quantity 0 is a bust) and tell the client; returns the correction's id.

        The order's figures, the position and the cash follow; a finished order stays finished. Raises
        KeyError for an unknown execution, ValueError when it was corrected before or would overfill.
        """
        new_id = self._desk.correct(exec_id, quantity, price)
        self._settle()
        return new_id

    # Faults

    @property
    def faults(self) -> FaultPlan:
        """The plan in force; it may be changed while the gateway runs, rates and rules take effect at once."""
        return self._run.plan

    @property
    def committed(self) -> list[Committed]:
        """The journal of faults, over all plans so far: what a failing run has to tell."""
        return self._run.committed

    def use_plan(self, plan: FaultPlan) -> None:
        """Take up a plan in place of the one in force: its counts begin at 0, its events are all to come.

        What is held stays held, and what is silent stays silent, until an event of the new plan ends it.
        """
        self._run = FaultRun(plan, self._run.committed)
        self._executions_before = self._desk.executions_booked
        run = self._run
        for at, seconds in run.timed():
            self._later(seconds, partial(self._happen_late, run, at))
        self._happen()

    def fail_next_place(self, kind: FaultKind | str, order_ref: str = "") -> None:
        """Commit a fault on the next placeOrder (new or a modify), or on the next one with an orderRef."""
        if order_ref:
            self.faults.by_order_ref[order_ref] = FaultKind(kind)
        else:
            self.faults.queued.append(FaultKind(kind))

    def fail_next(
        self, on: Operation | str, kind: FaultKind | str, *, order_ref: str = "", **what: Any
    ) -> None:
        """Add a rule for the next request of a kind; ``what``: the other fields of a Rule. Raises ValueError."""
        told = {"on": on, "kind": kind, "order_ref": order_ref, **what}
        self.faults.rules.append(Rule.model_validate(told))

    def _happen(self) -> None:
        run = self._run
        run.executions = self._desk.executions_booked - self._executions_before
        for event in run.due():
            self._let_happen(event)

    def _happen_late(self, run: FaultRun, at: int) -> None:
        if run is self._run:
            self._let_happen(run.happens(at))

    def _let_happen(self, event: Event) -> None:
        _LOG.info("paper gateway: %s", event)
        try:
            happen(self, event)
        except (KeyError, ValueError) as problem:
            _LOG.warning("%s could not happen: %s", event.do, problem)


def _report_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _LOG.critical("the paper market stopped", exc_info=task.exception())
