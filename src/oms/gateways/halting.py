"""The last look before an order leaves: whether a halt covers it. Cancels are never asked."""

import asyncio

from oms.domain.halts import Halt, HaltScope, covering, refusal
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
        halts = self._store.halts.all()
        if not halts:
            return None
        return covering(
            halts,
            portfolio_id=self._portfolio_of(ticket),
            account_ids=self._names_of(ticket, halts),
            venue=ticket.venue,
        )

    def _portfolio_of(self, ticket: PlacementTicket) -> str | None:
        """A ticket from before portfolios were written on them is looked up by its order."""
        if ticket.portfolio_id:
            return ticket.portfolio_id
        order = self._store.orders.get(ticket.order_id)
        return None if order is None else order.portfolio_id

    def _names_of(self, ticket: PlacementTicket, halts: tuple[Halt, ...]) -> set[str]:
        """The names under which a halt may mean the ticket's account: the broker's, and ours for it."""
        names = {ticket.account}
        for halt in halts:
            if halt.scope is HaltScope.ACCOUNT:
                account = self._store.reference.account(halt.subject)
                if account is not None and account.broker_account == ticket.account:
                    names.add(halt.subject)
        return names
