"""States of the paper broker that take long to trade into: many open orders, many executions, an order in many parts.

Everything is booked as if it had been placed and traded, told to the clients that are connected, and kept. Call
these in the gateway's event loop; a client that is not connected finds all of it when it connects.
"""

from collections.abc import Callable, Iterable
from decimal import ROUND_FLOOR, Decimal

from oms.paper.ib_gateway import PaperIBGateway
from oms.paper.ib_hands import instrument_of
from oms.paper.ib_orders import terms_of
from oms.paper.instruments import Instrument
from oms.paper.order_layout import OrderFields
from oms.paper.orders import HELD, INACTIVE, OrderKey, PaperOrder
from oms.paper.wire import decimal_text

_PART = 500
"""Orders or fills in one ledger transaction."""
_FAR = Decimal("0.5")
_UNIT = Decimal(1)


def seed_open_orders(
    gateway: PaperIBGateway,
    count: int,
    symbol: str = "AAPL",
    *,
    client_id: int = 99,
    order_refs: Iterable[str] = (),
    account: str = "",
) -> list[PaperOrder]:
    """``count`` limit orders to buy 1 at half the price, GTC, which stay open.

    They have the next order ids of the client, and the orderRefs given (then ``seed-<order id>``). Raises KeyError
    for an unknown symbol, ValueError when the broker refuses one.
    """
    instrument = instrument_of(symbol)
    bid = gateway.quote(symbol).bid
    limit = instrument.rounded(bid * _FAR, ROUND_FLOOR)
    texts = {"orderType": "LMT", "lmtPrice": decimal_text(limit), "tif": "GTC"}
    return _placed(gateway, count, instrument, texts, client_id, order_refs, account)


def seed_executions(
    gateway: PaperIBGateway,
    count: int,
    symbol: str = "AAPL",
    *,
    client_id: int = 99,
    order_refs: Iterable[str] = (),
    account: str = "",
) -> list[PaperOrder]:
    """``count`` market orders to buy 1, each of them filled by one execution; else as ``seed_open_orders``.

    Raises ValueError also for a symbol that shows too little to fill them.
    """
    orders = _placed(
        gateway, count, instrument_of(symbol), {"orderType": "MKT"}, client_id, order_refs, account
    )
    if any(order.remaining for order in orders):
        raise ValueError(f"{symbol} shows too little to fill {count} orders")
    return orders


def seed_fills(gateway: PaperIBGateway, perm_id: int, count: int) -> None:
    """Trade one unit with a live order, ``count`` times, at its limit or at the market.

    Raises KeyError when no such order is live, ValueError when it has too little left.
    """
    desk = gateway._desk  # noqa: SLF001 - a seed is put into the broker's own book
    order = next((o for o in desk.engine.live.values() if o.perm_id == perm_id and o.status != HELD), None)
    if order is None:
        raise KeyError(perm_id)
    if order.remaining < count:
        raise ValueError(f"the order has {order.remaining} left, {count} trades of 1 are too many")
    quote = desk.market.quote(order.terms.instrument.con_id)
    price = order.terms.limit or (quote.ask if order.terms.side == "BUY" else quote.bid)
    key = order.key
    _in_parts(gateway, count, lambda _: desk.apply(desk.engine.trade(key, _UNIT, price, desk.clock())))


def _placed(
    gateway: PaperIBGateway,
    count: int,
    instrument: Instrument,
    texts: dict[str, str],
    client_id: int,
    order_refs: Iterable[str],
    account: str,
) -> list[PaperOrder]:
    desk = gateway._desk  # noqa: SLF001 - a seed is put into the broker's own book
    account = account or desk.accounts.names[0]
    first = desk.next_order_id(client_id)
    refs = iter(order_refs)
    keys: list[OrderKey] = []

    def place(number: int) -> None:
        key = (client_id, first + number)
        ref = next(refs, f"seed-{key[1]}")
        terms = terms_of(desk, client_id, _fields(key, instrument, texts, ref, account))
        desk.apply(desk.engine.place(terms, desk.clock()))
        desk.use_order_id(*key)
        keys.append(key)

    _in_parts(gateway, count, place)
    orders = [order for order in map(desk.ledger.order, keys) if order is not None]
    if len(orders) < count or any(order.status == INACTIVE for order in orders):
        raise ValueError(f"the broker does not take these orders in {instrument.name}: {texts}")
    return orders


def _in_parts(gateway: PaperIBGateway, count: int, act: Callable[[int], None]) -> None:
    """Do something ``count`` times, in transactions of a bearable size."""
    for number in range(count):
        act(number)
        if number % _PART == _PART - 1:
            gateway._settle()  # noqa: SLF001 - as every request is settled
    gateway._settle()  # noqa: SLF001 - as every request is settled
    gateway._wake()  # noqa: SLF001 - open orders let the market move


def _fields(
    key: OrderKey, instrument: Instrument, texts: dict[str, str], ref: str, account: str
) -> OrderFields:
    sent = {
        "orderId": str(key[1]),
        "conId": str(instrument.con_id),
        "symbol": instrument.symbol,
        "secType": instrument.security_type,
        "currency": instrument.currency,
        "action": "BUY",
        "totalQuantity": "1",
        "account": account,
        "orderRef": ref,
        "transmit": "1",
    }
    return OrderFields(sent | texts)
