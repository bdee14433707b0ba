"""Pages of orders as text. A desk's screens ask for the same page again and again, and most of it has not moved."""

from functools import lru_cache

from starlette.responses import Response

from oms.api.views import ListView, OrderView
from oms.domain.order import Order
from oms.store import Page

_REMEMBERED = 4000
"""About 6 kB each."""


def orders_answer(page: Page[str]) -> Response:
    """A page of ListOrders from the orders as the store keeps them."""
    end = ListView[OrderView](items=[], next_cursor=page.next_cursor).model_dump_json()
    items = ",".join(map(_shown, page.items))
    return Response(end.replace("[]", f"[{items}]", 1), 200, media_type="application/json")


@lru_cache(_REMEMBERED)
def _shown(body: str) -> str:
    """What is answered of an order. It follows from the order alone, so the same order is the same text."""
    return OrderView.of(Order.model_validate_json(body)).model_dump_json()
