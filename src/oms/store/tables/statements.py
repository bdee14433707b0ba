"""What a broker's statements say, kept as they came and trade by trade."""

from datetime import date, datetime

from sqlalchemy import BigInteger, Index, LargeBinary, Text
from sqlmodel import Field

from oms.store.columns import Instant
from oms.store.tables.base import Row, table_of


class StatementRow(Row, table=True):
    """One account's statement. `digest` is that of its content, `body` the document, compressed with zlib."""

    __tablename__ = "statements"
    __table_args__ = (Index("ix_statements_of", "source", "account", "to_date"),)
    statement_id: str = Field(primary_key=True)
    source: str
    account: str
    from_date: date
    to_date: date
    generated_at: datetime = Field(sa_type=Instant)
    digest: str
    rows: int
    fetched_ns: int = Field(sa_type=BigInteger)
    body: bytes = Field(sa_type=LargeBinary)


class StatementTradeRow(Row, table=True):
    """The latest word of an account's statements on one execution; `body` is the trade as JSON.

    `execution` is what its id identifies through all its revisions. `rank` orders what is said of it: a revision,
    that this revision was taken back, the next revision.
    """

    __tablename__ = "statement_trades"
    __table_args__ = (
        Index("ix_statement_trades_trade", "source", "account", "trade_id"),
        Index("ix_statement_trades_ref", "order_ref"),
    )
    source: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    execution: str = Field(primary_key=True)
    rank: int
    trade_id: str
    order_ref: str
    statement_id: str
    body: str = Field(sa_type=Text)


statements = table_of(StatementRow)
statement_trades = table_of(StatementTradeRow)
