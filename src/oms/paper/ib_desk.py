"""The paper broker's desk: one place where facts are booked, kept and told.

Synchronous and free of sockets: the sessions it tells are queues, and ``settle`` commits the ledger
before it lets them send.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path

from oms.paper import ib_messages as messages
from oms.paper.accounts import Accounts, Position
from oms.paper.faults import FaultKind
from oms.paper.hours import EASTERN, TradingHours
from oms.paper.ib_session import Session
from oms.paper.ledger import Ledger
from oms.paper.market import Market, MarketSettings
from oms.paper.matching import MatchingEngine, Numbers
from oms.paper.orders import (
    HELD,
    Execution,
    Fact,
    OrderExecuted,
    OrderKept,
    OrderKey,
    OrderRefused,
    OrderReported,
    PaperOrder,
)

Clock = Callable[[], datetime]
_PERM_ID_SECONDS = 400_000_000


class Desk:
    """Market, matching, accounts and ledger behind one gateway."""

    def __init__(
        self,
        *,
        accounts: tuple[str, ...],
        seed: int,
        state_file: Path | None,
        clock: Clock,
        hours: TradingHours | None,
        market: MarketSettings,
        list_days: int,
    ) -> None:
        self.clock = clock
        self.hours = hours
        self.ledger = Ledger(state_file)
        self.market = Market(seed, market, self.ledger.quotes())
        self.accounts = Accounts(accounts, self.market, self.ledger.positions(), self.ledger.cash())
        self.sessions: dict[int, Session] = {}
        self.online = True
        self.faults: dict[OrderKey, FaultKind] = {}
        self.ids_rolled_back: set[int] = set()
        self._list_days = list_days
        self._highest = self.ledger.highest_order_ids()
        self._hidden: dict[OrderKey, datetime] = {}
        self._moved: set[tuple[str, int]] = set()
        self._stale_accounts: set[str] = set()
        self._kept: dict[str, int] = {}
        self._numbers = self._kept_numbers()
        self.engine = MatchingEngine(self.market, self._numbers, self._seen, hours, self.ledger.live_orders())

    def _kept_numbers(self) -> Numbers:
        counters = self.ledger.counters()
        # A new state file starts at a number from the clock, so that permIds differ from an older file's.
        start = int(self.clock().timestamp()) % _PERM_ID_SECONDS * 5
        perm_id = max(counters.get("perm_id", start), self.ledger.highest_perm_id())
        return Numbers(perm_id, counters.get("execution", 0))

    def _seen(self, key: OrderKey) -> PaperOrder | None:
        if key[1] > self._highest.get(key[0], 0):
            return None
        return self.ledger.order(key)

    # Ids

    def next_order_id(self, client_id: int) -> int:
        """Highest order id this client has used, plus 1."""
        if client_id in self.ids_rolled_back:
            self.ids_rolled_back.discard(client_id)
            return 1
        return self._highest.get(client_id, 0) + 1

    def known_clients(self) -> list[int]:
        """Client ids that have ever used an order id."""
        return list(self._highest)

    def use_order_id(self, client_id: int, order_id: int) -> None:
        """Remember that a client used an id (after the order was handled: it also tells new from seen)."""
        if order_id > self._highest.get(client_id, 0):
            self._highest[client_id] = order_id
            self.ledger.put_highest_order_id(client_id, order_id)

    # Visibility (a fault): orders no list shows for a while

    def hide(self, key: OrderKey, seconds: float) -> None:
        """Leave an order and its executions out of every list and message for some time."""
        self._hidden[key] = self.clock() + timedelta(seconds=seconds)

    def hidden(self, key: OrderKey) -> bool:
        until = self._hidden.get(key)
        if until is not None and self.clock() >= until:
            del self._hidden[key]
            return False
        return until is not None

    # Lists

    def open_orders(self, client_id: int | None = None) -> list[PaperOrder]:
        """Live orders a list shows: not held, not hidden; of one client or of all."""
        return [
            o
            for o in self.engine.live.values()
            if o.status != HELD and client_id in {None, o.terms.client_id} and not self.hidden(o.key)
        ]

    def completed_orders(self) -> list[PaperOrder]:
        """Orders finished in the listed days."""
        return [o for o in self.ledger.completed_orders(self._list_start()) if not self.hidden(o.key)]

    def executions(self) -> list[Execution]:
        """Executions of the listed days, corrections and what they corrected included."""
        listed = self.ledger.executions(self._list_start())
        return [e for e in listed if not self.hidden((e.client_id, e.order_id))]

    def _list_start(self) -> datetime:
        """Midnight in New York of the first listed day: the broker lists the current day only."""
        today = self.clock().astimezone(EASTERN).replace(hour=0, minute=0, second=0, microsecond=0)
        return today - timedelta(days=self._list_days - 1)

    # Facts

    def apply(self, facts: Iterable[Fact]) -> None:
        """Book facts and queue what is told about them."""
        for fact in facts:
            if isinstance(fact, OrderKept):
                self.ledger.put_order(fact.order)
            elif isinstance(fact, OrderReported):
                self.ledger.put_order(fact.order)
                self._tell_order(fact.order)
            elif isinstance(fact, OrderExecuted):
                self._execute(fact)
            else:
                self._tell_refusal(fact)

    def tell_error(self, client_id: int, request_id: int, code: int, text: str) -> None:
        """Queue an error message for one client."""
        session = self.sessions.get(client_id)
        if session is not None:
            session.send(messages.error(request_id, code, text, session.version))

    def _listener(self, key: OrderKey) -> Session | None:
        """Who hears about an order: the client that placed it, if it is there and may see the order."""
        return None if self.hidden(key) else self.sessions.get(key[0])

    def _tell_refusal(self, fact: OrderRefused) -> None:
        session = self._listener((fact.client_id, fact.order_id))
        if session is not None:
            session.send(messages.error(fact.order_id, fact.code, fact.text, session.version))

    def _tell_order(self, order: PaperOrder) -> None:
        session = self._listener(order.key)
        if session is not None:
            session.send(messages.open_order_message(order, session.version))
            self._tell_status(session, order)

    def _tell_status(self, session: Session, order: PaperOrder) -> None:
        times = {FaultKind.MISSING_STATUS: 0, FaultKind.DUPLICATE_STATUS: 2}
        fault = self.faults.get(order.key)
        for _ in range(times.get(fault, 1) if fault else 1):
            session.send(messages.order_status(order))

    def _execute(self, fact: OrderExecuted) -> None:
        order = fact.order
        execution = self.accounts.book(fact.execution)
        self.ledger.put_order(order)
        self.ledger.put_execution(execution)
        self._account_moved(execution.account, execution.instrument.con_id)
        session = self._listener(order.key)
        if session is None:
            return
        version = session.version
        early = self.faults.get(order.key) is FaultKind.COMMISSION_FIRST
        if early:
            session.send(messages.commission_report(execution))
        session.send(messages.execution_details(-1, execution, version))
        charged_before = order.commission - execution.commission
        session.send(messages.open_order_message(order, version, fee=charged_before))
        self._tell_status(session, order)
        session.send(messages.open_order_message(order, version))
        if not early:
            session.send(messages.commission_report(execution))

    def record_correction(self, before: Execution, after: Execution, order: PaperOrder) -> None:
        """Book a correction and tell it as the broker does: one more execution under the bumped id."""
        self.ledger.put_execution(after, replaces=before.exec_id)
        self.ledger.put_order(order)
        if order.live:
            self.engine.live[order.key] = order
        key = (after.account, after.instrument.con_id)
        effective = [
            e for e in self.ledger.executions(effective=True) if (e.account, e.instrument.con_id) == key
        ]
        self.accounts.correct(before, after, effective)
        self._account_moved(*key)
        session = self._listener(order.key)
        if session is not None:
            session.send(messages.execution_details(-1, after, session.version))
            session.send(messages.commission_report(after))

    def _account_moved(self, account: str, con_id: int) -> None:
        self._moved.add((account, con_id))
        self._stale_accounts.add(account)

    # Telling subscribers

    def step(self) -> None:
        """One market step: prices move, orders work, accounts are revalued."""
        traded = self.engine.traded()
        watched = {con_id for s in self.sessions.values() for con_id in s.market_data.values()}
        if self.hours is None or self.hours.is_open(self.clock()):
            self.market.move(sorted(traded | watched))
        if self.online:
            self.apply(self.engine.step(self.clock()))
        for account in self._stale_accounts:
            for session in self.sessions.values():
                if account in session.account_updates:
                    self.tell_account(session, account)
        self._stale_accounts.clear()

    @property
    def busy(self) -> bool:
        """Whether a market step would matter to anyone."""
        watching = any(s.market_data for s in self.sessions.values())
        return bool(self.engine.live or self._stale_accounts or watching)

    def tell_account(self, session: Session, account: str) -> None:
        """Queue the account values (6)."""
        for tag, value, currency in self.accounts.values(account):
            session.send([6, 2, tag, value, currency, account])

    def settle(self, *, send: bool = True) -> None:
        """Keep everything, then let the sessions send. Raises sqlite3.Error with nothing sent."""
        self._tell_positions()
        self._tell_ticks()
        counters = {"perm_id": self._numbers.perm_id, "execution": self._numbers.execution}
        for name in counters.keys() - {n for n, value in counters.items() if self._kept.get(n) == value}:
            self.ledger.put_counter(name, counters[name])
        self._kept = counters
        self.ledger.commit()
        if send:
            for session in list(self.sessions.values()):
                session.flush()

    def _tell_positions(self) -> None:
        for key in self._moved:
            held = self.accounts.positions[key]
            self.ledger.put_position(held)
            self.ledger.put_cash(held.account, self.accounts.cash[held.account])
            self._tell_position(held)
        self._moved.clear()

    def _tell_position(self, held: Position) -> None:
        for session in self.sessions.values():
            if session.wants_positions:
                session.send(messages.position(held))
            if held.account in session.account_updates:
                session.send(messages.portfolio(held, self.accounts))

    def _tell_ticks(self) -> None:
        changed = self.market.changed
        for con_id in changed:
            self.ledger.put_quote(con_id, self.market.quote(con_id))
        for session in self.sessions.values():
            for request_id, con_id in session.market_data.items():
                if con_id in changed and self.online:
                    quote = self.market.quote(con_id)
                    for message in messages.ticks(request_id, quote, session.told.get(request_id)):
                        session.send(message)
                    session.told[request_id] = quote
        changed.clear()
