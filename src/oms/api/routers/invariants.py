"""What must always be true of the book, and whether it is."""

from oms.api.routers.shared import book_router

router = book_router("/v1/invariants", "invariants")
