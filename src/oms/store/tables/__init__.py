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
from oms.store.tables.events import venue_events
from oms.store.tables.programs import command_orders, command_windows, commands, nonces, tenants
from oms.store.tables.reference import accounts, instruments, portfolios, prices, rules
from oms.store.tables.statements import statement_trades, statements
from oms.store.tables.targets import aims, target_batches
from oms.store.tables.venues import broker_order_ids, gateways, inbox, intent_perm_ids, intents, leases

__all__ = [
    "account_groups",
    "accounts",
    "aims",
    "allocations",
    "baskets",
    "breaches",
    "breaks",
    "broker_order_ids",
    "command_orders",
    "command_windows",
    "commands",
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
    "nonces",
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
    "target_batches",
    "tenants",
    "venue_events",
    "verdicts",
]
