"""Venue events as they were heard: kept once each, and read from the end."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select, true, union_all

from oms.domain.programs.events import TailedEvent, VenueEvent
from oms.store import tables
from oms.store.columns import storable
from oms.store.database import Database

_E, _O = tables.venue_events.c, tables.command_orders.c
_MERGED = 50
"""Up to so many portfolios are read by merging the newest of each."""
_LOOKED_AT = 5_000
"""Among so many of the newest an entry of any command is looked for."""


class VenueEvents:
    """The events of all gateways, in the order they arrived."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = database.insert_new(tables.venue_events, "gateway", "natural_key")

    def add(self, gateway: str, events: Sequence[VenueEvent]) -> int:
        """Keep the events in one transaction; answers how many are new. One known by its natural key is ignored."""
        if not events:
            return 0
        rows = [_row(gateway, event) for event in events]
        with self._database.write() as connection:
            return connection.execute(self._insert, rows).rowcount

    def tail(
        self,
        limit: int,
        *,
        portfolio_ids: Collection[str] | None = None,
        message_id: str | None = None,
        order_index: int | None = None,
        tenant: str | None = None,
    ) -> list[TailedEvent]:
        """The last `limit` events, oldest first, each with the command that it or its order is of.

        portfolio_ids: the only ones the caller may see; events without a portfolio are then left out. message_id,
        order_index: of this command, of this entry of it; without a command the entry is looked for among the
        last 5 000 events (of each portfolio). tenant: of the tenant's portfolio; nothing where nobody
        knows the tenant.
        """
        with self._database.snapshot() as connection:
            within = _within(connection, portfolio_ids, tenant)
            if within is not None and not within:
                return []
            if message_id is None:
                parts = _parts(within, order_index, limit)
            else:
                parts = _of_command(connection, message_id, within, order_index, limit)
            query = _TOLD.where(_E.position.in_(_newest(parts, limit))).order_by(_E.position)
            return [TailedEvent.model_validate(row._asdict()) for row in connection.execute(query)]


_entry = func.coalesce(_E.order_index, _O.order_index)
_TOLD: Select[Any] = select(
    *(_E[name] for name in TailedEvent.model_fields if name not in ("message_id", "order_index")),
    func.coalesce(_E.message_id, _O.message_id).label("message_id"),
    _entry.label("order_index"),
).join(tables.command_orders, _O.order_id == _E.order_id, isouter=True)


def _within(
    connection: Connection, portfolio_ids: Collection[str] | None, tenant: str | None
) -> list[str] | None:
    """The portfolios to look at, None for all and what belongs to none."""
    permitted = None if portfolio_ids is None else set(portfolio_ids)
    if tenant is not None:
        query = select(tables.tenants.c.portfolio_id).where(tables.tenants.c.tenant == tenant)
        own = set(connection.scalars(query))
        permitted = own if permitted is None else own & permitted
    return None if permitted is None else sorted(permitted)


def _parts(within: list[str] | None, order_index: int | None, limit: int) -> Iterator[Select[tuple[int]]]:
    """The newest positions that fit, in parts of which each is read from the end of an index of its own."""
    if within is None:
        yield _last(true(), order_index, limit)
    elif len(within) > _MERGED:
        yield _last(_E.portfolio_id.in_(within), order_index, limit)
    else:
        yield from (_last(_E.portfolio_id == one, order_index, limit) for one in within)


def _last(condition: ColumnElement[bool], order_index: int | None, limit: int) -> Select[tuple[int]]:
    newest = select(_E.position).where(condition).order_by(_E.position.desc())
    if order_index is None:
        return newest.limit(limit)
    some = newest.add_columns(_E.order_id, _E.order_index).limit(_LOOKED_AT).subquery()
    return (
        select(some.c.position)
        .join(tables.command_orders, _O.order_id == some.c.order_id, isouter=True)
        .where(func.coalesce(some.c.order_index, _O.order_index) == order_index)
        .order_by(some.c.position.desc())
        .limit(limit)
    )


def _of_command(
    connection: Connection,
    message_id: str,
    within: list[str] | None,
    order_index: int | None,
    limit: int,
) -> Iterator[Select[tuple[int]]]:
    """What names the command itself, and what names none and is about one of its orders.

    Compared and ordered by expressions, so that no plan reads all events to find a command's.
    """
    orders = list(connection.scalars(select(_O.order_id).where(_O.message_id == message_id)))
    about = (_E.order_id.in_(orders), func.coalesce(_E.message_id, "") == "")
    for conditions in ((_E.message_id == message_id,), about):
        part = select(_E.position).where(*conditions)
        if within is not None:
            part = part.where(func.coalesce(_E.portfolio_id, "").in_(within))
        if order_index is not None:
            part = part.join(tables.command_orders, _O.order_id == _E.order_id, isouter=True)
            part = part.where(_entry == order_index)
        yield part.order_by(func.coalesce(_E.position, 0).desc()).limit(limit)


def _newest(parts: Iterable[Select[tuple[int]]], limit: int) -> Select[tuple[int]]:
    merged = union_all(*(select(part.subquery().c.position) for part in parts)).subquery()
    newest = select(merged.c.position).order_by(merged.c.position.desc()).limit(limit)
    return select(newest.subquery().c.position)


def _row(gateway: str, event: VenueEvent) -> dict[str, Any]:
    return {
        **event.model_dump(),
        "gateway": gateway,
        "natural_key": storable(event.natural_key),
        "event_type": storable(event.event_type),
    }
