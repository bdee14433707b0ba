"""Brackets, as the tests of them ask for them and look at them."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.gateways.rig import Rig, eventually, fields_of, status, stock, ticket

from oms.domain.halts import Halt, HaltScope
from oms.domain.handling import Bracket, BracketRole, Handling
from oms.domain.terms import Direction, OrderType, PlacementStatus
from oms.domain.venues import PlacementTicket, VenueAnswer
from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr import IBKRGateway
from oms.store import IntentState

WORKING, HELD = PlacementStatus.WORKING, PlacementStatus.HELD


def member(role: BracketRole, name: str = "B1", size: int = 3, **terms: Any) -> PlacementTicket:
    bracket = Bracket(bracket_id=name, role=role, size=size)
    return ticket(**{"handling": Handling(bracket=bracket), "portfolio_id": "PORT-1", **terms})


def family(name: str = "B1", symbol: str = "AAPL", limit: str = "5") -> list[PlacementTicket]:
    """A parent that buys far below the market, a target and a stop."""
    sells = {"direction": Direction.SELL, "instrument": stock(symbol)}
    enter = {"order_type": OrderType.LIMIT, "limit_price": Decimal(limit), "instrument": stock(symbol)}
    target = {"order_type": OrderType.LIMIT, "limit_price": Decimal(900), **sells}
    stop = {"order_type": OrderType.STOP, "stop_price": Decimal(2), **sells}
    return [
        member(BracketRole.PARENT, name, **enter),
        member(BracketRole.CHILD, name, **target),
        member(BracketRole.CHILD, name, **stop),
    ]


async def placed_all(gateway: IBKRGateway, members: Sequence[PlacementTicket]) -> list[VenueAnswer]:
    return [await gateway.place(one) for one in members]


async def settled(gateway: IBKRGateway, members: Sequence[PlacementTicket], seconds: float = 25.0) -> None:
    """Call as the workflows do, each for its own, until every member is known at the venue."""
    deadline = time.monotonic() + seconds
    waiting = list(members)
    while waiting:
        assert time.monotonic() < deadline, "the family stays in doubt"
        await asyncio.wait_for(gateway.ready(), seconds)
        answers = await asyncio.gather(*(gateway.place(one) for one in waiting), return_exceptions=True)
        waiting = [
            one
            for one, answer in zip(waiting, answers, strict=True)
            if isinstance(answer, GatewayNotReady) or status(answer) in (PlacementStatus.IN_DOUBT, HELD)
        ]


def flags(rig: Rig, members: Sequence[PlacementTicket]) -> list[tuple[str, str, str]]:
    """Number of the parent as it was sent, number and transmit of each placeOrder, in order of arrival."""
    sent = [fields_of(message) for message in rig.wired(*members)]
    return [(one["orderId"], one.get("parentId", "0"), one["transmit"]) for one in sent]


def states(rig: Rig, members: Sequence[PlacementTicket]) -> list[IntentState | None]:
    return [rig.state(one) for one in members]


async def all_working(rig: Rig, members: Sequence[PlacementTicket]) -> None:
    await eventually(lambda: all(rig.orders.statuses(one)[-1:] == [WORKING] for one in members))
    assert [len(rig.at_the_broker(one)) for one in members] == [1] * len(members)


def halt(rig: Rig) -> None:
    since = datetime.now(UTC)
    rig.store.halts.set(Halt(scope=HaltScope.FIRM, subject="", reason="fire", by="carol", since=since))
