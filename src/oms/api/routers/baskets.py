"""Baskets: orders that are worked together, each answering for itself."""

from oms.api.routers.shared import book_router

router = book_router("/v1/baskets", "baskets")
