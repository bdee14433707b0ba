"""The order book's memory: the journal, its projections and everything else that outlives a process."""

from oms.store.compliance import WhatIf
from oms.store.errors import (
    BadCursor,
    JournalAhead,
    JournalConflict,
    JournalGap,
    LeaseLost,
    StoreError,
    Taken,
)
from oms.store.foreign import ForeignExecution, ForeignOrder
from oms.store.gateways import AccountHealth, GatewayReport, GatewayState
from oms.store.idempotency import IdempotencyRecord
from oms.store.inbox import InboxMessage, InboxRow, InboxStatus, ParkedRow
from oms.store.intents import Intent, IntentState
from oms.store.journal import StreamedEvent
from oms.store.keys import KeyRecord
from oms.store.orders import Fill, ListedException, OrderFilter
from oms.store.page import Page
from oms.store.positions import Position
from oms.store.rebuild import RebuildReport, rebuild
from oms.store.rules import RuleVersion
from oms.store.store import Store

__all__ = [
    "AccountHealth",
    "BadCursor",
    "Fill",
    "ForeignExecution",
    "ForeignOrder",
    "GatewayReport",
    "GatewayState",
    "IdempotencyRecord",
    "InboxMessage",
    "InboxRow",
    "InboxStatus",
    "Intent",
    "IntentState",
    "JournalAhead",
    "JournalConflict",
    "JournalGap",
    "KeyRecord",
    "LeaseLost",
    "ListedException",
    "OrderFilter",
    "Page",
    "ParkedRow",
    "Position",
    "RebuildReport",
    "RuleVersion",
    "Store",
    "StoreError",
    "StreamedEvent",
    "Taken",
    "WhatIf",
    "rebuild",
]
