"""Halting and resuming trading."""

from oms.api.routers.shared import book_router

router = book_router("/v1", "control")
