"""What was answered under each Idempotency-Key, so that a repeated request gets the first answer again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, select, update

from oms.store import tables
from oms.store.database import Database


@dataclass(frozen=True)
class IdempotencyRecord:
    """A request under its key. `status`, `body`, `headers` are None while the first one is being answered.

    `is_new`: this very call wrote the record, so the caller is the one to answer. Otherwise the fingerprint says
    whether the request is the same, and `resource_id` is the id that the first one minted.
    """

    key_name: str
    idempotency_key: str
    fingerprint: str
    resource_id: str
    created_at: datetime
    is_new: bool
    status: int | None = None
    body: bytes | None = None
    headers: dict[str, str] | None = None


class Idempotency:
    """Idempotency keys, apart for each API key."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = database.insert_new(tables.idempotency)

    def begin(
        self, key_name: str, idempotency_key: str, fingerprint: str, resource_id: str
    ) -> IdempotencyRecord:
        """Write the request down, or answer what is written. Of many at once exactly one gets `is_new`."""
        table = tables.idempotency
        row = {
            "key_name": key_name,
            "idempotency_key": idempotency_key,
            "fingerprint": fingerprint,
            "resource_id": resource_id,
            "created_at": datetime.now(UTC),
        }
        kept = select(table).where(table.c.key_name == key_name, table.c.idempotency_key == idempotency_key)
        with self._database.write() as connection:
            is_new = connection.execute(self._insert, row).rowcount == 1
            found = connection.execute(kept).one()._asdict()
        headers = None if found["headers"] is None else json.loads(found["headers"])
        return IdempotencyRecord(**{**found, "headers": headers, "is_new": is_new})

    def finish(
        self, key_name: str, idempotency_key: str, status: int, body: bytes, headers: Mapping[str, str]
    ) -> None:
        """Keep the answer. The first one stays; finishing again, or what was never begun, changes nothing."""
        table = tables.idempotency.c
        statement = update(tables.idempotency).where(
            table.key_name == key_name, table.idempotency_key == idempotency_key, table.status.is_(None)
        )
        with self._database.write() as connection:
            connection.execute(statement.values(status=status, body=body, headers=json.dumps(dict(headers))))

    def forget_before(self, instant: datetime) -> int:
        """Forget every request begun before `instant`; answers how many."""
        statement = delete(tables.idempotency).where(tables.idempotency.c.created_at < instant)
        with self._database.write() as connection:
            return connection.execute(statement).rowcount
