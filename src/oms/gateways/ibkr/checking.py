"""What is looked at before an order may leave: account, terms, contract, tick, and whether trading is halted."""

from dataclasses import dataclass

from ib_async import Contract

from oms.domain.facts import Rounding
from oms.domain.venues import PlacementTicket
from oms.gateways.errors import GatewayNotReady
from oms.gateways.halting import Halting
from oms.gateways.ibkr.contracts import Contracts
from oms.gateways.ibkr.orders import UnsupportedOrder, order_of
from oms.gateways.ibkr.rounding import on_tick
from oms.gateways.ibkr.settings import IBKRSettings
from oms.gateways.ibkr.wire import Wire


@dataclass(frozen=True, slots=True)
class Checked:
    """A ticket that may be sent: with prices on the tick, for `contract`."""

    ticket: PlacementTicket
    roundings: tuple[Rounding, ...]
    contract: Contract


class Checking:
    """Reads only."""

    def __init__(self, settings: IBKRSettings, wire: Wire, contracts: Contracts, halting: Halting) -> None:
        self._settings = settings
        self._wire = wire
        self._contracts = contracts
        self._halting = halting

    async def checked(self, ticket: PlacementTicket) -> Checked:
        """The ticket as it may be sent. Raises UnsupportedOrder or UnknownContract, whose message says why it may
        not, and GatewayNotReady where the broker must be asked and does not answer."""
        allowed = self._settings.accounts or self._wire.accounts
        if ticket.account not in allowed:
            raise UnsupportedOrder(f"account {ticket.account} is not traded by gateway {self._settings.name}")
        if ticket.account not in self._wire.accounts:
            # Set up for it and logged in as somebody else: the login is wrong, not the order.
            raise GatewayNotReady(f"the login at IB Gateway does not manage account {ticket.account}")
        order_of(ticket, 0)
        qualified = await self._contracts.qualified(ticket.instrument)
        sent, roundings = on_tick(ticket, qualified.ticks)
        return Checked(sent, roundings, qualified.contract)

    async def contract(self, ticket: PlacementTicket) -> Contract:
        """The contract alone, of a ticket that was checked before. Raises UnknownContract, GatewayNotReady."""
        return (await self._contracts.qualified(ticket.instrument)).contract

    async def halted(self, ticket: PlacementTicket) -> str | None:
        """Why the ticket must not be sent now, `HALTED: ...`; None where nothing halts it."""
        return await self._halting.reason(ticket)
