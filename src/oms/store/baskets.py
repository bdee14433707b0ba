"""Baskets by name. Which orders are in one is said by the orders."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from oms.domain.control import ControlEvent, ControlKind
from oms.domain.drafting import nanoseconds
from oms.domain.model import Open
from oms.domain.terms import State
from oms.store import tables
from oms.store.control import ControlJournal
from oms.store.database import Database
from oms.store.page import Page, page_of, paged


class Basket(Open):
    """Orders that are worked together, under a name."""

    basket_id: str
    name: str
    created_by: str
    created_at: datetime


class Baskets:
    """Baskets by name."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._control = ControlJournal(database)
        self._insert = database.insert_new(tables.baskets)

    def put(self, basket: Basket) -> Basket:
        """The basket that stands under this id afterwards: `basket`, or the one that was there.

        A new one and its line in the control journal are one transaction.
        """
        told = ControlEvent(
            kind=ControlKind.BASKET_CREATED,
            subject=basket.basket_id,
            actor=basket.created_by,
            ts_ns=nanoseconds(basket.created_at),
            data={"name": basket.name},
        )
        with self._database.write() as connection:
            if connection.execute(self._insert, basket.model_dump()).rowcount == 1:
                self._control.append(connection, [told])
                return basket
        return self.get(basket.basket_id) or basket

    def get(self, basket_id: str) -> Basket | None:
        baskets = tables.baskets
        query = select(baskets).where(baskets.c.basket_id == basket_id)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Basket.model_validate(row._asdict())

    def list(
        self,
        limit: int = 100,
        offset: int = 0,
        cursor: str | None = None,
        *,
        portfolio_ids: Sequence[str] | None = None,
        created_by: str | None = None,
    ) -> Page[Basket]:
        """Baskets newest first. Raises BadCursor.

        `portfolio_ids`: only those with an order of these portfolios, and those that `created_by` made.
        """
        baskets, orders = tables.baskets.c, tables.orders.c
        query: Any = select(baskets.created_at, baskets.basket_id, baskets.name, baskets.created_by)
        if portfolio_ids is not None:
            within = select(orders.order_id).where(
                orders.basket_id == baskets.basket_id, orders.portfolio_id.in_([*portfolio_ids])
            )
            query = query.where(within.exists() | (baskets.created_by == created_by))
        with self._database.read() as connection:
            rows = connection.execute(
                paged(query, baskets.created_at, baskets.basket_id, limit, offset, cursor)
            ).all()
        return page_of(rows, limit, lambda row: Basket.model_validate(row._asdict()))

    def members(
        self, basket_id: str, portfolio_ids: Sequence[str] | None = None
    ) -> tuple[tuple[str, State], ...]:
        """(order_id, state) of the basket's orders, oldest first."""
        orders = tables.orders.c
        query = select(orders.order_id, orders.state).where(orders.basket_id == basket_id)
        if portfolio_ids is not None:
            query = query.where(orders.portfolio_id.in_([*portfolio_ids]))
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(orders.created_at, orders.order_id)).all()
        return tuple((row.order_id, State(row.state)) for row in rows)

    def counts(
        self, basket_ids: Collection[str], portfolio_ids: Sequence[str] | None = None
    ) -> dict[str, dict[State, int]]:
        """How many orders of each basket are in each state that any of them is in."""
        orders = tables.orders.c
        query = (
            select(orders.basket_id, orders.state, func.count())
            .where(orders.basket_id.in_([*basket_ids]))
            .group_by(orders.basket_id, orders.state)
        )
        if portfolio_ids is not None:
            query = query.where(orders.portfolio_id.in_([*portfolio_ids]))
        found: dict[str, dict[State, int]] = {basket_id: {} for basket_id in basket_ids}
        with self._database.read() as connection:
            for basket_id, state, count in connection.execute(query):
                found[basket_id][State(state)] = count
        return found
