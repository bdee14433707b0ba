"""A gateway's clock in the hands of a test."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.gateways.rig import Rig

from oms.domain.venues import PlacementTicket
from oms.gateways.ibkr import IBKRGateway
from oms.gateways.ibkr.pacing import Urgency

HOUR = timedelta(hours=1)


class Clock:
    """The time of day, `ahead` of it; an hour more from the first look on that finds `jumps` true."""

    def __init__(self, jumps: Callable[[], bool] = lambda: False) -> None:
        self.jumps = jumps
        self.jumped = False
        self.ahead = timedelta(0)

    def __call__(self) -> int:
        if not self.jumped and self.jumps():
            self.jumped = True
            self.ahead += HOUR
        return time.time_ns() + int(self.ahead.total_seconds()) * 1_000_000_000


async def gateway_at(rig: Rig, clock: Clock, *, ready: bool = True, **changes: Any) -> IBKRGateway:
    """A gateway that goes by `clock`."""
    settings = replace(rig.settings, **changes)
    gateway = IBKRGateway(settings, rig.store, rig.orders.deliver, clock=clock)
    rig.gateways.append(gateway)
    await gateway.start()
    if ready:
        await asyncio.wait_for(gateway.ready(), 10)
    return gateway


def by(order: PlacementTicket, within: timedelta = timedelta(minutes=30)) -> PlacementTicket:
    """The ticket, to be sent within that time from now or not at all."""
    handling = order.handling.model_copy(update={"send_by": datetime.now(UTC) + within})
    return order.model_copy(update={"handling": handling})


def delay_turns(gateway: IBKRGateway, clock: Clock) -> None:
    """Let every wait for a turn to place take an hour of the gateway's clock."""
    turn: Callable[[Urgency], Awaitable[None]] = gateway._wire.pacer.turn

    async def after_an_hour(urgency: Urgency) -> None:
        await turn(urgency)
        if urgency is Urgency.PLACE:
            clock.ahead += HOUR

    gateway._wire.pacer.turn = after_an_hour  # type: ignore[method-assign]  # one of the test's own
