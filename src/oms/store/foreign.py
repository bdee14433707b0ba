"""Orders at a broker that this system did not place: kept and shown, never touched."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, update

from oms.domain.commands import SYSTEM
from oms.domain.control import ControlEvent, ControlKind
from oms.domain.executions import revision
from oms.domain.model import Open
from oms.domain.numbers import ZERO, Amount, Holding, add, subtract
from oms.store import tables
from oms.store.columns import storable
from oms.store.control import ControlJournal
from oms.store.database import Database

FINISHED = frozenset({"Filled", "Cancelled", "ApiCancelled", "Inactive"})
"""The broker's words for an order that is over (TWS API, "Order Status")."""
UNLISTED = "Unlisted"
"""Our word for one that left the broker's list of open orders without a word about its end."""

_NOT_TOLD = "not told"


class ForeignOrder(Open):
    """An order of somebody else, as far as the broker has told of it: text is empty and a number absent until then.

    `key`: `perm/<permId>`, or `<client>:<order>` where the broker has no permanent id for it. `origin`: `TWS`
    where a person entered it there, else `client N`; `not told` while only its end is known. Times in
    nanoseconds since the epoch.
    """

    key: str
    gateway: str
    account: str = ""
    client_id: int = 0
    order_id: int = 0
    perm_id: int = 0
    order_ref: str = ""
    symbol: str = ""
    sec_type: str = ""
    conid: int = 0
    action: str = ""
    quantity: Amount | None = None
    order_type: str = ""
    status: str = ""
    filled: Amount | None = None
    origin: str = ""
    first_seen_ns: int
    last_seen_ns: int

    @property
    def is_working(self) -> bool:
        """Whether it may still trade, as far as is known."""
        return self.status not in FINISHED and self.status != UNLISTED

    @property
    def pending(self) -> Decimal:
        """Signed, what may still be executed of it; zero before the order itself was told of."""
        if self.quantity is None or not self.is_working:
            return ZERO
        left = max(subtract(self.quantity, self.filled or ZERO), ZERO)
        return left if self.action == "BUY" else -left

    def told(self, later: "ForeignOrder") -> "ForeignOrder":
        """This order after a later message, which tells a part: what it leaves out stays."""
        news = {name: value for name, value in later if value not in ("", 0, None)}
        news.pop("first_seen_ns")
        if later.filled is not None:
            news["filled"] = later.filled
        return self.model_copy(update=news)


class ForeignExecution(Open):
    """An execution of such an order. `side` is BUY or SELL, `ts_ns` the broker's own time."""

    exec_id: str
    key: str
    account: str
    conid: int
    side: str
    quantity: Holding
    price: Amount
    ts_ns: int


class Foreign:
    """The orders of others that each gateway has seen."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._control = ControlJournal(database)
        self._put = database.upsert(tables.foreign_orders)
        self._insert = database.insert_new(tables.foreign_executions, "gateway", "exec_id")

    def keep(
        self,
        gateway: str,
        orders: Sequence[ForeignOrder],
        executions: Sequence[ForeignExecution],
        now_ns: int,
    ) -> tuple[ForeignOrder, ...]:
        """Keep what was told of them, in the order it was told; answers the orders that are new.

        One transaction with a control event for each new order. The same messages twice are one order and one
        execution.
        """
        if not orders and not executions:
            return ()
        with self._database.write() as connection:
            known = self._known(connection, gateway, {order.key for order in orders})
            before = set(known)
            for order in orders:
                known[order.key] = known[order.key].told(order) if order.key in known else _first(order)
            if known:
                connection.execute(self._put, [_row(order) for order in known.values()])
            if executions:
                connection.execute(self._insert, [_execution_row(gateway, one) for one in executions])
            new = tuple(order for key, order in known.items() if key not in before)
            self._control.append(connection, [_event(order, now_ns) for order in new])
        return new

    def unlisted(self, gateway: str, since_ns: int, accounts: Collection[str] | None = None) -> int:
        """After a complete list of open orders that began at `since_ns`: what it did not show works no more.

        Of the orders that `gateway` has seen, in these accounts of the broker or in all. Answers how many they were.
        """
        rows = tables.foreign_orders.c
        gone = (rows.gateway == gateway) & rows.working.is_(True) & (rows.last_seen_ns < since_ns)
        if accounts is not None:
            gone &= rows.account.in_(accounts)
        statement = update(tables.foreign_orders).where(gone).values(status=UNLISTED, working=False)
        with self._database.write() as connection:
            return connection.execute(statement).rowcount

    def seen_by(self, accounts: Collection[str]) -> frozenset[str]:
        """The gateways by whose word an order may still trade in one of the accounts."""
        rows = tables.foreign_orders.c
        query = select(rows.gateway).where(rows.account.in_(accounts), rows.working.is_(True)).distinct()
        with self._database.read() as connection:
            return frozenset(connection.scalars(query))

    def list(
        self, gateway: str | None = None, working: bool | None = None, limit: int = 100
    ) -> tuple[ForeignOrder, ...]:
        """At most `limit` orders, the one heard of last first."""
        rows = tables.foreign_orders
        query = select(rows).order_by(rows.c.last_seen_ns.desc(), rows.c.key).limit(limit)
        if gateway is not None:
            query = query.where(rows.c.gateway == gateway)
        if working is not None:
            query = query.where(rows.c.working.is_(working))
        with self._database.read() as connection:
            found = connection.execute(query).mappings()
            return tuple(ForeignOrder.model_validate(dict(row)) for row in found)

    def working_in(self, account: str) -> tuple[ForeignOrder, ...]:
        """Those that may still trade in the broker's account, the one seen first, first; each once."""
        with self._database.snapshot() as connection:
            return foreign_in(connection, account)

    def executions(self, key: str | None = None, limit: int = 100) -> tuple[ForeignExecution, ...]:
        """At most `limit` executions of one order or of all, the latest first."""
        rows = tables.foreign_executions
        query = select(rows).order_by(rows.c.ts_ns.desc(), rows.c.exec_id.desc()).limit(limit)
        if key is not None:
            query = query.where(rows.c.key == key)
        with self._database.read() as connection:
            found = connection.execute(query).mappings()
            return tuple(ForeignExecution.model_validate(dict(row)) for row in found)

    def count_working(self, gateway: str) -> int:
        """How many of them may still trade."""
        rows = tables.foreign_orders.c
        query = select(func.count()).where(rows.gateway == gateway, rows.working.is_(True))
        with self._database.read() as connection:
            return connection.execute(query).scalar_one()

    def traded(self, gateway: str, since_ns: int) -> dict[tuple[str, int], Decimal]:
        """The signed quantity that they have executed since then, by account and contract; corrections replace."""
        rows = tables.foreign_executions
        query = select(rows).where(rows.c.gateway == gateway, rows.c.ts_ns >= since_ns)
        standing: dict[str, tuple[int, Any]] = {}
        with self._database.read() as connection:
            for row in connection.execute(query):
                base, number = revision(row.exec_id)
                if number >= standing.get(base, (-1, None))[0]:
                    standing[base] = (number, row)
        traded: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
        for _, row in standing.values():
            book = add if row.side == "BUY" else subtract
            traded[row.account, row.conid] = book(traded[row.account, row.conid], row.quantity)
        return dict(traded)

    def _known(self, connection: Connection, gateway: str, keys: Iterable[str]) -> dict[str, ForeignOrder]:
        rows = tables.foreign_orders
        query = select(rows).where(
            rows.c.gateway == gateway, rows.c.key.in_(bindparam("keys", expanding=True))
        )
        found = connection.execute(query.with_for_update(), {"keys": list(keys)}).mappings()
        return {row["key"]: ForeignOrder.model_validate(dict(row)) for row in found}


def foreign_in(connection: Connection, account: str) -> tuple[ForeignOrder, ...]:
    """The orders of others that may still trade in the account, the one seen first, first.

    Several gateways may have seen the same one, under a number of its client first and for good afterwards: who heard
    of it last is believed.
    """
    rows = tables.foreign_orders
    open_there = select(rows.c.gateway, rows.c.key).where(rows.c.account == account, rows.c.working.is_(True))
    seen = connection.execute(open_there).all()
    if not seen:
        return ()
    # By the whole primary key, for most orders of others are over.
    gateways = {row.gateway for row in seen} | set(connection.scalars(select(tables.gateways.c.name)))
    query = select(rows).where(rows.c.gateway.in_(gateways), rows.c.key.in_({row.key for row in seen}))
    told = [ForeignOrder.model_validate(dict(row)) for row in connection.execute(query).mappings()]
    last = _last_words(_last_words(told, lambda order: order.key), _identity)
    found = [order for order in last if order.is_working and order.account == account]
    return tuple(sorted(found, key=lambda order: (order.first_seen_ns, order.key)))


def _last_words(
    told: Iterable[ForeignOrder], identity: Callable[[ForeignOrder], object]
) -> Iterable[ForeignOrder]:
    """The order that was heard of last of those with one identity."""
    ordered = sorted(told, key=lambda order: (order.last_seen_ns, order.key))
    return {identity(order): order for order in ordered}.values()


def _identity(order: ForeignOrder) -> object:
    """What an order has from its first message on: its client's number for it, which a person's order has not."""
    return (order.client_id, order.order_id) if order.order_id > 0 else order.key


def _first(order: ForeignOrder) -> ForeignOrder:
    return order if order.origin else order.model_copy(update={"origin": _NOT_TOLD})


def _row(order: ForeignOrder) -> dict[str, Any]:
    kept = order.model_dump() | {"working": order.is_working}
    return {name: storable(value) if isinstance(value, str) else value for name, value in kept.items()}


def _execution_row(gateway: str, execution: ForeignExecution) -> dict[str, Any]:
    return {**execution.model_dump(), "gateway": gateway}


def _event(order: ForeignOrder, now_ns: int) -> ControlEvent:
    return ControlEvent(
        kind=ControlKind.FOREIGN_ORDER_SEEN,
        subject=order.key,
        actor=SYSTEM.key,
        reason=f"an order that this system did not place, from {order.origin}",
        ts_ns=now_ns,
        data=order.model_dump(mode="json"),
    )
