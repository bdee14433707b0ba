"""A rule type: how many instruments a portfolio may hold."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from oms.domain.model import Model
from oms.domain.rules.book import Book, Proposal
from oms.domain.rules.rule_type import Finding, Room, RuleType


class Parameters(Model):
    max_count: Annotated[int, Field(gt=0)]


class MaxInstruments(RuleType[Parameters]):
    """The portfolio holds at most `max_count` instruments, with those of the orders in flight."""

    name = "max_instruments"
    parameters = Parameters
    passive = True

    def check(self, parameters: Parameters, book: Book, proposal: Proposal) -> Finding:
        held = _held(book)
        after = held | {proposal.instrument.instrument_id}
        limit = parameters.max_count
        return Finding(
            passed=len(after) <= limit or after == held,
            description=f"the portfolio would hold {len(after)} instruments, the limit is {limit}",
            limit=Decimal(limit),
            used=Decimal(len(held)),
            proposed=Decimal(len(after)),
            remaining=Decimal(limit - len(after)),
        )

    def headroom(self, parameters: Parameters, book: Book) -> Room:
        return Room(current=Decimal(len(_held(book))), limit=Decimal(parameters.max_count))


def _held(book: Book) -> set[str]:
    return {each for each, line in book.lines.items() if line.position or line.buying or line.selling}
