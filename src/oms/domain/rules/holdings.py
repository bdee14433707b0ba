"""Rules about how much of one thing a portfolio holds: an instrument, an issuer, a sector, a country."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from oms.domain.model import Model
from oms.domain.numbers import ZERO, Quantity, add, multiply, plain, ratio, subtract
from oms.domain.reference import Instrument
from oms.domain.rules.book import Book, Proposal
from oms.domain.rules.rule_type import Finding, NotKnown, Room, RuleType
from oms.domain.rules.sizes import MaxQuantity, order_inputs
from oms.domain.rules.worth import (
    Total,
    before_and_after,
    group,
    groups,
    line_of,
    long_units,
    short_units,
    side_of,
)


class Scope(StrEnum):
    """What counts as one thing."""

    SINGLE_NAME = "single_name"
    ISSUER = "issuer"
    SECTOR = "sector"
    COUNTRY = "country"

    def of(self, instrument: Instrument) -> str | None:
        """The name of the thing that `instrument` belongs to, None where that is not known."""
        if self is Scope.SINGLE_NAME:
            return instrument.instrument_id
        name: str | None = getattr(instrument, self.value)
        return name


class Concentration(Model):
    max_pct: Annotated[Quantity, Field(description="a fraction of net asset value: 0.05 is 5 %")]
    scope: Annotated[Scope, Field(description=f"{', '.join(Scope)}; the first where it is left out")] = (
        Scope.SINGLE_NAME
    )


class MaxPosition(RuleType[MaxQuantity]):
    """The position in one instrument, long or short, is at most `max_quantity` units.

    Buys in flight count on the long side and sells on the short side. An order that makes the position smaller passes.
    """

    name = "max_position"
    parameters = MaxQuantity
    passive = True

    def check(self, parameters: MaxQuantity, book: Book, proposal: Proposal) -> Finding:
        line, limit = line_of(book, proposal), parameters.max_quantity
        before = long_units(line) if proposal.direction.sign > 0 else short_units(line)
        after = max(add(before, proposal.quantity), ZERO)
        side = "long" if proposal.direction.sign > 0 else "short"
        return Finding(
            passed=after <= limit,
            description=f"{line.instrument.symbol} could be {plain(after)} {side}, the limit is {plain(limit)}",
            limit=limit,
            used=max(before, ZERO),
            proposed=after,
            remaining=subtract(limit, after),
            inputs={
                "position": line.position,
                "buying": line.buying,
                "selling": line.selling,
                "quantity": proposal.quantity,
            },
        )

    def headroom(self, parameters: MaxQuantity, book: Book) -> Room:
        sizes = {
            line.instrument.symbol: max(long_units(line), short_units(line)) for line in book.lines.values()
        }
        largest = max(sizes, key=lambda symbol: sizes[symbol], default="")
        return Room(current=sizes.get(largest, ZERO), limit=parameters.max_quantity, largest=largest)


class ConcentrationLimit(RuleType[Concentration]):
    """What is held of one name (or issuer, sector, country: `scope`) is at most `max_pct` of net asset value.

    Longs and shorts are not set off against each other: the larger side counts, with what is in flight. An order that
    adds nothing to its side passes. An instrument whose issuer, sector or country is not known fails a rule about it.
    """

    name = "concentration_limit"
    parameters = Concentration
    passive = True

    def check(self, parameters: Concentration, book: Book, proposal: Proposal) -> Finding:
        scope, instrument = parameters.scope, proposal.instrument
        of = scope.of(instrument)
        if of is None:
            raise NotKnown(f"no {scope} for {instrument.symbol}")
        limit = _limit(parameters, book)
        before, after = before_and_after(book, proposal)
        rest = _others(book, scope, of, instrument)
        side = side_of(proposal)
        used = add(getattr(rest, side), getattr(before, side))
        value = add(getattr(rest, side), getattr(after, side))
        held, would_be = (ratio(each, book.net_asset_value) for each in (used, value))
        name = instrument.symbol if scope is Scope.SINGLE_NAME else f"{scope} {of}"
        return Finding(
            passed=value <= limit or value <= used,
            description=f"{name} would be {plain(would_be)} of net asset value, "
            f"the limit is {plain(parameters.max_pct)}",
            limit=parameters.max_pct,
            used=held,
            proposed=would_be,
            remaining=subtract(parameters.max_pct, would_be),
            inputs={
                **held_inputs(book, proposal),
                "value": value,
                "net_asset_value": book.net_asset_value,
                scope.value: of,
            },
        )

    def headroom(self, parameters: Concentration, book: Book) -> Room:
        scope, limit = parameters.scope, _limit(parameters, book)
        values = {
            of: _larger_side(group(book, scope, scope.of, of).total()) for of in groups(book, scope, scope.of)
        }
        largest = max(values, key=lambda of: values[of], default="")
        return Room(
            current=values.get(largest, ZERO),
            limit=limit,
            largest=_named(book, scope, largest),
            inputs={"net_asset_value": book.net_asset_value, "max_pct": parameters.max_pct},
        )


def held_inputs(book: Book, proposal: Proposal) -> dict[str, Decimal | str]:
    """What is held and in flight of the order's instrument, and the numbers behind the order's value, by name."""
    line = line_of(book, proposal)
    last = {} if line.price is None else {"last_price": line.price}
    return {
        "position": line.position,
        "buying": line.buying,
        "selling": line.selling,
        **order_inputs(book, proposal),
        **last,
    }


def _limit(parameters: Concentration, book: Book) -> Decimal:
    if book.net_asset_value <= 0:
        raise NotKnown("the portfolio has no net asset value")
    return multiply(parameters.max_pct, book.net_asset_value)


def _others(book: Book, scope: Scope, of: str, instrument: Instrument) -> Total:
    """The other lines of what `instrument` belongs to; a single name has none."""
    if scope is Scope.SINGLE_NAME:
        return Total()
    return group(book, scope, scope.of, of).without(instrument.instrument_id)


def _larger_side(total: Total) -> Decimal:
    return max(total.longs, total.shorts)


def _named(book: Book, scope: Scope, of: str) -> str:
    if not of:
        return ""
    return book.lines[of].instrument.symbol if scope is Scope.SINGLE_NAME else f"{scope} {of}"
