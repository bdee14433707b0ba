"""Orders at a broker that this system did not place: shown, and never touched."""

from datetime import datetime
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from oms.api.asking import Context, Who
from oms.api.paging import Paging, window_answer
from oms.api.problems import refusals
from oms.api.routers.shared import book_router
from oms.api.sight import Sight
from oms.api.views import ListView, View
from oms.domain.apply import instant
from oms.domain.identifiers import Name
from oms.domain.numbers import Amount
from oms.store import ForeignOrder

router = book_router("/v1/foreign-orders", "foreign orders")
_MOST = 10_000
"""So many of those that were heard of last are looked through."""


class ForeignOrderView(View):
    """An order of somebody else, as far as the broker has told of it; text it has not told is empty.

    `origin`: `TWS` where a person entered it there, `client N` for another program, `not told` where the broker does
    not say. `status` is the broker's own word.
    """

    key: str
    gateway: str
    account: str
    origin: str
    client_id: int
    order_id: int
    perm_id: int
    order_ref: str
    symbol: str
    sec_type: str
    conid: int
    action: str
    quantity: Amount | None
    order_type: str
    status: str
    working: bool
    filled: Amount | None
    first_seen_at: datetime
    last_seen_at: datetime

    @classmethod
    def of(cls, order: ForeignOrder) -> "ForeignOrderView":
        return cls(
            **order.model_dump(include=set(cls.model_fields)),
            working=order.is_working,
            first_seen_at=instant(order.first_seen_ns),
            last_seen_at=instant(order.last_seen_ns),
        )


@router.get(
    "", operation_id="ListForeignOrders", response_model=ListView[ForeignOrderView], responses=refusals()
)
def list_foreign_orders(
    context: Context,
    caller: Who,
    window: Paging,
    gateway: Annotated[Name | None, Query(description="Only those that this gateway saw.")] = None,
    working: Annotated[
        bool | None, Query(description="true: those that may still trade, false: those that are over.")
    ] = None,
) -> Response:
    """Orders at the broker that are not ours, of accounts in the key's reach, the one heard of last first."""
    sight = Sight(context.store, caller.reach)
    found = context.store.foreign.list(gateway, working, _MOST)
    return window_answer([one for one in found if sight.has(one.account)], window, ForeignOrderView.of)
