"""Fold every order from its journal and hold the result against the projections; replace them if so asked."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, select, union

from oms.domain.apply import fold
from oms.domain.events import Event
from oms.domain.order import Order, Placement
from oms.store import tables
from oms.store.database import Database
from oms.store.ledgers import kept_body
from oms.store.projection import Values, whole
from oms.store.store import Store
from oms.store.writing import ProjectionWriter

MAX_DIFFERENCES = 1000
"""So many differences are kept in a report; all are counted."""
_CHUNK = 200
_PROJECTED = (
    tables.orders,
    tables.fills,
    tables.placements,
    tables.allocations,
    tables.order_exceptions,
    tables.reservations,
)
_Rows = Mapping[Table, Sequence[Values]]
_NOTHING: _Rows = dict.fromkeys(_PROJECTED, ())


@dataclass(frozen=True)
class Difference:
    """A projected row that is not what the journal says. `what`: missing, unexpected, or the columns that differ."""

    order_id: str
    table: str
    row: str
    what: str


@dataclass
class RebuildReport:
    """`orders` were folded from `events`; the projection of `differing` was not theirs, `written` were replaced."""

    orders: int = 0
    events: int = 0
    differing: int = 0
    written: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether every projection is what its journal says."""
        return self.differing == 0


def rebuild(store: Store, *, write: bool) -> RebuildReport:
    """Fold each order's journal and compare. With `write`, an order that differs is replaced in one transaction.

    Orders may be recorded to while this runs: each is compared as one snapshot shows it and replaced as its
    locked row allows, so nothing moves back. A projected order without a journal differs, and is removed with
    `write`. Running twice writes nothing the second time. Raises ValueError where a journal does not fold.
    """
    database = store.database
    writer = ProjectionWriter(database)
    report = RebuildReport()
    for order_ids in _chunks(database):
        with database.snapshot() as connection:
            journals = journals_of(connection, order_ids)
            stored = stored_rows(connection, order_ids)
        for order_id in order_ids:
            events = journals[order_id]
            differences = differences_of(order_id, events, stored[order_id])
            report.orders += 1
            report.events += len(events)
            report.differing += bool(differences)
            report.differences.extend(differences[: MAX_DIFFERENCES - len(report.differences)])
            if differences and write:
                _replace(database, writer, order_id, events)
                report.written += 1
    return report


def _replace(database: Database, writer: ProjectionWriter, order_id: str, events: Sequence[Event]) -> None:
    """Write the projection anew, of the journal as it is once nobody else can record to the order."""
    with database.write() as connection:
        if events:
            writer.order(connection, whole(fold(None, events)))
        else:
            writer.lock(connection, order_id)
        if recorded := journals_of(connection, [order_id])[order_id]:
            writer.replace(connection, whole(fold(None, recorded)))
        else:
            writer.forget(connection, order_id)


def _chunks(database: Database) -> Iterator[list[str]]:
    """The ids of all orders that are recorded or projected, in chunks."""
    journal, orders, reservations = tables.journal.c, tables.orders.c, tables.reservations.c
    last = ""
    while True:
        recorded = select(journal.order_id).where(journal.seq == 1, journal.order_id > last)
        projected = select(orders.order_id).where(orders.order_id > last)
        reserved = select(reservations.order_id).where(reservations.order_id > last).distinct()
        ids = [
            select(query.order_by(query.selected_columns.order_id).limit(_CHUNK).subquery())
            for query in (recorded, projected, reserved)
        ]
        with database.read() as connection:
            chunk = list(connection.scalars(union(*ids).order_by("order_id").limit(_CHUNK)))
        if not chunk:
            return
        last = chunk[-1]
        yield chunk


def journals_of(connection: Connection, order_ids: Sequence[str]) -> dict[str, list[Event]]:
    journal = tables.journal.c
    query = select(journal.order_id, journal.body).where(journal.order_id.in_(order_ids))
    events: dict[str, list[Event]] = defaultdict(list)
    for order_id, body in connection.execute(query.order_by(journal.order_id, journal.seq)):
        events[order_id].append(Event.model_validate_json(body))
    return events


def stored_rows(connection: Connection, order_ids: Sequence[str]) -> dict[str, dict[Table, list[Values]]]:
    rows: dict[str, dict[Table, list[Values]]] = defaultdict(lambda: {table: [] for table in _PROJECTED})
    for table in _PROJECTED:
        for row in connection.execute(select(table).where(table.c.order_id.in_(order_ids))).mappings():
            rows[row["order_id"]][table].append(dict(row))
    return rows


def _expected(order: Order, stored: _Rows) -> _Rows:
    projection = whole(order)
    reservations = projection.reservations
    return {
        tables.orders: [projection.order],
        tables.fills: projection.fills,
        tables.placements: projection.placements,
        tables.allocations: projection.allocations,
        tables.order_exceptions: projection.exceptions,
        tables.reservations: stored[tables.reservations] if reservations is None else reservations,
    }


def differences_of(order_id: str, events: Sequence[Event], stored: _Rows) -> list[Difference]:
    expected = _expected(fold(None, events), stored) if events else _NOTHING
    differences: list[Difference] = []
    for table in _PROJECTED:
        wanted, found = _by_key(table, expected[table]), _by_key(table, stored[table])
        differences += [
            Difference(order_id, table.name, "|".join(key), what)
            for key in sorted(wanted.keys() | found.keys())
            if (what := _what_differs(wanted.get(key), found.get(key)))
        ]
    return differences


def _by_key(table: Table, rows: Sequence[Values]) -> dict[tuple[str, ...], Values]:
    return {tuple(str(row[column.name]) for column in table.primary_key): row for row in rows}


def _what_differs(wanted: Values | None, found: Values | None) -> str | None:
    if wanted is None or found is None:
        return "unexpected" if wanted is None else "missing"
    columns = [name for name, value in wanted.items() if not _is_equal(name, value, found[name], wanted)]
    return ", ".join(columns) or None


def _is_equal(name: str, wanted: Any, found: Any, row: Values) -> bool:
    """Also of a body that was written before a field was added, or when it still told what the fills do."""
    if name != "body":
        return bool(wanted == found)
    expected, told = json.loads(wanted), json.loads(found)
    if expected == told:
        return True
    older = json.loads(_as_written_today(row, json.dumps(_completed(told, expected))))
    return bool(expected == older)


def _completed(told: Any, expected: Any) -> Any:
    """What was written, with the fields that were not known then as they are expected now."""
    if isinstance(told, dict) and isinstance(expected, dict):
        return {name: _completed(told.get(name, value), value) for name, value in expected.items()} | {
            name: value for name, value in told.items() if name not in expected
        }
    if isinstance(told, list) and isinstance(expected, list) and len(told) == len(expected):
        return [_completed(one, other) for one, other in zip(told, expected, strict=True)]
    return told


def _as_written_today(row: Values, body: str) -> str:
    if "placement_id" in row:
        return Placement.model_validate_json(body).model_dump_json()
    return kept_body(Order.model_validate_json(body))
