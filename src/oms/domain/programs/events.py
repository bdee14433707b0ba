"""Venue events as they were heard, for whoever watches a tail of them."""

from typing import Any

from oms.domain.model import Open

SUBMITTED = "oms.submit"
RECEIVED = "ib.order_received"
"""The two synthetic events: a command was taken, an order of it is being opened."""


class VenueEvent(Open):
    """One event. `natural_key` is the same whenever the venue says the same thing again.

    body: the parsed fields in the venue's own names, with `event_type`; numbers are Decimal or int.
    """

    natural_key: str
    event_type: str
    body: dict[str, Any]
    ts_init_ns: int
    order_id: str | None = None
    portfolio_id: str | None = None
    message_id: str | None = None
    order_index: int | None = None


class TailedEvent(VenueEvent):
    """An event in the tail. `position` counts up by arrival; `event_id` is `<milliseconds>-<position>`."""

    position: int

    @property
    def event_id(self) -> str:
        return f"{self.ts_init_ns // 1_000_000}-{self.position}"
