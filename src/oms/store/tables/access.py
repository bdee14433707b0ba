"""Who may call, and what was answered to a request that may come again."""

from datetime import datetime

from sqlalchemy import LargeBinary, Text
from sqlmodel import Field

from oms.store.columns import Instant
from oms.store.tables.base import Row, table_of


class KeyRow(Row, table=True):
    """An API key. Only the SHA-256 of its secret is kept; `body` is the rest as JSON."""

    __tablename__ = "keys"
    name: str = Field(primary_key=True)
    secret_hash: str = Field(unique=True)
    expires_at: datetime | None = Field(default=None, sa_type=Instant)
    revoked_at: datetime | None = Field(default=None, sa_type=Instant)
    created_at: datetime = Field(sa_type=Instant)
    body: str = Field(sa_type=Text)


class IdempotencyRow(Row, table=True):
    """One request under an Idempotency-Key; `status` is null while it is being answered."""

    __tablename__ = "idempotency"
    key_name: str = Field(primary_key=True)
    idempotency_key: str = Field(primary_key=True)
    fingerprint: str
    resource_id: str
    status: int | None = None
    body: bytes | None = Field(default=None, sa_type=LargeBinary)
    headers: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = Field(sa_type=Instant, index=True)


keys = table_of(KeyRow)
idempotency = table_of(IdempotencyRow)
