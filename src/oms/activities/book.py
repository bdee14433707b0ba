"""The order book's own record."""

from temporalio import activity
from temporalio.exceptions import ApplicationError

from oms.domain.order import JournalBatch
from oms.store import Store
from oms.store.errors import JournalConflict


class BookActivities:
    """Activities on the journal and its projections."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @activity.defn(name="record")
    def record(self, batch: JournalBatch) -> int:
        """Write a batch of events and the projected order in one transaction; answer the stream position.

        Twice: events already written are left alone, so the second call changes nothing. A different event
        under a number already written means two histories of one order: that is never retried.
        """
        try:
            return self._store.journal.record(batch.order, batch.events)
        except JournalConflict as conflict:
            raise ApplicationError(str(conflict), type="JournalConflict", non_retryable=True) from conflict
