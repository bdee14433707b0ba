"""Rules about what must not be traded at all: restricted instruments and issuers, short sales."""

from typing import Annotated

from pydantic import Field

from oms.domain.identifiers import Name
from oms.domain.model import Model
from oms.domain.numbers import ZERO, add, plain, subtract
from oms.domain.rules.book import Book, Proposal
from oms.domain.rules.rule_type import Finding, Needs, RuleType
from oms.domain.rules.worth import line_of
from oms.domain.terms import Direction


class Restricted(Model):
    instrument_ids: Annotated[tuple[Name, ...], Field(description="may be left out")] = ()
    issuers: Annotated[tuple[Name, ...], Field(description="may be left out")] = ()


class Nothing(Model):
    """No parameters."""


class RestrictedList(RuleType[Restricted]):
    """No order in these instruments, nor in any instrument of these issuers or of the named instruments' issuers."""

    name = "restricted_list"
    parameters = Restricted

    def check(self, parameters: Restricted, book: Book, proposal: Proposal) -> Finding:
        instrument = proposal.instrument
        if instrument.instrument_id in parameters.instrument_ids:
            return Finding(passed=False, description=f"{instrument.symbol} is restricted")
        issuers = {*parameters.issuers, *_issuers(parameters, book)}
        if instrument.issuer is not None and instrument.issuer in issuers:
            return Finding(
                passed=False,
                description=f"issuer {instrument.issuer} is restricted",
                inputs={"issuer": instrument.issuer},
            )
        return Finding(passed=True, description=f"{instrument.symbol} is not restricted")

    def needs(self, parameters: Restricted) -> Needs:
        return Needs(instrument_ids=parameters.instrument_ids)


class ShortSaleBan(RuleType[Nothing]):
    """No SellShort order, and no Sell of more than what is held long and not being sold already."""

    name = "short_sale_ban"
    parameters = Nothing

    def check(self, parameters: Nothing, book: Book, proposal: Proposal) -> Finding:  # noqa: ARG002
        symbol = proposal.instrument.symbol
        if proposal.direction is Direction.SELL_SHORT:
            return Finding(passed=False, description=f"{symbol} must not be sold short")
        if proposal.direction is not Direction.SELL:
            return Finding(passed=True, description="the order sells nothing")
        line = line_of(book, proposal)
        long, after = max(line.position, ZERO), add(line.selling, proposal.quantity)
        return Finding(
            passed=after <= long,
            description=f"{plain(after)} {symbol} would be on sale, {plain(long)} are held",
            limit=long,
            used=line.selling,
            proposed=after,
            remaining=subtract(long, after),
            inputs={"position": line.position, "selling": line.selling, "quantity": proposal.quantity},
        )


def _issuers(parameters: Restricted, book: Book) -> set[str]:
    """The issuers of the named instruments, as far as they have one."""
    named = {book.issuers.get(each) for each in parameters.instrument_ids}
    held = {book.lines[each].instrument.issuer for each in parameters.instrument_ids if each in book.lines}
    return {issuer for issuer in named | held if issuer is not None}
