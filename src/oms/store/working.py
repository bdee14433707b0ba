"""What works at a venue now, over all orders."""

from sqlalchemy import select

from oms.domain.lifecycle import WORKING
from oms.domain.order import VENUE_FINAL
from oms.store import tables
from oms.store.database import Database


def working_placements(database: Database) -> list[tuple[str, str]]:
    """(order_id, placement_id) of every placement that has not ended at its venue, the oldest order first."""
    placements, orders = tables.placements.c, tables.orders.c
    query = (
        select(placements.order_id, placements.placement_id)
        .join(tables.orders, orders.order_id == placements.order_id)
        .where(
            orders.state.in_([state.value for state in WORKING]),
            placements.status.not_in([status.value for status in VENUE_FINAL]),
        )
    )
    with database.read() as connection:
        rows = connection.execute(query.order_by(orders.created_at, placements.order_id, placements.ordinal))
        return [(row.order_id, row.placement_id) for row in rows]
