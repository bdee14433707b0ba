"""A broker's statements as they came, and the latest word of them on each execution."""

import hashlib
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Select, select

from oms.domain.breaks import BreakCategory
from oms.domain.model import Open
from oms.domain.statements import Statement, StatementTrade
from oms.store import tables
from oms.store.columns import storable
from oms.store.database import Database

_AT_A_TIME = 500
"""Databases bound how many values one query may name."""


class KeptStatement(Open):
    """What is known of a kept statement. `rows` counts its trades and positions; `digest` is that of its content."""

    statement_id: str
    source: str
    account: str
    from_date: date
    to_date: date
    generated_at: datetime
    digest: str
    rows: int
    fetched_ns: int


class Statements:
    """Statements by id. The same statement twice is one, whenever it was made."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._put = database.insert_new(tables.statements, "statement_id")
        replacing = database.insert(tables.statement_trades)
        kept = tables.statement_trades.c
        self._put_trade = database.upsert(tables.statement_trades, unless=kept.rank > replacing.excluded.rank)

    def keep(self, statement: Statement, body: bytes, identity: bytes, now_ns: int) -> tuple[str, bool]:
        """Keep a statement and its trades in one transaction; answers its id and whether it was not known.

        `body` is the document, `identity` what makes it this one. A known statement that was made later than before
        says so from now on. Of an execution the highest revision stands.
        """
        digest = hashlib.sha256(identity).hexdigest()
        statement_id = _id(statement, digest)
        row = {
            **statement.model_dump(include={"source", "account", "from_date", "to_date", "generated_at"}),
            "statement_id": statement_id,
            "digest": digest,
            "rows": len(statement.trades or ()) + len(statement.positions or ()),
            "fetched_ns": now_ns,
            "body": zlib.compress(body),
        }
        table = tables.statements
        later = (
            table.update()
            .where(table.c.statement_id == statement_id, table.c.generated_at < statement.generated_at)
            .values(generated_at=statement.generated_at, body=row["body"])
        )
        with self._database.write() as connection:
            is_new = connection.execute(self._put, row).rowcount == 1
            if is_new:
                self._keep_trades(connection, statement, statement_id)
            else:
                connection.execute(later)
        return statement_id, is_new

    def get(self, statement_id: str) -> KeptStatement | None:
        found = self._all(_kept().where(tables.statements.c.statement_id == statement_id))
        return found[0] if found else None

    def list(self, account: str | None = None, limit: int = 100) -> tuple[KeptStatement, ...]:
        """At most `limit` statements, those of the latest days first."""
        rows = tables.statements.c
        query = _kept() if account is None else _kept().where(rows.account == account)
        return self._all(query.order_by(rows.to_date.desc(), rows.generated_at.desc()).limit(limit))

    def latest(self, source: str, account: str) -> KeptStatement | None:
        """The statement that says most recently what the account holds."""
        rows = tables.statements.c
        query = _kept().where(rows.source == source, rows.account == account)
        found = self._all(query.order_by(rows.to_date.desc(), rows.generated_at.desc()).limit(1))
        return found[0] if found else None

    def body(self, statement_id: str) -> bytes:
        """The document of a kept statement. Raises KeyError: there is none under this id."""
        rows = tables.statements.c
        with self._database.read() as connection:
            packed = connection.execute(
                select(rows.body).where(rows.statement_id == statement_id)
            ).scalar_one_or_none()
        if packed is None:
            raise KeyError(statement_id)
        return zlib.decompress(packed)

    def trades(self, source: str, account: str, keys: Collection[str]) -> tuple[StatementTrade, ...]:
        """The latest word on these executions, as far as any statement had one."""
        rows = tables.statement_trades.c
        query = select(rows.body).where(rows.source == source, rows.account == account)
        with self._database.read() as connection:
            return tuple(
                StatementTrade.model_validate_json(body)
                for some in _in_parts(sorted(keys))
                for body in connection.scalars(query.where(rows.execution.in_(some)))
            )

    def executed(self, order_ref: str) -> tuple[StatementTrade, ...]:
        """Every execution that any statement has under a reference, each once: its latest word, whatever the source."""
        rows = tables.statement_trades.c
        query = select(rows.account, rows.execution, rows.body).where(rows.order_ref == order_ref)
        with self._database.read() as connection:
            found = connection.execute(query.order_by(rows.rank, rows.source)).all()
        latest = {(row.account, row.execution): row.body for row in found}
        return tuple(StatementTrade.model_validate_json(body) for body in latest.values())

    def standing(self, source: str, account: str, category: BreakCategory) -> frozenset[str]:
        """The subjects of the differences that the last comparison with `source` found."""
        rows = tables.breaks.c
        query = select(rows.subject).where(
            rows.source == source,
            rows.account == account,
            rows.category == category.value,
            rows.standing.is_(True),
        )
        with self._database.read() as connection:
            return frozenset(connection.scalars(query))

    def _keep_trades(self, connection: Connection, statement: Statement, statement_id: str) -> None:
        """Keep them; what is taken back without its execution's id stands for the one under the same trade id."""
        trades = statement.trades or ()
        orphans = [trade for trade in trades if trade.canceled and not trade.exec_id]
        of_trade = dict(self._of_trades(connection, statement, [trade.trade_id for trade in orphans]))
        rows = [_trade_row(statement, statement_id, _resolved(trade, of_trade)) for trade in trades]
        if rows:
            connection.execute(self._put_trade, rows)

    def _of_trades(
        self, connection: Connection, statement: Statement, trade_ids: Sequence[str]
    ) -> Iterator[tuple[str, StatementTrade]]:
        rows = tables.statement_trades.c
        query = select(rows.trade_id, rows.body).where(
            rows.source == statement.source, rows.account == statement.account
        )
        for some in _in_parts(trade_ids):
            for trade_id, body in connection.execute(query.where(rows.trade_id.in_(some))):
                yield trade_id, StatementTrade.model_validate_json(body)

    def _all(self, query: Select[Any]) -> tuple[KeptStatement, ...]:
        with self._database.read() as connection:
            return tuple(
                KeptStatement.model_validate(dict(row)) for row in connection.execute(query).mappings()
            )


def _in_parts(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[at : at + _AT_A_TIME] for at in range(0, len(names), _AT_A_TIME))


def _kept() -> Select[Any]:
    return select(*(tables.statements.c[name] for name in KeptStatement.model_fields))


def _id(statement: Statement, digest: str) -> str:
    """The same for the same statement, so that keeping it twice finds it."""
    parts = (statement.source, statement.account, str(statement.from_date), str(statement.to_date), digest)
    return f"STM-{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:32]}"


def _resolved(trade: StatementTrade, of_trade: Mapping[str, StatementTrade]) -> StatementTrade:
    known = of_trade.get(trade.trade_id) if trade.canceled and not trade.exec_id else None
    return known.model_copy(update={"canceled": True, "quantity": trade.quantity}) if known else trade


def _trade_row(statement: Statement, statement_id: str, trade: StatementTrade) -> dict[str, Any]:
    return {
        "source": statement.source,
        "account": statement.account,
        "execution": storable(trade.key),
        "rank": 2 * trade.revision + trade.canceled,
        "trade_id": storable(trade.trade_id),
        "order_ref": storable(trade.order_ref),
        "statement_id": statement_id,
        "body": storable(trade.model_dump_json()),
    }
