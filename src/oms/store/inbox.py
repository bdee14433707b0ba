"""Venue facts on their way to orders. A message is kept before anything is done with it, and delivered at least once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, bindparam, func, or_, select, update

from oms.domain.facts import Fact
from oms.store import tables
from oms.store.columns import storable
from oms.store.database import Database

_FACT: TypeAdapter[Fact] = TypeAdapter(Fact)
_PREFIXES = 200
_LAST = "zzzz"
"""Stands after every number and most words in any collation: what begins with a prefix comes before both."""


class InboxStatus(StrEnum):
    """NEW waits for delivery; ORPHAN has no order to go to; UNREADABLE could not be read."""

    NEW = "NEW"
    DELIVERED = "DELIVERED"
    ORPHAN = "ORPHAN"
    UNREADABLE = "UNREADABLE"


@dataclass(frozen=True)
class InboxMessage:
    """A message as it came in. `natural_key` is the same whenever the venue says the same thing again."""

    natural_key: str
    order_id: str | None
    fact: Fact | None
    ts_init_ns: int
    raw: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class InboxRow:
    """A message that waits for delivery."""

    id: int
    gateway: str
    order_id: str | None
    fact: Fact
    ts_init_ns: int


@dataclass(frozen=True)
class ParkedRow:
    """A message that a person has to look at."""

    id: int
    gateway: str
    natural_key: str
    order_id: str | None
    status: InboxStatus
    fact: Fact | None
    raw: str | None
    reason: str | None
    ts_init_ns: int


class Inbox:
    """The inboxes of all gateways."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = database.insert_new(tables.inbox, "gateway", "natural_key")

    def add(self, gateway: str, messages: Sequence[InboxMessage]) -> int:
        """Keep the messages in one transaction; answers how many are new. One known by its natural key is ignored."""
        if not messages:
            return 0
        rows = inbox_rows(gateway, messages)
        with self._database.write() as connection:
            return connection.execute(self._insert, rows).rowcount

    def undelivered(self, gateway: str, limit: int = 500) -> list[InboxRow]:
        """The messages that wait, in the order they arrived."""
        inbox = tables.inbox.c
        query = (
            select(inbox.id, inbox.gateway, inbox.order_id, inbox.fact, inbox.ts_init_ns)
            .where(inbox.gateway == gateway, inbox.status == InboxStatus.NEW.value)
            .order_by(inbox.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [InboxRow(**{**row._asdict(), "fact": _FACT.validate_json(row.fact)}) for row in rows]

    def delivered(self, ids: Iterable[int]) -> None:
        """Their orders have them. Saying so twice is saying it once."""
        self._settle(ids, InboxStatus.DELIVERED, None)

    def orphan(self, ids: Iterable[int], reason: str) -> None:
        """No order takes them: they stay for a person, with the reason. A delivered one stays delivered."""
        self._settle(ids, InboxStatus.ORPHAN, storable(reason))

    def counts(self, gateway: str) -> dict[InboxStatus, int]:
        """How many messages of the gateway are in each status; zero included."""
        inbox = tables.inbox.c
        query = select(inbox.status, func.count()).where(inbox.gateway == gateway).group_by(inbox.status)
        with self._database.read() as connection:
            counted = {row[0]: row[1] for row in connection.execute(query)}
        return {status: counted.get(status.value, 0) for status in InboxStatus}

    def oldest_undelivered_ns(self, gateway: str) -> int | None:
        """When the oldest waiting message came, in nanoseconds since the epoch; None where none waits."""
        inbox = tables.inbox.c
        query = select(func.min(inbox.ts_init_ns)).where(
            inbox.gateway == gateway, inbox.status == InboxStatus.NEW.value
        )
        with self._database.read() as connection:
            oldest: int | None = connection.execute(query).scalar()
        return oldest

    def parked(self, limit: int = 100) -> list[ParkedRow]:
        """The messages that no order got, latest first."""
        inbox = tables.inbox.c
        waiting: ColumnElement[bool] = inbox.status.in_(
            [InboxStatus.ORPHAN.value, InboxStatus.UNREADABLE.value]
        )
        query = select(tables.inbox).where(waiting).order_by(inbox.id.desc()).limit(limit)
        with self._database.read() as connection:
            rows = [row._asdict() for row in connection.execute(query)]
        return [
            ParkedRow(**{**row, "status": InboxStatus(row["status"]), "fact": _fact(row["fact"])})
            for row in rows
        ]

    def keys_under(self, gateway: str, prefixes: Sequence[str]) -> list[str]:
        """The natural keys that begin with one of these, in the order their messages arrived."""
        inbox = tables.inbox.c
        found: list[tuple[int, str]] = []
        with self._database.read() as connection:
            for first in range(0, len(prefixes), _PREFIXES):
                some = tuple(prefixes[first : first + _PREFIXES])
                under = or_(*(inbox.natural_key.between(prefix, f"{prefix}{_LAST}") for prefix in some))
                rows = connection.execute(
                    select(inbox.id, inbox.natural_key).where(inbox.gateway == gateway, under)
                )
                found += [tuple(row) for row in rows if row.natural_key.startswith(some)]
        return [key for _, key in sorted(found)]

    def _settle(self, ids: Iterable[int], status: InboxStatus, reason: str | None) -> None:
        wanted = [{"row_id": row_id} for row_id in sorted(set(ids))]
        inbox = tables.inbox.c
        statement = update(tables.inbox).where(
            inbox.id == bindparam("row_id"),
            or_(inbox.status == InboxStatus.NEW.value, inbox.status == InboxStatus.ORPHAN.value),
        )
        if wanted:
            with self._database.write() as connection:
                connection.execute(statement.values(status=status.value, reason=reason), wanted)


def inbox_rows(gateway: str, messages: Sequence[InboxMessage]) -> list[dict[str, Any]]:
    """The messages as rows of `gateway`'s inbox, for whoever writes them with something else."""
    return [_row(gateway, message) for message in messages]


def _row(gateway: str, message: InboxMessage) -> dict[str, Any]:
    readable = message.fact is not None
    return {
        "gateway": gateway,
        "natural_key": storable(message.natural_key),
        "order_id": message.order_id,
        "fact": _FACT.dump_json(message.fact).decode() if message.fact is not None else None,
        "raw": storable(message.raw),
        "reason": storable(message.reason),
        "status": (InboxStatus.NEW if readable else InboxStatus.UNREADABLE).value,
        "ts_init_ns": message.ts_init_ns,
    }


def _fact(text: str | None) -> Fact | None:
    return None if text is None else _FACT.validate_json(text)
