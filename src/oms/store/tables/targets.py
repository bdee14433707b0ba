"""Batches of target positions, and what each aim came to."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, Text
from sqlmodel import Field

from oms.store.columns import Instant
from oms.store.tables.base import Row, table_of


class TargetBatchRow(Row, table=True):
    """A batch as it was posted; `body` is the batch as JSON."""

    __tablename__ = "target_batches"
    __table_args__ = (
        Index("ix_target_batches_newest", "submitted_at", "batch_id"),
        Index("ix_target_batches_account", "account_id", "submitted_at", "batch_id"),
    )
    batch_id: str = Field(primary_key=True)
    account_id: str
    portfolio_id: str
    submitted_at: datetime = Field(sa_type=Instant)
    body: str = Field(sa_type=Text)


class AimRow(Row, table=True):
    """What an aim came to: its plan, kept once and before anything is opened, and a refusal. Both are JSON.

    `batch_id` is what stands before the last slash of the aim's id. `target` is what the plan is about, an account
    and a contract, and `turn` numbers the plans of one target in the order in which they were kept.
    """

    __tablename__ = "aims"
    __table_args__ = (Index("ix_aims_target", "target", "turn"),)
    aim_id: str = Field(primary_key=True)
    batch_id: str = Field(index=True)
    plan: str | None = Field(default=None, sa_type=Text)
    refusal: str | None = Field(default=None, sa_type=Text)
    target: str | None = None
    turn: int | None = Field(default=None, sa_type=BigInteger)


target_batches = table_of(TargetBatchRow)
aims = table_of(AimRow)
