"""The order book's own record."""

from temporalio import activity

from oms.domain.order import JournalBatch, Recording
from oms.store import JournalAhead, JournalConflict, Store

MOST_INSTEAD = 500
"""So many events are answered in place of a batch, to fit into one message; a workflow that lacks more asks again."""


class BookActivities:
    """Activities on the journal and its projections."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @activity.defn(name="record")
    def record(self, batch: JournalBatch) -> Recording:
        """Write a batch of events and the projected order in one transaction.

        Twice: events already written are left alone, so the second call changes nothing. Where the journal
        holds other events from there on, or goes on after the batch, nothing is written and they are the answer.
        """
        try:
            self._store.journal.record(batch.order, batch.events)
        except (JournalConflict, JournalAhead):
            events = self._store.journal.of_order(batch.order.order_id, after=batch.events[0].seq - 1)
            return Recording(instead=tuple(events[:MOST_INSTEAD]))
        return Recording()
