"""The control journal: what happens beside the orders, in one gapless stream."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, bindparam, func, select, update

from oms.domain.control import ControlEvent, ControlKind
from oms.store import tables
from oms.store.database import Database

STREAM = "control"


class ControlJournal:
    """Halts, changes of rules, limits that are over, findings: append-only, in the order they were committed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        head = tables.stream_head
        self._advance = (
            update(head)
            .where(head.c.name == STREAM)
            .values(position=head.c.position + bindparam("count"))
            .returning(head.c.position)
        )
        self._insert = database.insert(tables.control_journal)

    def append(self, connection: Connection, events: Sequence[ControlEvent]) -> None:
        """Write `events` as part of the caller's transaction: they are there when what they tell of is.

        The position an event carries is replaced by the next free one. Positions are taken from a single row
        whose lock is held until the caller's commit, so they have no hole and commit in their order; a reader
        that has seen N never misses a smaller one (`Journal.record` says more).

        Call it last: the caller's transaction then holds up other writers no longer than it must. A
        transaction that writes both journals takes the order journal's positions first and these second;
        the other way round, two of them could wait for each other for ever on PostgreSQL.
        """
        if not events:
            return
        last: int = connection.execute(self._advance, {"count": len(events)}).scalar_one()
        first = last - len(events) + 1
        connection.execute(self._insert, [_row(event, at) for at, event in enumerate(events, start=first)])

    def tell(self, *events: ControlEvent) -> None:
        """Write `events` by themselves: nothing else is told of with them."""
        with self._database.write() as connection:
            self.append(connection, events)

    def stream(
        self,
        after: int,
        limit: int = 500,
        *,
        kinds: Collection[ControlKind] | None = None,
        portfolio_ids: Collection[str] | None = None,
    ) -> list[ControlEvent]:
        """At most `limit` events with a position greater than `after`, in their order, that pass the filters.

        `portfolio_ids`: only events of these portfolios; what belongs to no portfolio is left out. Fewer than
        `limit` events: the reader has seen everything up to the `head()` it asked for *before* this call, and
        may go on from there.
        """
        journal = tables.control_journal.c
        query = select(journal.position, journal.body).where(journal.position > after)
        if kinds is not None:
            query = query.where(journal.kind.in_([kind.value for kind in kinds]))
        if portfolio_ids is not None:
            query = query.where(journal.portfolio_id.in_([*portfolio_ids]))
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(journal.position).limit(limit)).all()
        return [_event(position, body) for position, body in rows]

    def last(self, kind: ControlKind, subject: str) -> ControlEvent | None:
        """The latest event of this kind about `subject`."""
        journal = tables.control_journal.c
        query = select(journal.position, journal.body).where(
            journal.kind == kind.value, journal.subject == subject
        )
        with self._database.read() as connection:
            row = connection.execute(query.order_by(journal.position.desc()).limit(1)).first()
        return None if row is None else _event(row.position, row.body)

    def count(self, kind: ControlKind) -> int:
        """How many events of this kind there ever were."""
        query = select(func.count()).where(tables.control_journal.c.kind == kind.value)
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def head(self) -> int:
        """The position of the last event of the stream; 0 before the first."""
        head = tables.stream_head.c
        with self._database.read() as connection:
            return int(connection.execute(select(head.position).where(head.name == STREAM)).scalar_one())


def _row(event: ControlEvent, position: int) -> dict[str, object]:
    return {
        "position": position,
        "kind": event.kind.value,
        "subject": event.subject,
        "portfolio_id": event.portfolio_id,
        "order_id": event.order_id,
        "ts_ns": event.ts_ns,
        "body": event.model_copy(update={"position": position}).model_dump_json(),
    }


def _event(position: int, body: str) -> ControlEvent:
    return ControlEvent.model_validate_json(body).model_copy(update={"position": position})
