"""What a rule looks at: a portfolio's positions, what it has in flight, prices and rates, and a proposed order."""

from datetime import datetime

from oms.domain.model import Open
from oms.domain.numbers import ZERO, Amount, Exact, Price, Quantity
from oms.domain.reference import Instrument
from oms.domain.terms import Direction, OrderType


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
    what is in flight. `recent`: orders checked within the longest window that a rule names. `issuers`: the issuer
    of each instrument that a rule names.
    """

    portfolio_id: str
    base_currency: str
    net_asset_value: Amount
    lines: dict[str, Line] = {}
    rates: dict[str, Exact] = {}
    turnover: Exact = ZERO
    recent: tuple[Recent, ...] = ()
    issuers: dict[str, str] = {}
    at: datetime


class Proposal(Open):
    """An order that is to be checked, or (post-trade) the trade as it was executed.

    `price` values it: the order's limit, else the last known price. `executed`: it is part of the positions no more
    than of what is in flight, whether it was traded or not.
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
