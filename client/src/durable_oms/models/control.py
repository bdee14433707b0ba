"""Halts, baskets, and what must always be true of the book."""

from datetime import datetime
from typing import Any

from durable_oms.models.orders import Order
from durable_oms.models.record import Record


class Halt(Record):
    """A halt in force. `subject` names the portfolio, the account or the venue; it is empty for the firm.

    `batch_id`: the batch that cancels what works, where that was asked for.
    """

    scope: str
    subject: str = ""
    reason: str
    by: str
    since: datetime
    batch_id: str | None = None


class Member(Record):
    """An order in a basket."""

    order_id: str
    state: str


class Basket(Record):
    """Orders that are worked together, and how many of them are in which state; a list leaves out `orders`."""

    basket_id: str
    name: str
    created_by: str
    created_at: datetime
    counts: dict[str, int] = {}
    orders: tuple[Member, ...] = ()


class Result(Record):
    """What one order of a basket answered: the order after it, or the problem with its `code` and `detail`.

    `status` 202 is an order that waits for its venue, or goes on by itself.
    """

    order_id: str
    status: int
    ok: bool
    order: Order | None = None
    problem: dict[str, Any] | None = None


class Results(Record):
    """One result for each order of a basket, and how many of them are refusals."""

    basket_id: str
    refused: int
    results: tuple[Result, ...]


class Example(Record):
    order_id: str
    detail: str


class Invariant(Record):
    """What must always be true of the book, and orders for which it is not. `since` is when it broke."""

    name: str
    meaning: str
    broken: bool
    checked_at: datetime | None = None
    since: datetime | None = None
    detail: str
    examples: tuple[Example, ...] = ()
