"""What a rule looks at: a portfolio's positions, what it has in flight, prices and rates, and a proposed order."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, Self, TypeVar, cast

from oms.domain.model import Open
from oms.domain.numbers import ZERO, Amount, Exact, Price, Quantity
from oms.domain.reference import Instrument
from oms.domain.terms import Direction, OrderType

_Computed = TypeVar("_Computed")


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

    `price` values it: the order's limit, else the last known price; for a trade its average price. `executed`: the
    trade is done, so rules about how an order is asked for look away.
    """

    order_id: str
    instrument: Instrument
    direction: Direction
    quantity: Quantity
    order_type: OrderType
    limit_price: Price | None = None
    stop_price: Price | None = None
    price: Exact | None = None
    executed: bool = False
