"""One engine for SQLite and PostgreSQL: how a connection opens, reads and writes.

SQLite runs in WAL with synchronous=NORMAL: a commit survives the death of the process, and a power cut may
lose the last commits without harming the file. Writers begin IMMEDIATE, one at a time: threads of this
process queue on a lock (fair and fast), other processes on SQLite's own lock with a busy timeout.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any, cast

from sqlalchemy import URL, ColumnElement, Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite

BUSY_TIMEOUT_SECONDS = 30
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=NORMAL",
    "foreign_keys=ON",
    "cache_size=-32000",
    "temp_store=MEMORY",
)
_WRITES = "oms_writes"
FENCE: ContextVar[Callable[[Connection], None] | None] = ContextVar("oms_fence", default=None)
"""Asked at the end of each write of this context: it raises where the writer may write no more, and nothing stays.

At the end and not at the beginning: the rows written are locked by then, so whoever may write next writes after us.
"""


class Database:
    """Connections of one database. Safe for any number of threads; each `read` or `write` is one transaction."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        parsed = _parsed(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.engine = _sqlite(parsed, pool_size) if self.is_sqlite else _postgresql(parsed, pool_size)
        self._writer = self.engine.execution_options(**{_WRITES: True})
        self._snapshots = (
            self.engine
            if self.is_sqlite
            else self.engine.execution_options(isolation_level="REPEATABLE READ")
        )
        self._turn: AbstractContextManager[Any] = threading.Lock() if self.is_sqlite else nullcontext()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for one query: each sees what is committed when it begins."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A connection for several queries that must see one and the same state of the database."""
        with self._snapshots.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction: committed at the end, rolled back when an exception leaves the block."""
        with self._turn, self._writer.begin() as connection:
            yield connection
            fence = FENCE.get()
            if fence is not None:
                fence(connection)

    def insert_new(self, table: Table, *key: str) -> sqlite.Insert:
        """INSERT that passes over rows whose key (any, unless named) is taken; `rowcount` says how many were new."""
        statement = self.insert(table).on_conflict_do_nothing(index_elements=key or None)
        # SQLAlchemy keeps no count for an INSERT unless it is asked to.
        return statement.execution_options(preserve_rowcount=True)

    def insert(self, table: Table) -> sqlite.Insert:
        """An INSERT that knows ON CONFLICT. Both dialects spell it alike, so one type stands for both."""
        return sqlite.insert(table) if self.is_sqlite else cast("sqlite.Insert", postgresql.insert(table))

    def upsert(self, table: Table, *, unless: ColumnElement[bool] | None = None) -> sqlite.Insert:
        """INSERT, or replace every other column of the row with the same primary key, save where `unless` holds."""
        statement = self.insert(table)
        key = [column.name for column in table.primary_key]
        replaced = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in key}
        condition = None if unless is None else ~unless
        return statement.on_conflict_do_update(index_elements=key, set_=replaced, where=condition)

    def close(self) -> None:
        """Give every pooled connection back. Closing twice is closing once."""
        self.engine.dispose()


def _parsed(url: str) -> URL:
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise ValueError(f"{backend} is not supported; the order book is kept in SQLite or PostgreSQL")
    if not parsed.database or parsed.database == ":memory:":
        raise ValueError("an SQLite order book needs a file: sqlite:////path/oms.db")
    return parsed


def _sqlite(url: URL, pool_size: int) -> Engine:
    Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
    arguments = {"timeout": BUSY_TIMEOUT_SECONDS, "cached_statements": 512, "check_same_thread": False}
    engine = create_engine(url, connect_args=arguments, pool_size=pool_size, max_overflow=50)

    @event.listens_for(engine, "connect")
    def opened(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(url: URL, pool_size: int) -> Engine:
    return create_engine(url, pool_size=pool_size, max_overflow=20, pool_pre_ping=True)
