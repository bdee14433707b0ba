"""How each gateway is, and which process may act as it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Interval, delete, func, literal, select, update

from oms.domain.model import Open
from oms.store import tables
from oms.store.database import FENCE, Database
from oms.store.errors import LeaseLost
from oms.store.intents import IntentState


class GatewayState(StrEnum):
    """Where a session is in its life. STANDBY: another process serves it. SYNCING: the broker's lists are read."""

    STANDBY = "standby"
    CONNECTING = "connecting"
    SYNCING = "syncing"
    OPEN = "open"
    CLOSED = "closed"
    STOPPING = "stopping"


class AccountHealth(Open):
    """One account of a session. `served`: its orders go through this gateway; `detail` says why not, or what differs.

    `compared_ns`: when its positions were last compared with the broker's; `differences`: how many differ since.
    """

    account: str
    served: bool
    compared_ns: int | None = None
    differences: int = 0
    detail: str | None = None


class GatewayReport(Open):
    """A gateway process about itself. `gate_open`: it would send an order now; `queue`: facts not delivered.

    `messages_per_second`: sent to the venue over the last full second; `waiting`: messages that wait for their
    turn; `in_doubt`: placements of which nobody knows; `foreign_orders`: working orders of others;
    `reconciled_ns`: when the venue's lists were last read. Times in nanoseconds since the epoch.
    """

    name: str
    venue: str
    accounts: tuple[str, ...]
    connected: bool
    gate_open: bool
    detail: str | None = None
    in_doubt: int = 0
    queue: int = 0
    oldest_undelivered_ns: int | None = None
    updated_ns: int
    state: GatewayState = GatewayState.CLOSED
    client_id: int | None = None
    host: str | None = None
    messages_per_second: int = 0
    waiting: int = 0
    foreign_orders: int = 0
    open_breaks: int = 0
    reconciled_ns: int | None = None
    connected_ns: int | None = None
    per_account: tuple[AccountHealth, ...] = ()


_OVER = (IntentState.DONE.value, IntentState.WITHDRAWN.value)


class Gateways:
    """The last report of each gateway, and under which clients it has sent."""

    def __init__(self, database: Database) -> None:
        self._database = database
        replacing = database.insert(tables.gateways)
        self._report = database.upsert(
            tables.gateways, unless=tables.gateways.c.updated_ns > replacing.excluded.updated_ns
        )

    def report(self, report: GatewayReport) -> None:
        """Keep the report unless a newer one is known."""
        row = {"name": report.name, "updated_ns": report.updated_ns, "body": report.model_dump_json()}
        with self._database.write() as connection:
            connection.execute(self._report, row)

    def all(self) -> list[GatewayReport]:
        """Every gateway that ever reported, by name; `updated_ns` says how old its word is."""
        query = select(tables.gateways.c.body).order_by(tables.gateways.c.name)
        with self._database.read() as connection:
            return [GatewayReport.model_validate_json(body) for body in connection.scalars(query)]

    def other_clients(self, name: str, client_id: int) -> dict[int, int]:
        """How many placements of this gateway are not over, for each client id but `client_id`."""
        intents = tables.intents.c
        query = (
            select(intents.client_id, func.count().label("placements"))
            .where(intents.gateway == name, intents.client_id != client_id, intents.state.not_in(_OVER))
            .group_by(intents.client_id)
            .order_by(intents.client_id)
        )
        with self._database.read() as connection:
            return {row.client_id: row.placements for row in connection.execute(query)}

    def highest_order_id(self, order_ids_key: str) -> int:
        """The highest broker order id that was handed out under `order_ids_key`; 0 where none was."""
        ids = tables.broker_order_ids.c
        with self._database.read() as connection:
            query = select(ids.last).where(ids.gateway_key == order_ids_key)
            return connection.execute(query).scalar() or 0


class Leases:
    """A lease is held by one holder until it runs out; the holder renews it by acquiring it again.

    What time it is, the database says, so that the clocks of two hosts need not agree. SQLite has no clock but its
    host's, and no second host: there it is `clock`.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._clock = clock

    def acquire(self, name: str, holder: str, ttl_seconds: float, *, only_renew: bool = False) -> bool:
        """Whether `holder` holds the lease from now on for `ttl_seconds`. Of many at once exactly one does.

        `only_renew`: False as well where it was not the holder to this moment, be the lease free or not.
        """
        leases = tables.leases.c
        now, until = self._now(), self._now(timedelta(seconds=ttl_seconds))
        renewing = update(tables.leases).where(leases.name == name, leases.holder == holder)
        taking = self._database.insert(tables.leases).values(name=name, holder=holder, expires_at=until)
        taking = taking.on_conflict_do_update(
            index_elements=["name"],
            set_={"holder": taking.excluded.holder, "expires_at": taking.excluded.expires_at},
            where=(leases.holder == taking.excluded.holder) | (leases.expires_at <= now),
        )
        statement: Any = renewing.values(expires_at=until) if only_renew else taking
        with self._database.write() as connection:
            return connection.execute(statement.returning(leases.name)).first() is not None

    def holder(self, name: str) -> str | None:
        """Who holds the lease now; None where nobody does."""
        leases = tables.leases.c
        query = select(leases.holder).where(leases.name == name, leases.expires_at > self._now())
        with self._database.read() as connection:
            return connection.execute(query).scalar()

    def release(self, name: str, holder: str) -> None:
        """Give the lease back. One that is somebody else's by now stays theirs."""
        leases = tables.leases.c
        with self._database.write() as connection:
            connection.execute(delete(tables.leases).where(leases.name == name, leases.holder == holder))

    @contextmanager
    def fenced(self, name: str, holder: str) -> Iterator[None]:
        """Whatever this context writes is kept only if `holder` has not lost the lease by then.

        Raises LeaseLost from such a write. A lease that has run out and that nobody took is not lost: nobody else
        has written. No clock is asked.
        """
        query = select(tables.leases.c.holder).where(tables.leases.c.name == name)

        def require(connection: Connection) -> None:
            found = connection.execute(query).scalar()
            if found != holder:
                raise LeaseLost(f"{holder} has lost the lease {name} to {found or 'nobody'}.")

        before = FENCE.set(require)
        try:
            yield
        finally:
            FENCE.reset(before)

    def _now(self, later: timedelta = timedelta()) -> ColumnElement[Any]:
        """This instant, or one that much later, as the database is told."""
        if self._database.is_sqlite:
            return literal(self._clock() + later, tables.leases.c.expires_at.type)
        return func.now() + literal(later, Interval())
