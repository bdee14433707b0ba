"""Baskets by name."""

from oms.store.database import Database


class Baskets:
    """Baskets by name."""

    def __init__(self, database: Database) -> None:
        self._database = database
