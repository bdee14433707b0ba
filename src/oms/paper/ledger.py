"""Durable state of the paper broker in one SQLite file.

Everything a client is told is written and committed before it is sent, so a killed process goes on
where it was. WAL with synchronous=NORMAL survives the death of the process (not of the machine).
Changes collect in memory and ``commit`` writes them in one transaction.
"""

import fcntl
import logging
import sqlite3
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TextIO

from oms.paper.accounts import Position
from oms.paper.instruments import catalogue
from oms.paper.ledger_rows import (
    ORDER_COLUMNS,
    execution_of,
    execution_row,
    moment_text,
    order_of,
    order_row,
    quote_of,
    quote_text,
)
from oms.paper.market import Quote
from oms.paper.orders import CANCELLED, FILLED, INACTIVE, Execution, OrderKey, PaperOrder

_LOG = logging.getLogger(__name__)

SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
  client_id INTEGER, order_id INTEGER, perm_id INTEGER UNIQUE, con_id INTEGER, account TEXT, order_ref TEXT,
  side TEXT, quantity TEXT, order_type TEXT, limit_price TEXT, stop_price TEXT, tif TEXT, good_till TEXT,
  oca_group TEXT, oca_type INTEGER, parent_id INTEGER, transmit INTEGER, attributes TEXT,
  status TEXT, placed_at TEXT, why_held TEXT, filled TEXT, cost TEXT, last_price TEXT, commission TEXT,
  triggered INTEGER, rested INTEGER, expires TEXT, completed_at TEXT, completed_status TEXT,
  trail_stop TEXT, looks INTEGER DEFAULT 0,
  PRIMARY KEY (client_id, order_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS finished_orders ON orders (completed_at, perm_id);
CREATE TABLE IF NOT EXISTS executions (
  number INTEGER PRIMARY KEY AUTOINCREMENT, exec_id TEXT UNIQUE, client_id INTEGER, order_id INTEGER,
  perm_id INTEGER, account TEXT, con_id INTEGER, side TEXT, quantity TEXT, price TEXT, time TEXT,
  cumulative TEXT, average_price TEXT, commission TEXT, order_ref TEXT, passive INTEGER, realized TEXT,
  replaced INTEGER DEFAULT 0
);
CREATE INDEX IF NOT EXISTS execution_times ON executions (time);
CREATE TABLE IF NOT EXISTS positions (
  account TEXT, con_id INTEGER, quantity TEXT, average TEXT, realized TEXT, PRIMARY KEY (account, con_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quotes (con_id INTEGER PRIMARY KEY, figures TEXT);
CREATE TABLE IF NOT EXISTS cash (account TEXT PRIMARY KEY, amount TEXT);
CREATE TABLE IF NOT EXISTS clients (client_id INTEGER PRIMARY KEY, highest_order_id INTEGER);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER);
"""

_LATER_COLUMNS = {"trail_stop": "TEXT", "looks": "INTEGER DEFAULT 0"}
"""Columns of ``orders`` that a file of an earlier version does not have."""

_FINAL = f"('{FILLED}', '{CANCELLED}', '{INACTIVE}')"


class StateFileInUseError(RuntimeError):
    """Another gateway keeps its book in this file."""


class Ledger:
    """The broker's book. ``path`` None keeps it in memory only.

    Raises StateFileInUseError while another process keeps its book in the same file.
    """

    def __init__(self, path: Path | None) -> None:
        self._lock = _claim(path) if path else None
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(SCHEMA)
        self._add_later_columns()
        self._orders: dict[OrderKey, PaperOrder] = {}
        self._executions: list[Execution] = []
        self._replaced: list[str] = []
        self._positions: dict[tuple[str, int], Position] = {}
        self._quotes: dict[int, Quote] = {}
        self._cash: dict[str, Decimal] = {}
        self._clients: dict[int, int] = {}
        self._counters: dict[str, int] = {}

    def _add_later_columns(self) -> None:
        there = {row[1] for row in self._db.execute("PRAGMA table_info(orders)")}
        for name, kind in _LATER_COLUMNS.items():
            if name not in there:
                self._db.execute(f"ALTER TABLE orders ADD COLUMN {name} {kind}")

    def close(self) -> None:
        """Write what is pending and close the file."""
        self.commit()
        self._db.close()
        if self._lock is not None:
            self._lock.close()

    # Writing: kept in memory until commit

    def put_order(self, order: PaperOrder) -> None:
        self._orders[order.key] = order

    def put_execution(self, execution: Execution, replaces: str = "") -> None:
        """Add an execution; ``replaces`` names the one it corrects."""
        self._executions.append(execution)
        if replaces:
            self._replaced.append(replaces)

    def put_position(self, position: Position) -> None:
        self._positions[position.account, position.instrument.con_id] = position

    def put_quote(self, con_id: int, quote: Quote) -> None:
        self._quotes[con_id] = quote

    def put_cash(self, account: str, amount: Decimal) -> None:
        self._cash[account] = amount

    def put_highest_order_id(self, client_id: int, order_id: int) -> None:
        self._clients[client_id] = order_id

    def put_counter(self, name: str, value: int) -> None:
        self._counters[name] = value

    def commit(self) -> None:
        """Write all pending changes in one transaction. Raises sqlite3.Error, and then nothing may be sent."""
        pending = (
            self._orders,
            self._executions,
            self._replaced,
            self._positions,
            self._quotes,
            self._cash,
            self._clients,
            self._counters,
        )
        if not any(pending):
            return
        run = self._db.executemany
        self._db.execute("BEGIN IMMEDIATE")
        try:
            marks = ",".join("?" * ORDER_COLUMNS)
            orders = [order_row(o) for o in self._orders.values()]
            run(f"INSERT OR REPLACE INTO orders VALUES ({marks})", orders)  # noqa: S608 - marks only
            run(
                "INSERT INTO executions VALUES (NULL,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,0)",
                [execution_row(e) for e in self._executions],
            )
            run("UPDATE executions SET replaced = 1 WHERE exec_id = ?", [(i,) for i in self._replaced])
            positions = [
                (p.account, p.instrument.con_id, str(p.quantity), str(p.average), str(p.realized))
                for p in self._positions.values()
            ]
            run("INSERT OR REPLACE INTO positions VALUES (?,?,?,?,?)", positions)
            quotes = [(con_id, quote_text(quote)) for con_id, quote in self._quotes.items()]
            run("INSERT OR REPLACE INTO quotes VALUES (?,?)", quotes)
            run("INSERT OR REPLACE INTO cash VALUES (?,?)", [(a, str(m)) for a, m in self._cash.items()])
            run("INSERT OR REPLACE INTO clients VALUES (?,?)", list(self._clients.items()))
            run("INSERT OR REPLACE INTO counters VALUES (?,?)", list(self._counters.items()))
            self._db.execute("COMMIT")
        except sqlite3.Error:
            _LOG.exception("the paper ledger cannot be written")
            self._db.execute("ROLLBACK")
            raise
        for collection in pending:
            collection.clear()

    # Reading

    def order(self, key: OrderKey) -> PaperOrder | None:
        """One order by (client id, order id), live or finished."""
        if key in self._orders:
            return self._orders[key]
        row = self._db.execute("SELECT * FROM orders WHERE client_id = ? AND order_id = ?", key).fetchone()
        return order_of(row) if row else None

    def live_orders(self) -> list[PaperOrder]:
        """Orders that are not finished, oldest first."""
        self.commit()
        sql = f"SELECT * FROM orders WHERE status NOT IN {_FINAL} ORDER BY perm_id"  # noqa: S608 - constants
        return [order_of(row) for row in self._db.execute(sql)]

    def all_orders(self) -> list[PaperOrder]:
        """Every order, oldest first."""
        self.commit()
        return [order_of(row) for row in self._db.execute("SELECT * FROM orders ORDER BY perm_id")]

    def completed_orders(self, since: datetime) -> list[PaperOrder]:
        """Orders finished at or after a moment, oldest first."""
        self.commit()
        sql = "SELECT * FROM orders WHERE completed_at >= ? ORDER BY completed_at, perm_id"
        return [order_of(row) for row in self._db.execute(sql, (moment_text(since),))]

    def executions(self, since: datetime | None = None, *, effective: bool = False) -> list[Execution]:
        """Executions at or after a moment, oldest first; ``effective`` leaves out the corrected ones."""
        self.commit()
        sql = "SELECT * FROM executions WHERE time >= ? AND replaced <= ? ORDER BY number"
        rows = self._db.execute(sql, (moment_text(since) if since else "", 0 if effective else 1))
        return [execution_of(row) for row in rows]

    def execution(self, exec_id: str) -> Execution | None:
        """One execution by its id."""
        self.commit()
        row = self._db.execute("SELECT * FROM executions WHERE exec_id = ?", (exec_id,)).fetchone()
        return execution_of(row) if row else None

    def positions(self) -> list[Position]:
        return [
            Position(account, catalogue()[con_id], Decimal(quantity), Decimal(average), Decimal(realized))
            for account, con_id, quantity, average, realized in self._db.execute("SELECT * FROM positions")
        ]

    def quotes(self) -> dict[int, Quote]:
        return {c: quote_of(text) for c, text in self._db.execute("SELECT * FROM quotes") if c in catalogue()}

    def cash(self) -> dict[str, Decimal]:
        return {account: Decimal(amount) for account, amount in self._db.execute("SELECT * FROM cash")}

    def highest_order_ids(self) -> dict[int, int]:
        return dict(self._db.execute("SELECT * FROM clients").fetchall())

    def highest_perm_id(self) -> int:
        """The last permId given; 0 in a new file."""
        return int(self._db.execute("SELECT coalesce(max(perm_id), 0) FROM orders").fetchone()[0])

    def counters(self) -> dict[str, int]:
        return dict(self._db.execute("SELECT * FROM counters").fetchall())


def _claim(path: Path) -> TextIO:
    """Lock the file for this process; the system lifts the lock however the process ends."""
    lock = path.with_name(path.name + ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as problem:
        lock.close()
        raise StateFileInUseError(f"another paper gateway keeps its book in {path}") from problem
    return lock
