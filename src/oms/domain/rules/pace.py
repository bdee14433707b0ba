"""Rules about how often and how much a portfolio trades: repeated orders, orders a second, turnover a day."""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from oms.domain.model import Model
from oms.domain.numbers import add, plain, subtract
from oms.domain.rules.book import Book, Proposal, Recent
from oms.domain.rules.rule_type import Finding, Needs, NotKnown, Room, RuleType
from oms.domain.rules.sizes import MaxNotional, order_inputs
from oms.domain.rules.worth import order_value

A_DAY = 86_400


class Window(Model):
    window_seconds: Annotated[int, Field(gt=0, le=A_DAY, description="whole seconds, at most a day")]


class MaxRate(Model):
    max_per_second: Annotated[int, Field(gt=0, description="a whole number")]


class DuplicateOrder(RuleType[Window]):
    """No order like one that was checked less than `window_seconds` ago.

    Alike are orders of the portfolio with the same instrument, direction, quantity and limit price.
    """

    name = "duplicate_order"
    parameters = Window
    before_trade_only = True

    def check(self, parameters: Window, book: Book, proposal: Proposal) -> Finding:
        alike = [each for each in _since(book, parameters.window_seconds, proposal) if _alike(each, proposal)]
        within = f"within {parameters.window_seconds} s"
        if not alike:
            return Finding(passed=True, description=f"no order like it {within}")
        latest = max(alike, key=lambda each: each.at)
        return Finding(
            passed=False,
            description=f"{latest.order_id} is the same order {within}",
            inputs={"order_id": latest.order_id, "checked_at": latest.at.isoformat()},
        )

    def needs(self, parameters: Window) -> Needs:
        return Needs(window_seconds=parameters.window_seconds)


class MessageRate(RuleType[MaxRate]):
    """At most `max_per_second` orders of the portfolio are checked in one second, this one included."""

    name = "message_rate"
    parameters = MaxRate
    before_trade_only = True

    def check(self, parameters: MaxRate, book: Book, proposal: Proposal) -> Finding:
        limit, others = Decimal(parameters.max_per_second), _orders(_since(book, 1, proposal))
        orders = add(others, Decimal(1))
        return Finding(
            passed=orders <= limit,
            description=f"{plain(orders)} orders within a second, the limit is {plain(limit)}",
            limit=limit,
            used=others,
            proposed=orders,
            remaining=subtract(limit, orders),
        )

    def headroom(self, parameters: MaxRate, book: Book) -> Room:
        return Room(current=_orders(_since(book, 1)), limit=Decimal(parameters.max_per_second))

    def needs(self, parameters: MaxRate) -> Needs:  # noqa: ARG002
        return Needs(window_seconds=1)


class MaxDailyTurnover(RuleType[MaxNotional]):
    """What the portfolio trades in a day, in its base currency and with what is in flight, is at most `max_notional`."""

    name = "max_daily_turnover"
    parameters = MaxNotional
    passive = True

    def check(self, parameters: MaxNotional, book: Book, proposal: Proposal) -> Finding:
        traded = _traded(book)
        limit, after = parameters.max_notional, add(traded, order_value(book, proposal))
        return Finding(
            passed=after <= limit,
            description=f"turnover would be {plain(after)}, the limit is {plain(limit)}",
            limit=limit,
            used=traded,
            proposed=after,
            remaining=subtract(limit, after),
            inputs={"turnover": traded, **order_inputs(book, proposal)},
        )

    def headroom(self, parameters: MaxNotional, book: Book) -> Room:
        return Room(current=_traded(book), limit=parameters.max_notional)

    def needs(self, parameters: MaxNotional) -> Needs:  # noqa: ARG002
        return Needs(turnover=True)


def _traded(book: Book) -> Decimal:
    if book.turnover is None:
        raise NotKnown("what was traded today cannot be valued")
    return book.turnover


def _since(book: Book, seconds: int, proposal: Proposal | None = None) -> list[Recent]:
    """The orders checked less than `seconds` ago, without `proposal` itself."""
    start = book.at - timedelta(seconds=seconds)
    own = None if proposal is None else proposal.order_id
    return [each for each in book.recent if each.at > start and each.order_id != own]


def _orders(recent: list[Recent]) -> Decimal:
    """How many orders these are; one that was checked again is one."""
    return Decimal(len({each.order_id for each in recent}))


def _alike(recent: Recent, proposal: Proposal) -> bool:
    return (recent.instrument_id, recent.direction, recent.quantity, recent.limit_price) == (
        proposal.instrument.instrument_id,
        proposal.direction,
        proposal.quantity,
        proposal.limit_price,
    )
