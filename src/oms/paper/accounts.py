"""Positions, cash and account values of the paper accounts.

Money is USD throughout: an amount in another currency counts at a rate that does not change.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from oms.paper.instruments import Instrument
from oms.paper.market import Market
from oms.paper.orders import ZERO, Execution

PositionKey = tuple[str, int]
"""(account, contract id)."""

ACCOUNT_TAGS = (
    "AccountType",
    "NetLiquidation",
    "TotalCashValue",
    "BuyingPower",
    "GrossPositionValue",
    "AvailableFunds",
)


@dataclass(frozen=True, slots=True)
class Position:
    """A position in units, its average price per unit, and the profit realised on it net of commission."""

    account: str
    instrument: Instrument
    quantity: Decimal = ZERO
    average: Decimal = ZERO
    realized: Decimal = ZERO

    @property
    def average_cost(self) -> Decimal:
        """Per contract, the multiplier included: what the TWS API calls avgCost."""
        return self.average * self.instrument.multiplier

    def after(self, execution: Execution) -> "tuple[Position, Decimal | None]":
        """The position after an execution, and the profit it realised (None when it only opened)."""
        signed = execution.signed_quantity
        total = self.quantity + signed
        if self.quantity * signed >= 0:
            cost = self.average * abs(self.quantity) + execution.price * abs(signed)
            average = round(cost / abs(total), 8) if total else ZERO
            return replace(self, quantity=total, average=average), None
        closed = min(abs(self.quantity), abs(signed))
        direction = 1 if self.quantity > 0 else -1
        gain = (execution.price - self.average) * closed * direction * self.instrument.unit_value
        profit = gain - execution.commission
        average = ZERO if total == 0 else self.average if total * self.quantity > 0 else execution.price
        return replace(self, quantity=total, average=average, realized=self.realized + profit), profit


class Accounts:
    """What each account holds. ``positions`` and ``cash`` carry what a ledger has kept."""

    def __init__(
        self,
        names: tuple[str, ...],
        market: Market,
        positions: Iterable[Position] = (),
        cash: Mapping[str, Decimal] | None = None,
    ) -> None:
        self.names = names
        self._market = market
        self.positions: dict[PositionKey, Position] = {(p.account, p.instrument.con_id): p for p in positions}
        self.cash = dict.fromkeys(names, market.settings.cash) | dict(cash or {})

    def book(self, execution: Execution) -> Execution:
        """Apply an execution; returns it with the profit it realised."""
        position, profit = self._position(execution).after(execution)
        self.positions[execution.account, execution.instrument.con_id] = position
        self._pay(execution.account, _cash_flow(execution))
        return replace(execution, realized=profit)

    def correct(self, before: Execution, after: Execution, effective: Iterable[Execution]) -> None:
        """Replace one execution by its correction; ``effective`` are all executions of the position now."""
        position = Position(after.account, after.instrument)
        for execution in effective:
            position, _ = position.after(execution)
        self.positions[after.account, after.instrument.con_id] = position
        self._pay(after.account, _cash_flow(after) - _cash_flow(before))

    def held(self, account: str) -> list[Position]:
        """Every position the account has or had."""
        return [p for p in self.positions.values() if p.account == account]

    def price(self, position: Position) -> Decimal:
        """The price a position is valued at: the middle of the market."""
        return self._market.quote(position.instrument.con_id).middle

    def market_value(self, position: Position) -> Decimal:
        return round(position.quantity * self.price(position) * position.instrument.unit_value, 2)

    def unrealized(self, position: Position) -> Decimal:
        gain = (self.price(position) - position.average) * position.quantity
        return round(gain * position.instrument.unit_value, 2)

    def net_liquidation(self, account: str) -> Decimal:
        """Cash and the market value of every position."""
        return round(self.cash[account], 2) + sum((self.market_value(p) for p in self.held(account)), ZERO)

    def values(self, account: str) -> list[tuple[str, str, str]]:
        """(tag, value, currency) of the account values a stock order system needs."""
        held = [self.market_value(p) for p in self.held(account)]
        cash = round(self.cash[account], 2)
        net = self.net_liquidation(account)
        gross = sum((abs(value) for value in held), ZERO)
        free = max(net - gross / 2, ZERO)
        figures = (net, cash, round(free * 2, 2), gross, round(free, 2))
        money = zip(ACCOUNT_TAGS[1:], figures, strict=True)
        return [("AccountType", "INDIVIDUAL", ""), *((tag, f"{amount:.2f}", "USD") for tag, amount in money)]

    def _pay(self, account: str, amount: Decimal) -> None:
        # An account may have been taken out of the list while it still had orders.
        self.cash[account] = self.cash.get(account, self._market.settings.cash) + amount

    def _position(self, execution: Execution) -> Position:
        key = (execution.account, execution.instrument.con_id)
        return self.positions.get(key) or Position(execution.account, execution.instrument)


def _cash_flow(execution: Execution) -> Decimal:
    value = execution.signed_quantity * execution.price * execution.instrument.unit_value
    return -value - execution.commission
