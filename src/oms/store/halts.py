"""Trading that is halted, and by whom."""

from oms.store.database import Database


class Halts:
    """Trading that is halted, and by whom."""

    def __init__(self, database: Database) -> None:
        self._database = database
