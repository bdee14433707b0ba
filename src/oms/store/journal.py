"""The journal: every event of every order, and the stream that runs through all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, select, update

from oms.domain.announcing import announcements
from oms.domain.events import Event
from oms.domain.order import Order
from oms.domain.terms import Direction, State
from oms.store import tables
from oms.store.control import ControlJournal
from oms.store.database import Database
from oms.store.errors import JournalAhead, JournalConflict, JournalGap
from oms.store.projection import touched
from oms.store.writing import ProjectionWriter

STREAM = "journal"


@dataclass(frozen=True)
class StreamedEvent:
    """An event at its place in the stream of all events. Positions count from 1 without a hole."""

    position: int
    event: Event
    portfolio_id: str
    instrument_id: str
    direction: Direction
    basket_id: str | None
    order_created_at: datetime


class Journal:
    """The record of all orders. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._projection = ProjectionWriter(database)
        self._control = ControlJournal(database)
        journal, head = tables.journal, tables.stream_head
        self._last_seq = select(func.max(journal.c.seq)).where(journal.c.order_id == bindparam("order_id"))
        self._recorded = (
            select(journal.c.seq, journal.c.position, journal.c.body)
            .where(
                journal.c.order_id == bindparam("order_id"),
                journal.c.seq >= bindparam("first"),
                journal.c.seq <= bindparam("last"),
            )
            .order_by(journal.c.seq)
        )
        self._advance = (
            update(head)
            .where(head.c.name == STREAM)
            .values(position=head.c.position + bindparam("count"))
            .returning(head.c.position)
        )
        self._insert = database.insert(journal)

    def record(self, order: Order, events: Sequence[Event]) -> int:
        """Write `events` and the order they led to, in one transaction. Answers the last event's stream position.

        `events` are consecutive and end at `order.version`. The same batch again, or one that overlaps what is
        recorded, writes only what is new and answers the same position. No events: nothing, position 0.

        Raises, and writes nothing: JournalConflict when another event is recorded at one of the places,
        JournalAhead when the batch is recorded and the order has moved on since, JournalGap when an event
        before the batch is missing, ValueError when the batch is not one.

        Positions are taken from a single row, updated inside the transaction after everything that may wait.
        The row's lock is held until the commit, so the next writer gets its positions only when this one's
        events are visible (or gone, and the positions with them). Positions therefore have no hole and
        transactions commit in their order: a reader that has seen N can never miss a smaller one that
        commits later, which a sequence or an identity column would allow.
        """
        if not events:
            return 0
        _check_batch(order, events)
        projection = touched(order, events)
        with self._database.write() as connection:
            # First, because it locks the row: two who record the same order go one after the other.
            self._projection.order(connection, projection)
            new, position = self._compare(connection, order, events)
            self._projection.parts(connection, projection)
            return self._append(connection, order, new) if new else position

    def of_order(self, order_id: str, after: int = 0) -> list[Event]:
        """The order's events with a number above `after`; empty for an order nobody recorded."""
        journal = tables.journal.c
        query = (
            select(journal.body)
            .where(journal.order_id == order_id, journal.seq > after)
            .order_by(journal.seq)
        )
        with self._database.read() as connection:
            return [Event.model_validate_json(body) for body in connection.scalars(query)]

    def stream(
        self,
        after: int,
        limit: int = 500,
        *,
        portfolio_ids: Sequence[str] | None = None,
        portfolio_id: str | None = None,
        instrument_id: str | None = None,
        state: State | None = None,
        direction: Direction | None = None,
        basket_id: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> list[StreamedEvent]:
        """At most `limit` events with a position greater than `after`, in their order, that pass the filters.

        The filters are ListOrders'; `state` is the state after the event. Fewer than `limit` events: the reader
        has seen everything up to the `head()` it asked for *before* this call, and may go on from there.
        """
        journal = tables.journal.c
        query: Select[Any] = select(
            journal.position,
            journal.body,
            journal.portfolio_id,
            journal.instrument_id,
            journal.direction,
            journal.basket_id,
            journal.order_created_at,
        ).where(journal.position > after)
        if portfolio_ids is not None:
            query = query.where(journal.portfolio_id.in_(list(portfolio_ids)))
        for column, wanted in (
            (journal.portfolio_id, portfolio_id),
            (journal.instrument_id, instrument_id),
            (journal.state, state),
            (journal.direction, direction),
            (journal.basket_id, basket_id),
        ):
            if wanted is not None:
                query = query.where(column == str(wanted))
        if created_after is not None:
            query = query.where(journal.order_created_at > created_after)
        if created_before is not None:
            query = query.where(journal.order_created_at < created_before)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(journal.position).limit(limit)).all()
        return [
            StreamedEvent(
                position,
                Event.model_validate_json(body),
                portfolio,
                instrument,
                Direction(direction),
                basket,
                created_at,
            )
            for position, body, portfolio, instrument, direction, basket, created_at in rows
        ]

    def head(self) -> int:
        """The position of the last event of the stream; 0 before the first."""
        head = tables.stream_head.c
        with self._database.read() as connection:
            return int(connection.execute(select(head.position).where(head.name == STREAM)).scalar_one())

    def _compare(
        self, connection: Connection, order: Order, events: Sequence[Event]
    ) -> tuple[Sequence[Event], int]:
        """The events that are not recorded yet, and the position of the last that is."""
        first = events[0].seq
        last = connection.execute(self._last_seq, {"order_id": order.order_id}).scalar() or 0
        if first > last + 1:
            raise JournalGap(f"{order.order_id}: event {first} was given and {last} is the last recorded.")
        if first > last:
            return events, 0
        bounds = {"order_id": order.order_id, "first": first, "last": events[-1].seq}
        recorded = connection.execute(self._recorded, bounds).all()
        for (seq, _, body), event in zip(recorded, events, strict=False):
            if not _is_same(body, event):
                raise JournalConflict(
                    f"{order.order_id}: event {seq} is recorded and is not the {event.kind} given."
                )
        if last > order.version:
            raise JournalAhead(
                f"{order.order_id}: event {last} is recorded, the batch ends at {order.version}."
            )
        return events[len(recorded) :], recorded[-1].position

    def _append(self, connection: Connection, order: Order, events: Sequence[Event]) -> int:
        common = {
            "order_id": order.order_id,
            "portfolio_id": order.portfolio_id,
            "instrument_id": order.instrument_id,
            "direction": order.direction.value,
            "basket_id": order.basket_id,
            "order_created_at": order.created_at,
        }
        rows = [
            {
                **common,
                "seq": event.seq,
                "kind": event.kind,
                "state": event.state.value,
                "ts_init_ns": event.ts_init_ns,
                "body": event.model_dump_json(),
            }
            for event in events
        ]
        head: int = connection.execute(self._advance, {"count": len(rows)}).scalar_one()
        for position, row in enumerate(rows, start=head - len(rows) + 1):
            row["position"] = position
        connection.execute(self._insert, rows)
        self._control.append(connection, announcements(order, events))
        return head


def _check_batch(order: Order, events: Sequence[Event]) -> None:
    for seq, event in enumerate(events, start=events[0].seq):
        if event.order_id != order.order_id or event.seq != seq:
            raise ValueError(
                f"{event.order_id} event {event.seq} does not belong at {order.order_id} event {seq}"
            )
    if events[0].seq < 1 or events[-1].seq != order.version:
        raise ValueError(
            f"events up to {events[-1].seq} do not lead to {order.order_id} version {order.version}"
        )


def _is_same(body: str, event: Event) -> bool:
    """Whether a recorded event is the one given, also where it was recorded before a field was added."""
    given = event.model_dump_json()
    return body == given or Event.model_validate_json(body).model_dump_json() == given
