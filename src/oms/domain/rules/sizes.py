"""Rules about one order by itself: its quantity, its notional, its prices."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from oms.domain.model import Model
from oms.domain.numbers import ZERO, Quantity, multiply, plain, ratio, subtract
from oms.domain.rules.book import Book, Proposal
from oms.domain.rules.rule_type import Finding, NotKnown, Room, RuleType
from oms.domain.rules.worth import line_of, order_value, rate


class MaxQuantity(Model):
    max_quantity: Annotated[Quantity, Field(description="units of the instrument")]


class MaxNotional(Model):
    max_notional: Annotated[Quantity, Field(description="money in the portfolio's base currency")]


class MaxDistance(Model):
    max_pct: Annotated[Quantity, Field(description="a fraction of the last known price: 0.05 is 5 %")]


class MaxOrderQuantity(RuleType[MaxQuantity]):
    """One order is for at most `max_quantity` units."""

    name = "max_order_quantity"
    parameters = MaxQuantity

    def check(self, parameters: MaxQuantity, book: Book, proposal: Proposal) -> Finding:  # noqa: ARG002
        limit, quantity = parameters.max_quantity, proposal.quantity
        return Finding(
            passed=quantity <= limit,
            description=f"order quantity {plain(quantity)} against a limit of {plain(limit)}",
            limit=limit,
            used=ZERO,
            proposed=quantity,
            remaining=subtract(limit, quantity),
            inputs={"quantity": quantity},
        )

    def headroom(self, parameters: MaxQuantity, book: Book) -> Room:  # noqa: ARG002
        return Room(current=ZERO, limit=parameters.max_quantity)


class MaxOrderNotional(RuleType[MaxNotional]):
    """The notional of one order, in the portfolio's base currency, is at most `max_notional`."""

    name = "max_order_notional"
    parameters = MaxNotional

    def check(self, parameters: MaxNotional, book: Book, proposal: Proposal) -> Finding:
        limit, notional = parameters.max_notional, order_value(book, proposal)
        return Finding(
            passed=notional <= limit,
            description=f"order notional {plain(notional)} against a limit of {plain(limit)}",
            limit=limit,
            used=ZERO,
            proposed=notional,
            remaining=subtract(limit, notional),
            inputs=order_inputs(book, proposal),
        )

    def headroom(self, parameters: MaxNotional, book: Book) -> Room:  # noqa: ARG002
        return Room(current=ZERO, limit=parameters.max_notional)


class PriceCollar(RuleType[MaxDistance]):
    """The limit and the stop price are at most `max_pct` of the last known price away from it, above or below.

    An order without prices of its own has nothing to check and passes.
    """

    name = "price_collar"
    parameters = MaxDistance
    before_trade_only = True

    def check(self, parameters: MaxDistance, book: Book, proposal: Proposal) -> Finding:
        named = {"limit": proposal.limit_price, "stop": proposal.stop_price}
        prices = {name: price for name, price in named.items() if price is not None}
        if not prices:
            return Finding(passed=True, description="the order names no price")
        last = line_of(book, proposal).price
        if last is None or last <= 0:
            raise NotKnown(f"no price for {proposal.instrument.symbol} to compare with")
        name = max(prices, key=lambda each: abs(subtract(prices[each], last)))
        distance = abs(subtract(prices[name], last))
        away = ratio(distance, last)
        return Finding(
            passed=distance <= multiply(parameters.max_pct, last),
            description=f"the {name} price {plain(prices[name])} is {plain(away)} away from {plain(last)}, "
            f"the limit is {plain(parameters.max_pct)}",
            limit=parameters.max_pct,
            used=ZERO,
            proposed=away,
            remaining=subtract(parameters.max_pct, away),
            inputs={"last_price": last, **{f"{each}_price": price for each, price in prices.items()}},
        )


def order_inputs(book: Book, proposal: Proposal) -> dict[str, Decimal | str]:
    """The numbers behind an order's value, by name. Raises NotKnown."""
    return {
        "quantity": proposal.quantity,
        "price": ZERO if proposal.price is None else proposal.price,
        "multiplier": proposal.instrument.multiplier,
        "rate": rate(book, proposal.instrument.currency),
    }
