"""Writing an order's projection inside somebody else's transaction."""

from collections.abc import Sequence

from sqlalchemy import BindParameter, Connection, bindparam, delete, select

from oms.store import tables
from oms.store.database import Database
from oms.store.projection import Projection, Values


class ProjectionWriter:
    """The prepared statements behind the projection tables. Writing the same projection twice is writing it once."""

    def __init__(self, database: Database) -> None:
        self._order = database.upsert(tables.orders)
        self._fill = database.upsert(tables.fills)
        self._placement = database.upsert(tables.placements)
        self._allocation = database.upsert(tables.allocations)
        self._exception = database.upsert(tables.order_exceptions)
        self._reservation = database.upsert(tables.reservations)
        fills = tables.fills.c
        gone: BindParameter[str] = bindparam("gone_order_id")
        self._bust = delete(tables.fills).where(
            fills.order_id == gone, fills.execution == bindparam("gone_execution")
        )
        self._no_exceptions = delete(tables.order_exceptions).where(
            tables.order_exceptions.c.order_id == gone
        )
        self._free = delete(tables.reservations).where(tables.reservations.c.order_id == gone)
        self._lock = (
            select(tables.orders.c.order_id).where(tables.orders.c.order_id == gone).with_for_update()
        )
        self._forget = delete(tables.orders).where(tables.orders.c.order_id == gone)

    def order(self, connection: Connection, projection: Projection) -> None:
        """Write the order's row, which is locked from here on: whoever writes to the order next waits."""
        connection.execute(self._order, projection.order)

    def parts(self, connection: Connection, projection: Projection) -> None:
        """Write the rows that hang on the order's."""
        if projection.fills:
            connection.execute(self._fill, projection.fills)
        if projection.busted:
            connection.execute(self._bust, projection.busted)
        if projection.placements:
            connection.execute(self._placement, projection.placements)
        if projection.allocations:
            connection.execute(self._allocation, projection.allocations)
        if projection.has_exceptions:
            connection.execute(self._no_exceptions, {"gone_order_id": projection.order["order_id"]})
            if projection.exceptions:
                connection.execute(self._exception, projection.exceptions)
        if projection.reservations is not None:
            self.reserve(connection, projection.order["order_id"], projection.reservations)

    def reserve(self, connection: Connection, order_id: str, reservations: Sequence[Values]) -> None:
        """Write what the order holds; one that holds anything does so in the same portfolios as before."""
        if reservations:
            connection.execute(self._reservation, reservations)
        else:
            connection.execute(self._free, {"gone_order_id": order_id})

    def replace(self, connection: Connection, projection: Projection) -> None:
        """Put `projection` in the place of every row the order has."""
        order_id = projection.order["order_id"]
        connection.execute(self._forget, {"gone_order_id": order_id})
        if projection.reservations is not None:
            connection.execute(self._free, {"gone_order_id": order_id})
        self.order(connection, projection)
        self.parts(connection, projection)

    def lock(self, connection: Connection, order_id: str) -> None:
        """Lock the order's row where there is one."""
        connection.execute(self._lock, {"gone_order_id": order_id})

    def forget(self, connection: Connection, order_id: str) -> None:
        """Remove every row the order has."""
        connection.execute(self._forget, {"gone_order_id": order_id})
        connection.execute(self._free, {"gone_order_id": order_id})
