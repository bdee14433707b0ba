"""The last look before an order leaves: whether a halt covers it. Cancels are never asked."""

import asyncio

from oms.domain.halts import Dealing, Halt, refusal
from oms.domain.venues import PlacementTicket
from oms.store import Store


class Halting:
    """What the store says of halts, asked anew for each placement: a halt set elsewhere counts at once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def reason(self, ticket: PlacementTicket) -> str | None:
        """Why the placement must not be sent now, `HALTED: ...`; None where nothing halts it.

        One query while nothing is halted.
        """
        halt = await asyncio.to_thread(self._over, ticket)
        return None if halt is None else f"HALTED: {refusal(halt).message}"

    def _over(self, ticket: PlacementTicket) -> Halt | None:
        """The halt that stops the order behind the ticket, or such a ticket whose order nobody recorded."""
        if not self._store.halts.all():
            return None
        order = self._store.orders.get(ticket.order_id)
        deals = order.dealing if order else Dealing(frozenset({ticket.portfolio_id}), frozenset())
        return self._store.halts.over(deals.at(ticket.venue, ticket.account))
