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
from oms.store.tables.breaks import breaks, foreign_executions, foreign_orders
from oms.store.tables.compliance import breaches, reservations, rule_versions, verdicts
from oms.store.tables.control import account_groups, baskets, control_journal, halts, invariants
from oms.store.tables.reference import accounts, instruments, portfolios, prices, rules
from oms.store.tables.statements import statement_trades, statements
from oms.store.tables.venues import broker_order_ids, gateways, inbox, intent_perm_ids, intents, leases

__all__ = [
    "account_groups",
    "accounts",
    "allocations",
    "baskets",
    "breaches",
    "breaks",
    "broker_order_ids",
    "control_journal",
    "fills",
    "foreign_executions",
    "foreign_orders",
    "gateways",
    "halts",
    "idempotency",
    "inbox",
    "instruments",
    "intent_perm_ids",
    "intents",
    "invariants",
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
    "reservations",
    "rule_versions",
    "rules",
    "statement_trades",
    "statements",
    "stream_head",
    "verdicts",
]
