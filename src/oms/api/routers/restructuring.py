"""Merging, splitting, and carrying on what stayed unfilled."""

from oms.api.routers.shared import book_router

router = book_router("/v1/orders", "merge and split")
