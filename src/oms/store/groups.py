"""Groups of accounts and groups."""

from oms.store.database import Database


class Groups:
    """Groups of accounts and groups."""

    def __init__(self, database: Database) -> None:
        self._database = database
