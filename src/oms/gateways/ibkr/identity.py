"""Whether this session may send as the client that it is: what other clients of its name sent, it cannot reach."""

import asyncio

import structlog

from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr.gate import Gate
from oms.gateways.ibkr.settings import IBKRSettings
from oms.gateways.ibkr.wire import ORDER_IDS_BELOW, Wire
from oms.store import Intent, Store

LOG = structlog.get_logger()


class Identity:
    """IB knows an order by client id and order id, and only that client can change or cancel it."""

    def __init__(self, settings: IBKRSettings, store: Store, wire: Wire, gate: Gate) -> None:
        self._settings = settings
        self._store = store
        self._wire = wire
        self._gate = gate
        self._told: str | None = None

    async def check(self) -> None:
        """Close the gate for as long as something stands against this client id, and say what to do."""
        reason = await asyncio.to_thread(self._reason)
        if reason is None:
            self._gate.lift("client")
        else:
            self._gate.close("client", reason)
            if reason != self._told:
                LOG.error("ibkr.alarm.client_id", reason=reason)
        self._told = reason

    async def require_ours(self, placement_id: str) -> None:
        """Raises GatewayNotReady for a placement that another session, or this one as another client, has sent."""
        intent = await asyncio.to_thread(self._store.intents.get, placement_id)
        if intent is not None:
            self._require_ours(intent)

    def _require_ours(self, intent: Intent) -> None:
        mine = self._settings
        if intent.gateway != mine.name:
            raise GatewayNotReady(
                f"{intent.placement_id} was sent by gateway {intent.gateway}, which alone can work it; "
                f"{mine.name} leaves it alone"
            )
        if intent.client_id != mine.client_id:
            raise GatewayNotReady(
                f"{intent.placement_id} was sent by {mine.name} as client id {intent.client_id}, which alone can "
                f"change or cancel it; this session is client id {mine.client_id} and leaves it alone"
            )

    def _reason(self) -> str | None:
        mine, gateways = self._settings, self._store.gateways
        highest = max(self._wire.next_order_id, gateways.highest_order_id(mine.order_ids_key))
        if highest >= ORDER_IDS_BELOW:
            return (
                f"the order ids of client id {mine.client_id} have reached {highest}, and from {ORDER_IDS_BELOW} on an "
                "error could not be told from one about a request: give this gateway a client id (OMS_IBKR_CLIENT_ID) "
                "and a name (OMS_IBKR_NAME) that were never used"
            )
        others = gateways.other_clients(mine.name, mine.client_id)
        if not others:
            return None
        sent = " and ".join(f"{count} as client id {client}" for client, count in others.items())
        return (
            f"{mine.name} has placements that are not over and were sent under another client id than "
            f"{mine.client_id}: {sent}. Start it with OMS_IBKR_CLIENT_ID={next(iter(others))} until they are over, "
            "or give this session an OMS_IBKR_NAME of its own"
        )
