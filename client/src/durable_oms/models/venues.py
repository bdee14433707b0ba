"""Gateways, breaks, and orders at a broker that are not ours."""

from datetime import datetime
from decimal import Decimal

from durable_oms.models.record import Record


class AccountHealth(Record):
    """One account of a session. `differences`: what the last comparison with the broker found."""

    account: str
    served: bool
    compared_at: datetime | None = None
    differences: int = 0
    detail: str | None = None


class Gateway(Record):
    """A gateway process about itself, as of `updated_at`. `ready`: its word is fresh and it would send an order now;
    where not, `reason` says why.

    `queue` counts messages from the broker that no order has yet, `waiting` requests that wait for their turn.
    What is counted over the whole session is None for a limited key.
    """

    name: str
    venue: str
    state: str
    ready: bool
    connected: bool
    gate_open: bool
    reason: str | None = None
    accounts: tuple[str, ...] = ()
    client_id: int | None = None
    host: str | None = None
    updated_at: datetime
    age_seconds: float
    connected_at: datetime | None = None
    reconciled_at: datetime | None = None
    queue: int | None = None
    waiting: int | None = None
    in_doubt: int | None = None
    oldest_undelivered_seconds: float | None = None
    messages_per_second: int | None = None
    foreign_orders: int | None = None
    open_breaks: int | None = None
    per_account: tuple[AccountHealth, ...] = ()


class Resynced(Record):
    """What a gateway found. `unsettled`: placements whose state at the broker is not known; `differences`: what the
    broker's positions say otherwise than ours. The counts are None for a limited key."""

    name: str
    reconciled_at: datetime
    unsettled: int | None
    foreign_orders: int | None
    differences: int | None


class Break(Record):
    """A difference between two books. `ours` and `theirs` are decimal text, empty where a book has nothing of it."""

    break_id: str
    category: str
    source: str
    account: str
    subject: str
    instrument_id: str | None = None
    ours: str
    theirs: str
    detail: str
    status: str
    owner: str
    opened_at: datetime
    seen_at: datetime
    closed_at: datetime | None = None
    closed_by: str | None = None
    reason: str | None = None


class ForeignOrder(Record):
    """An order of somebody else. `origin`: TWS where a person entered it there, else the client's number."""

    key: str
    gateway: str
    account: str
    origin: str
    client_id: int
    order_id: int
    perm_id: int
    order_ref: str
    symbol: str
    sec_type: str
    conid: int
    action: str
    quantity: Decimal | None = None
    order_type: str
    status: str
    working: bool
    filled: Decimal | None = None
    first_seen_at: datetime
    last_seen_at: datetime
