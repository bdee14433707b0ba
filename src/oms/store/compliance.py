"""What a portfolio holds and has in flight, and what its rules say of an order, in one transaction."""

from oms.store.database import Database


class ComplianceBook:
    """What a portfolio holds and has in flight, and what its rules say of an order, in one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
