"""How one event changes an order: each kind has a function that gives the fields that change (apply.py, venue_folds.py)."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from oms.domain.events import Event
from oms.domain.order import Order

Changes = dict[str, Any]
Fold = Callable[[Order, Any, Event], Changes]


def instant(ns: int) -> datetime:
    """The UTC instant of `ns` nanoseconds since the epoch, to the microsecond."""
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).replace(microsecond=ns // 1_000 % 1_000_000)
