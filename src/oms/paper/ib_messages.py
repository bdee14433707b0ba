"""Messages from the gateway to a client, as field lists. Source: TWS API, EDecoder, versions 157 to 178."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from oms.paper.accounts import Accounts, Position
from oms.paper.hours import EASTERN, TradingHours
from oms.paper.instruments import Instrument, catalogue
from oms.paper.market import Quote
from oms.paper.order_layout import completed_order, open_order
from oms.paper.orders import ZERO, Execution, PaperOrder
from oms.paper.wire import UNSET_DOUBLE, decimal_text, time_text

Message = list[object]

_ORDER_TYPES = (
    "ACTIVETIM,DAY,FOK,GAT,GTC,GTD,IOC,LMT,MKT,OCA,STP,STPLMT,TRAIL,TRAILLIT,TRAILLMT,TRAILMIT,WHATIF"
)
_MORE_ORDER_TYPES = {"STK": ",ADAPTIVE,LOC,MIDPX,MOC,OPG", "OPT": ",ADAPTIVE,OPG", "FUT": ",ADAPTIVE,MOC"}
_SUGGESTED_SIZES = {"STK": 1, "OPT": 1, "FUT": 1, "CASH": 25_000}


def eastern(moment: datetime) -> str:
    """A moment in the one form the client reads without guessing the zone."""
    return time_text(moment.astimezone(EASTERN))


def error(request_id: int, code: int, text: str, version: int) -> Message:
    """Error 4; ``request_id`` -1 when it is about no request."""
    advanced = [""] if version >= 166 else []
    return [4, 2, request_id, code, text, *advanced]


def open_order_message(
    order: PaperOrder, version: int, *, fee: Decimal | None = None, margin: dict[str, str] | None = None
) -> list[str]:
    """openOrder; ``fee`` in place of the order's commission, ``margin`` the answer to a whatIf."""
    charged = order.commission if fee is None else fee
    computed = _order_values(order)
    computed["clientId"] = str(order.terms.client_id)
    computed["orderId"] = str(order.terms.order_id)
    computed["parentId"] = str(order.terms.parent_id)
    computed["sharesAllocation"] = f"{order.perm_id}.0/{order.terms.account}/{order.terms.client_id}"
    if charged:
        computed["commission"] = decimal_text(charged)
        computed["commissionCurrency"] = "USD"
    return open_order(order.terms.attributes, computed | (margin or {}), version)


def completed_order_message(order: PaperOrder, parent_perm_id: int, version: int) -> list[str]:
    """completedOrder: it carries no order id, client id or parent id."""
    computed = _order_values(order)
    computed["filledQuantity"] = decimal_text(order.filled)
    computed["parentPermId"] = str(parent_perm_id)
    computed["completedTime"] = eastern(order.completed_at) if order.completed_at else ""
    computed["completedStatus"] = order.completed_status
    return completed_order(order.terms.attributes, computed, version)


def _order_values(order: PaperOrder) -> dict[str, str]:
    terms = order.terms
    instrument = terms.instrument
    # It occurs twice in both messages, and the second is the one that counts.
    trails = {} if order.trail_stop is None else {"trailStopPrice": decimal_text(order.trail_stop)}
    return trails | {
        "conId": str(instrument.con_id),
        "symbol": instrument.symbol,
        "secType": instrument.security_type,
        "lastTradeDateOrContractMonth": instrument.last_trade_date,
        "strike": _strike(instrument),
        "right": instrument.right,
        "multiplier": _multiplier(instrument),
        "exchange": terms.attributes.get("exchange") or instrument.exchanges[0],
        "currency": instrument.currency,
        "localSymbol": instrument.name,
        "tradingClass": instrument.trading_class,
        "totalQuantity": decimal_text(terms.quantity),
        "account": terms.account,
        "permId": str(order.perm_id),
        "ocaGroup": terms.oca_group,
        "ocaType": str(terms.oca_type),
        "status": order.status,
    }


def order_status(order: PaperOrder) -> Message:
    return [
        3,
        order.terms.order_id,
        order.status,
        order.filled,
        order.remaining,
        order.average_price,
        order.perm_id,
        order.terms.parent_id,
        order.last_price,
        order.terms.client_id,
        order.why_held,
        ZERO,
    ]


def execution_details(request_id: int, execution: Execution, version: int) -> Message:
    """execDetails; ``request_id`` -1 when it has just happened."""
    e = execution
    pending_price_revision = [False] if version >= 178 else []
    return [
        11,
        request_id,
        e.order_id,
        *_contract(e.instrument, e.instrument.exchanges[0]),
        e.exec_id,
        eastern(e.time),
        e.account,
        e.instrument.exchange,
        "BOT" if e.side == "BUY" else "SLD",
        e.quantity,
        e.price,
        e.perm_id,
        e.client_id,
        0,
        e.cumulative,
        e.average_price,
        e.order_ref,
        "",
        "",
        "",
        1 if e.passive else 2,
        *pending_price_revision,
    ]


def commission_report(execution: Execution) -> Message:
    realized = UNSET_DOUBLE if execution.realized is None else execution.realized
    return [59, 1, execution.exec_id, execution.commission, "USD", realized, UNSET_DOUBLE, ""]


def position(held: Position) -> Message:
    stock = held.instrument.security_type == "STK"
    contract = _contract(held.instrument, held.instrument.exchange if stock else "")
    return [61, 3, held.account, *contract, held.quantity, held.average_cost]


def portfolio(held: Position, accounts: Accounts) -> Message:
    return [
        7,
        8,
        *_contract(held.instrument, held.instrument.exchange),
        held.quantity,
        accounts.price(held),
        accounts.market_value(held),
        held.average_cost,
        accounts.unrealized(held),
        round(held.realized, 4),
        held.account,
    ]


def _contract(instrument: Instrument, exchange: str) -> tuple[object, ...]:
    """The 11 contract fields the server sends with orders, executions and positions."""
    return (
        instrument.con_id,
        instrument.symbol,
        instrument.security_type,
        instrument.last_trade_date,
        _strike(instrument),
        instrument.right,
        _multiplier(instrument),
        exchange,
        instrument.currency,
        instrument.name,
        instrument.trading_class,
    )


def _strike(instrument: Instrument) -> str:
    return decimal_text(instrument.strike) if instrument.strike else "0.0"


def _multiplier(instrument: Instrument) -> str:
    return "" if instrument.multiplier == 1 else str(instrument.multiplier)


def contract_details(
    request_id: int, instrument: Instrument, exchange: str, hours: tuple[str, str], version: int
) -> Message:
    """contractDetails; ``hours``: the extended and the regular ones, as ``trading_hours`` writes them."""
    head = [8] if version < 164 else []
    size_multiplier = [1] if version < 164 else []
    suggested = _SUGGESTED_SIZES[instrument.security_type]
    sizes = {163: [suggested]}.get(version, [1, 1, suggested] if version >= 164 else [])
    stock = instrument.security_type == "STK"
    underlying = catalogue().get(instrument.underlying)
    return [
        10,
        *head,
        request_id,
        instrument.symbol,
        instrument.security_type,
        instrument.last_trade_date,
        _strike(instrument),
        instrument.right,
        exchange or instrument.exchanges[0],
        instrument.currency,
        instrument.name,
        instrument.trading_class,
        instrument.trading_class,
        instrument.con_id,
        instrument.tick,
        *size_multiplier,
        _multiplier(instrument),
        _ORDER_TYPES + _MORE_ORDER_TYPES.get(instrument.security_type, ""),
        ",".join(instrument.exchanges),
        1,
        instrument.underlying,
        instrument.long_name,
        instrument.exchange if stock else "",
        instrument.last_trade_date[:6],
        instrument.industry,
        instrument.category,
        instrument.category,
        "US/Eastern",
        *hours,
        "",
        0,
        0,
        1,
        underlying.symbol if underlying else "",
        underlying.security_type if underlying else "",
        ",".join(str(instrument.market_rule) for _ in instrument.exchanges),
        instrument.last_trade_date,
        "COMMON" if stock else "",
        *sizes,
    ]


def trading_hours(hours: TradingHours | None, now: datetime, *, extended: bool = False) -> str:
    """Six days as contractDetails shows them: ``20261120:0930-20261120:1600;20261121:CLOSED;...``."""
    today = now.astimezone(hours.zone if hours else EASTERN).date()
    days = []
    for ahead in range(6):
        day = today + timedelta(days=ahead)
        text = day.strftime("%Y%m%d")
        if hours is None:
            days.append(f"{text}:0000-{text}:2359")
        elif hours.trades_on(day):
            opens, closes = hours.bounds(extended=extended)
            days.append(f"{text}:{opens:%H%M}-{text}:{closes:%H%M}")
        else:
            days.append(f"{text}:CLOSED")
    return ";".join(days)


def ticks(request_id: int, quote: Quote, before: Quote | None) -> Iterable[Message]:
    """Market-data ticks: all of them, or those that changed since ``before``."""
    pairs = (
        (1, quote.bid, quote.bid_size, before and (before.bid, before.bid_size)),
        (2, quote.ask, quote.ask_size, before and (before.ask, before.ask_size)),
        (4, quote.last, quote.last_size, before and (before.last, before.last_size)),
    )
    for kind, price, size, known in pairs:
        if known != (price, size):
            yield [1, 6, request_id, kind, price, size, 0]
    day = ((6, "high"), (7, "low"), (9, "close"), (14, "open"))
    for kind, name in day:
        price = getattr(quote, name)
        if before is None or getattr(before, name) != price:
            yield [1, 6, request_id, kind, price, 0, 0]
    if before is None or before.volume != quote.volume:
        yield [2, 6, request_id, 8, quote.volume]
