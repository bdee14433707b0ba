"""Where other books differ from ours: what each comparison found, and what became of it."""

import os
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from oms.domain.breaks import (
    BREAK,
    Break,
    BreakCategory,
    BreakStatus,
    Comparison,
    Difference,
    Outcome,
    compared,
)
from oms.domain.commands import SYSTEM
from oms.domain.control import ControlEvent, ControlKind
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import identifier, uuid7
from oms.store import tables
from oms.store.columns import storable
from oms.store.control import ControlJournal
from oms.store.database import Database

_ONE_AT_A_TIME = 0x4252_4B53
"""The PostgreSQL advisory lock (the letters BRKS) under which comparisons are kept; on SQLite writers wait anyway."""


class Breaks:
    """Breaks by id. Each change and its line in the control journal are one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._control = ControlJournal(database)
        self._put = database.upsert(tables.breaks)

    def observe(
        self,
        source: str,
        account: str,
        category: BreakCategory,
        differences: Iterable[Difference],
        now_ns: int,
        unsettled: Collection[str] = (),
    ) -> Outcome:
        """Keep the complete result of one comparison of `account` with `source`.

        A difference that no break covers opens one; a break whose difference is not among `differences` is
        CLEARED, unless its subject is `unsettled`: of those the comparison says nothing. The same comparison
        twice changes nothing. Positions and orders are never touched.
        """
        comparison = Comparison(storable(source), storable(account), category, now_ns)
        with self._database.write() as connection:
            if not self._database.is_sqlite:
                connection.execute(select(func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))
            standing = self._standing(connection, comparison)
            told = map(_storable, differences)
            outcome = compared(standing, told, comparison, lambda: _new_id(now_ns), unsettled)
            self._keep(connection, [*outcome.opened, *outcome.followed], standing=True)
            self._keep(connection, [*outcome.cleared, *outcome.ended], standing=False)
            events = [_event(ControlKind.BREAK_OPENED, one, now_ns) for one in outcome.opened]
            events += [_event(ControlKind.BREAK_CLEARED, one, now_ns) for one in outcome.cleared]
            self._control.append(connection, events)
        return outcome

    def resolve(self, break_id: str, by: str, reason: str, now_ns: int) -> Break:
        """A person ends an open break. Raises Refused: BREAK_NOT_FOUND, INVALID_STATE where it is not open."""
        with self._database.write() as connection:
            query = select(tables.breaks).where(tables.breaks.c.break_id == break_id)
            row = connection.execute(query.with_for_update()).mappings().first()
            if row is None:
                raise Refused(Code.BREAK_NOT_FOUND, f"No break has the id {break_id}.")
            resolved = Break.model_validate(dict(row)).resolved(by, storable(reason), now_ns)
            self._keep(connection, [resolved], standing=True)
            self._control.append(connection, [_event(ControlKind.BREAK_RESOLVED, resolved, now_ns)])
        return resolved

    def get(self, break_id: str) -> Break | None:
        found = self._all(tables.breaks.c.break_id == break_id)
        return found[0] if found else None

    def list(
        self,
        status: BreakStatus | None = None,
        account: str | None = None,
        category: BreakCategory | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> tuple[Break, ...]:
        """At most `limit` breaks, newest first; `before`: only those older than this break id."""
        rows = tables.breaks.c
        conditions = [
            column == value
            for column, value in ((rows.status, status), (rows.account, account), (rows.category, category))
            if value is not None
        ]
        if before is not None:
            conditions.append(rows.break_id < before)
        return self._all(*conditions, limit=limit)

    def count_open(self, source: str | None = None) -> int:
        """How many are open, of one source or of all."""
        rows = tables.breaks.c
        query = select(func.count()).where(rows.status == BreakStatus.OPEN.value)
        if source is not None:
            query = query.where(rows.source == source)
        with self._database.read() as connection:
            return connection.execute(query).scalar_one()

    def _standing(self, connection: Connection, comparison: Comparison) -> tuple[Break, ...]:
        rows = tables.breaks.c
        query = select(tables.breaks).where(
            rows.source == comparison.source,
            rows.account == comparison.account,
            rows.category == comparison.category.value,
            rows.standing.is_(True),
        )
        # A person who resolves one of them at this moment goes first or after, never in between.
        found = connection.execute(query.with_for_update()).mappings()
        return tuple(Break.model_validate(dict(row)) for row in found)

    def _keep(self, connection: Connection, breaks: Sequence[Break], *, standing: bool) -> None:
        if breaks:
            connection.execute(self._put, [_row(one, standing=standing) for one in breaks])

    def _all(self, *conditions: ColumnElement[bool], limit: int = 1) -> tuple[Break, ...]:
        rows = tables.breaks
        query = select(rows).where(*conditions).order_by(rows.c.break_id.desc()).limit(limit)
        with self._database.read() as connection:
            return tuple(Break.model_validate(dict(row)) for row in connection.execute(query).mappings())


def _new_id(now_ns: int) -> str:
    return identifier(BREAK, uuid7(now_ns // 1_000_000, os.urandom(10)))


def _storable(difference: Difference) -> Difference:
    told = {name: storable(text) for name, text in difference.model_dump().items()}
    return Difference.model_validate(told)


def _row(one: Break, *, standing: bool) -> dict[str, Any]:
    return {**one.model_dump(mode="json"), "standing": standing}


def _event(kind: ControlKind, one: Break, now_ns: int) -> ControlEvent:
    return ControlEvent(
        kind=kind,
        subject=one.break_id,
        actor=one.closed_by or SYSTEM.key,
        reason=one.reason or one.detail,
        ts_ns=now_ns,
        data=one.model_dump(mode="json"),
    )
