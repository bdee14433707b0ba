"""How each gateway is, and which process may act as it."""

from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import delete, select

from oms.domain.model import Open
from oms.store import tables
from oms.store.database import Database


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


class Gateways:
    """The last report of each gateway."""

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


class Leases:
    """A lease is held by one holder until it runs out; the holder renews it by acquiring it again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def acquire(self, name: str, holder: str, ttl_seconds: float, now: datetime) -> bool:
        """Whether `holder` holds the lease from `now` on for `ttl_seconds`. Of many at once exactly one does."""
        leases = tables.leases.c
        statement = self._database.insert(tables.leases)
        statement = statement.on_conflict_do_update(
            index_elements=["name"],
            set_={"holder": statement.excluded.holder, "expires_at": statement.excluded.expires_at},
            where=(leases.holder == statement.excluded.holder) | (leases.expires_at <= now),
        )
        row = {"name": name, "holder": holder, "expires_at": now + timedelta(seconds=ttl_seconds)}
        with self._database.write() as connection:
            return connection.execute(statement.returning(leases.name), row).first() is not None

    def holder(self, name: str, now: datetime) -> str | None:
        """Who holds the lease at `now`; None where nobody does."""
        leases = tables.leases.c
        query = select(leases.holder).where(leases.name == name, leases.expires_at > now)
        with self._database.read() as connection:
            return connection.execute(query).scalar()

    def release(self, name: str, holder: str) -> None:
        """Give the lease back. One that is somebody else's by now stays theirs."""
        leases = tables.leases.c
        with self._database.write() as connection:
            connection.execute(delete(tables.leases).where(leases.name == name, leases.holder == holder))
