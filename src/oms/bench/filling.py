"""A full order book in seconds: copies of real orders, written straight into the table that ListOrders reads.

The copies have no journal and no parts, so such a book is for measuring lists and for nothing else.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert, text

from oms.domain.identifiers import BASKET, ORDER, identifier, uuid7
from oms.domain.order import Order
from oms.domain.terms import Direction
from oms.store import Store, tables
from oms.store.projection import order_row

Values = dict[str, Any]
PORTFOLIOS, INSTRUMENTS = 40, 400
BEGAN = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
"""When the first copy was created; each later one came a second after the one before."""
_CHUNK = 5_000
_IN_BASKETS, _BASKET_SIZE = 5, 40
"""One order in five belongs to a basket; a basket has forty."""
_DIRECTIONS = (
    (Direction.BUY, 55),
    (Direction.SELL, 40),
    (Direction.SELL_SHORT, 4),
    (Direction.BUY_TO_COVER, 1),
)


def portfolio_name(number: int) -> str:
    """One of the portfolios whose orders the copies are."""
    return f"PORT-B{number:03d}"


def instrument_name(number: int) -> str:
    """One of the instruments the copies trade."""
    return f"INS-B{number:03d}"


def basket_name(number: int) -> str:
    """One of the baskets the copies lie in."""
    return identifier(BASKET, UUID(int=number))


def fill_book(
    store: Store,
    samples: Sequence[Order],
    last: int,
    first: int = 0,
    tell: Callable[[int], None] | None = None,
) -> None:
    """Write the copies number `first` to `last` - 1; the same numbers are always the same orders.

    Portfolios, instruments, directions and baskets are drawn as a desk trades: a few of them have most orders.
    `samples` give the states and the sizes. `tell` hears how many are written.
    """
    rows = _copies([(order_row(order), order) for order in samples], first, last)
    statement = insert(tables.orders)
    with store.database.write() as connection:
        for index in tables.orders.indexes:  # made again at the end, which is several times as fast
            index.drop(connection)
    while chunk := list(itertools.islice(rows, _CHUNK)):
        with store.database.write() as connection:
            connection.execute(statement, chunk)
        first += len(chunk)
        if tell is not None:
            tell(first)
    with store.database.write() as connection:
        for index in tables.orders.indexes:
            index.create(connection)
        if not store.database.is_sqlite:  # what autovacuum does to a book that grows over weeks
            connection.execute(text("ANALYZE orders"))


def _copies(samples: Sequence[tuple[Values, Order]], first: int, last: int) -> Iterator[Values]:
    directions = [direction for direction, weight in _DIRECTIONS for _ in range(weight)]
    for number in range(first, last):
        draw = random.Random(number)  # noqa: S311 - a made-up book, the same each time
        row, order = samples[draw.randrange(len(samples))]
        at = BEGAN + timedelta(seconds=number)
        fresh = {
            "order_id": identifier(ORDER, uuid7(int(at.timestamp() * 1000), number.to_bytes(10, "big"))),
            "portfolio_id": portfolio_name(_skewed(draw, PORTFOLIOS)),
            "instrument_id": instrument_name(_skewed(draw, INSTRUMENTS)),
            "direction": draw.choice(directions).value,
            "basket_id": basket_name(number // (_IN_BASKETS * _BASKET_SIZE))
            if number % _IN_BASKETS == 0
            else None,
        }
        yield {
            **row,
            **fresh,
            "created_at": at,
            "updated_at": at,
            "body": _body(row["body"], order, fresh, at),
        }


def _skewed(draw: random.Random, count: int) -> int:
    return min(count - 1, int(count * draw.random() ** 2))


def _body(body: str, order: Order, fresh: Values, at: datetime) -> str:
    """The sample's body with the copy's own terms, changed as text: to fold each anew would take minutes."""
    instant = f'"created_at":"{at:%Y-%m-%dT%H:%M:%SZ}","updated_at"'
    body = body.replace(order.order_id, fresh["order_id"], 1)
    body = body.replace(f'"{order.portfolio_id}"', f'"{fresh["portfolio_id"]}"')
    body = body.replace(f'"{order.instrument_id}"', f'"{fresh["instrument_id"]}"')
    body = body.replace(f'"direction":"{order.direction}"', f'"direction":"{fresh["direction"]}"')
    before, _, after = body.partition(',"updated_at":')
    return f"{before[: before.rindex(chr(34) + 'created_at' + chr(34))]}{instant}:{after}"
