"""Orders at the paper broker that are not our client's doing: entered in TWS by hand, or by another client."""

from dataclasses import replace
from decimal import Decimal

from oms.paper.error_texts import text_of
from oms.paper.ib_faulty import FaultyFront
from oms.paper.ib_requests import handle
from oms.paper.instruments import Instrument, find
from oms.paper.order_identity import HAND, HAND_BOUND, told_key
from oms.paper.order_layout import OrderFields
from oms.paper.orders import OrderKept, OrderKey, OrderRefused, OrderReported, PaperOrder
from oms.paper.wire import decimal_text

_VERSION = 178
_FIELDS = 114
_STOPS = frozenset({"STP", "TRAIL"})
# Where each stands in a placeOrder of version 178.
_PLACES = {
    "kind": 0,
    "orderId": 1,
    "conId": 2,
    "symbol": 3,
    "action": 16,
    "totalQuantity": 17,
    "orderType": 18,
    "lmtPrice": 19,
    "auxPrice": 20,
    "tif": 21,
    "account": 23,
    "orderRef": 26,
    "transmit": 27,
}


class OtherHands(FaultyFront):
    """Orders by other hands. Each call is one act at the broker, told to whom it concerns."""

    _last_by_hand = 0

    def enter_by_hand(
        self,
        symbol: str,
        side: str = "BUY",
        quantity: Decimal = Decimal(1),
        order_type: str = "MKT",
        price: Decimal | None = None,
        *,
        account: str = "",
        order_ref: str = "",
        order_id: int = 0,
    ) -> int:
        """Enter an order in TWS; returns its permId.

        It is told as client 0 and order id 0 (or the negative ``order_id``), live to client 0 only; others find it and
        its executions in the lists of all clients. Raises KeyError for an unknown symbol, ValueError when the broker
        does not take it.
        """
        if order_id > 0:
            raise ValueError("an order entered by hand has order id 0, or a negative one")
        client_id = HAND_BOUND if order_id else HAND
        number = -order_id or self._desk.next_order_id(HAND)
        terms = _terms(symbol, side, quantity, order_type, price, account, order_ref)
        self._last_by_hand = self._enter((client_id, number), terms)
        return self._last_by_hand

    def enter_as_other_client(
        self,
        symbol: str,
        side: str = "BUY",
        quantity: Decimal = Decimal(1),
        order_type: str = "MKT",
        price: Decimal | None = None,
        *,
        account: str = "",
        order_ref: str = "",
        client_id: int = 99,
        order_id: int = 0,
    ) -> int:
        """Let another client place an order; order id 0 means the number the last placeOrder had. Returns its permId.

        Raises KeyError for an unknown symbol, ValueError when the broker does not take it.
        """
        terms = _terms(symbol, side, quantity, order_type, price, account, order_ref)
        return self._enter((client_id, order_id or max(self._last_order_id, 1)), terms)

    def change_by_hand(
        self,
        perm_id: int = 0,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        *,
        order_ref: str = "",
    ) -> None:
        """Change a live order in TWS, whoever placed it: by permId, by orderRef, or the last one entered by hand.

        Raises KeyError when no such order is live, ValueError when the broker does not take the change.
        """
        order = self._live(perm_id, order_ref)
        terms, changed = order.terms, {}
        if quantity is not None:
            terms, changed["totalQuantity"] = replace(terms, quantity=quantity), decimal_text(quantity)
        if price is not None and terms.order_type in _STOPS:
            terms, changed["auxPrice"] = replace(terms, stop=price), decimal_text(price)
        elif price is not None:
            terms, changed["lmtPrice"] = replace(terms, limit=price), decimal_text(price)
        attributes = OrderFields({**terms.attributes.texts, **changed}, terms.attributes.rows)
        facts = self._desk.engine.place(replace(terms, attributes=attributes), self._desk.clock())
        refusals = [fact for fact in facts if isinstance(fact, OrderRefused)]
        if refusals and not any(isinstance(fact, OrderReported | OrderKept) for fact in facts):
            raise ValueError(refusals[0].text)
        self._desk.apply(facts)
        self._settle()

    def cancel_by_hand(self, perm_id: int = 0, *, order_ref: str = "") -> None:
        """Cancel a live order in TWS, named as for ``change_by_hand``. Raises KeyError when none is live."""
        order = self._live(perm_id, order_ref)
        self._desk.apply(self._desk.engine.cancel(order.key, self._desk.clock()))
        self._settle()

    def order_error(self, code: int, text: str = "", order_ref: str = "") -> None:
        """An error about an order (the last one, or the last with an orderRef) to its client; it changes nothing.

        Raises KeyError when there is no such order.
        """
        orders = [o for o in self._desk.ledger.all_orders() if order_ref in {"", o.terms.order_ref}]
        if not orders:
            raise KeyError(order_ref)
        key = orders[-1].key
        self._desk.telling.answer(key, code, text or text_of(code, told_key(key)[1]))
        self._settle()

    def _enter(self, key: OrderKey, terms: dict[str, str]) -> int:
        texts = [""] * _FIELDS
        for name, text in {**terms, "orderId": str(key[1])}.items():
            texts[_PLACES[name]] = text
        handle(self._desk, self._stand_in(key[0], _VERSION), texts)
        order = self._desk.ledger.order(key)
        self._settle()
        self._wake()
        if order is None:
            raise ValueError(f"the broker does not take this order: {terms}")
        return order.perm_id

    def _live(self, perm_id: int, order_ref: str) -> PaperOrder:
        wanted = perm_id or ("" if order_ref else self._last_by_hand)
        for order in reversed(list(self._desk.engine.live.values())):
            if order.perm_id == wanted or (order_ref and order.terms.order_ref == order_ref):
                return order
        raise KeyError(perm_id or order_ref or "no order entered by hand is live")


def instrument_of(symbol: str) -> Instrument:
    """The first instrument with a symbol or a local symbol. Raises KeyError."""
    hits = find(symbol=symbol) or find(local_symbol=symbol)
    if not hits:
        raise KeyError(symbol)
    return hits[0]


def _terms(
    symbol: str,
    side: str,
    quantity: Decimal,
    order_type: str,
    price: Decimal | None,
    account: str,
    order_ref: str,
) -> dict[str, str]:
    instrument = instrument_of(symbol)
    priced = "" if price is None else decimal_text(price)
    return {
        "kind": "3",
        "conId": str(instrument.con_id),
        "symbol": instrument.symbol,
        "action": side,
        "totalQuantity": decimal_text(quantity),
        "orderType": order_type,
        "lmtPrice": "" if order_type in _STOPS else priced,
        "auxPrice": priced if order_type in _STOPS else "",
        "tif": "DAY",
        "account": account,
        "orderRef": order_ref,
        "transmit": "1",
    }
