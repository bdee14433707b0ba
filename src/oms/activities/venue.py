"""What an order asks of a venue, run inside the one gateway process that owns the account."""

from datetime import timedelta
from typing import Protocol

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from oms.domain.venues import PlacementTicket, VenueAnswer
from oms.gateways.errors import GatewayNotReady

GATE_CLOSED_RETRY = timedelta(seconds=1)


class Gateway(Protocol):
    """A live venue session. Each call may come twice, or again after a crash, and acts at the venue once."""

    async def place(self, ticket: PlacementTicket) -> VenueAnswer: ...
    async def cancel(self, ticket: PlacementTicket) -> VenueAnswer: ...
    async def ask(self, ticket: PlacementTicket) -> VenueAnswer: ...


class VenueActivities:
    """Thin: the gateway holds the rules of doubt (docs/exactly-once.md)."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    @activity.defn(name="place")
    async def place(self, ticket: PlacementTicket) -> VenueAnswer:
        """Send a placement and answer what the venue said. Twice: one order at the venue, the same answer."""
        try:
            return await self._gateway.place(ticket)
        except GatewayNotReady as closed:
            raise _not_ready(closed) from closed

    @activity.defn(name="cancel")
    async def cancel(self, ticket: PlacementTicket) -> VenueAnswer:
        """Ask the venue to cancel. Twice: one cancellation; never sent yet: it never will be."""
        try:
            return await self._gateway.cancel(ticket)
        except GatewayNotReady as closed:
            raise _not_ready(closed) from closed

    @activity.defn(name="ask")
    async def ask(self, ticket: PlacementTicket) -> VenueAnswer:
        """Look for a placement at the venue. Reads only."""
        try:
            return await self._gateway.ask(ticket)
        except GatewayNotReady as closed:
            raise _not_ready(closed) from closed


def _not_ready(closed: GatewayNotReady) -> ApplicationError:
    return ApplicationError(
        f"the gate is closed, nothing was sent: {closed}",
        type="GatewayNotReady",
        next_retry_delay=GATE_CLOSED_RETRY,
        category=ApplicationErrorCategory.BENIGN,
    )
