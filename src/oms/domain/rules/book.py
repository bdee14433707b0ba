"""What a rule looks at: a portfolio's positions, what it has in flight, prices and rates, and a proposed order."""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Self, TypeVar, cast

from oms.domain.handling import PLAIN, Handling
from oms.domain.model import Open
from oms.domain.numbers import ZERO, Amount, Exact, Price, Quantity
from oms.domain.reference import Instrument
from oms.domain.terms import Direction, OrderType

_Computed = TypeVar("_Computed")


def binding_limit(order_type: OrderType, limit_price: Price | None) -> Price | None:
    """The price that an order is worth whatever the market does; None where it goes with the market."""
    return limit_price if order_type.needs_limit_price else None


class Line(Open):
    """One instrument of a portfolio. Units are the instrument's own.

    `position` is signed and executed; `buying` and `selling` are what orders in flight may still add or take,
    both positive; `price` is the last known one, in the instrument's currency.
    """

    instrument: Instrument
    position: Exact = ZERO
    buying: Exact = ZERO
    selling: Exact = ZERO
    price: Exact | None = None


class Recent(Open):
    """An order of the portfolio that was checked lately."""

    order_id: str
    instrument_id: str
    direction: Direction
    quantity: Quantity
    limit_price: Price | None = None
    at: datetime


class Book(Open):
    """A portfolio at one instant. Money is in `base_currency`.

    `rates`: what one unit of a currency is worth in the base currency. `turnover`: the value traded today, with
    what is in flight; None where a part of it cannot be valued. `recent`: orders checked within the longest window that a rule names. `issuers`: the issuer
    of each instrument that a rule names. The order that is checked is part of none of them.
    """

    portfolio_id: str
    base_currency: str
    net_asset_value: Amount
    lines: dict[str, Line] = {}
    rates: dict[str, Exact] = {}
    turnover: Exact | None = ZERO
    recent: tuple[Recent, ...] = ()
    issuers: dict[str, str] = {}
    at: datetime

    def once(self, what: str, compute: Callable[[Self], _Computed]) -> _Computed:
        """`compute(self)`, computed once for this book whoever asks under this name; a changed copy starts anew."""
        if what not in self._computed:
            self._computed[what] = compute(self)
        return cast("_Computed", self._computed[what])

    @cached_property
    def _computed(self) -> dict[str, Any]:
        return {}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("_computed", None)
        return copied


class Proposal(Open):
    """An order that is to be checked, or (post-trade) the trade as it was executed.

    `price` values it: for an order what `valued_at` says, for a trade its average price. `executed`: the trade is done,
    so rules about how an order is asked for look away.
    """

    order_id: str
    instrument: Instrument
    direction: Direction
    quantity: Quantity
    order_type: OrderType
    limit_price: Price | None = None
    stop_price: Price | None = None
    handling: Handling = PLAIN
    price: Exact | None = None
    executed: bool = False

    def valued_at(self, last: Decimal | None) -> Decimal | None:
        """The price that values an order, given the last known one; None where neither names any.

        An order with a limit is worth its limit. Every other one trades where the market takes it and is worth the
        last price: the cap of a mid-price order and the stop of a trailing one promise nothing. What an order holds
        of a limit is valued the same way (`reserving.Held.price`).
        """
        return binding_limit(self.order_type, self.limit_price) or last
