"""Rules about the whole portfolio: what it holds together, with or without setting longs off against shorts."""

from decimal import Decimal

from oms.domain.numbers import add, plain, subtract
from oms.domain.rules.book import Book, Proposal
from oms.domain.rules.holdings import held_inputs
from oms.domain.rules.rule_type import Finding, Room, RuleType
from oms.domain.rules.sizes import MaxNotional
from oms.domain.rules.worth import before_and_after, side_of, whole


class GrossExposure(RuleType[MaxNotional]):
    """Longs and shorts added up, in the portfolio's base currency, are at most `max_notional`.

    Each instrument counts with the larger of its two sides, with what is in flight. An order that adds nothing to its
    side passes.
    """

    name = "gross_exposure"
    parameters = MaxNotional
    passive = True

    def check(self, parameters: MaxNotional, book: Book, proposal: Proposal) -> Finding:
        before, after = before_and_after(book, proposal)
        rest = whole(book).without(proposal.instrument.instrument_id).gross
        was, would_be = (getattr(each, side_of(proposal)) for each in (before, after))
        passed = add(rest, would_be) <= parameters.max_notional or would_be <= was
        return _finding(
            "gross", parameters, passed, add(rest, before.gross), add(rest, after.gross), book, proposal
        )

    def headroom(self, parameters: MaxNotional, book: Book) -> Room:
        return Room(current=whole(book).total().gross, limit=parameters.max_notional)


class NetExposure(RuleType[MaxNotional]):
    """Longs less shorts, in the portfolio's base currency and whichever way they lean, are at most `max_notional`.

    A buy is checked against the net long side with every buy in flight, a sell against the net short side with every
    sell in flight, so an order that leads back towards zero passes.
    """

    name = "net_exposure"
    parameters = MaxNotional
    passive = True

    def check(self, parameters: MaxNotional, book: Book, proposal: Proposal) -> Finding:
        before, after = before_and_after(book, proposal)
        rest = whole(book).without(proposal.instrument.instrument_id)
        side = "up" if proposal.direction.sign > 0 else "down"
        used, value = (add(getattr(rest, side), getattr(each, side)) for each in (before, after))
        return _finding("net", parameters, value <= parameters.max_notional, used, value, book, proposal)

    def headroom(self, parameters: MaxNotional, book: Book) -> Room:
        held = whole(book).total()
        return Room(current=max(held.up, held.down), limit=parameters.max_notional)


def _finding(
    kind: str,
    parameters: MaxNotional,
    passed: bool,
    used: Decimal,
    value: Decimal,
    book: Book,
    proposal: Proposal,
) -> Finding:
    limit = parameters.max_notional
    return Finding(
        passed=passed,
        description=f"{kind} exposure would be {plain(value)}, the limit is {plain(limit)}",
        limit=limit,
        used=used,
        proposed=value,
        remaining=subtract(limit, value),
        inputs=held_inputs(book, proposal),
    )
