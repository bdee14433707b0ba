"""The built-in compliance engine: the rules that apply, what the book holds, and what they say together."""

from datetime import UTC, datetime

from temporalio import activity

from oms.domain.compliance import Verdict
from oms.domain.order import Order
from oms.store import Store


class ComplianceActivities:
    """Activities that judge an order over the book. A verdict is kept under the order's version: an activity that runs
    again, in another worker or after its own commit was lost sight of, finds the verdict and answers it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @activity.defn(name="evaluate_pre_trade")
    def evaluate_pre_trade(self, order: Order) -> Verdict:
        """What the rules say of the whole order, for the order version that waits.

        An order that passes holds its part of every limit from the verdict's own transaction on. Twice is once: the
        second run answers what the first one kept, and holds no more.
        """
        return self._store.compliance.evaluate_and_reserve(order, datetime.now(UTC))

    @activity.defn(name="evaluate_post_trade")
    def evaluate_post_trade(self, order: Order) -> Verdict:
        """What the rules say of the trade as it was executed. Twice is once: the second run answers what was kept."""
        return self._store.compliance.evaluate_post_trade(order, datetime.now(UTC))
