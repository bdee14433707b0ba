"""Every table of the order book, by its own name."""

from oms.store.tables.access import idempotency, keys
from oms.store.tables.base import metadata
from oms.store.tables.book import (
    allocations,
    fills,
    journal,
    order_claims,
    order_exceptions,
    orders,
    placements,
    stream_head,
)
from oms.store.tables.reference import accounts, instruments, portfolios, prices, rules
from oms.store.tables.venues import broker_order_ids, gateways, inbox, intent_perm_ids, intents, leases

__all__ = [
    "accounts",
    "allocations",
    "broker_order_ids",
    "fills",
    "gateways",
    "idempotency",
    "inbox",
    "instruments",
    "intent_perm_ids",
    "intents",
    "journal",
    "keys",
    "leases",
    "metadata",
    "order_claims",
    "order_exceptions",
    "orders",
    "placements",
    "portfolios",
    "prices",
    "rules",
    "stream_head",
]
