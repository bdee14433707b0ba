"""Orders of others: entered by hand in TWS, by other programs, or by us in a life that this order book forgot.

They are kept as the broker tells of them and shown. Nothing here, or anywhere, sends a message about one.
"""

from dataclasses import dataclass, field

import structlog

from oms.domain.executions import revision
from oms.gateways.ibkr.messages import ExecutionShown, OrderShown, StatusShown
from oms.gateways.ibkr.settings import IBKRSettings, name_lease
from oms.store import ForeignExecution, ForeignOrder, Store

LOG = structlog.get_logger()


@dataclass(slots=True)
class Strangers:
    """What one batch of messages told of others' orders."""

    orders: list[ForeignOrder] = field(default_factory=list)
    executions: list[ForeignExecution] = field(default_factory=list)


class Quarantine:
    """Keeps what the broker tells of orders that are in no intent of this order book."""

    def __init__(self, store: Store, settings: IBKRSettings) -> None:
        self._store = store
        self._settings = settings
        self._perm_ids: set[int] = set()

    def knows(self, perm_id: int, strangers: Strangers) -> bool:
        """Whether the broker told of an order of others under this permanent id, to this process."""
        return perm_id > 0 and (
            perm_id in self._perm_ids or any(order.perm_id == perm_id for order in strangers.orders)
        )

    def meet(self, message: OrderShown | StatusShown | ExecutionShown, strangers: Strangers) -> None:
        """Note what `message` tells of an order that is not ours."""
        order = self._order(message)
        strangers.orders.append(order)
        if isinstance(message, ExecutionShown):
            strangers.executions.append(_execution(message, order.key))

    def keep(self, strangers: Strangers) -> None:
        """Commit what was noted. Twice is once."""
        orders = strangers.orders
        if not orders:
            return
        new = self._store.foreign.keep(
            self._settings.name, orders, strangers.executions, orders[-1].last_seen_ns
        )
        self._perm_ids |= {order.perm_id for order in orders}
        for order in new:
            LOG.warning("ibkr.foreign_order", key=order.key, origin=order.origin, symbol=order.symbol)

    def _order(self, message: OrderShown | StatusShown | ExecutionShown) -> ForeignOrder:
        told = {
            "key": _key(message),
            "gateway": self._settings.name,
            "client_id": message.client_id,
            "order_id": message.order_id,
            "perm_id": message.perm_id,
            "origin": _origin(message),
            "first_seen_ns": message.received_ns,
            "last_seen_ns": message.received_ns,
        }
        if isinstance(message, StatusShown):
            return ForeignOrder(**told, status=message.status, filled=message.filled)
        what = {
            "account": message.account,
            "order_ref": message.order_ref,
            "symbol": message.symbol,
            "sec_type": message.sec_type,
            "conid": message.conid,
        }
        if isinstance(message, ExecutionShown):
            return ForeignOrder(**told, **what, action=message.side)
        return ForeignOrder(
            **told,
            **what,
            action=message.action,
            quantity=message.quantity or None,
            order_type=message.order_type,
            status=message.status,
            filled=message.filled,
        )


def close_unlisted(store: Store, name: str, accounts: frozenset[str], since_ns: int) -> None:
    """After a whole sweep that began at `since_ns`: what the broker did not show works no more.

    Its list of all open orders has those of every client and of TWS (TWS API, "Retrieving currently active orders"),
    but maybe not those of another login. So a gateway that runs closes what it has seen itself; for one that does not
    run any more, the session `name` does, in the `accounts` that it serves and its login manages.
    """
    store.foreign.unlisted(name, since_ns)
    for other in store.foreign.seen_by(accounts) - {name}:
        if store.leases.holder(name_lease(other)) is not None:
            continue
        if closed := store.foreign.unlisted(other, since_ns, accounts):
            LOG.info("ibkr.foreign_orders_left_behind", gateway=other, closed=closed)


def _key(message: OrderShown | StatusShown | ExecutionShown) -> str:
    """The permanent id where there is one: trades that were not born at IBKR have none."""
    if message.perm_id > 0:
        return f"perm/{message.perm_id}"
    if message.order_id != 0:
        return f"{message.client_id}:{message.order_id}"
    if isinstance(message, ExecutionShown):
        return f"exec/{revision(message.exec_id)[0]}"
    return f"ref/{message.order_ref}" if isinstance(message, OrderShown) else "0:0"


def _origin(message: OrderShown | StatusShown | ExecutionShown) -> str:
    if isinstance(message, OrderShown) and message.completed:
        # A completedOrder names no client: what is known of it from before stands.
        return ""
    by_hand = message.client_id == 0 or message.order_id <= 0
    return "TWS" if by_hand else f"client {message.client_id}"


def _execution(message: ExecutionShown, key: str) -> ForeignExecution:
    return ForeignExecution(
        exec_id=message.exec_id,
        key=key,
        account=message.account,
        conid=message.conid,
        side=message.side,
        quantity=message.quantity,
        price=message.price,
        ts_ns=message.event_ns,
    )
