"""The control journal: what happens beside the orders, in one gapless stream."""

from oms.store.database import Database


class ControlJournal:
    """The control journal: what happens beside the orders, in one gapless stream."""

    def __init__(self, database: Database) -> None:
        self._database = database
