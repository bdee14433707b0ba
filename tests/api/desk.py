"""A desk that talks HTTP, and a venue that does as the test says."""

import asyncio
import secrets
import socket
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from sqlalchemy import update
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from oms.api.context import APIContext
from oms.domain.facts import Charged, Executed, Fact, PlacementReported
from oms.domain.identifiers import workflow_id
from oms.domain.terms import PlacementStatus, Role
from oms.domain.venues import PlacementTicket, Resynced, VenueAnswer
from oms.store import tables
from oms.workflows.contract import VENUE_FACTS_SIGNAL, gateway_queue
from tests.stack import until

SECRETS: dict[Role, str] = {role: f"secret-{role}" for role in Role if role is not Role.SYSTEM}
TOKEN = "token-from-the-environment"
ENVELOPE_SECRET = secrets.token_urlsafe(32)
"""Made for this run, as the keys of the envelopes that the tests sign."""


class SilentVenue:
    """A gateway that takes every placement and says nothing until the test makes it speak."""

    @activity.defn(name="place")
    async def place(self, asked: PlacementTicket) -> VenueAnswer:
        return VenueAnswer(facts=(reported(asked.placement_id, PlacementStatus.WORKING),))

    @activity.defn(name="cancel")
    async def cancel(self, _asked: PlacementTicket) -> VenueAnswer:
        return VenueAnswer()

    @activity.defn(name="modify")
    async def modify(self, _asked: PlacementTicket) -> VenueAnswer:
        return VenueAnswer()

    @activity.defn(name="ask")
    async def ask(self, _asked: PlacementTicket) -> VenueAnswer:
        return VenueAnswer()

    @activity.defn(name="resync")
    async def resync(self, name: str) -> Resynced:
        return Resynced(name=name, reconciled_ns=time.time_ns(), unsettled=1, foreign_orders=2, differences=3)


@asynccontextmanager
async def venue_worker(client: Client) -> AsyncIterator[None]:
    venue = SilentVenue()
    async with Worker(
        client,
        task_queue=gateway_queue("IBKR", "DU001456"),
        activities=[venue.place, venue.cancel, venue.modify, venue.ask, venue.resync],
    ):
        yield


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """`app` on a real socket; answers its address."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    running = asyncio.create_task(server._serve([listening]))
    await until(lambda: server.started, "the API to serve")
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


def reported(placement_id: str, status: PlacementStatus, filled: str | None = None) -> PlacementReported:
    now = time.time_ns()
    return PlacementReported(
        ts_event_ns=now,
        ts_init_ns=now,
        placement_id=placement_id,
        status=status,
        filled_quantity=filled,
        venue_order_ids=("V-1",),
    )


def executed(placement_id: str, quantity: str, price: str = "150.25") -> list[Fact]:
    """An execution and its commission."""
    now, exec_id = time.time_ns(), f"{uuid.uuid4().hex}.01"
    return [
        Executed(
            ts_event_ns=now,
            ts_init_ns=now,
            placement_id=placement_id,
            exec_id=exec_id,
            quantity=quantity,
            price=price,
            currency="USD",
            venue="IBKR",
        ),
        Charged(ts_event_ns=now, ts_init_ns=now, exec_id=exec_id, commission="1.05", currency="USD"),
    ]


class Desk:
    """Every role's key in one hand."""

    def __init__(self, client: httpx.AsyncClient, context: APIContext) -> None:
        self.client = client
        self.context = context
        self.instrument_id = ""

    async def ask(
        self, role: Role | str, method: str, path: str, body: Any = None, **headers: str
    ) -> httpx.Response:
        secret = SECRETS[role] if isinstance(role, Role) else role
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.request(
            method, path, json=body, headers={"Authorization": f"Bearer {secret}", **named}
        )

    async def get(self, path: str, role: Role | str = Role.VIEWER, **headers: str) -> httpx.Response:
        return await self.ask(role, "GET", path, **headers)

    async def post(
        self, path: str, body: Any = None, role: Role | str = Role.PM, **headers: str
    ) -> httpx.Response:
        return await self.ask(role, "POST", path, body, **headers)

    async def describe_instrument(self) -> None:
        made = await self.post("/v1/instruments", {"symbol": "AAPL", "mic": "XNAS", "issuer": "Apple Inc."})
        assert made.status_code in (200, 201), made.text
        self.instrument_id = made.json()["instrument_id"]

    def terms(self, **changes: Any) -> dict[str, Any]:
        terms = {
            "portfolio_id": "PORT-001",
            "instrument_id": self.instrument_id,
            "direction": "Buy",
            "ordered_quantity": "100",
            "order_type": "Limit",
            "time_in_force": "Day",
            "limit_price": "150.25",
            "compliance": "external",
        }
        return {name: value for name, value in {**terms, **changes}.items() if value is not None}

    async def basket(self, name: str = "a basket") -> str:
        """The id of a new, empty basket."""
        made = await self.post("/v1/baskets", {"name": name, "order_ids": []})
        assert made.status_code == 201, made.text
        return str(made.json()["basket_id"])

    async def order(self, **changes: Any) -> dict[str, Any]:
        made = await self.post("/v1/orders", self.terms(**changes))
        assert made.status_code == 201, made.text
        order: dict[str, Any] = made.json()
        return order

    async def command(
        self, order_id: str, name: str, role: Role = Role.PM, body: Any = None
    ) -> dict[str, Any]:
        done = await self.post(f"/v1/orders/{order_id}/{name}", body, role)
        assert done.status_code in (200, 201, 202), done.text
        answer: dict[str, Any] = done.json()
        return answer

    async def routed(self, **changes: Any) -> tuple[str, str]:
        """An order with one placement of all of it at the venue: (order_id, placement_id)."""
        order_id = (await self.order(**changes))["order_id"]
        await self.command(order_id, "pre-trade-compliance/request")
        await self.command(order_id, "pre-trade-compliance/pass", Role.COMPLIANCE)
        await self.command(order_id, "send-to-trader")
        placed = await self.command(order_id, "placements", Role.TRADER, {"venue": "IBKR", "quantity": "100"})
        return order_id, placed["placement_id"]

    async def venue_says(self, order_id: str, *facts: Fact) -> None:
        handle = self.context.temporal.get_workflow_handle(workflow_id(order_id))
        await handle.signal(VENUE_FACTS_SIGNAL, args=["IBKR", list(facts)])

    async def filled(self, quantity: str = "100") -> tuple[str, str]:
        """An order with `quantity` executed and nothing working any more."""
        order_id, placement_id = await self.routed()
        done = PlacementStatus.FILLED if quantity == "100" else PlacementStatus.CANCELED
        await self.venue_says(
            order_id, *executed(placement_id, quantity), reported(placement_id, done, quantity)
        )
        await self.reads(order_id, lambda order: order["executed_quantity"] == quantity)
        return order_id, placement_id

    async def reads(self, order_id: str, met: Any) -> dict[str, Any]:
        """The order once it reads as the test waits for."""

        async def look() -> dict[str, Any] | None:
            order = (await self.get(f"/v1/orders/{order_id}")).json()
            return order if met(order) else None

        found: dict[str, Any] = await until(look, f"{order_id} to read as awaited")
        return found

    def forget_answer(self, idempotency_key: str) -> None:
        """As if the process had died between what the request did and its answer."""
        keys = tables.idempotency
        forgotten = update(keys).where(keys.c.idempotency_key == idempotency_key).values(status=None)
        with self.context.store.database.write() as connection:
            assert connection.execute(forgotten).rowcount == 1
