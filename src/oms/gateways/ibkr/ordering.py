"""Everything of a session that sends: placing, brackets, changes, cancels, and what their answers left open."""

import asyncio
from collections.abc import Callable

from oms.domain.venues import PlacementTicket, VenueAnswer
from oms.gateways.halting import Halting
from oms.gateways.ibkr.books import Books
from oms.gateways.ibkr.canceling import Canceling, Settling
from oms.gateways.ibkr.checking import Checking
from oms.gateways.ibkr.contracts import Contracts
from oms.gateways.ibkr.families import Families
from oms.gateways.ibkr.gate import Gate
from oms.gateways.ibkr.heard import FollowUp
from oms.gateways.ibkr.inbound import Inbound
from oms.gateways.ibkr.locks import Locks
from oms.gateways.ibkr.looking import Looking
from oms.gateways.ibkr.modifying import Modifying
from oms.gateways.ibkr.orphans import Orphans
from oms.gateways.ibkr.placer import Means
from oms.gateways.ibkr.placing import Placing
from oms.gateways.ibkr.sending import Sending
from oms.gateways.ibkr.settings import IBKRSettings
from oms.gateways.ibkr.sweeps import Sweeps
from oms.gateways.ibkr.wire import Wire


class Ordering:
    """Put together: each call may come twice, or again after a crash, and acts at the venue once."""

    def __init__(
        self,
        settings: IBKRSettings,
        wire: Wire,
        gate: Gate,
        books: Books,
        inbound: Inbound,
        sweeps: Sweeps,
        contracts: Contracts,
        halting: Halting,
        clock: Callable[[], int],
    ) -> None:
        self._settings = settings
        locks = Locks()
        looking = Looking(settings, books, inbound, sweeps)
        checking = Checking(settings, wire, contracts, halting)
        sending = Sending(settings, wire, gate, books, inbound, clock)
        means = Means(wire, gate, books, inbound, looking, checking, sending, locks)
        self.families = Families(means, clock)
        self.placing = Placing(means, self.families)
        self.modifying = Modifying(
            gate, wire, books, inbound, sweeps, looking, checking, sending, self.placing, locks, clock
        )
        self.canceling = Canceling(settings, wire, gate, books, inbound, self.families, locks)
        orphans = Orphans(wire, gate, books, locks, clock)
        self.settling = Settling(wire, books, inbound, sweeps, looking, self.modifying, orphans, locks, clock)

    async def place(self, ticket: PlacementTicket) -> VenueAnswer:
        """Work the placement; see `Placing.place`."""
        return await self.placing.place(ticket)

    async def modify(self, ticket: PlacementTicket) -> VenueAnswer:
        """Change the placement; see `Modifying.modify`."""
        return await self.modifying.modify(ticket)

    async def cancel(self, ticket: PlacementTicket) -> VenueAnswer:
        """Cancel the placement; see `Canceling.cancel`."""
        return await self.canceling.cancel(ticket)

    async def ask(self, ticket: PlacementTicket) -> VenueAnswer:
        """What the venue knows of the placement; see `Placing.ask`."""
        return await self.placing.ask(ticket)

    @property
    def in_flight(self) -> frozenset[str]:
        """The placements whose call is still running here: nobody else judges them."""
        return self.placing.flights.aboard | self.families.flights.aboard

    def resume(self) -> None:
        """Go on with what a process that died left half done and no caller may ask for again."""
        self.families.resume()
        self.settling.resume()

    def settle(self, follow_up: FollowUp) -> None:
        """Find out what a message left open."""
        self.settling.begin(follow_up)

    async def stop(self) -> None:
        """Let what is in the air hear its first word; leave what is unfinished to the next process."""
        flying = (self.placing.flights, self.families.flights, self.modifying.flights)
        await asyncio.gather(*(flights.land(self._settings.acknowledge_seconds) for flights in flying))
        await self.settling.stop()
