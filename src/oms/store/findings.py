"""The last finding about each business invariant."""

from oms.store.database import Database


class Findings:
    """The last finding about each business invariant."""

    def __init__(self, database: Database) -> None:
        self._database = database
