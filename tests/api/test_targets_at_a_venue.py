"""The target surface where requests, processes and brokers end half-way: once, row by row, and never by surprise."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.worker import Worker

from oms.domain.facts import PlacementReported
from oms.domain.programs.targets import AccountRead
from oms.domain.reference import Account, Portfolio
from oms.domain.terms import PlacementStatus, Role
from oms.domain.venues import PlacementTicket, VenueAnswer
from oms.workflows.contract import gateway_queue
from tests.api.desk import Desk
from tests.stack import until

ORDERS = "/api/v1/orders"
ACCOUNT = "DU-aimed"
SILENT = "SILENT"
"""A symbol of which the venue says nothing."""


class NumberingVenue:
    """A gateway that takes every placement and every cancel, and numbers the orders."""

    def __init__(self) -> None:
        self.tickets: dict[str, PlacementTicket] = {}
        self.away: str | None = None

    @activity.defn(name="read_account")
    async def read_account(self, account: str) -> AccountRead:
        return AccountRead(account=account, read_ns=time.time_ns(), away=self.away)

    @activity.defn(name="place")
    async def place(self, asked: PlacementTicket) -> VenueAnswer:
        self.tickets.setdefault(asked.placement_id, asked)
        if asked.instrument.symbol == SILENT:
            return VenueAnswer()
        return self._says(asked, PlacementStatus.WORKING)

    @activity.defn(name="cancel")
    async def cancel(self, asked: PlacementTicket) -> VenueAnswer:
        return (
            VenueAnswer()
            if asked.instrument.symbol == SILENT
            else self._says(asked, PlacementStatus.CANCELED)
        )

    def number_of(self, symbol: str) -> int:
        return 1000 + [ticket.instrument.symbol for ticket in self.tickets.values()].index(symbol)

    def _says(self, asked: PlacementTicket, status: PlacementStatus) -> VenueAnswer:
        now, number = time.time_ns(), self.number_of(asked.instrument.symbol)
        word = PlacementReported(
            ts_event_ns=now,
            ts_init_ns=now,
            placement_id=asked.placement_id,
            status=status,
            filled_quantity="0",
            venue_order_ids=(str(number),),
        )
        return VenueAnswer(facts=(word,))


@asynccontextmanager
async def serving(desk: Desk, venue: NumberingVenue) -> AsyncIterator[None]:
    worker = Worker(
        desk.context.temporal,
        task_queue=gateway_queue("IBKR", ACCOUNT),
        activities=[venue.read_account, venue.place, venue.cancel],
    )
    async with worker:
        yield


@pytest.fixture
async def venue(desk: Desk) -> AsyncIterator[NumberingVenue]:
    reference = desk.context.store.reference
    reference.put_account(Account(account_id="ACCT-AIM", name="Aimed", broker_account=ACCOUNT))
    for number in (1, 2):
        reference.put_portfolio(
            Portfolio(
                portfolio_id=f"PORT-AIM{number}",
                name="Aimed",
                net_asset_value="10000000",
                default_account_id="ACCT-AIM",
            )
        )
    made = NumberingVenue()
    async with serving(desk, made):
        yield made


async def symbol(desk: Desk, name: str | None = None) -> str:
    """A stock of its own."""
    told = name or f"T{uuid.uuid4().hex[:8].upper()}"
    made = await desk.post("/v1/instruments", {"symbol": told})
    assert made.status_code in (200, 201), made.text
    return told


async def post(desk: Desk, *rows: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = await desk.post(ORDERS, {"account_id": ACCOUNT, "orders": list(rows)}, **headers)
    assert answer.status_code == 201, answer.text
    batch: dict[str, Any] = answer.json()
    return batch


def orders_of(desk: Desk, batch_id: str) -> list[str]:
    aimed = desk.context.store.targets.aimed(batch_id)
    return [leg.order_id for became in aimed.values() if became.plan for leg in became.plan.legs]


async def test_an_api_that_dies_before_its_answer_has_made_one_batch(
    desk: Desk, venue: NumberingVenue
) -> None:
    row = {"symbol": await symbol(desk), "quantity": 10}
    first = await post(desk, row, Idempotency_Key="targets-crash-1")
    desk.forget_answer("targets-crash-1")
    again = await post(desk, row, Idempotency_Key="targets-crash-1")
    assert (again["batch_id"], again["submitted_at"]) == (first["batch_id"], first["submitted_at"])
    assert again["results"] == first["results"]
    assert len(venue.tickets) == len(orders_of(desk, first["batch_id"])) == 1


async def test_the_oldest_portfolio_has_the_orders_and_the_time_is_on_them(
    desk: Desk, venue: NumberingVenue
) -> None:
    posted = datetime.now(UTC)
    batch = await post(desk, {"symbol": await symbol(desk), "quantity": -7})
    (order_id,) = orders_of(desk, batch["batch_id"])
    order = (await desk.get(f"/v1/orders/{order_id}")).json()
    assert (order["portfolio_id"], order["direction"]) == ("PORT-AIM1", "SellShort")
    assert order["metadata"]["aim"] == f"{batch['batch_id']}/0"
    send_by = datetime.fromisoformat(order["handling"]["send_by"])
    assert posted + timedelta(seconds=60) <= send_by <= datetime.now(UTC) + timedelta(seconds=61)
    (ticket,) = venue.tickets.values()
    assert ticket.handling.send_by == send_by


async def test_a_broker_that_was_away_is_asked_again_under_the_same_key(
    desk: Desk, venue: NumberingVenue
) -> None:
    venue.away = "1100: the connection is lost"
    body = {"account_id": ACCOUNT, "orders": [{"symbol": await symbol(desk), "quantity": 1}]}
    refused = await desk.post(ORDERS, body, Idempotency_Key="targets-away-1")
    assert refused.status_code == 500
    assert "1100" in refused.json()["detail"]
    assert "Nothing was taken" in refused.json()["detail"]
    assert venue.tickets == {}
    venue.away = None
    taken = await desk.post(ORDERS, body, Idempotency_Key="targets-away-1")
    assert taken.status_code == 201, taken.text
    assert taken.json()["results"][0]["status"] == "Submitted"


async def test_a_broker_that_says_nothing_keeps_nobody_waiting(desk: Desk, venue: NumberingVenue) -> None:
    talks, silent = await symbol(desk), await symbol(desk, SILENT)
    begun = time.monotonic()
    batch = await post(desk, {"symbol": talks, "quantity": 5}, {"symbol": silent, "quantity": 5})
    assert time.monotonic() - begun < 8
    told, untold = batch["results"]
    assert (told["status"], told["ibkr_order_id"]) == ("Submitted", venue.number_of(talks))
    assert (untold["status"], untold["ibkr_order_id"], untold["delta"]) == ("PreSubmitted", None, 5)
    canceled = await desk.ask(Role.PM, "DELETE", f"{ORDERS}/{batch['batch_id']}")
    assert canceled.json()["results"] == [
        {"ibkr_order_id": told["ibkr_order_id"], "cancelled": True},
        {"ibkr_order_id": None, "cancelled": True},
    ]
    assert time.monotonic() - begun < 20


async def test_a_cancel_twice_asks_once(desk: Desk, venue: NumberingVenue) -> None:
    batch = await post(desk, {"symbol": await symbol(desk), "quantity": 5})
    answers = [await desk.ask(Role.PM, "DELETE", f"{ORDERS}/{batch['batch_id']}") for _ in range(2)]
    assert [len(answer.json()["results"]) for answer in answers] == [1, 0]

    async def over() -> bool:
        followed = await desk.get(f"{ORDERS}/{batch['batch_id']}")
        return [row["status"] for row in followed.json()["orders"]] == ["Cancelled"]

    await until(over, "the row to be canceled")


async def test_whoever_cancels_at_the_same_time_is_told_the_same(desk: Desk, venue: NumberingVenue) -> None:
    """An order that somebody else has just ended refuses the request, and is canceled all the same."""
    rows = [{"symbol": await symbol(desk), "quantity": 5} for _ in range(3)]
    path = f"{ORDERS}/{(await post(desk, *rows))['batch_id']}"
    answers = await asyncio.gather(*(desk.ask(Role.PM, "DELETE", path) for _ in range(4)))
    results = [result for answer in answers for result in answer.json()["results"]]
    assert len(results) >= 3
    assert all(result["cancelled"] for result in results)


async def test_a_gateway_that_dies_after_the_batch_was_taken(desk: Desk) -> None:
    """The row says how far it is; the order goes out when the gateway is back, and only before its time is over."""
    reference = desk.context.store.reference
    assert reference.account("ACCT-AIM") is not None
    name, made = await symbol(desk), NumberingVenue()

    class Dying(NumberingVenue):
        @activity.defn(name="place")
        async def place(self, asked: PlacementTicket) -> VenueAnswer:
            raise RuntimeError(f"the process is gone before {asked.placement_id}")

    async with serving(desk, Dying()):
        batch = await post(desk, {"symbol": name, "quantity": 5})
    assert [row["status"] for row in batch["results"]] == ["PreSubmitted"]
    followed = await desk.get(f"{ORDERS}/{batch['batch_id']}")
    assert followed.headers["warning"].startswith("110 ")
    assert [row["status"] for row in followed.json()["orders"]] == ["PreSubmitted"]
    async with serving(desk, made):
        await until(lambda: len(made.tickets) == 1, "the placement", 30)
    (ticket,) = made.tickets.values()
    assert ticket.handling.send_by is not None
