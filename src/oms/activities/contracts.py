"""What a venue knows of an instrument, asked inside the one gateway process that talks to it."""

from typing import Protocol

from temporalio import activity

from oms.domain.reference import InstrumentQuestion, InstrumentsFound
from oms.gateways.errors import GatewayNotReady


class Describer(Protocol):
    """A live venue session that can look up instruments."""

    async def describe(self, question: InstrumentQuestion) -> InstrumentsFound: ...


class ContractActivities:
    """Thin: the gateway holds the session."""

    def __init__(self, gateway: Describer) -> None:
        self._gateway = gateway

    @activity.defn(name="describe_instrument")
    async def describe_instrument(self, question: InstrumentQuestion) -> InstrumentsFound:
        """Look the instrument up. Reads only. A session that is away is an answer: somebody waits for it."""
        try:
            return await self._gateway.describe(question)
        except GatewayNotReady as closed:
            return InstrumentsFound(away=str(closed))
