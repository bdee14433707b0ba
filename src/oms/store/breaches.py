"""Limits that portfolios are over now, as they were last told."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select

from oms.domain.commands import RuleResult
from oms.domain.model import Open
from oms.store import tables
from oms.store.database import Database


class Breach(Open):
    """A portfolio is over a limit since `since`, with no order involved; `result` is what the rule said then."""

    rule_id: str
    portfolio_id: str
    since: datetime
    result: RuleResult


def standing_breaches(database: Database, portfolio_ids: Sequence[str] | None = None) -> list[Breach]:
    """Every limit that is over now, the one that is over longest first."""
    rows = tables.breaches.c
    query = select(tables.breaches).order_by(rows.since, rows.rule_id, rows.portfolio_id)
    if portfolio_ids is not None:
        query = query.where(rows.portfolio_id.in_([*portfolio_ids]))
    with database.read() as connection:
        return [
            Breach(
                rule_id=row.rule_id,
                portfolio_id=row.portfolio_id,
                since=row.since,
                result=RuleResult.model_validate_json(row.body),
            )
            for row in connection.execute(query)
        ]


def count_breaches(database: Database) -> int:
    """How many limits are over now."""
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(tables.breaches)).scalar_one()
