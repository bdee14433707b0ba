"""Evidence from outside a session: facts into the inbox of the gateway that owns the placement, and what they end.

The gateway delivers them like its own. Its process may change the same intent meanwhile, so an intent is moved only
from exactly what it was when the evidence was weighed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import update

from oms.store import tables
from oms.store.database import Database
from oms.store.inbox import InboxMessage, inbox_rows
from oms.store.intents import Intent, IntentState


@dataclass(frozen=True)
class Ending:
    """What evidence makes of an intent: where it goes, and the message that tells its order."""

    before: Intent
    state: IntentState
    detail: str
    message: InboxMessage


class EvidenceBook:
    """One write for each placement: all of it is kept, or nothing is."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = database.insert_new(tables.inbox, "gateway", "natural_key")

    def give(
        self, gateway: str, messages: Sequence[InboxMessage], ending: Ending | None, now_ns: int
    ) -> tuple[int, bool]:
        """How many messages are new, and whether the intent moved. Twice is once."""
        with self._database.write() as connection:
            moved = False
            if ending is not None:
                intents, before = tables.intents.c, ending.before
                unchanged = (
                    intents.placement_id == before.placement_id,
                    intents.state == before.state.value,
                    intents.updated_ns == before.updated_ns,
                )
                changes = {"state": ending.state.value, "detail": ending.detail, "updated_ns": now_ns}
                moved = (
                    connection.execute(update(tables.intents).where(*unchanged).values(changes)).rowcount == 1
                )
            told = [*messages, *([ending.message] if ending is not None and moved else [])]
            rows = inbox_rows(gateway, told)
            new = connection.execute(self._insert, rows).rowcount if rows else 0
        return new, moved
