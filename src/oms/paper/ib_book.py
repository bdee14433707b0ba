"""The paper broker's own book, read from its state file by another process.

This is the other side of a reconciliation: what the broker says it executed, whoever was told.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

from oms.paper.instruments import catalogue


@dataclass(frozen=True, slots=True)
class PaperExecution:
    """One execution in force: a corrected one stands under its correction's id only.

    ``side`` is BUY or SELL, ``price`` per unit and ``commission`` in USD. A bust leaves quantity 0.
    """

    exec_id: str
    order_ref: str
    perm_id: int
    client_id: int
    order_id: int
    account: str
    symbol: str
    side: str
    quantity: Decimal
    price: Decimal
    commission: Decimal


@dataclass(frozen=True, slots=True)
class PaperOrderLine:
    """One order as the broker knows it; ``status`` in TWS words, or Held (sent with transmit 0)."""

    client_id: int
    order_id: int
    perm_id: int
    order_ref: str
    account: str
    symbol: str
    side: str
    quantity: Decimal
    order_type: str
    status: str
    filled: Decimal


def read_executions(state_file: Path) -> list[PaperExecution]:
    """All executions in force, oldest first. Raises sqlite3.OperationalError when there is no such file."""
    rows = _rows(
        state_file,
        "SELECT exec_id, order_ref, perm_id, client_id, order_id, account, con_id, side, quantity, price,"
        " commission FROM executions WHERE replaced = 0 ORDER BY number",
    )
    return [
        PaperExecution(
            row[0],
            row[1],
            row[2],
            row[3],
            row[4],
            row[5],
            catalogue()[row[6]].symbol,
            row[7],
            Decimal(row[8]),
            Decimal(row[9]),
            Decimal(row[10]),
        )
        for row in rows
    ]


def read_orders(state_file: Path) -> list[PaperOrderLine]:
    """All orders by permId. Raises sqlite3.OperationalError when there is no such file."""
    rows = _rows(
        state_file,
        "SELECT client_id, order_id, perm_id, order_ref, account, con_id, side, quantity, order_type, status,"
        " filled FROM orders ORDER BY perm_id",
    )
    return [
        PaperOrderLine(
            row[0],
            row[1],
            row[2],
            row[3],
            row[4],
            catalogue()[row[5]].symbol,
            row[6],
            Decimal(row[7]),
            row[8],
            row[9],
            Decimal(row[10]),
        )
        for row in rows
    ]


def _rows(state_file: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{quote(str(state_file))}?mode=ro", uri=True)) as db:
        return db.execute(sql).fetchall()
