"""Venue events as they were heard, for whoever watches a tail of them."""

from typing import Any

from sqlalchemy import BigInteger, Index, UniqueConstraint
from sqlmodel import Field

from oms.store.columns import ExactJson
from oms.store.tables.base import Row, RowNumber, table_of


class VenueEventRow(Row, table=True):
    """An event once for each natural key of its gateway; `position` counts up by arrival, `body` is what was said.

    message_id and order_index: only where the event itself names its command; otherwise its order does.
    """

    __tablename__ = "venue_events"
    __table_args__ = (
        UniqueConstraint("gateway", "natural_key"),
        Index("ix_venue_events_portfolio", "portfolio_id", "position"),
        Index("ix_venue_events_order", "order_id", "position"),
        Index("ix_venue_events_message", "message_id", "position"),
    )
    position: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    gateway: str
    natural_key: str
    event_type: str
    order_id: str | None = None
    portfolio_id: str | None = None
    message_id: str | None = None
    order_index: int | None = None
    ts_init_ns: int = Field(sa_type=BigInteger)
    body: dict[str, Any] = Field(sa_type=ExactJson)


venue_events = table_of(VenueEventRow)
