"""The built-in compliance engine: the rules that apply, what the book holds, and what they say together."""

from collections.abc import Callable
from decimal import Decimal

from temporalio import activity

from oms.domain.compliance import Proposal, Verdict, evaluate, executed_trade, proposed_trade
from oms.domain.numbers import ZERO
from oms.domain.order import Order
from oms.store import Store


class ComplianceActivities:
    """Activities that read rules, prices, positions and net asset value. They change nothing: twice is once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @activity.defn(name="evaluate_pre_trade")
    def evaluate_pre_trade(self, order: Order) -> Verdict:
        """What the rules say of the whole order, for the order version that waits."""
        return self._evaluate(order, proposed_trade, order.pre_trade.version)

    @activity.defn(name="evaluate_post_trade")
    def evaluate_post_trade(self, order: Order) -> Verdict:
        """What the rules say of the trade as it was executed."""
        return self._evaluate(order, executed_trade, order.post_trade.version)

    def _evaluate(
        self, order: Order, trade: Callable[[Order], tuple[Decimal, Decimal | None]], version: int
    ) -> Verdict:
        rules = self._store.rules.applying_to(order.portfolio_id, order.default_account_id)
        if not rules:
            return Verdict(order_version=version)
        quantity, own_price = trade(order)
        portfolio = self._store.reference.portfolio(order.portfolio_id)
        quoted = self._store.reference.price(order.instrument_id)
        held = self._store.holdings(order.portfolio_id, exclude_order_id=order.order_id)
        proposal = Proposal(
            instrument=order.instrument,
            signed_quantity=quantity,
            price=own_price or (quoted.price if quoted else None),
            position=held.get(order.instrument_id, ZERO),
            net_asset_value=portfolio.net_asset_value if portfolio else ZERO,
        )
        return Verdict(order_version=version, results=evaluate(rules, proposal))
