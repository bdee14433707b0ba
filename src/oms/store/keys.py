"""API keys: names, roles and reach. Of the secret only its SHA-256 is kept.

A secret is a long random string, so one hash without salt is enough and a lookup by hash takes the same time
whatever the caller sent: nothing is compared letter by letter with a secret.
"""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import Row, Select, select, update
from sqlalchemy.exc import IntegrityError

from oms.domain.model import Open
from oms.domain.terms import Role
from oms.store import tables
from oms.store.database import Database
from oms.store.errors import Taken


class KeyRecord(Open):
    """A key without its secret. `portfolios` and `accounts`: the only ones it may touch; None is all."""

    name: str
    roles: tuple[Role, ...]
    portfolios: tuple[str, ...] | None = None
    accounts: tuple[str, ...] | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    created_at: datetime

    def is_usable(self, now: datetime) -> bool:
        """Neither revoked nor expired at `now`."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Keys:
    """The keys of the order book."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        name: str,
        roles: Iterable[Role],
        secret: str,
        portfolios: Iterable[str] | None = None,
        accounts: Iterable[str] | None = None,
        expires_at: datetime | None = None,
    ) -> KeyRecord:
        """A new key. Raises Taken when the name or the secret is in use, ValueError for the role `system`."""
        record = KeyRecord(
            name=name,
            roles=tuple(roles),
            portfolios=None if portfolios is None else tuple(portfolios),
            accounts=None if accounts is None else tuple(accounts),
            expires_at=expires_at,
            created_at=datetime.now(UTC),
        )
        if Role.SYSTEM in record.roles:
            raise ValueError("no key acts as the system")
        row = {
            "name": name,
            "secret_hash": _hashed(secret),
            "expires_at": expires_at,
            "revoked_at": None,
            "created_at": record.created_at,
            "body": record.model_dump_json(),
        }
        try:
            with self._database.write() as connection:
                connection.execute(self._database.insert(tables.keys), row)
        except IntegrityError as error:
            raise Taken(f"A key named {name!r}, or one with the same secret, exists.") from error
        return record

    def find(self, secret: str, now: datetime | None = None) -> KeyRecord | None:
        """The key with this secret, if it may be used at `now` (default: now): a revoked or expired one is None."""
        with self._database.read() as connection:
            row = connection.execute(
                _columns().where(tables.keys.c.secret_hash == _hashed(secret))
            ).one_or_none()
        record = None if row is None else _record(row)
        return record if record is not None and record.is_usable(now or datetime.now(UTC)) else None

    def get(self, name: str) -> KeyRecord | None:
        """The key with this name, usable or not."""
        with self._database.read() as connection:
            row = connection.execute(_columns().where(tables.keys.c.name == name)).one_or_none()
        return None if row is None else _record(row)

    def list(self) -> tuple[KeyRecord, ...]:
        """Every key, revoked and expired ones too, by name."""
        with self._database.read() as connection:
            return tuple(_record(row) for row in connection.execute(_columns().order_by(tables.keys.c.name)))

    def revoke(self, name: str) -> KeyRecord | None:
        """The key, never usable again; None where no key has the name. Twice keeps the first instant."""
        keys = tables.keys
        statement = update(keys).where(keys.c.name == name, keys.c.revoked_at.is_(None))
        with self._database.write() as connection:
            connection.execute(statement.values(revoked_at=datetime.now(UTC)))
            row = connection.execute(_columns().where(keys.c.name == name)).one_or_none()
        return None if row is None else _record(row)


def _columns() -> Select[tuple[str, datetime | None]]:
    return select(tables.keys.c.body, tables.keys.c.revoked_at)


def _record(row: Row[tuple[str, datetime | None]]) -> KeyRecord:
    return KeyRecord.model_validate_json(row.body).model_copy(update={"revoked_at": row.revoked_at})


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
