"""The order state machine: what the paper broker does with an order, a cancel and a market step.

Pure: no sockets, no clock, no storage. Every method takes the time and returns facts in the order in
which they are to be told. Finished orders are forgotten here; the ledger remembers them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from oms.paper.acceptance import CLOSING_TYPES, LIMIT_TYPES, STOP_TYPES, problem
from oms.paper.hours import TradingHours
from oms.paper.market import Market
from oms.paper.orders import (
    CANCELLED,
    FILLED,
    HELD,
    INACTIVE,
    PRE_SUBMITTED,
    SUBMITTED,
    ZERO,
    Execution,
    Fact,
    OrderExecuted,
    OrderKept,
    OrderKey,
    OrderRefused,
    OrderReported,
    OrderTerms,
    PaperOrder,
    commission,
)


@dataclass(slots=True)
class Numbers:
    """The counters that never go back: last permId given, last execution sequence."""

    perm_id: int
    execution: int


class MatchingEngine:
    """The live orders of all clients.

    ``seen`` answers whether an order key that is not live was used before (then it is refused with 103).
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
        self.live: dict[OrderKey, PaperOrder] = {order.key: order for order in live}
        self._parents = {(o.terms.client_id, o.terms.parent_id) for o in self.live.values()}

    def place(self, terms: OrderTerms, now: datetime) -> list[Fact]:
        """A placeOrder: a new order, a modify of a live one, or a duplicate."""
        current = self.live.get(terms.key)
        if current is None and self._seen(terms.key) is not None:
            return [OrderRefused(*terms.key, 103, "Duplicate order id")]
        found = self.problem(terms, now)
        if found and (current or found[0] != 201):
            return [OrderRefused(*terms.key, *found)]
        if current is not None:
            return self._modify(current, terms, now)
        self._numbers.perm_id += 1
        order = PaperOrder(terms, self._numbers.perm_id, HELD, now, expires=self._expiry(terms, now))
        if found:
            order = order.finished(INACTIVE, found[1], now)
            return [OrderReported(order), OrderRefused(*terms.key, *found)]
        return self._admit(order, now)

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
        for key in list(self.live):
            order = self.live.get(key)
            if order is None or order.status == HELD or con_id not in {0, order.terms.instrument.con_id}:
                continue
            closing = order.terms.order_type in CLOSING_TYPES
            if order.expires is not None and now >= order.expires and not closing:
                facts += self._end(order, "order expired", now)
            else:
                facts += self._work(order, now, arriving=False)
        return facts

    def traded(self) -> set[int]:
        """Contract ids with a live order."""
        return {order.terms.instrument.con_id for order in self.live.values()}

    def problem(self, terms: OrderTerms, now: datetime) -> tuple[int, str] | None:
        """(error code, text) if the terms cannot be accepted as a new or changed order."""
        found = problem(terms, now, self._market.settings.rejects)
        if found is None and terms.parent_id and terms.key not in self.live:
            parent = (terms.client_id, terms.parent_id)
            if parent not in self.live and self._seen(parent) is None:
                return 201, "Order rejected - reason:The parent order does not exist."
        return found

    def _expiry(self, terms: OrderTerms, now: datetime) -> datetime | None:
        if terms.tif == "GTD":
            return terms.good_till
        if self._hours is None or (terms.tif == "GTC" and terms.order_type not in CLOSING_TYPES):
            return None
        return self._hours.close_after(now)

    # Entering and changing

    def _admit(self, order: PaperOrder, now: datetime) -> list[Fact]:
        """A new order, or a held one whose transmit flag is now set."""
        terms = order.terms
        self._parents.add((terms.client_id, terms.parent_id))
        if not terms.transmit:
            self.live[order.key] = order
            return [OrderKept(order)]
        family = [order]
        parent = self.live.get((terms.client_id, terms.parent_id)) if terms.parent_id else None
        if parent is not None and parent.status == HELD:
            held = [o for o in self.live.values() if o.status == HELD and o.key != order.key]
            brothers = [o for o in held if o.terms.client_id == terms.client_id and o.terms.parent_id]
            family = [parent, *(o for o in brothers if o.terms.parent_id == terms.parent_id), order]
        family = [self._in_family(member) for member in family]
        facts: list[Fact] = []
        for member in family:
            facts += self._release(member, now)
        # Children wait for their parent, whose fill wakes them: only the head of the family works now.
        return facts + self._work(self.live[family[0].key], now, arriving=True)

    def _in_family(self, order: PaperOrder) -> PaperOrder:
        """Children of one parent cancel each other: they share an OCA group named by its permId."""
        terms = order.terms
        parent = self.live.get((terms.client_id, terms.parent_id)) if terms.parent_id else None
        if parent is None or terms.oca_group:
            return order
        return replace(order, terms=replace(terms, oca_group=str(parent.perm_id), oca_type=3))

    def _release(self, order: PaperOrder, now: datetime) -> list[Fact]:
        order = self._placed(order, now)
        self.live[order.key] = order
        facts: list[Fact] = [OrderReported(order)]
        if not self._open(now):
            text = "Order Message:\nWarning: your order will not be placed at the exchange until it opens."
            facts.append(OrderRefused(*order.key, 399, text))
        return facts

    def _placed(self, order: PaperOrder, now: datetime) -> PaperOrder:
        """The order with the status it waits in."""
        terms = order.terms
        parent = self.live.get((terms.client_id, terms.parent_id)) if terms.parent_id else None
        if parent is not None:
            return replace(order, status=PRE_SUBMITTED, why_held="child")
        if terms.order_type in STOP_TYPES and not order.triggered:
            return replace(order, status=PRE_SUBMITTED, why_held="trigger")
        waits = terms.order_type in {"MKT", *CLOSING_TYPES} or terms.tif == "OPG" or not self._open(now)
        status = PRE_SUBMITTED if waits and not order.filled else SUBMITTED
        return replace(order, status=status, why_held="")

    def _modify(self, order: PaperOrder, terms: OrderTerms, now: datetime) -> list[Fact]:
        old = order.terms
        if (old.instrument, old.side, old.account) != (terms.instrument, terms.side, terms.account):
            text = "Order being modified does not match original order"
            return [OrderRefused(*terms.key, 105, text)]
        if terms.quantity < order.filled:
            text = "Order rejected - reason:The quantity is below the quantity already filled."
            return [OrderRefused(*terms.key, 201, text)]
        if not terms.oca_group:
            terms = replace(terms, oca_group=old.oca_group, oca_type=old.oca_type)
        triggered = order.triggered and terms.stop == old.stop
        expires = self._expiry(terms, now)
        order = replace(order, terms=terms, triggered=triggered, rested=False, expires=expires)
        if order.status == HELD:
            return self._admit(order, now)
        if order.remaining == 0:
            order = order.finished(FILLED, "Filled Size: " + str(order.filled), now)
            del self.live[order.key]
            return [OrderReported(order), *self._after_fill(order, ZERO, now)]
        order = self._placed(order, now)
        self.live[order.key] = order
        return [OrderReported(order), *self._work(order, now, arriving=True)]

    # Ending

    def _end(self, order: PaperOrder, reason: str, now: datetime) -> list[Fact]:
        """Cancel a live order and its children; ``reason`` is empty when a client asked for it."""
        was_held = order.status == HELD
        order = order.finished(CANCELLED, reason.capitalize() or "Cancelled by Trader", now)
        self.live.pop(order.key, None)
        text = f"Order Canceled - reason:{reason}"
        facts: list[Fact] = [OrderKept(order) if was_held else OrderReported(order)]
        facts.append(OrderRefused(*order.key, 202, text))
        for child in self._children(order):
            if child.key in self.live:
                facts += self._end(child, reason, now)
        return facts

    def _children(self, order: PaperOrder) -> list[PaperOrder]:
        if order.key not in self._parents:
            return []
        client_id, order_id = order.key
        return [
            o for o in self.live.values() if o.terms.parent_id == order_id and o.terms.client_id == client_id
        ]

    # Working

    def _open(self, now: datetime) -> bool:
        return self._hours is None or self._hours.is_open(now)

    def _work(self, order: PaperOrder, now: datetime, *, arriving: bool) -> list[Fact]:
        """Look at one order once: trigger it, fill what the market shows, end it if it may not wait."""
        if order.status == HELD or order.why_held == "child":
            return []
        if order.terms.order_type in CLOSING_TYPES or order.terms.tif == "OPG":
            return self._cross(order, now, arriving=arriving)
        if not self._open(now):
            return []
        facts: list[Fact] = []
        if order.terms.order_type in STOP_TYPES and not order.triggered:
            if not self._stop_reached(order):
                return []
            order = replace(order, triggered=True, status=SUBMITTED, why_held="")
            self.live[order.key] = order
            facts.append(OrderReported(order))
        price, size = self._offered(order)
        immediate = order.terms.tif in {"IOC", "FOK"}
        if size < order.least_fill:
            size = ZERO
        if size > 0:
            facts += self._fill(order, min(size, order.remaining), price, now)
        elif not order.rested and order.terms.order_type != "MKT":
            waited = order.status != SUBMITTED
            order = replace(order, rested=True, status=SUBMITTED)
            self.live[order.key] = order
            facts.append(OrderReported(order) if waited else OrderKept(order))
        rest = self.live.get(order.key)
        if immediate and rest is not None:
            facts += self._end(rest, "the order could not be filled at once", now)
        return facts

    def _cross(self, order: PaperOrder, now: datetime, *, arriving: bool) -> list[Fact]:
        """An auction order trades whole, at the last price, when its auction comes.

        That is the session's end (closing orders) or beginning (OPG); a market without hours holds one
        at every step.
        """
        opening = order.terms.order_type not in CLOSING_TYPES
        if self._hours is None:
            due = not arriving
        elif opening:
            due = self._hours.is_open(now) and not self._hours.is_open(order.placed_at)
        else:
            due = order.expires is not None and now >= order.expires
        if not due:
            return []
        price = self._market.quote(order.terms.instrument.con_id).last
        limit = order.terms.limit if order.terms.order_type in LIMIT_TYPES else None
        if limit is not None and not _at_least_as_good(order.terms.side, price, limit):
            return self._end(order, "the auction price did not reach the limit", now)
        return self._fill(order, order.remaining, price, now)

    def _stop_reached(self, order: PaperOrder) -> bool:
        quote = self._market.quote(order.terms.instrument.con_id)
        stop = order.terms.stop
        if stop is None:
            return False
        return quote.ask >= stop if order.terms.side == "BUY" else quote.bid <= stop

    def _offered(self, order: PaperOrder) -> tuple[Decimal, Decimal]:
        """(price, size) this order can trade at now; size 0 when it is not marketable."""
        quote = self._market.quote(order.terms.instrument.con_id)
        buying = order.terms.side == "BUY"
        price, size = (quote.ask, quote.ask_size) if buying else (quote.bid, quote.bid_size)
        limit = order.terms.limit if order.terms.order_type in LIMIT_TYPES else None
        if limit is None:
            return price, size
        if not _at_least_as_good(order.terms.side, price, limit):
            return price, ZERO
        # A resting order is hit at its own price; an arriving one takes the better price it finds.
        return (limit if order.rested else price), size

    def _fill(self, order: PaperOrder, quantity: Decimal, price: Decimal, now: datetime) -> list[Fact]:
        terms = order.terms
        passive = order.rested
        self._market.take(terms.instrument.con_id, terms.side, quantity)
        self._numbers.execution += 1
        fee = commission(quantity, price, terms.instrument.multiplier)
        order = replace(
            order,
            status=SUBMITTED,
            filled=order.filled + quantity,
            cost=order.cost + quantity * price,
            last_price=price,
            commission=order.commission + fee,
        )
        if order.remaining == 0:
            order = order.finished(FILLED, f"Filled Size: {order.filled:f}", now)
            self.live.pop(order.key, None)
        else:
            self.live[order.key] = order
        execution = Execution(
            exec_id=f"{self._numbers.execution:08x}.{int(now.timestamp()):08x}.01.01",
            client_id=terms.client_id,
            order_id=terms.order_id,
            perm_id=order.perm_id,
            account=terms.account,
            instrument=terms.instrument,
            side=terms.side,
            quantity=quantity,
            price=price,
            time=now,
            cumulative=order.filled,
            average_price=order.average_price,
            commission=fee,
            order_ref=terms.order_ref,
            passive=passive,
        )
        return [OrderExecuted(order, execution), *self._after_fill(order, quantity, now)]

    def _after_fill(self, order: PaperOrder, quantity: Decimal, now: datetime) -> list[Fact]:
        """What an execution means for the order's OCA group and its children."""
        facts: list[Fact] = []
        group = order.terms.oca_group
        others = [
            o for o in self.live.values() if group and o.terms.oca_group == group and o.key != order.key
        ]
        for other in others:
            if other.terms.account == order.terms.account and other.key in self.live:
                facts += self._oca(order, other, quantity, now)
        if order.status == FILLED:
            for child in self._children(order):
                woken = self._placed(child, now)
                self.live[child.key] = woken
                facts += [OrderReported(woken), *self._work(woken, now, arriving=True)]
        return facts

    def _oca_group(self, order: PaperOrder) -> list[PaperOrder]:
        """The other live orders of an order's OCA group."""
        group, account = order.terms.oca_group, order.terms.account
        if not group:
            return []
        grouped = [o for o in self.live.values() if o.terms.oca_group == group and o.key != order.key]
        return [o for o in grouped if o.terms.account == account and o.status != HELD]

    def _oca(self, order: PaperOrder, other: PaperOrder, quantity: Decimal, now: datetime) -> list[Fact]:
        if order.status == FILLED:
            return self._end(other, "OCA Group", now)
        left = other.remaining - quantity
        if order.terms.oca_type not in {2, 3}:
            return []
        if left <= 0:
            return self._end(other, "OCA Group", now)
        other = replace(other, terms=replace(other.terms, quantity=other.terms.quantity - quantity))
        self.live[other.key] = other
        return [OrderReported(other)]


def _at_least_as_good(side: str, price: Decimal, limit: Decimal) -> bool:
    return price <= limit if side == "BUY" else price >= limit
