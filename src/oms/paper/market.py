"""The seeded price and liquidity model.

Each instrument's path depends on the seed, its symbol and how many steps it has taken, and on nothing
else, so a restarted gateway goes on along the same path. Prices and sizes are Decimals.
"""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_EVEN, Decimal

from oms.paper.instruments import Instrument, catalogue

_LOT = Decimal(100)
_PULL = 0.01
_SPREAD = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class MarketSettings:
    """How the market behaves.

    step_seconds: wall-clock time between steps; None means steps happen only when asked for.
    moving: whether prices and sizes walk at all.
    volatility: standard deviation of one step's move as a share of the price (0.0002 = 2 basis points).
    displays: displayed size by symbol in place of the catalogue's.
    rejects: symbol to reason; orders in it are rejected with 201 (added to the catalogue's HALTD).
    cash: starting cash of each account in USD.
    """

    step_seconds: float | None = 0.2
    moving: bool = True
    volatility: float = 0.0002
    displays: Mapping[str, Decimal] = field(default_factory=dict)
    rejects: Mapping[str, str] = field(default_factory=dict)
    cash: Decimal = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Quote:
    """Top of book and the day's figures of one instrument; sizes in units.

    ``finite``: taking removes displayed size until it is set again; otherwise it is replenished behind
    every order, and one order takes at most the displayed size per step.
    ``held``: the price was set by hand and does not walk.
    """

    bid: Decimal
    ask: Decimal
    bid_size: Decimal
    ask_size: Decimal
    last: Decimal
    last_size: Decimal
    volume: Decimal
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    steps: int = 0
    finite: bool = False
    held: bool = False

    @property
    def middle(self) -> Decimal:
        return (self.bid + self.ask) / 2


class Market:
    """Quotes of all instruments. ``quotes`` carries those a ledger has kept, by contract id."""

    def __init__(
        self, seed: int, settings: MarketSettings, quotes: Mapping[int, Quote] | None = None
    ) -> None:
        self.settings = settings
        self._seed = seed
        self._quotes = dict(quotes or {})
        self.changed: set[int] = set()

    def quote(self, con_id: int) -> Quote:
        """The current quote; an instrument begins at its catalogue price."""
        if con_id not in self._quotes:
            self._quotes[con_id] = self._first(catalogue()[con_id])
        return self._quotes[con_id]

    def display(self, instrument: Instrument) -> Decimal:
        """The size usually shown at the best bid and offer."""
        return self.settings.displays.get(instrument.symbol, instrument.display)

    def move(self, con_ids: Iterable[int]) -> None:
        """One step of these instruments' walks."""
        for con_id in con_ids:
            quote = self.quote(con_id)
            if self.settings.moving and not quote.held:
                self._put(con_id, self._walked(catalogue()[con_id], quote))

    def turnover(self, con_id: int) -> Decimal:
        """What everybody trades in one step, by the model: the sizes shown on both sides."""
        quote = self.quote(con_id)
        return quote.bid_size + quote.ask_size

    def chance(self, *about: object) -> random.Random:
        """Chance that depends on the seed and on what it is about, and on nothing else."""
        return random.Random(":".join(map(str, (self._seed, *about))))  # noqa: S311 - a model, not a secret

    def take(self, con_id: int, side: str, quantity: Decimal, at: Decimal | None = None) -> None:
        """Record a trade: ``side`` BUY takes from the offer, SELL from the bid.

        ``at`` is the price of a trade inside the market, such as one at the midpoint.
        """
        quote = self.quote(con_id)
        price = quote.ask if side == "BUY" else quote.bid
        if at is not None and quote.bid <= at <= quote.ask:
            price = at
        quote = replace(
            quote,
            last=price,
            last_size=quantity,
            volume=quote.volume + quantity,
            high=max(quote.high, price),
            low=min(quote.low, price),
        )
        if quote.finite and side == "BUY":
            quote = replace(quote, ask_size=max(quote.ask_size - quantity, Decimal(0)))
        elif quote.finite:
            quote = replace(quote, bid_size=max(quote.bid_size - quantity, Decimal(0)))
        self._put(con_id, quote)

    def set_quote(self, con_id: int, bid: Decimal, ask: Decimal, size: Decimal | None = None) -> None:
        """Set and hold a price. With a size, exactly that much can be bought and sold until set again."""
        quote = self.quote(con_id)
        display = self.display(catalogue()[con_id]) if size is None else size
        self._put(
            con_id,
            replace(
                quote,
                bid=bid,
                ask=ask,
                bid_size=display,
                ask_size=display,
                high=max(quote.high, bid),
                low=min(quote.low, ask),
                finite=size is not None or not catalogue()[con_id].replenishes,
                held=True,
            ),
        )

    def release(self, con_id: int) -> None:
        """Let a held price walk again from where it is, with the instrument's own liquidity."""
        instrument = catalogue()[con_id]
        size = self.display(instrument)
        finite = not instrument.replenishes
        quote = replace(self.quote(con_id), held=False, finite=finite, bid_size=size, ask_size=size)
        self._put(con_id, quote)

    def _put(self, con_id: int, quote: Quote) -> None:
        self._quotes[con_id] = quote
        self.changed.add(con_id)

    def _first(self, instrument: Instrument) -> Quote:
        half = self._half_spread(instrument)
        size = self.display(instrument)
        price = instrument.price
        return Quote(
            bid=price - half,
            ask=price + half,
            bid_size=size,
            ask_size=size,
            last=price,
            last_size=_LOT,
            volume=Decimal(0),
            open=price,
            high=price,
            low=price,
            close=price,
            finite=not instrument.replenishes,
        )

    def _walked(self, instrument: Instrument, quote: Quote) -> Quote:
        chance = self.chance(instrument.name, quote.steps)
        middle = float(quote.middle)
        # The pull back to the start keeps a demo that runs for days near its catalogue prices.
        drift = (float(instrument.price) - middle) * _PULL
        moved = Decimal(middle + drift + chance.gauss(0.0, self.settings.volatility) * middle)
        half = self._half_spread(instrument)
        centre = max(instrument.rounded(moved, ROUND_HALF_EVEN), 2 * half)
        quote = replace(quote, bid=centre - half, ask=centre + half, steps=quote.steps + 1)
        if quote.finite:
            return quote
        return replace(
            quote, bid_size=self._shown(instrument, chance), ask_size=self._shown(instrument, chance)
        )

    def _shown(self, instrument: Instrument, chance: random.Random) -> Decimal:
        display = self.display(instrument)
        lot = _LOT if display >= _LOT else Decimal(1)
        share = Decimal(chance.uniform(0.5, 1.5))
        return max((display * share / lot).quantize(Decimal(1)) * lot, lot)

    def _half_spread(self, instrument: Instrument) -> Decimal:
        tick = instrument.tick_at(instrument.price)
        ticks = (instrument.price * _SPREAD / tick).quantize(Decimal(1))
        return max(ticks, Decimal(1)) * tick
