"""Prices on a contract's tick, never to the disadvantage of who asked. Pure.

A limit is never worse than asked: a buy rounds down, a sell up. A stop is never earlier than asked: a buy
rounds up, a sell down. A trailing distance is never tighter (up), a limit's distance from its stop never
wider (down). A stop never begins to trail earlier than asked: the trigger of a buy rounds down, of a sell up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import NamedTuple

from oms.domain.facts import Rounding
from oms.domain.handling import Handling
from oms.domain.numbers import multiply, plain
from oms.domain.venues import PlacementTicket
from oms.gateways.ibkr.orders import UnsupportedOrder, begins

_DISTANCES = frozenset({"trail_amount", "limit_offset"})
_ADJUSTED = "adjustment."
"""Where the prices of an adjustment are named."""


class Unroundable(UnsupportedOrder):
    """No price on the tick is left on the safe side; the message is a sentence for a person."""


class Band(NamedTuple):
    """From the price `low` on, prices are multiples of `tick`."""

    low: Decimal
    tick: Decimal


@dataclass(frozen=True, slots=True)
class Ticks:
    """A contract's price increments (TWS API, "Minimum Price Increment"): `least` is its minTick, which also
    stands where there are no `bands`."""

    least: Decimal
    bands: tuple[Band, ...] = ()

    def at(self, price: Decimal) -> Decimal:
        """The increment that holds at `price`."""
        return self._band(price).tick

    def rounded(self, price: Decimal, *, up: bool) -> tuple[Decimal, Decimal]:
        """The nearest price on the tick that is not below (`up`) or not above `price`, and that tick."""
        band = self._band(price)
        found = _multiple(price, band.tick, up=up)
        above = self._above(band)
        if up and above is not None and found > above.low:
            # The next band may be coarser: its first price is its edge, or the next multiple after it.
            return _multiple(above.low, above.tick, up=True), above.tick
        return found, band.tick

    def _band(self, price: Decimal) -> Band:
        holding = [band for band in self.bands if band.low <= price]
        return holding[-1] if holding else Band(Decimal(0), self.least)

    def _above(self, band: Band) -> Band | None:
        return next((other for other in self.bands if other.low > band.low), None)


def ticks(least: Decimal, bands: Sequence[Band] = ()) -> Ticks:
    """The increments of a contract; bands without an increment say nothing and are left out."""
    return Ticks(least, tuple(sorted(band for band in bands if band.tick > 0)))


class Rounded(NamedTuple):
    """The ticket as it is sent, and what had to be rounded for that."""

    ticket: PlacementTicket
    roundings: tuple[Rounding, ...]


def on_tick(ticket: PlacementTicket, increments: Ticks) -> Rounded:
    """The ticket with every price on the tick. A ticket that is on the tick comes back as it is.

    An adjustment gets the stop at which it begins. Raises Unroundable where a price would become zero.
    """
    roundings = tuple(_roundings(ticket, increments))
    sent = {rounding.field: rounding.sent for rounding in roundings}
    prices = {name: price for name, price in sent.items() if name in ("limit_price", "stop_price")}
    handling = _handled(ticket.handling, sent)
    ticket = ticket.model_copy(update={**prices, "handling": handling}) if roundings else ticket
    return Rounded(_begun(ticket, increments), roundings)


def _handled(handling: Handling, sent: dict[str, Decimal]) -> Handling:
    distances: dict[str, object] = {name: price for name, price in sent.items() if name in _DISTANCES}
    if handling.adjustment is not None:
        inner = {n.removeprefix(_ADJUSTED): price for n, price in sent.items() if n.startswith(_ADJUSTED)}
        distances["adjustment"] = handling.adjustment.model_copy(update=inner)
    return handling.model_copy(update=distances)


def _begun(ticket: PlacementTicket, increments: Ticks) -> PlacementTicket:
    """The ticket whose adjustment says where it begins: rounded as a stop is, and the same on every send."""
    adjustment = ticket.handling.adjustment
    if adjustment is None or adjustment.stop_price is not None:
        return ticket
    asked = begins(adjustment, ticket.direction)
    stop, tick = increments.rounded(asked, up=ticket.direction.sign > 0)
    if stop <= 0:
        raise _unroundable("adjustment.stop_price", asked, tick)
    begun = adjustment.model_copy(update={"stop_price": stop})
    return ticket.model_copy(update={"handling": ticket.handling.model_copy(update={"adjustment": begun})})


def _roundings(ticket: PlacementTicket, increments: Ticks) -> Iterator[Rounding]:
    buys = ticket.direction.sign > 0
    if ticket.order_type.may_have_limit_price:
        yield from _rounding("limit_price", ticket.limit_price, increments, up=not buys)
    if ticket.order_type.may_have_stop_price:
        yield from _rounding("stop_price", ticket.stop_price, increments, up=buys)
    if ticket.order_type.trails:
        at = increments.least if ticket.stop_price is None else increments.at(ticket.stop_price)
        distances = Ticks(at)
        yield from _rounding("trail_amount", ticket.handling.trail_amount, distances, up=True)
        yield from _rounding("limit_offset", ticket.handling.limit_offset, distances, up=False)
    adjustment = ticket.handling.adjustment
    if adjustment is not None:
        far = Ticks(increments.at(adjustment.trigger_price))
        yield from _rounding("adjustment.trigger_price", adjustment.trigger_price, increments, up=not buys)
        yield from _rounding("adjustment.stop_price", adjustment.stop_price, increments, up=buys)
        yield from _rounding("adjustment.trail_amount", adjustment.trail_amount, far, up=True)


def _rounding(field: str, asked: Decimal | None, increments: Ticks, *, up: bool) -> Iterator[Rounding]:
    if asked is None:
        return
    sent, tick = increments.rounded(asked, up=up)
    if sent <= 0:
        raise _unroundable(field, asked, tick)
    if sent != asked:
        yield Rounding(field=field, asked=asked, sent=sent, tick=tick)


def _unroundable(field: str, asked: Decimal, tick: Decimal) -> Unroundable:
    return Unroundable(
        f"{field} {plain(asked)} is less than one tick of {plain(tick)}, and rounding it up would be to "
        "your disadvantage"
    )


def _multiple(price: Decimal, tick: Decimal, *, up: bool) -> Decimal:
    if tick <= 0:
        return price
    count = (price / tick).to_integral_value(ROUND_CEILING if up else ROUND_FLOOR)
    # The quotient has 28 digits: a multiple that is off by its last one is moved by one tick.
    found = multiply(count, tick)
    if up and found < price:
        return multiply(count + 1, tick)
    if not up and found > price:
        return multiply(count - 1, tick)
    return found
