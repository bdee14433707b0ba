"""What an order asks of a venue, run inside the one gateway process that owns the account."""

from collections.abc import Awaitable
from datetime import timedelta
from typing import Protocol, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from oms.activities.alive import alive
from oms.domain.programs.targets import AccountRead
from oms.domain.venues import PlacementTicket, Resynced, VenueAnswer
from oms.gateways.errors import GatewayNotReady

R = TypeVar("R")
GATE_CLOSED_RETRY = timedelta(seconds=1)


class Gateway(Protocol):
    """A live venue session. Each call may come twice, or again after a crash, and acts at the venue once."""

    async def place(self, ticket: PlacementTicket) -> VenueAnswer: ...
    async def cancel(self, ticket: PlacementTicket) -> VenueAnswer: ...
    async def modify(self, ticket: PlacementTicket) -> VenueAnswer: ...
    async def ask(self, ticket: PlacementTicket) -> VenueAnswer: ...
    async def resync(self) -> Resynced: ...
    async def read_account(self, account: str) -> AccountRead: ...


class VenueActivities:
    """Thin: the gateway holds the rules of doubt (docs/exactly-once.md)."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    @activity.defn(name="place")
    async def place(self, ticket: PlacementTicket) -> VenueAnswer:
        """Send a placement and answer what the venue said. Twice: one order at the venue, the same answer."""
        return await _called(self._gateway.place(ticket))

    @activity.defn(name="cancel")
    async def cancel(self, ticket: PlacementTicket) -> VenueAnswer:
        """Ask the venue to cancel. Twice: one cancellation; never sent yet: it never will be."""
        return await _called(self._gateway.cancel(ticket))

    @activity.defn(name="modify")
    async def modify(self, ticket: PlacementTicket) -> VenueAnswer:
        """Ask the venue for the terms of the ticket. Twice: one change, looked for before it is sent again."""
        return await _called(self._gateway.modify(ticket))

    @activity.defn(name="ask")
    async def ask(self, ticket: PlacementTicket) -> VenueAnswer:
        """Look for a placement at the venue. Reads only."""
        return await _called(self._gateway.ask(ticket))

    @activity.defn(name="resync")
    async def resync(self, name: str) -> Resynced:
        """Read the venue's lists and positions now. Reads only; what they say comes to the orders as ever.

        Fails for good where the queue is served by another gateway than `name`: its answer is about other books.
        """
        resynced = await _called(self._gateway.resync())
        if resynced.name != name:
            raise ApplicationError(
                f"its account is served by {resynced.name} now, which was read in its place",
                non_retryable=True,
                category=ApplicationErrorCategory.BENIGN,
            )
        return resynced

    @activity.defn(name="read_account")
    async def read_account(self, account: str) -> AccountRead:
        """What the broker holds in the account, and what it is worth. Reads only.

        A session that is away is an answer, in which nothing is known: somebody waits for it.
        """
        try:
            return await self._gateway.read_account(account)
        except GatewayNotReady as closed:
            return AccountRead(account=account, away=closed.reason)


async def _called(call: Awaitable[R]) -> R:
    try:
        async with alive():
            return await call
    except GatewayNotReady as closed:
        raise _not_ready(closed) from closed


def _not_ready(closed: GatewayNotReady) -> ApplicationError:
    return ApplicationError(
        f"the gate is closed, nothing was sent: {closed}",
        type="GatewayNotReady",
        next_retry_delay=GATE_CLOSED_RETRY,
        category=ApplicationErrorCategory.BENIGN,
    )
