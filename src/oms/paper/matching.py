"""The order state machine: what the paper broker does with an order, a cancel and a market step.

Pure: no sockets, no clock, no storage. Every method takes the time and returns facts in the order in
which they are to be told. Finished orders are forgotten here; the ledger remembers them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from oms.paper import acceptance
from oms.paper.acceptance import CLOSING_TYPES, STOP_TYPES
from oms.paper.algos import impatient, over, slice_size
from oms.paper.auctions import auction_due, auction_price, for_auction
from oms.paper.executing import executed
from oms.paper.families import CANCEL_ALL, changed_terms, in_family, oca_type, reduced, released_by
from oms.paper.hours import TradingHours
from oms.paper.instructions import Algo
from oms.paper.live_orders import LiveOrders
from oms.paper.market import Market, Quote
from oms.paper.orders import (
    CANCELLED,
    FILLED,
    HELD,
    INACTIVE,
    PRE_SUBMITTED,
    SUBMITTED,
    ZERO,
    Fact,
    OrderExecuted,
    OrderKept,
    OrderKey,
    OrderRefused,
    OrderReported,
    OrderTerms,
    PaperOrder,
)
from oms.paper.pricing import offered
from oms.paper.trading_times import expiry, sleeps, trades
from oms.paper.trailing import adjusted, limit_of, reached, stop_after_modify, trailed


@dataclass(slots=True)
class Numbers:
    """The counters that never go back: last permId given, last execution sequence."""

    perm_id: int
    execution: int


class MatchingEngine:
    """The live orders of all clients.

    ``seen`` answers whether an order key that is not live was used before (then it is refused with 103).
    ``modify_after``: how old an order must be before a modify finds it; an earlier one is refused with 103.
    """

    def __init__(
        self,
        market: Market,
        numbers: Numbers,
        seen: Callable[[OrderKey], PaperOrder | None],
        hours: TradingHours | None = None,
        live: Iterable[PaperOrder] = (),
    ) -> None:
        self._market = market
        self._numbers = numbers
        self._seen = seen
        self._hours = hours
        self.live = LiveOrders(live)
        self.modify_after = timedelta(0)

    def place(self, terms: OrderTerms, now: datetime) -> list[Fact]:
        """A placeOrder: a new order, a modify of a live one, or a duplicate."""
        current = self.live.get(terms.key)
        if self._is_duplicate(terms, current, now):
            return [OrderRefused(*terms.key, 103, "Duplicate order id")]
        found = self._problem(terms, now)
        if found and (current or found[0] != 201):
            return [OrderRefused(*terms.key, *found)]
        if current is not None:
            return self._modify(current, terms, now)
        self._numbers.perm_id += 1
        order = PaperOrder(terms, self._numbers.perm_id, HELD, now, expires=expiry(terms, self._hours, now))
        return self._reject(order, found, now) if found else self._admit(order, now)

    def cancel(self, key: OrderKey, now: datetime) -> list[Fact]:
        """A cancelOrder by the client that placed it."""
        order = self.live.get(key)
        if order is not None:
            return self._end(order, "", now)
        past = self._seen(key)
        if past is None:
            text = f"OrderId {key[1]} that needs to be cancelled is not found."
            return [OrderRefused(*key, 10147, text)]
        text = f"OrderId {key[1]} that needs to be cancelled can not be cancelled, state: {past.status}."
        return [OrderRefused(*key, 10148, text)]

    def cancel_all(self, now: datetime) -> list[Fact]:
        """A globalCancel: every live order of every client ends, as in TWS."""
        facts: list[Fact] = []
        for key in list(self.live):
            order = self.live.get(key)
            if order is not None:
                facts += self._end(order, "", now)
        return facts

    def step(self, now: datetime, con_id: int = 0) -> list[Fact]:
        """The market has moved or time has passed: expire, trigger and fill what is live.

        ``con_id`` limits this to one instrument.
        """
        facts: list[Fact] = []
        for key in self.live.of_contract(con_id) if con_id else list(self.live):
            order = self.live.get(key)
            if order is None or order.status == HELD:
                continue
            closing = order.terms.order_type in CLOSING_TYPES
            if order.expires is not None and now >= order.expires and not closing:
                facts += self._end(order, "order expired", now)
            else:
                facts += self._work(order, now, arriving=False)
        return facts

    def trade(self, key: OrderKey, quantity: Decimal, price: Decimal, now: datetime) -> list[Fact]:
        """Somebody trades with a live order, whatever the market shows. Raises KeyError, ValueError if it is too much."""
        order = self.live[key]
        if not ZERO < quantity <= order.remaining or order.status == HELD:
            raise ValueError(f"{quantity} cannot be traded with an order that has {order.remaining} left")
        return self._fill(order, quantity, price, now)

    def traded(self) -> set[int]:
        """Contract ids with a live order."""
        return self.live.contracts()

    def problem(self, terms: OrderTerms, now: datetime) -> tuple[int, str] | None:
        """(error code, text) if the terms cannot be accepted and transmitted as a new or changed order."""
        return self._problem(terms, now) or acceptance.refusal(terms, self._market.settings.rejects)

    def _problem(self, terms: OrderTerms, now: datetime) -> tuple[int, str] | None:
        return acceptance.problem(terms, now) or self._orphaned(terms)

    def _orphaned(self, terms: OrderTerms) -> tuple[int, str] | None:
        """A new child needs a parent that works, or that is filled."""
        parent = terms.parent_key
        if parent is None or terms.key in self.live or parent in self.live:
            return None
        past = self._seen(parent)
        if past is not None and past.status == FILLED:
            return None
        trouble = "does not exist" if past is None else f"is {past.status}"
        return 201, f"Order rejected - reason:The parent order {trouble}."

    def _is_duplicate(self, terms: OrderTerms, current: PaperOrder | None, now: datetime) -> bool:
        if current is None:
            return self._seen(terms.key) is not None
        return current.status != HELD and now - current.placed_at < self.modify_after

    # Entering and changing

    def _admit(self, order: PaperOrder, now: datetime) -> list[Fact]:
        """A new order, or a held one whose transmit flag is now set."""
        self.live[order.key] = order
        if not order.terms.transmit:
            return [OrderKept(order)]
        family = released_by(order, self.live)
        keys = {member.key for member in family}
        facts: list[Fact] = []
        for member in family:
            if member.key in self.live:
                facts += self._release(member, now)
        # Children wait for their parent, whose fill wakes them: only the heads of the family work now.
        for member in family:
            if member.terms.parent_key not in keys and member.key in self.live:
                facts += self._work(self.live[member.key], now, arriving=True)
        return facts

    def _release(self, order: PaperOrder, now: datetime) -> list[Fact]:
        refused = acceptance.refusal(order.terms, self._market.settings.rejects)
        if refused is not None:
            return self._reject(order, refused, now)
        order = self._placed(in_family(order, self.live), now)
        self.live[order.key] = order
        facts: list[Fact] = [OrderReported(order)]
        told = acceptance.notices(order.terms, trades_now=trades(order.terms, self._hours, now))
        return facts + [OrderRefused(*order.key, *notice) for notice in told]

    def _placed(self, order: PaperOrder, now: datetime) -> PaperOrder:
        """The order with the status it waits in."""
        terms = order.terms
        if terms.parent_key in self.live:
            return replace(order, status=PRE_SUBMITTED, why_held="child")
        if sleeps(terms, now):
            return replace(order, status=PRE_SUBMITTED, why_held="")
        if terms.order_type in STOP_TYPES and not order.triggered:
            order = trailed(order, self._quote(order))
            return replace(order, status=PRE_SUBMITTED, why_held="trigger")
        at_once = terms.order_type == "MKT" and terms.instructions.algo is None
        waits = at_once or for_auction(terms) or not trades(terms, self._hours, now)
        status = PRE_SUBMITTED if waits and not order.filled else SUBMITTED
        return replace(order, status=status, why_held="")

    def _modify(self, order: PaperOrder, terms: OrderTerms, now: datetime) -> list[Fact]:
        old = order.terms
        terms = changed_terms(old, terms)
        refused = acceptance.change_problem(order, terms)
        if refused is not None:
            return [OrderRefused(*terms.key, *refused)]
        if order.status != HELD and replace(terms, attributes=old.attributes, transmit=old.transmit) == old:
            order = replace(order, terms=terms)
            self.live[order.key] = order
            return [OrderReported(order)]
        stop = stop_after_modify(order, terms)
        order = replace(
            order,
            terms=terms,
            triggered=order.triggered and (terms.stop, stop) == (old.stop, order.trail_stop),
            trail_stop=stop,
            rested=False,
            expires=expiry(terms, self._hours, now),
        )
        if order.status == HELD:
            return self._admit(order, now)
        if order.remaining == 0:
            order = order.finished(FILLED, f"Filled Size: {order.filled:f}", now)
            del self.live[order.key]
            return [OrderReported(order), *self._after_fill(order, ZERO, now)]
        order = self._placed(order, now)
        self.live[order.key] = order
        return [OrderReported(order), *self._work(order, now, arriving=True)]

    # Ending

    def _end(self, order: PaperOrder, reason: str, now: datetime, *, told: bool = False) -> list[Fact]:
        """Cancel a live order and its children; ``reason`` is empty when a client asked for it.

        ``told``: report it although it was held back until now.
        """
        kept = order.status == HELD and not told
        order = order.finished(CANCELLED, reason.capitalize() or "Cancelled by Trader", now)
        self.live.pop(order.key, None)
        facts: list[Fact] = [OrderKept(order) if kept else OrderReported(order)]
        facts.append(OrderRefused(*order.key, 202, f"Order Canceled - reason:{reason}"))
        return facts + self._end_children(order, reason, now, told=told)

    def _reject(self, order: PaperOrder, problem: tuple[int, str], now: datetime) -> list[Fact]:
        """An order that the broker does not take: it is Inactive, and its children end with it."""
        order = order.finished(INACTIVE, problem[1], now)
        self.live.pop(order.key, None)
        facts: list[Fact] = [OrderReported(order), OrderRefused(*order.key, *problem)]
        return facts + self._end_children(order, "the parent order was rejected", now, told=True)

    def _end_children(self, order: PaperOrder, reason: str, now: datetime, *, told: bool) -> list[Fact]:
        facts: list[Fact] = []
        for child in self.live.children(order.key):
            facts += self._end(child, reason, now, told=told)
        return facts

    # Working

    def _quote(self, order: PaperOrder) -> Quote:
        return self._market.quote(order.terms.instrument.con_id)

    def _work(self, order: PaperOrder, now: datetime, *, arriving: bool) -> list[Fact]:
        """Look at one order once: trigger it, fill what the market shows, end it if it may not wait."""
        terms = order.terms
        if order.status == HELD or order.why_held == "child" or sleeps(terms, now):
            return []
        if for_auction(terms):
            return self._cross(order, now, arriving=arriving)
        if not trades(terms, self._hours, now):
            return []
        if terms.instructions.algo is not None:
            return self._slice(order, terms.instructions.algo, now, arriving=arriving)
        facts: list[Fact] = []
        if terms.order_type in STOP_TYPES and not order.triggered:
            order, facts = self._watch(order, arriving=arriving)
            if not order.triggered:
                return facts
        facts += self._match(order, now)
        rest = self.live.get(order.key)
        if terms.tif in {"IOC", "FOK"} and rest is not None:
            facts += self._end(rest, "the order could not be filled at once", now)
        return facts

    def _watch(self, order: PaperOrder, *, arriving: bool) -> tuple[PaperOrder, list[Fact]]:
        """A stop that waits: let it trail, and trigger it where the market has come to it."""
        quote = self._quote(order)
        watched = adjusted(order if arriving else trailed(order, quote), quote)
        facts: list[Fact] = []
        if reached(watched, quote):
            watched = replace(watched, triggered=True, status=SUBMITTED, why_held="")
            facts.append(OrderReported(watched))
        elif watched.why_held != "trigger" or watched.terms is not order.terms:
            watched = replace(watched, status=PRE_SUBMITTED, why_held="trigger")
            facts.append(OrderReported(watched))
        elif watched is not order:
            facts.append(OrderKept(watched))
        self.live[order.key] = watched
        return watched, facts

    def _match(self, order: PaperOrder, now: datetime) -> list[Fact]:
        price, size = offered(order, self._quote(order))
        if size > 0 and size >= order.least_fill:
            return self._fill(order, min(size, order.remaining), price, now)
        rests = limit_of(order) is not None or order.terms.order_type == "MIDPRICE"
        if order.rested or not rests:
            return []
        waited = order.status != SUBMITTED
        order = replace(order, rested=True, status=SUBMITTED)
        self.live[order.key] = order
        return [OrderReported(order) if waited else OrderKept(order)]

    def _slice(self, order: PaperOrder, algo: Algo, now: datetime, *, arriving: bool) -> list[Fact]:
        """One look of an algorithm at its order."""
        if arriving and not impatient(algo):
            return []
        quote = self._quote(order)
        price, size = offered(order, quote)
        if over(algo, now):
            if algo.flag("forceCompletion") and size > 0:
                return self._fill(order, order.remaining, price, now)
            return self._end(order, "the end time of the algorithm has come", now)
        waited = order.status != SUBMITTED
        order = replace(order, looks=order.looks + 1, status=SUBMITTED, why_held="")
        self.live[order.key] = order
        facts: list[Fact] = [OrderReported(order) if waited else OrderKept(order)]
        con_id = order.terms.instrument.con_id
        chance = self._market.chance(*order.key, order.looks)
        wanted = slice_size(order, algo, self._market.turnover(con_id), now, chance)
        quantity = min(wanted, size)
        return facts + (self._fill(order, quantity, price, now) if quantity > 0 else [])

    def _cross(self, order: PaperOrder, now: datetime, *, arriving: bool) -> list[Fact]:
        """An auction order trades whole when its auction comes, or ends with it."""
        if not auction_due(order, self._hours, now, arriving=arriving):
            return []
        price = auction_price(order, self._quote(order))
        if price is None:
            return self._end(order, "the auction price did not reach the limit", now)
        return self._fill(order, order.remaining, price, now)

    def _fill(self, order: PaperOrder, quantity: Decimal, price: Decimal, now: datetime) -> list[Fact]:
        self._market.take(order.terms.instrument.con_id, order.terms.side, quantity, price)
        self._numbers.execution += 1
        order, execution = executed(order, quantity, price, self._numbers.execution, now)
        if order.live:
            self.live[order.key] = order
        else:
            self.live.pop(order.key, None)
        return [OrderExecuted(order, execution), *self._after_fill(order, quantity, now)]

    def _after_fill(self, order: PaperOrder, quantity: Decimal, now: datetime) -> list[Fact]:
        """What an execution means for the order's OCA group and its children."""
        facts: list[Fact] = []
        # Each is looked up again: what was told before it may have ended it.
        for key in [other.key for other in self.live.oca_others(order)]:
            other = self.live.get(key)
            if other is not None and other.status != HELD:
                facts += self._oca(order, other, quantity, now)
        for key in [child.key for child in self.live.children(order.key)] if order.status == FILLED else ():
            child = self.live.get(key)
            if child is not None and child.status != HELD:
                facts += self._wake(child, now)
        return facts

    def _wake(self, child: PaperOrder, now: datetime) -> list[Fact]:
        child = self._placed(child, now)
        self.live[child.key] = child
        return [OrderReported(child), *self._work(child, now, arriving=True)]

    def _oca(self, order: PaperOrder, other: PaperOrder, quantity: Decimal, now: datetime) -> list[Fact]:
        if order.status == FILLED or oca_type(order) == CANCEL_ALL:
            return self._end(other, "OCA Group", now)
        other = reduced(other, order, quantity)
        if other.remaining <= 0:
            return self._end(other, "OCA Group", now)
        self.live[other.key] = other
        return [OrderReported(other)]
