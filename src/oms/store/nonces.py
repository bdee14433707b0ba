"""Nonces of signed envelopes: each is used once for ever, by the command that claimed it first."""

from sqlalchemy import select

from oms.store import tables
from oms.store.database import Database


class Nonces:
    """Who has used which nonce."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = database.insert_new(tables.nonces)

    def claim(self, nonce: str, holder: str, now_ns: int) -> str:
        """Who holds the nonce: `holder` (an idem_key) where nobody did, else whoever claimed it first.

        Asked twice, or by many at once, everybody gets the same answer. A nonce is never forgotten.
        """
        row = {"nonce": nonce, "holder": holder, "claimed_ns": now_ns}
        nonces = tables.nonces.c
        with self._database.write() as connection:
            if connection.execute(self._insert, row).rowcount == 1:
                return holder
            return str(connection.execute(select(nonces.holder).where(nonces.nonce == nonce)).scalar_one())
