"""Orders that wait for a verdict from outside: since when, and for how long by now."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, cast, func, select
from sqlalchemy.dialects.postgresql import JSON

from oms.domain.apply import instant
from oms.domain.model import Open
from oms.domain.terms import ComplianceMode, State
from oms.store import tables
from oms.store.database import Database

_REQUESTED = {
    State.PENDING_PRE_TRADE_COMPLIANCE: "pre_trade_compliance_requested",
    State.PENDING_POST_TRADE_COMPLIANCE: "post_trade_compliance_requested",
}


class Request(Open):
    """An order that waits for an external verdict at a gate (`pre_trade` or `post_trade`) since `since`.

    `version` is the version of the order that a verdict has to name.
    """

    order_id: str
    portfolio_id: str
    instrument_id: str
    gate: str
    version: int
    since: datetime


def open_requests(database: Database, portfolio_ids: Sequence[str] | None = None) -> list[Request]:
    """Every order that waits for an external verdict, the one that waits longest first."""
    orders, journal = tables.orders.c, tables.journal.c
    query = (
        select(
            orders.order_id,
            orders.portfolio_id,
            orders.instrument_id,
            orders.state,
            func.max(journal.seq).label("version"),
            func.max(journal.ts_init_ns).label("since_ns"),
        )
        .join(tables.journal, journal.order_id == orders.order_id)
        .where(
            orders.state.in_([state.value for state in _REQUESTED]),
            journal.kind.in_(_REQUESTED.values()),
            _compliance_mode(database) == ComplianceMode.EXTERNAL.value,
        )
        .group_by(orders.order_id, orders.portfolio_id, orders.instrument_id, orders.state)
        .order_by(func.max(journal.ts_init_ns), orders.order_id)
    )
    if portfolio_ids is not None:
        query = query.where(orders.portfolio_id.in_([*portfolio_ids]))
    with database.read() as connection:
        rows = connection.execute(query).all()
    return [
        Request(
            order_id=row.order_id,
            portfolio_id=row.portfolio_id,
            instrument_id=row.instrument_id,
            gate=_REQUESTED[State(row.state)].removesuffix("_compliance_requested"),
            version=row.version,
            since=instant(row.since_ns),
        )
        for row in rows
    ]


def _compliance_mode(database: Database) -> ColumnElement[Any]:
    """Who judges the order; only its body says."""
    body = tables.orders.c.body
    on_sqlite = func.json_extract(body, "$.request.compliance")
    return on_sqlite if database.is_sqlite else cast(body, JSON)[("request", "compliance")].astext
