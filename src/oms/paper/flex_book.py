"""The paper broker's book as its statement department reads it: every revision of every execution, holdings, cash."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

from oms.paper.instruments import Instrument, catalogue


@dataclass(frozen=True, slots=True)
class BookedTrade:
    """One revision of an execution. ``replaced``: a later revision stands for it. A bust leaves quantity 0.

    ``quantity`` is signed, ``commission`` what was paid in USD for this revision alone.
    """

    number: int
    exec_id: str
    order_ref: str
    order_id: int
    account: str
    instrument: Instrument
    quantity: Decimal
    price: Decimal
    commission: Decimal
    time: datetime
    replaced: bool

    @property
    def base(self) -> str:
        """What identifies the execution through all its revisions."""
        return self.exec_id.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class HeldPosition:
    """What an account holds now. ``quantity`` is signed, ``average`` the price per unit it was entered at."""

    account: str
    instrument: Instrument
    quantity: Decimal
    average: Decimal


@dataclass(frozen=True, slots=True)
class FlexBook:
    """The book at one moment: trades oldest first, what is held, cash by account."""

    trades: list[BookedTrade]
    positions: list[HeldPosition]
    cash: dict[str, Decimal]


def read_book(state_file: Path) -> FlexBook:
    """Everything in one read. Raises sqlite3.OperationalError where there is no such file or no book in it."""
    with closing(sqlite3.connect(f"file:{quote(str(state_file))}?mode=ro", uri=True)) as db:
        db.isolation_level = None
        db.execute("BEGIN")
        trades = db.execute(
            "SELECT number, exec_id, order_ref, order_id, account, con_id, side, quantity, price, commission,"
            " time, replaced FROM executions ORDER BY number"
        ).fetchall()
        positions = db.execute("SELECT account, con_id, quantity, average FROM positions").fetchall()
        cash = db.execute("SELECT account, amount FROM cash").fetchall()
    return FlexBook(
        [_trade(*row) for row in trades],
        [HeldPosition(a, catalogue()[c], Decimal(q), Decimal(average)) for a, c, q, average in positions],
        {account: Decimal(amount) for account, amount in cash},
    )


def _trade(
    number: int,
    exec_id: str,
    order_ref: str,
    order_id: int,
    account: str,
    con_id: int,
    side: str,
    quantity: str,
    price: str,
    commission: str,
    time: str,
    replaced: int,
) -> BookedTrade:
    sign = 1 if side == "BUY" else -1
    return BookedTrade(
        number,
        exec_id,
        order_ref,
        order_id,
        account,
        catalogue()[con_id],
        Decimal(quantity) * sign,
        Decimal(price),
        Decimal(commission),
        datetime.fromtimestamp(float(time), UTC),
        bool(replaced),
    )
