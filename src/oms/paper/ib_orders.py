"""The requests about orders: placeOrder, cancelOrder, globalCancel, and what a whatIf answers."""

from datetime import datetime
from decimal import Decimal

from oms.paper import ib_messages as messages
from oms.paper.acceptance import LIMIT_TYPES, STOP_TYPES
from oms.paper.hours import moment_of
from oms.paper.ib_desk import Desk
from oms.paper.ib_session import Session
from oms.paper.instructions import TRAILING_TYPES, Instructions, instructions_of
from oms.paper.instruments import Instrument, find
from oms.paper.order_layout import OrderFields, read_place_order
from oms.paper.orders import ZERO, OrderRefused, OrderTerms, PaperOrder, commission
from oms.paper.wire import Fields, WireError, decimal_of, integer_of

_MARGIN_SHARE = Decimal("0.25")


class RequestRefusedError(Exception):
    """A request is answered with an error message. Arguments: code, text."""


def place_order(desk: Desk, session: Session, texts: list[str]) -> None:
    """placeOrder (3): new order, modify, or whatIf.

    Errors 103, 105, 110, 200, 201, 320, 387, 434, 435, 439 to 443, 10149.
    """
    client_id = session.client_id
    order_id = integer_of(texts[0]) if texts else -1
    if order_id <= 0:
        desk.tell_error(client_id, order_id, 10149, f"Invalid order id: {order_id}")
        return
    try:
        terms = terms_of(desk, client_id, read_place_order(texts, session.version))
    except WireError as problem:
        desk.tell_error(client_id, order_id, 320, f"Error reading request: {problem}")
        return
    except RequestRefusedError as refusal:
        desk.tell_error(client_id, order_id, *refusal.args)
        return
    if terms.attributes.get("whatIf") == "1":
        _what_if(desk, session, terms)
    elif desk.hidden(terms.key):
        # Told to this client, though its order is invisible: the id is used.
        desk.tell_error(client_id, order_id, 103, "Duplicate order id")
    else:
        desk.apply(desk.engine.place(terms, desk.clock()))
        desk.use_order_id(client_id, order_id)


def cancel_order(desk: Desk, session: Session, fields: Fields) -> None:
    """cancelOrder (4): no client id travels with it, so a client reaches its own orders only."""
    fields.take(1)
    key = (session.client_id, fields.integer())
    desk.apply(desk.engine.cancel(key, desk.clock()))


def global_cancel(desk: Desk, session: Session, fields: Fields) -> None:
    """globalCancel (58): every live order of every client."""
    del session, fields
    desk.apply(desk.engine.cancel_all(desk.clock()))


def resolve(texts: OrderFields) -> Instrument:
    """The one instrument a contract in an order or request means. Raises RequestRefusedError 200."""
    hits = described(texts)
    if len(hits) != 1:
        raise RequestRefusedError(200, "No security definition has been found for the request")
    return hits[0]


def described(texts: OrderFields) -> list[Instrument]:
    """Every instrument that a contract's fields fit. Raises WireError for a number that cannot be read."""
    return find(
        integer_of(texts.get("conId")),
        symbol=texts.get("symbol"),
        security_type=texts.get("secType"),
        exchange=texts.get("exchange"),
        currency=texts.get("currency"),
        last_trade_date=texts.get("lastTradeDateOrContractMonth"),
        local_symbol=texts.get("localSymbol"),
        strike=decimal_of(texts.get("strike")),
        right=texts.get("right"),
        multiplier=texts.get("multiplier"),
    )


def terms_of(desk: Desk, client_id: int, sent: OrderFields) -> OrderTerms:
    """The terms in a placeOrder's fields. Raises RequestRefusedError 200, 201, 435, and WireError."""
    instrument = resolve(sent)
    quantity = decimal_of(sent.get("totalQuantity")) or ZERO
    decimal_of(sent.get("minQty"))  # raises now what would raise when the order trades
    kind = sent.get("orderType")
    side = sent.get("action")
    if side not in {"BUY", "SELL"}:
        raise RequestRefusedError(201, f"Order rejected - reason:Invalid side:{side}.")
    return OrderTerms(
        client_id=client_id,
        order_id=integer_of(sent.get("orderId")),
        instrument=instrument,
        account=_account(desk, sent.get("account")),
        order_ref=sent.get("orderRef"),
        side=side,
        quantity=quantity,
        order_type=kind,
        limit=_limit(sent, kind),
        stop=decimal_of(sent.get("auxPrice")) if kind in STOP_TYPES - TRAILING_TYPES else None,
        tif=sent.get("tif"),
        good_till=_good_till(sent.get("goodTillDate")) if sent.get("tif") == "GTD" else None,
        oca_group=sent.get("ocaGroup"),
        oca_type=integer_of(sent.get("ocaType")),
        parent_id=integer_of(sent.get("parentId")),
        transmit=sent.get("transmit") != "0",
        attributes=sent,
        instructions=_instructions(sent),
    )


def _limit(sent: OrderFields, kind: str) -> Decimal | None:
    """The limit a type must have; of a MIDPRICE order it is a cap, and 0 is none."""
    limit = decimal_of(sent.get("lmtPrice"))
    if kind == "MIDPRICE":
        return limit or None
    return limit if kind in LIMIT_TYPES else None


def _instructions(sent: OrderFields) -> Instructions:
    try:
        return instructions_of(sent)
    except WireError:
        raise
    except ValueError as problem:
        text = sent.get("goodAfterTime")
        raise RequestRefusedError(
            201, f"Order rejected - reason:Invalid good after time:{text}."
        ) from problem


def _account(desk: Desk, named: str) -> str:
    names = desk.accounts.names
    if named in names:
        return named
    if named == "" and len(names) == 1:
        return names[0]
    raise RequestRefusedError(435, "You must specify an account.")


def _good_till(text: str) -> datetime:
    try:
        return moment_of(text)
    except ValueError as problem:
        refusal = f"Order rejected - reason:Invalid good till date:{text}."
        raise RequestRefusedError(201, refusal) from problem


def _what_if(desk: Desk, session: Session, terms: OrderTerms) -> None:
    """One openOrder with margin and commission; nothing is placed."""
    now = desk.clock()
    problem = desk.engine.problem(terms, now)
    if problem is not None:
        desk.apply([OrderRefused(*terms.key, *problem)])
        return
    quote = desk.market.quote(terms.instrument.con_id)
    price = terms.limit or (quote.ask if terms.side == "BUY" else quote.bid)
    value = terms.quantity * price * terms.instrument.unit_value
    before = sum((abs(desk.accounts.market_value(p)) for p in desk.accounts.held(terms.account)), ZERO)
    equity = desk.accounts.net_liquidation(terms.account)
    fee = commission(terms.quantity, price, terms.instrument.multiplier)
    figures = {
        "initMargin": (before * _MARGIN_SHARE, value * _MARGIN_SHARE),
        "maintMargin": (before * _MARGIN_SHARE, value * _MARGIN_SHARE),
        "equityWithLoan": (equity, -fee),
    }
    margin = {"whatIf": "1"}
    for name, (was, change) in figures.items():
        margin |= {
            f"{name}Before": f"{was:.2f}",
            f"{name}Change": f"{change:.2f}",
            f"{name}After": f"{was + change:.2f}",
        }
    order = PaperOrder(terms, 0, "PreSubmitted", now, commission=fee)
    session.send(messages.open_order_message(order, session.version, margin=margin))
