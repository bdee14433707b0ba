"""What-if, headroom, requests that wait, and the stream of compliance events."""

from oms.api.routers.shared import book_router

router = book_router("/v1/compliance", "compliance")
