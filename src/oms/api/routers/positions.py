"""Positions, derived from fills whenever somebody asks."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from oms.api.asking import Context, Who
from oms.api.paging import Paging, window_answer
from oms.api.problems import refusals
from oms.api.routers.shared import book_router
from oms.api.views import ListView, View
from oms.domain.identifiers import Name
from oms.domain.numbers import Amount
from oms.store import Position

router = book_router("/v1", "positions")


class PositionView(View):
    """A holding. `quantity` is signed; `cost` is quantity times average price, without multiplier."""

    portfolio_id: str
    account_id: str
    instrument_id: str
    quantity: Amount
    cost: Amount
    average_price: Amount | None

    @classmethod
    def of(cls, position: Position) -> "PositionView":
        return cls.model_construct(**dict(position))


@router.get(
    "/positions", operation_id="GetPositions", response_model=ListView[PositionView], responses=refusals()
)
def get_positions(
    context: Context,
    caller: Who,
    window: Paging,
    portfolio_id: Annotated[Name | None, Query()] = None,
    account_id: Annotated[Name | None, Query()] = None,
) -> Response:
    """What is held, by portfolio, account and instrument."""
    held = context.store.positions(portfolio_id, account_id)
    reach = caller.reach
    seen = [p for p in held if reach.has_portfolio(p.portfolio_id) and reach.has_account(p.account_id)]
    return window_answer(seen, window, PositionView.of)
