"""What should be in each account at a broker: the executions of our placements there, added up."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, TypeAdapter
from sqlalchemy import Connection, bindparam, func, select

from oms.domain.executions import revision
from oms.domain.facts import Busted, Executed
from oms.domain.numbers import ZERO, add, multiply, subtract
from oms.domain.order import Order
from oms.domain.terms import Direction
from oms.domain.venues import PlacementTicket
from oms.store import tables
from oms.store.database import Database
from oms.store.inbox import InboxStatus
from oms.store.ledgers import whole_orders

_ON_THEIR_WAY = 5_000
"""So many of the executions delivered last are looked at: their orders may not have written them down yet."""
_AT_ONCE = 500


@dataclass(frozen=True)
class Held:
    """A holding of ours: signed, negative is short. `placement_id`: one of those that made it.

    lately: an execution of it was heard of since the moment that was asked about.
    """

    account: str
    instrument_id: str
    quantity: Decimal
    placement_id: str
    lately: bool = False


class HeldAtBroker:
    """Derived from fills whenever it is asked; never stored."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def by(self, accounts: Collection[str], since_ns: int) -> list[Held]:
        """What our executions in these accounts come to, by account and instrument.

        All that the order book has booked, and what any gateway has heard of and no order has booked yet: whichever
        delivers an account's executions later, they are ours now. Flat ones are left out, save those of which an
        execution was heard of at `since_ns` or later.
        """
        held: dict[_Key, Decimal] = defaultdict(lambda: ZERO)
        placements: dict[_Key, str] = {}
        with self._database.snapshot() as connection:
            heard = _heard(connection)
            for key, placement_id, quantity in (*_booked(connection), *_unbooked(connection, heard)):
                held[key] = add(held[key], quantity)
                placements[key] = placement_id
            lately = _lately(connection, heard, since_ns)
        placements = lately | placements
        return [
            Held(*key, held[key], placement_id, key in lately)
            for key, placement_id in sorted(placements.items())
            if key[0] in accounts and (held[key] or key in lately)
        ]


_FACT: TypeAdapter[Executed | Busted] = TypeAdapter(Annotated[Executed | Busted, Field(discriminator="kind")])
_Key = tuple[str, str]
"""(account, instrument id)."""
_Line = tuple[_Key, str, Decimal]
"""(account and instrument id, placement id, signed quantity)."""
_Heard = list[tuple[str, Executed]]
"""Executions, each with the id of its order."""


def _booked(connection: Connection) -> Iterator[_Line]:
    # SQLite has no exact sum: equal quantities are counted there and multiplied here.
    for row in connection.execute(_FILLS):
        signed = multiply(row.quantity, Decimal(row.times * Direction(row.direction).sign))
        yield (row.account, row.instrument_id), row.placement_id, signed


def _unbooked(connection: Connection, heard: _Heard) -> Iterator[_Line]:
    """What was heard of and the orders' projections do not show: the latest word on each execution."""
    latest: dict[tuple[str, str], tuple[int, Executed]] = {}
    for order_id, executed in heard:
        base, number = revision(executed.exec_id)
        if number >= latest.get((order_id, base), (-1, executed))[0]:
            latest[order_id, base] = (number, executed)
    suspects = _without_booked(connection, latest)
    orders = _orders(connection, {order_id for order_id, _ in suspects})
    tickets = _tickets(connection, {executed.placement_id for _, executed in suspects})
    for order_id, executed in suspects:
        order, ticket = orders.get(order_id), tickets.get(executed.placement_id)
        if ticket is None or (order is not None and not order.ledger.is_news(executed.exec_id)):
            continue
        before = order.ledger.current(executed.exec_id) if order is not None else None
        news = subtract(executed.quantity, before.quantity if before is not None else ZERO)
        yield _key(ticket), executed.placement_id, multiply(news, Decimal(ticket.direction.sign))


def _lately(connection: Connection, heard: _Heard, since_ns: int) -> dict[_Key, str]:
    """What was executed by what was heard since then, booked or not, with a placement of each."""
    news = {executed.placement_id for _, executed in heard if executed.ts_init_ns >= since_ns}
    return {_key(ticket): ticket.placement_id for ticket in _tickets(connection, news).values()}


def _key(ticket: PlacementTicket) -> _Key:
    return ticket.account, ticket.instrument.instrument_id


def _heard(connection: Connection) -> _Heard:
    """At all gateways: what one of them has heard of another one may serve by now."""
    rows = tables.inbox.c
    query = select(rows.order_id, rows.fact).where(rows.natural_key.startswith("exec/"))
    waiting = query.where(rows.status == InboxStatus.NEW.value)
    delivered = query.where(rows.status == InboxStatus.DELIVERED.value)
    found = [
        *connection.execute(waiting),
        *connection.execute(delivered.order_by(rows.id.desc()).limit(_ON_THEIR_WAY)),
    ]
    return [(row.order_id, _executed(_FACT.validate_json(row.fact))) for row in found]


def _executed(told: Executed | Busted) -> Executed:
    """A bust is the revision of its execution that leaves nothing of it."""
    if isinstance(told, Executed):
        return told
    return Executed.model_construct(**told.model_dump(exclude={"kind", "reason"}), quantity=ZERO)


def _without_booked(connection: Connection, latest: dict[tuple[str, str], tuple[int, Executed]]) -> _Heard:
    """Those of which the fills do not have this very revision."""
    booked = set()
    for ids in _parts({order_id for order_id, _ in latest}):
        booked |= {(row.order_id, row.exec_id) for row in connection.execute(_BOOKED, {"ids": ids})}
    return [
        (order_id, executed)
        for (order_id, _), (_, executed) in latest.items()
        if (order_id, executed.exec_id) not in booked
    ]


def _orders(connection: Connection, order_ids: set[str]) -> dict[str, Order]:
    found: dict[str, Order] = {}
    for ids in _parts(order_ids):
        bodies = [row.body for row in connection.execute(_ORDERS, {"ids": ids})]
        found |= {order.order_id: order for order in whole_orders(connection, bodies)}
    return found


def _tickets(connection: Connection, placement_ids: set[str]) -> dict[str, PlacementTicket]:
    found: dict[str, PlacementTicket] = {}
    for ids in _parts(placement_ids):
        for row in connection.execute(_TICKETS, {"ids": ids}):
            found[row.placement_id] = PlacementTicket.model_validate_json(row.ticket)
    return found


def _parts(ids: Iterable[str]) -> Iterator[list[str]]:
    every = sorted(ids)
    for start in range(0, len(every), _AT_ONCE):
        yield every[start : start + _AT_ONCE]


_F, _I, _O = tables.fills.c, tables.intents.c, tables.orders.c
_IDS: Any = bindparam("ids", expanding=True)
_FILLS = (
    select(
        _I.account,
        _F.instrument_id,
        _F.direction,
        _F.quantity,
        func.count().label("times"),
        func.max(_F.placement_id).label("placement_id"),
    )
    .join(tables.intents, _I.placement_id == _F.placement_id)
    .group_by(_I.account, _F.instrument_id, _F.direction, _F.quantity)
)
_BOOKED = select(_F.order_id, _F.exec_id).where(_F.order_id.in_(_IDS))
_ORDERS = select(_O.body).where(_O.order_id.in_(_IDS))
_TICKETS = select(_I.placement_id, _I.ticket).where(_I.placement_id.in_(_IDS))
