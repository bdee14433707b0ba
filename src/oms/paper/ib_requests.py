"""The requests of the TWS API that read: lists, accounts, contracts, market data."""

import logging
from collections.abc import Callable

from oms.paper import ib_messages as messages
from oms.paper.hours import moment_of
from oms.paper.ib_desk import Desk
from oms.paper.ib_orders import (
    RequestRefusedError,
    cancel_order,
    described,
    global_cancel,
    place_order,
    resolve,
)
from oms.paper.ib_session import Session
from oms.paper.instruments import MARKET_RULES
from oms.paper.order_layout import OrderFields
from oms.paper.orders import Execution
from oms.paper.wire import Fields, WireError

_LOG = logging.getLogger(__name__)

_CONTRACT = [
    "conId",
    "symbol",
    "secType",
    "lastTradeDateOrContractMonth",
    "strike",
    "right",
    "multiplier",
    "exchange",
    "primaryExchange",
    "currency",
    "localSymbol",
    "tradingClass",
]
_PLACE_ORDER = 3

Handler = Callable[[Desk, Session, Fields], None]


def handle(desk: Desk, session: Session, texts: list[str]) -> None:
    """Answer one message. What cannot be read or is not offered is answered with an error, never silently."""
    try:
        kind = Fields(texts).integer(-1)
    except WireError as problem:
        _LOG.warning("%s: %s", session, problem)
        desk.tell_error(session.client_id, -1, 320, f"Error reading request: {problem}")
        return
    try:
        if kind == _PLACE_ORDER:
            place_order(desk, session, texts[1:])
        elif kind in HANDLERS:
            HANDLERS[kind](desk, session, Fields(texts[1:]))
        else:
            _LOG.warning("%s: request %s is not offered by the paper gateway", session, kind)
            text = f"Error validating request: message {kind} is not offered by the paper gateway"
            desk.tell_error(session.client_id, -1, 321, text)
    except WireError as problem:
        _LOG.warning("%s: request %s: %s", session, kind, problem)
        desk.tell_error(session.client_id, -1, 320, f"Error reading request: {problem}")


def greet(desk: Desk, session: Session) -> None:
    """What follows an accepted startApi: accounts, next id, the usual notice."""
    _managed_accounts(desk, session, Fields([]))
    session.send([9, 1, desk.next_order_id(session.client_id)])
    session.send(messages.error(-1, 2104, "Market data farm connection is OK:usfarm", session.version))
    if not desk.online:
        session.send(messages.error(-1, 1100, CONNECTIVITY_LOST, session.version))


CONNECTIVITY_LOST = "Connectivity between IBKR and Trader Workstation has been lost."


# Lists


def _open_orders(desk: Desk, session: Session, fields: Fields) -> None:
    del fields
    _send_open_orders(desk, session, session.client_id)


def _all_open_orders(desk: Desk, session: Session, fields: Fields) -> None:
    del fields
    _send_open_orders(desk, session, None)


def _send_open_orders(desk: Desk, session: Session, client_id: int | None) -> None:
    for order in desk.open_orders(client_id):
        session.send(messages.open_order_message(order, session.version))
        session.send(messages.order_status(order))
    session.send([53, 1])


def _completed_orders(desk: Desk, session: Session, fields: Fields) -> None:
    del fields
    for order in desk.completed_orders():
        parent = order.terms.parent_id and desk.ledger.order((order.terms.client_id, order.terms.parent_id))
        parent_perm_id = parent.perm_id if parent else 0
        session.send(messages.completed_order_message(order, parent_perm_id, session.version))
    session.send([102])


def _executions(desk: Desk, session: Session, fields: Fields) -> None:
    """reqExecutions: filter fields are clientId, account, time, symbol, secType, exchange, side; empty fits all."""
    fields.take(1)
    request_id = fields.integer()
    client_id = fields.integer()
    account, since, symbol, security_type, _, side = fields.take(6)
    wanted = {"account": account, "symbol": symbol, "security_type": security_type, "side": side[:1]}
    try:
        start = moment_of(since) if since else None
    except ValueError as problem:
        raise WireError(str(problem)) from problem
    for execution in desk.executions():
        told = start is None or execution.time >= start
        if told and client_id in {0, execution.client_id} and _fits(execution, wanted):
            session.send(messages.execution_details(request_id, execution, session.version))
            session.send(messages.commission_report(execution))
    session.send([55, 1, request_id])


def _fits(execution: Execution, wanted: dict[str, str]) -> bool:
    found = {
        "account": execution.account,
        "symbol": execution.instrument.symbol,
        "security_type": execution.instrument.security_type,
        "side": execution.side[:1],
    }
    return all(text in {"", found[name]} for name, text in wanted.items())


# Accounts


def _managed_accounts(desk: Desk, session: Session, fields: Fields) -> None:
    del fields
    session.send([15, 1, ",".join(desk.accounts.names)])


def _order_ids(desk: Desk, session: Session, fields: Fields) -> None:
    del fields
    session.send([9, 1, desk.next_order_id(session.client_id)])


def _positions(desk: Desk, session: Session, fields: Fields) -> None:
    del fields
    for account in desk.accounts.names:
        for held in desk.accounts.held(account):
            if held.quantity:
                session.send(messages.position(held))
    session.send([62, 1])
    session.wants_positions = True


def _cancel_positions(desk: Desk, session: Session, fields: Fields) -> None:
    del desk, fields
    session.wants_positions = False


def _account_updates(desk: Desk, session: Session, fields: Fields) -> None:
    fields.take(1)
    subscribe = fields.flag()
    account = fields.text() or desk.accounts.names[0]
    if not subscribe:
        session.account_updates.discard(account)
        return
    if account not in desk.accounts.names:
        desk.tell_error(session.client_id, -1, 321, "Error validating request: Invalid account code")
        return
    session.account_updates.add(account)
    desk.tell_account(session, account)
    for held in desk.accounts.held(account):
        session.send(messages.portfolio(held, desk.accounts))
    session.send([8, 1, messages.eastern(desk.clock())[9:14]])
    session.send([54, 1, account])


def _account_updates_multi(desk: Desk, session: Session, fields: Fields) -> None:
    fields.take(1)
    request_id = fields.integer()
    account, model = fields.take(2)
    account = account or desk.accounts.names[0]
    if account not in desk.accounts.names:
        desk.tell_error(session.client_id, request_id, 321, "Error validating request: Invalid account code")
        return
    for tag, value, currency in desk.accounts.values(account):
        session.send([73, 1, request_id, account, model, tag, value, currency])
    session.send([74, 1, request_id])


def _account_summary(desk: Desk, session: Session, fields: Fields) -> None:
    fields.take(1)
    request_id = fields.integer()
    group, tags = fields.take(2)
    wanted = set(tags.split(","))
    accounts = desk.accounts.names if group == "All" else ()
    for account in accounts:
        for tag, value, currency in desk.accounts.values(account):
            if tag in wanted:
                session.send([63, 1, request_id, account, tag, value, currency])
    session.send([64, 1, request_id])


def _current_time(desk: Desk, session: Session, fields: Fields) -> None:
    del fields
    session.send([49, 1, int(desk.clock().timestamp())])


# Contracts and market data


def _contract(fields: Fields) -> OrderFields:
    return OrderFields(dict(zip(_CONTRACT, fields.take(len(_CONTRACT)), strict=True)))


def _contract_details(desk: Desk, session: Session, fields: Fields) -> None:
    fields.take(1)
    request_id = fields.integer()
    sought = _contract(fields)
    hits = described(sought)
    if not hits:
        text = "No security definition has been found for the request"
        desk.tell_error(session.client_id, request_id, 200, text)
        return
    hours = messages.trading_hours(desk.hours, desk.clock(), extended=True)
    liquid = messages.trading_hours(desk.hours, desk.clock())
    for instrument in hits:
        exchange = sought.get("exchange")
        session.send(
            messages.contract_details(request_id, instrument, exchange, (hours, liquid), session.version)
        )
    session.send([52, 1, request_id])


def _market_rule(desk: Desk, session: Session, fields: Fields) -> None:
    """reqMarketRule: the request has no number of its own, so that a refusal names none."""
    rule_id = fields.integer()
    bands = MARKET_RULES.get(rule_id)
    if bands is None:
        text = f"Error validating request: market rule {rule_id} is not known"
        desk.tell_error(session.client_id, -1, 321, text)
        return
    session.send([93, rule_id, len(bands), *(figure for band in bands for figure in band)])


def _market_data(desk: Desk, session: Session, fields: Fields) -> None:
    fields.take(1)
    request_id = fields.integer()
    sought = _contract(fields)
    if sought.get("secType") == "BAG":
        desk.tell_error(session.client_id, request_id, 321, "Error validating request: no combos")
        return
    if fields.flag():
        fields.take(3)
    fields.take(1)
    snapshot = fields.flag()
    try:
        instrument = resolve(sought)
    except RequestRefusedError as refusal:
        desk.tell_error(session.client_id, request_id, *refusal.args)
        return
    quote = desk.market.quote(instrument.con_id)
    session.send([58, 1, request_id, 1])
    session.send([81, request_id, instrument.tick, "a60001", 3])
    for message in messages.ticks(request_id, quote, None):
        session.send(message)
    if snapshot:
        session.send([57, 1, request_id])
    else:
        session.market_data[request_id] = instrument.con_id
        session.told[request_id] = quote


def _cancel_market_data(desk: Desk, session: Session, fields: Fields) -> None:
    del desk
    fields.take(1)
    request_id = fields.integer()
    session.market_data.pop(request_id, None)
    session.told.pop(request_id, None)


def _no_reply(desk: Desk, session: Session, fields: Fields) -> None:
    """Requests a real gateway takes without an answer, and that change nothing here."""
    del desk, session, fields


HANDLERS: dict[int, Handler] = {
    1: _market_data,
    2: _cancel_market_data,
    4: cancel_order,
    5: _open_orders,
    6: _account_updates,
    7: _executions,
    8: _order_ids,
    9: _contract_details,
    14: _no_reply,  # server log level
    15: _no_reply,  # autoOpenOrders
    16: _all_open_orders,
    17: _managed_accounts,
    49: _current_time,
    58: global_cancel,
    59: _no_reply,  # market data type
    61: _positions,
    62: _account_summary,
    63: _no_reply,  # cancel account summary
    64: _cancel_positions,
    76: _account_updates_multi,
    77: _no_reply,  # cancel accountUpdatesMulti
    91: _market_rule,
    99: _completed_orders,
}
