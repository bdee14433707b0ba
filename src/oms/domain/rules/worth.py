"""What a book is worth in the portfolio's base currency, in the worst case of what is in flight.

Long counts what is held and every buy in flight, short what is sold and every sell in flight: an order in flight on
the other side never helps, because it may not trade.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from oms.domain.numbers import ZERO, add, multiply, subtract, total
from oms.domain.reference import Instrument
from oms.domain.rules.book import Book, Line, Proposal
from oms.domain.rules.rule_type import NotKnown

Key = Callable[[Instrument], str | None]
"""What lines are grouped by; None leaves an instrument out."""


@dataclass(frozen=True)
class Worth:
    """Base currency. `up`: the most that it can be worth long, `down`: the most short; below zero it is the other way."""

    up: Decimal = ZERO
    down: Decimal = ZERO

    @property
    def longs(self) -> Decimal:
        return max(self.up, ZERO)

    @property
    def shorts(self) -> Decimal:
        return max(self.down, ZERO)

    @property
    def gross(self) -> Decimal:
        return max(self.longs, self.shorts)


@dataclass(frozen=True)
class Total:
    """Base currency, over several lines. Longs and shorts are not set off against each other, except in up and down."""

    longs: Decimal = ZERO
    shorts: Decimal = ZERO
    gross: Decimal = ZERO
    up: Decimal = ZERO
    down: Decimal = ZERO

    def plus(self, worth: Worth, sign: int = 1) -> "Total":
        """This total with one more line; with `sign` -1, one less."""
        by = Decimal(sign)
        return Total(
            longs=add(self.longs, multiply(worth.longs, by)),
            shorts=add(self.shorts, multiply(worth.shorts, by)),
            gross=add(self.gross, multiply(worth.gross, by)),
            up=add(self.up, multiply(worth.up, by)),
            down=add(self.down, multiply(worth.down, by)),
        )


@dataclass(frozen=True)
class Group:
    """The lines that have one key, by instrument id; `missing` says of a line why it has no worth."""

    worths: Mapping[str, Worth]
    missing: Mapping[str, str]

    @cached_property
    def known(self) -> Total:
        """The total of the lines that have a worth."""
        worths = self.worths.values()
        return Total(
            longs=total(worth.longs for worth in worths),
            shorts=total(worth.shorts for worth in worths),
            gross=total(worth.gross for worth in worths),
            up=total(worth.up for worth in worths),
            down=total(worth.down for worth in worths),
        )

    def total(self) -> Total:
        """Raises NotKnown where a line has no worth."""
        return self.without(None)

    def without(self, instrument_id: str | None) -> Total:
        """The total of the other lines. Raises NotKnown where one of them has no worth."""
        for each, sentence in self.missing.items():
            if each != instrument_id:
                raise NotKnown(sentence)
        own = self.worths.get(instrument_id) if instrument_id is not None else None
        return self.known if own is None else self.known.plus(own, -1)


def rate(book: Book, currency: str) -> Decimal:
    """What one unit of `currency` is worth in the base currency. Raises NotKnown."""
    known = Decimal(1) if currency == book.base_currency else book.rates.get(currency)
    if known is None:
        raise NotKnown(f"no rate from {currency} to {book.base_currency}")
    return known


def unit_value(book: Book, instrument: Instrument, price: Decimal | None) -> Decimal:
    """What one unit of `instrument` is worth in the base currency. Raises NotKnown."""
    if price is None:
        raise NotKnown(f"no price for {instrument.symbol}")
    return multiply(multiply(price, instrument.multiplier), rate(book, instrument.currency))


def order_value(book: Book, proposal: Proposal) -> Decimal:
    """What the whole of `proposal` is worth in the base currency. Raises NotKnown."""
    return multiply(unit_value(book, proposal.instrument, proposal.price), proposal.quantity)


def side_of(proposal: Proposal) -> str:
    """The side of a `Worth` and a `Total` that `proposal` adds to: `longs` or `shorts`."""
    return "longs" if proposal.direction.sign > 0 else "shorts"


def long_units(line: Line) -> Decimal:
    """The most units that `line` can be long, below zero where it stays short."""
    return add(line.position, line.buying)


def short_units(line: Line) -> Decimal:
    """The most units that `line` can be short, below zero where it stays long."""
    return subtract(line.selling, line.position)


def flat(line: Line) -> bool:
    return not (line.position or line.buying or line.selling)


def line_of(book: Book, proposal: Proposal) -> Line:
    """The proposal's instrument in `book`, empty where nothing is held."""
    return book.lines.get(proposal.instrument.instrument_id) or Line(instrument=proposal.instrument)


def before_and_after(book: Book, proposal: Proposal) -> tuple[Worth, Worth]:
    """What the proposal's instrument is worth without it and with it. Raises NotKnown.

    What is held counts at the last known price, what the order adds at the order's own.
    """
    line = line_of(book, proposal)
    of_order = unit_value(book, proposal.instrument, proposal.price)
    held = of_order if line.price is None else unit_value(book, proposal.instrument, line.price)
    before = _worth(line, held)
    if proposal.direction.sign > 0:
        return before, Worth(_grown(long_units(line), proposal.quantity, held, of_order), before.down)
    return before, Worth(before.up, _grown(short_units(line), proposal.quantity, held, of_order))


def groups(book: Book, name: str, key: Key) -> Mapping[str, Sequence[str]]:
    """The instrument ids of `book` by `key`; `name` is the key's own, under which the book remembers them."""
    return book.once(f"groups by {name}", lambda book: _grouped(book, key))


def group(book: Book, name: str, key: Key, of: str) -> Group:
    """The lines of `book` whose key is `of`."""
    return book.once(f"{name} {of}", lambda book: _group(book, groups(book, name, key).get(of, ())))


def whole(book: Book) -> Group:
    """Every line of `book`."""
    return book.once("whole", lambda book: _group(book, [*_worths(book)]))


def _grouped(book: Book, key: Key) -> Mapping[str, Sequence[str]]:
    grouped: dict[str, list[str]] = {}
    for instrument_id in _worths(book):
        name = key(book.lines[instrument_id].instrument)
        if name is not None:
            grouped.setdefault(name, []).append(instrument_id)
    return grouped


def _group(book: Book, instrument_ids: Iterable[str]) -> Group:
    known = _worths(book)
    values = {each: known[each] for each in instrument_ids}
    return Group(
        worths={each: worth for each, worth in values.items() if isinstance(worth, Worth)},
        missing={each: sentence for each, sentence in values.items() if isinstance(sentence, str)},
    )


def _worths(book: Book) -> Mapping[str, Worth | str]:
    """What each line that is not flat is worth, or why that is not known."""
    return book.once("worths", _every_worth)


def _every_worth(book: Book) -> Mapping[str, Worth | str]:
    return {each: _worth_or_why(book, line) for each, line in book.lines.items() if not flat(line)}


def _worth_or_why(book: Book, line: Line) -> Worth | str:
    try:
        return _worth(line, unit_value(book, line.instrument, line.price))
    except NotKnown as missing:
        return str(missing)


def _worth(line: Line, unit: Decimal) -> Worth:
    return Worth(up=multiply(long_units(line), unit), down=multiply(short_units(line), unit))


def _grown(units: Decimal, by: Decimal, held: Decimal, of_order: Decimal) -> Decimal:
    """The worth of `units` and `by` more: what closes the other side counts as held, what opens as the order says."""
    if units >= 0:
        return add(multiply(units, held), multiply(by, of_order))
    after = add(units, by)
    return multiply(after, of_order if after > 0 else held)
