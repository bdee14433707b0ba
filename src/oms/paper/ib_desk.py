"""The paper broker's desk: one place where facts are booked, kept and told.

Synchronous and free of sockets: the sessions it tells are queues, and ``settle`` commits the ledger
before it lets them send.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from oms.paper import ib_messages as messages
from oms.paper.accounts import Accounts, Position
from oms.paper.corrections import corrected, one_tick_worse
from oms.paper.hours import EASTERN, TradingHours
from oms.paper.ib_session import Session
from oms.paper.ledger import Ledger
from oms.paper.market import Market, MarketSettings
from oms.paper.matching import MatchingEngine, Numbers
from oms.paper.order_identity import told_execution, told_key, told_order
from oms.paper.orders import (
    CANCELLED,
    HELD,
    ZERO,
    Execution,
    Fact,
    OrderExecuted,
    OrderKept,
    OrderKey,
    OrderReported,
    PaperOrder,
    corrected_id,
)
from oms.paper.telling import Telling

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
        self.telling = Telling(self.sessions, self.hidden)
        self.executions_booked = 0
        self.ids_rolled_back: set[int] = set()
        self._list_days = list_days
        self._highest = self.ledger.highest_order_ids()
        self._hidden: dict[OrderKey, datetime] = {}
        self._moved: set[tuple[str, int]] = set()
        self._stale_accounts: set[str] = set()
        self._kept: dict[str, int] = {}
        self._to_correct: dict[OrderKey, tuple[int, bool]] = {}
        self._corrections: list[tuple[int, str, bool]] = []
        self._numbers = self._kept_numbers()
        live = self.ledger.live_orders()
        self.engine = MatchingEngine(self.market, self._numbers, self._seen, hours, live)
        self._twinned = {told_key(o.key) for o in live if o.terms.client_id < 0}

    def _kept_numbers(self) -> Numbers:
        counters = self.ledger.counters()
        # A new state file starts at a number from the clock, so that permIds differ from an older file's.
        start = int(self.clock().timestamp()) % _PERM_ID_SECONDS * 5
        perm_id = max(counters.get("perm_id", start), self.ledger.highest_perm_id())
        return Numbers(perm_id, counters.get("execution", 0))

    def _seen(self, key: OrderKey) -> PaperOrder | None:
        if key[1] > self._highest.get(key[0], 0):
            return None
        order = self.ledger.order(key)
        return None if order is None or _lost(order) else order

    def forget_held(self) -> None:
        """Lose the orders held back by transmit 0, as a gateway that restarts does: their ids are free again."""
        held = [o for o in self.engine.live.values() if o.status == HELD]
        for order in [o for o in held if o.key not in self.telling.located]:
            del self.engine.live[order.key]
            self.ledger.put_order(replace(order, status=CANCELLED, completed_at=None))

    # Ids

    def twin(self, key: OrderKey) -> None:
        """Remember that more than one order may be told under a key."""
        self._twinned.add(key)

    def addressed(self, key: OrderKey) -> OrderKey:
        """The key in the book of the order that a message to a told key reaches: the newest live one."""
        if key in self._twinned:
            # The youngest twin has the lowest client id in the book.
            return min((k for k in self.engine.live if told_key(k) == key), default=key)
        return key

    def next_order_id(self, client_id: int) -> int:
        """Highest order id this client has used, plus 1."""
        if client_id in self.ids_rolled_back:
            self.ids_rolled_back.discard(client_id)
            return 1
        return self._highest.get(client_id, 0) + 1

    def known_clients(self) -> list[int]:
        """Client ids that have ever used an order id; other hands than a client's aside."""
        return [client_id for client_id in self._highest if client_id >= 0]

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
            self.telling.shown(o)
            for o in self.engine.live.values()
            if (o.status != HELD or o.key in self.telling.located)
            and client_id in {None, told_key(o.key)[0]}
            and not self.hidden(o.key)
        ]

    def completed_orders(self) -> list[PaperOrder]:
        """Orders finished in the listed days."""
        listed = self.ledger.completed_orders(self._list_start())
        return [told_order(o) for o in listed if not self.hidden(o.key)]

    def executions(self) -> list[Execution]:
        """Executions of the listed days, corrections and what they corrected included."""
        listed = self.ledger.executions(self._list_start())
        return [told_execution(e) for e in listed if not self.hidden((e.client_id, e.order_id))]

    def _list_start(self) -> datetime:
        """Midnight in New York of the first listed day: the broker lists the current day only."""
        today = self.clock().astimezone(EASTERN).replace(hour=0, minute=0, second=0, microsecond=0)
        return today - timedelta(days=self._list_days - 1)

    # Facts

    def apply(self, facts: Iterable[Fact]) -> None:
        """Book facts and queue what is told about them."""
        for fact in facts:
            if isinstance(fact, OrderKept):
                self._keep(fact.order)
            elif isinstance(fact, OrderReported):
                self.ledger.put_order(fact.order)
                self.telling.located.discard(fact.order.key)
                self.telling.order(fact.order)
            elif isinstance(fact, OrderExecuted):
                self._execute(fact)
            else:
                self.telling.refusal(fact)

    def tell_error(self, client_id: int, request_id: int, code: int, text: str) -> None:
        """Queue an error message for one client, about a request or an order of its own."""
        self.telling.answer((client_id, request_id), code, text)

    def _keep(self, order: PaperOrder) -> None:
        self.ledger.put_order(order)
        if order.key in self.telling.located and not order.live:
            self.telling.located.discard(order.key)
            self.telling.order(order)

    def _execute(self, fact: OrderExecuted) -> None:
        order = fact.order
        execution = self.accounts.book(fact.execution)
        self.executions_booked += 1
        if order.key in self._to_correct:
            after, bust = self._to_correct.pop(order.key)
            self._corrections.append((self.executions_booked + after, execution.exec_id, bust))
        self.ledger.put_order(order)
        self.ledger.put_execution(execution)
        self._account_moved(execution.account, execution.instrument.con_id)
        self.telling.execution(order, execution)

    # Corrections

    def correct_first(self, key: OrderKey, after: int, *, bust: bool) -> None:
        """Correct or bust the next execution of an order, once ``after`` more executions of any order are booked."""
        self._to_correct[key] = (after, bust)

    def correct(self, exec_id: str, quantity: Decimal, price: Decimal) -> str:
        """Book a correction and tell it as the broker does: one more execution under the bumped id, which it returns.

        Raises KeyError for an unknown execution, ValueError when it was corrected before or would overfill.
        """
        before, after, order = corrected(self.ledger, exec_id, quantity, price)
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
        self.telling.correction(order.key, after)
        return after.exec_id

    def _run_corrections(self) -> None:
        due = [each for each in self._corrections if each[0] <= self.executions_booked]
        for each in due:
            self._corrections.remove(each)
            _, exec_id, bust = each
            before = self.ledger.execution(exec_id)
            if before is None or self.ledger.execution(corrected_id(exec_id)) is not None:
                continue
            self.correct(exec_id, *((ZERO, ZERO) if bust else (before.quantity, one_tick_worse(before))))

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
        self._run_corrections()
        self.telling.finish_batch()
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


def _lost(order: PaperOrder) -> bool:
    """Whether an order was held back and lost before anybody worked it."""
    return order.status == CANCELLED and order.completed_at is None
