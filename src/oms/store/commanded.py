"""Signed commands: kept before they are started, claimed once, and what became of them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Connection, bindparam, select, update
from sqlalchemy.exc import IntegrityError

from oms.domain.errands import Refusal
from oms.domain.programs.outcomes import Commanded, CommandOutcome, CommandRecord, CommandStatus
from oms.store import tables
from oms.store.columns import storable
from oms.store.database import Database
from oms.store.errors import Taken

_ORDERS = TypeAdapter(tuple[Commanded, ...])
_KEPT = tuple(column.name for column in tables.commands.columns)
_ENQUEUED, _WORKING = CommandStatus.ENQUEUED.value, CommandStatus.WORKING.value
_BEFORE: Mapping[CommandStatus, tuple[str, ...]] = {
    status: (_ENQUEUED,) if status is CommandStatus.ENQUEUED else (_ENQUEUED, _WORKING)
    for status in CommandStatus
}
"""From which statuses a command comes to each: never out of one that is final, never back."""


class Commands:
    """Commands by idem_key, which stands for its command for ever."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = database.insert_new(tables.commands, "idem_key")
        self._link = database.insert_new(tables.command_orders, "order_id")
        windows = tables.command_windows
        window = database.insert(windows)
        # Whoever takes a window anew takes it from a command that came a whole window earlier.
        self._open_window = window.on_conflict_do_update(
            index_elements=["tenant", "digest"],
            set_={name: window.excluded[name] for name in ("idem_key", "received_ns")},
            where=windows.c.received_ns <= window.excluded.received_ns - bindparam("window_ns"),
        ).execution_options(preserve_rowcount=True)

    def claim(self, record: CommandRecord, *, window_ns: int | None) -> tuple[CommandRecord, bool]:
        """The command that this one is, and whether that is `record` itself, kept by this very call.

        It is the one kept under the same idem_key; the caller compares digests, because a key may come with another
        command. With `window_ns` (a command without a key of its own) it also is an earlier one of this kind with
        the same tenant and digest, received less than `window_ns` before. Of many at once exactly one is new.

        Raises Taken where the message id is another command's.
        """
        try:
            with self._database.write() as connection:
                if window_ns is not None and not self._opens_window(connection, record, window_ns):
                    return _in_window(connection, record), False
                if connection.execute(self._insert, _row(record)).rowcount == 1:
                    return record, True
                return _only(connection, tables.commands.c.idem_key == record.idem_key), False
        except IntegrityError as error:
            raise Taken(f"Message id {record.message_id} is another command's.") from error

    def get(self, idem_key: str) -> CommandRecord | None:
        """The command under this key."""
        return self._one(tables.commands.c.idem_key == idem_key)

    def by_message(self, message_id: str) -> CommandRecord | None:
        """The command with this message id."""
        return self._one(tables.commands.c.message_id == message_id)

    def list(
        self, tenants: Collection[str] | None = None, limit: int = 100, before: str | None = None
    ) -> tuple[CommandRecord, ...]:
        """At most `limit` commands, the one that arrived last first.

        tenants: only theirs. before: only those that arrived before the one with this message id.
        """
        commands = tables.commands
        query = select(commands).order_by(commands.c.message_id.desc()).limit(limit)
        if tenants is not None:
            query = query.where(commands.c.tenant.in_([*tenants]))
        if before is not None:
            query = query.where(commands.c.message_id < before)
        with self._database.read() as connection:
            return tuple(_record(row._asdict()) for row in connection.execute(query))

    def progress(self, outcome: CommandOutcome, now_ns: int) -> bool:
        """Keep how far the command is, or what became of it. False where nothing was written.

        A command never leaves DONE, DRY_RUN or REFUSED, and what was kept with it stays.
        """
        commands = tables.commands.c
        statement = update(tables.commands).where(
            commands.idem_key == outcome.idem_key, commands.status.in_(_BEFORE[outcome.status])
        )
        changes = {**_became(outcome), "updated_ns": now_ns}
        with self._database.write() as connection:
            return connection.execute(statement.values(changes)).rowcount == 1

    def order_links(self, message_id: str, tenant: str, links: Sequence[Commanded]) -> None:
        """Say of which command these orders are, before they are opened. Twice is once, and the first word stays."""
        rows = [
            {
                "order_id": link.order_id,
                "message_id": message_id,
                "tenant": tenant,
                "order_index": link.order_index,
                "part": link.part.value,
            }
            for link in links
            if link.order_id is not None
        ]
        if rows:
            with self._database.write() as connection:
                connection.execute(self._link, rows)

    def _opens_window(self, connection: Connection, record: CommandRecord, window_ns: int) -> bool:
        row = {name: getattr(record, name) for name in ("tenant", "digest", "idem_key", "received_ns")}
        return connection.execute(self._open_window, {**row, "window_ns": window_ns}).rowcount == 1

    def _one(self, condition: ColumnElement[bool]) -> CommandRecord | None:
        with self._database.read() as connection:
            row = connection.execute(select(tables.commands).where(condition)).one_or_none()
        return None if row is None else _record(row._asdict())


def _in_window(connection: Connection, record: CommandRecord) -> CommandRecord:
    """The command that holds the window."""
    windows = tables.command_windows.c
    holder = select(windows.idem_key).where(windows.tenant == record.tenant, windows.digest == record.digest)
    return _only(connection, tables.commands.c.idem_key == holder.scalar_subquery())


def _only(connection: Connection, condition: ColumnElement[bool]) -> CommandRecord:
    return _record(connection.execute(select(tables.commands).where(condition)).one()._asdict())


def _row(record: CommandRecord) -> dict[str, Any]:
    kept = {name: getattr(record, name) for name in _KEPT}
    return {**kept, "kind": record.kind.value, **_became(record)}


def _became(of: CommandRecord | CommandOutcome) -> dict[str, Any]:
    return {
        "status": of.status.value,
        "orders": _ORDERS.dump_json(of.orders).decode(),
        "refusal": None if of.refusal is None else of.refusal.model_dump_json(),
        "detail": storable(of.detail),
    }


def _record(row: dict[str, Any]) -> CommandRecord:
    read = {
        "orders": _ORDERS.validate_json(row["orders"]),
        "refusal": None if row["refusal"] is None else Refusal.model_validate_json(row["refusal"]),
    }
    return CommandRecord.model_validate({**row, **read})
