"""What the venue says, in IB's own names, for whoever watches: one event for each thing that it says. Pure.

It says most things again: with each list that is read, and all of the day's after a reconnect. What is said again
as it was said last is no news. A status that comes back after another one is.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

from oms.domain.numbers import plain
from oms.domain.programs.events import VenueEvent
from oms.gateways.ibkr.messages import ErrorShown, ExecutionShown, FeeShown, OrderShown, StatusShown
from oms.store import Intent

Shown = OrderShown | StatusShown | ExecutionShown | FeeShown | ErrorShown
Body = dict[str, Any]
_IB_SIDES = {"BUY": "BOT", "SELL": "SLD"}
_KEPT = 100_000


@dataclass(slots=True)
class Said:
    """What was said: last of each subject (an order's status, its terms, an execution), and ever."""

    last: dict[str, str] = field(default_factory=dict)
    ever: set[str] = field(default_factory=set)

    def learn(self, news: "Said") -> None:
        """Keep what a committed batch brought, within bounds: the store knows what is forgotten here."""
        if len(self.ever) > _KEPT:
            self.last, self.ever = {}, set()
        self.last |= news.last
        self.ever |= news.ever


def event_of(message: Shown, intent: Intent | None, before: Said, news: Said) -> VenueEvent | None:
    """The event that a message is, or None where it says nothing new; `news` learns of it.

    intent: of the order that it is about, None for an order that is not ours.
    """
    key = _news_key(message, before, news)
    if key is None:
        return None
    body = {name: value for name, value in _body(message).items() if value is not None}
    if isinstance(message, StatusShown) and intent is not None:
        body |= {"symbol": intent.ticket.instrument.symbol, "account": intent.account}
    return VenueEvent(
        natural_key=key,
        event_type=body["event_type"],
        body=body,
        ts_init_ns=message.received_ns,
        order_id=intent.order_id if intent is not None else None,
        portfolio_id=(intent.ticket.portfolio_id or None) if intent is not None else None,
    )


def knows_execution(exec_id: str, *said: Said) -> bool:
    """Whether its execution was told here. Another session tells of its own orders, and of what they cost."""
    return any(f"execDetails/{exec_id}" in one.last for one in said)


def _news_key(message: Shown, before: Said, news: Said) -> str | None:
    """The natural key: of what is said, the same in every process; of what comes back after something else, also of
    when it came."""
    subject, words = _said(message)
    told = f"{subject}/{words}"
    if told == (news.last.get(subject) or before.last.get(subject)):
        return None
    again = told in news.ever or told in before.ever
    news.last[subject] = told
    news.ever.add(told)
    return f"{told}/{message.received_ns}" if again else told


def _said(message: Shown) -> tuple[str, str]:
    """What it is a word about, which the next one about the same replaces, and the word."""
    if isinstance(message, ExecutionShown):
        return f"execDetails/{message.exec_id}", ""
    if isinstance(message, FeeShown):
        return f"commissionReport/{message.exec_id}", str(message.commission)
    if isinstance(message, ErrorShown):
        return f"error/{message.order_id}", _digest(message.code, message.text)
    order = f"{message.client_id}:{message.order_id}/{message.perm_id}"
    if isinstance(message, OrderShown):
        return f"{_of_order(message)}/{order}", _digest(*_order(message).values())
    figures = (message.filled, message.remaining, message.average_price)
    return f"orderStatus/{order}", _digest(message.status, message.why_held, *figures)


def _digest(*words: object) -> str:
    """The same in every process."""
    return sha256("|".join(map(str, words)).encode(errors="surrogatepass")).hexdigest()[:32]


def _of_order(message: OrderShown) -> str:
    return "completedOrder" if message.completed else "openOrder"


def _body(message: Shown) -> Body:
    if isinstance(message, OrderShown):
        return _order(message)
    if isinstance(message, StatusShown):
        return _status(message)
    if isinstance(message, ExecutionShown):
        return _execution(message)
    if isinstance(message, FeeShown):
        return {
            "event_type": "commissionReport",
            "execId": message.exec_id,
            "commission": _number(message.commission),
            "currency": message.currency,
        }
    return {
        "event_type": "error",
        "orderId": message.order_id,
        "errorCode": message.code,
        "errorString": message.text,
    }


def _status(message: StatusShown) -> Body:
    return {
        "event_type": "orderStatus",
        "orderId": message.order_id,
        "permId": message.perm_id,
        "clientId": message.client_id,
        "status": message.status,
        "filled": _number(message.filled),
        "remaining": _number(message.remaining),
        "avgFillPrice": _number(message.average_price),
        "whyHeld": message.why_held,
    }


def _order(message: OrderShown) -> Body:
    """The stop of a trailing order is left out: it moves with the market, and each look would be an event."""
    ids = {} if message.completed else {"orderId": message.order_id}
    return {
        "event_type": _of_order(message),
        **ids,
        "permId": message.perm_id,
        "clientId": message.client_id,
        "status": message.status,
        "completedStatus": message.text,
        "symbol": message.symbol,
        "secType": message.sec_type,
        "conId": message.conid,
        "account": message.account,
        "action": message.action,
        "totalQuantity": _number(message.quantity),
        "filledQuantity": _number(message.filled),
        "orderType": message.order_type,
        "lmtPrice": _number(message.limit_price),
        "auxPrice": _number(message.aux_price),
        "trailingPercent": _number(message.trail_percent),
        "lmtPriceOffset": _number(message.limit_offset),
        "orderRef": message.order_ref,
    }


def _execution(message: ExecutionShown) -> Body:
    return {
        "event_type": "execDetails",
        "execId": message.exec_id,
        "orderId": message.order_id,
        "permId": message.perm_id,
        "clientId": message.client_id,
        "symbol": message.symbol,
        "secType": message.sec_type,
        "conId": message.conid,
        "currency": message.currency,
        "account": message.account,
        "side": _IB_SIDES.get(message.side, message.side),
        "shares": _number(message.quantity),
        "price": _number(message.price),
        "time": datetime.fromtimestamp(message.event_ns // 1_000_000_000, UTC).isoformat(),
        "orderRef": message.order_ref,
    }


def _number(value: Decimal | None) -> Decimal | None:
    """Without the zeros that the text of a float ends in: 10.0 shares are 10."""
    return None if value is None else Decimal(plain(value))
