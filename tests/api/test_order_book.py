"""The order book without HTTP: what happens when things go away in the middle."""

import time
import uuid
from dataclasses import replace

import httpx
import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from oms.api.app import create_app
from oms.api.context import Settings
from oms.api.new_order import NewOrder
from oms.api.order_book import OrderBook
from oms.api.routing import new_uuid
from oms.domain.commands import Actor, CancelOrder, RequestPreTradeCompliance
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import ORDER, identifier, workflow_id
from oms.domain.terms import Role
from tests.api.desk import Desk
from tests.stack import free_ports, order_worker, temporal_server

PM = Actor(key="desk-7", roles=(Role.PM,))


@pytest.fixture(scope="session")
def book(desk: Desk) -> OrderBook:
    return OrderBook(desk.context.temporal, desk.context.store)


def new(desk: Desk, **changes: object) -> NewOrder:
    return NewOrder.model_validate(desk.terms(**changes))


async def test_an_order_is_opened_instructed_and_asked(desk: Desk, book: OrderBook) -> None:
    opened = await book.create(new(desk), PM)
    assert (opened.state, opened.version) == ("CREATED", 1)
    requested = await book.instruct(opened.order_id, RequestPreTradeCompliance(), PM)
    assert requested.state == "PENDING_PRE_TRADE_COMPLIANCE"
    assert (await book.state(opened.order_id)).version == requested.version


async def test_the_workflow_says_what_it_is_about(desk: Desk, book: OrderBook) -> None:
    opened = await book.create(new(desk), PM)
    handle = desk.context.temporal.get_workflow_handle(workflow_id(opened.order_id))
    described = await handle.describe()
    assert await described.static_summary() == "Buy 100 AAPL Limit at 150.25 Day for PORT-001"
    found = {pair.key.name: pair.value for pair in described.typed_search_attributes}
    assert found["OmsPortfolio"] == "PORT-001"
    assert (found["OmsState"], found["OmsDirection"]) == ("CREATED", "Buy")


async def test_the_same_order_id_is_the_same_order(desk: Desk, book: OrderBook) -> None:
    order_id = identifier(ORDER, new_uuid())
    first = await book.create(new(desk), PM, order_id=order_id)
    second = await book.create(new(desk), PM, order_id=order_id)
    assert first == second
    await book.instruct(order_id, CancelOrder(), PM)
    await desk.context.temporal.get_workflow_handle(workflow_id(order_id)).result()
    over = await book.create(new(desk), PM, order_id=order_id)
    assert (over.order_id, over.state) == (order_id, "CANCELED")


async def test_a_claim_without_an_order_is_finished_under_its_id(desk: Desk, book: OrderBook) -> None:
    """The process died between the claim and the start: whoever comes next opens the claimed order."""
    client_order_id, claimed = f"crash-{uuid.uuid4().hex}", identifier(ORDER, new_uuid())
    desk.context.store.orders.claim("PORT-001", client_order_id, claimed)
    opened = await book.create(new(desk, client_order_id=client_order_id), PM)
    assert opened.order_id == claimed
    with pytest.raises(Refused) as refused:
        await book.create(new(desk, client_order_id=client_order_id), PM)
    assert refused.value.code is Code.DUPLICATE_ORDER
    assert refused.value.facts["order_id"] == claimed


async def test_a_claim_that_another_request_finished_is_not_ours(desk: Desk, book: OrderBook) -> None:
    """Overtaken between the claim and the start: the order is the overtaker's, and we are told its id."""
    client_order_id, mine = f"overtaken-{uuid.uuid4().hex}", identifier(ORDER, new_uuid())
    desk.context.store.orders.claim("PORT-001", client_order_id, mine)
    theirs = await book.create(new(desk, client_order_id=client_order_id), PM)
    assert theirs.order_id == mine
    with pytest.raises(Refused) as refused:
        await book.create(new(desk, client_order_id=client_order_id), PM, order_id=mine)
    assert (refused.value.code, refused.value.facts["order_id"]) == (Code.DUPLICATE_ORDER, mine)


async def test_a_repeated_request_keeps_its_client_order_id(desk: Desk, book: OrderBook) -> None:
    client_order_id, mine, asked_ns = uuid.uuid4().hex, identifier(ORDER, new_uuid()), time.time_ns()
    for _ in range(2):
        opened = await book.create(
            new(desk, client_order_id=client_order_id), PM, order_id=mine, ts_event_ns=asked_ns
        )
        assert opened.order_id == mine


async def test_a_refused_order_claims_nothing(desk: Desk, book: OrderBook) -> None:
    client_order_id = f"refused-{uuid.uuid4().hex}"
    with pytest.raises(Refused):
        await book.create(new(desk, client_order_id=client_order_id), Actor(key="x", roles=(Role.TRADER,)))
    mine = identifier(ORDER, new_uuid())
    assert desk.context.store.orders.claim("PORT-001", client_order_id, mine) == mine


async def test_an_order_that_is_over_answers_from_the_journal(desk: Desk, book: OrderBook) -> None:
    opened = await book.create(new(desk), PM)
    await book.instruct(opened.order_id, CancelOrder(), PM)
    await desk.context.temporal.get_workflow_handle(workflow_id(opened.order_id)).result()
    with pytest.raises(Refused) as refused:
        await book.instruct(opened.order_id, CancelOrder(), PM)
    assert refused.value.code is Code.INVALID_STATE
    assert refused.value.facts["state"] == "CANCELED"


async def test_a_command_that_is_in_the_journal_is_not_given_twice(desk: Desk, book: OrderBook) -> None:
    """Temporal forgets after its retention; the journal knows which command caused what."""
    opened = await book.create(new(desk), PM)
    await book.instruct(opened.order_id, CancelOrder(), PM, update_id="cancel-once")
    async with temporal_server() as forgetful:
        later = OrderBook(await forgetful.client(), desk.context.store)
        again = await later.instruct(opened.order_id, CancelOrder(), PM, update_id="cancel-once")
        assert again.state == "CANCELED"
        with pytest.raises(Refused) as refused:
            await later.instruct(opened.order_id, CancelOrder(), PM, update_id="cancel-twice")
    assert refused.value.code is Code.INVALID_STATE


async def test_an_order_nobody_knows(book: OrderBook) -> None:
    for attempt in (book.instruct("ORD-none", CancelOrder(), PM), book.state("ORD-none")):
        with pytest.raises(Refused) as refused:
            await attempt
        assert refused.value.code is Code.ORDER_NOT_FOUND


async def check_it_is_away(desk: Desk, temporal: Client) -> str:
    """Every route that needs Temporal answers 503 in time; answers the Idempotency-Key of the create."""
    context = replace(desk.context, temporal=temporal, settings=Settings(answer_within_seconds=0.5))
    transport = httpx.ASGITransport(create_app(context))
    order_id, again = (await desk.order())["order_id"], uuid.uuid4().hex
    async with httpx.AsyncClient(transport=transport, base_url="http://oms") as client:
        lost = Desk(client, context)
        began = time.monotonic()
        for answer in (
            await lost.post("/v1/orders", desk.terms(), Idempotency_Key=again),
            await lost.post(f"/v1/orders/{order_id}/cancel"),
            await lost.get(f"/v1/orders/{order_id}", X_OMS_Consistency="workflow"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE")
            assert int(answer.headers["retry-after"]) >= 1
        assert time.monotonic() - began < 10
        assert (await lost.get(f"/v1/orders/{order_id}")).status_code == 200
    return again


async def test_without_temporal_the_answer_is_to_try_again(desk: Desk) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    again = await check_it_is_away(
        desk, await Client.connect(address, lazy=True, data_converter=pydantic_data_converter)
    )
    made = await desk.post("/v1/orders", desk.terms(), Idempotency_Key=again)
    assert made.status_code == 201, "a 503 is not kept under the key"


async def test_temporal_may_go_away_later(desk: Desk) -> None:
    async with temporal_server() as server:
        client = await server.client()
    await check_it_is_away(desk, client)
    readiness = httpx.ASGITransport(create_app(replace(desk.context, temporal=client)))
    async with httpx.AsyncClient(transport=readiness, base_url="http://oms") as asking:
        ready = await asking.get("/readyz")
        assert (ready.status_code, ready.json()["parts"]["temporal"]["ready"]) == (503, False)


async def test_an_order_nobody_works_on_is_unavailable_and_not_lost(desk: Desk) -> None:
    """No worker answers in time; the same request later, with a worker, is the same order."""
    store, again = desk.context.store, uuid.uuid4().hex
    async with temporal_server() as server:
        temporal = await server.client()
        context = replace(desk.context, temporal=temporal, settings=Settings(answer_within_seconds=0.5))
        transport = httpx.ASGITransport(create_app(context))
        async with httpx.AsyncClient(transport=transport, base_url="http://oms", timeout=60) as client:
            asking = Desk(client, context)
            late = await asking.post("/v1/orders", desk.terms(), Idempotency_Key=again)
            assert late.status_code == 503
            async with order_worker(temporal, store):
                made = await asking.post("/v1/orders", desk.terms(), Idempotency_Key=again)
                assert made.status_code == 201, made.text
                begun = [execution async for execution in temporal.list_workflows()]
                assert {execution.id for execution in begun} <= {made.json()["workflow_id"]}


async def test_without_a_store_the_answer_is_to_try_again(
    desk: Desk, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from oms.store import Store

    store = Store("postgresql://nobody:nothing@127.0.0.1:1/oms?connect_timeout=1")
    context = replace(desk.context, store=store, settings=Settings(api_tokens=("t",)))
    transport = httpx.ASGITransport(create_app(context))
    async with httpx.AsyncClient(transport=transport, base_url="http://oms") as client:
        answer = await client.get("/v1/orders", headers={"X-API-Key": "t"})
        assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE")
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["parts"]["store"]["ready"]) == (503, False)
