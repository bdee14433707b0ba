"""The same Idempotency-Key is the same request: one effect, the first answer again."""

import asyncio
import uuid

from oms.api.app import create_app
from oms.api.idempotency import fingerprint
from oms.api.routing import new_uuid
from oms.domain.identifiers import ALLOCATION, identifier, workflow_id
from oms.domain.terms import Role
from tests.api.desk import Desk


def key() -> str:
    return uuid.uuid4().hex


async def test_the_first_answer_comes_again(desk: Desk) -> None:
    again = key()
    first = await desk.post("/v1/orders", desk.terms(), Idempotency_Key=again)
    second = await desk.post("/v1/orders", desk.terms(), Idempotency_Key=again)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["etag"] == first.headers["etag"]
    assert second.headers["location"] == first.headers["location"]
    assert second.headers["x-request-id"] != first.headers["x-request-id"]


async def test_another_request_under_the_same_key_is_refused(desk: Desk) -> None:
    again = key()
    made = await desk.post("/v1/orders", desk.terms(), Idempotency_Key=again)
    order_id = made.json()["order_id"]
    for path, body, headers in (
        ("/v1/orders", desk.terms(limit_price="151"), {}),
        (f"/v1/orders/{order_id}/cancel", None, {}),
        ("/v1/orders", desk.terms(), {"If_Match": '"1"'}),
    ):
        other = await desk.post(path, body, Idempotency_Key=again, **headers)
        assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_CONFLICT")
    assert (
        await desk.post("/v1/orders", desk.terms(), "secret-second", Idempotency_Key=again)
    ).status_code == 422


async def test_fifty_at_once_are_one_order(desk: Desk) -> None:
    again, basket = key(), await desk.basket()
    answers = await asyncio.gather(
        *(desk.post("/v1/orders", desk.terms(basket_id=basket), Idempotency_Key=again) for _ in range(50))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert len((await desk.get(f"/v1/orders?basket_id={basket}")).json()["items"]) == 1


async def test_fifty_at_once_in_two_processes_are_one_order(desk: Desk) -> None:
    """Two applications over one store share nothing but the store, like two processes."""
    import httpx

    again, basket = key(), await desk.basket()
    other = httpx.AsyncClient(transport=httpx.ASGITransport(create_app(desk.context)), base_url="http://oms")
    desks = [desk, Desk(other, desk.context)]
    terms = desk.terms(basket_id=basket)
    answers = await asyncio.gather(
        *(desks[n % 2].post("/v1/orders", terms, Idempotency_Key=again) for n in range(50))
    )
    await other.aclose()
    assert {answer.status_code for answer in answers} == {201}
    assert len((await desk.get(f"/v1/orders?basket_id={basket}")).json()["items"]) == 1


async def test_a_refusal_is_an_answer_too(desk: Desk) -> None:
    order_id = (await desk.order())["order_id"]
    again = key()
    path = f"/v1/orders/{order_id}/send-to-trader"
    first = await desk.post(path, None, Idempotency_Key=again)
    assert first.status_code == 409
    await desk.command(order_id, "pre-trade-compliance/request")
    await desk.command(order_id, "pre-trade-compliance/pass", Role.COMPLIANCE)
    second = await desk.post(path, None, Idempotency_Key=again)
    assert (second.status_code, second.content) == (409, first.content)
    assert second.headers["idempotent-replayed"] == "true"


async def test_a_request_that_was_begun_and_never_answered_is_finished(desk: Desk) -> None:
    """The process died after it wrote the key down: the order gets the id that was minted then."""
    again, minted = key(), new_uuid()
    prepared = desk.client.build_request("POST", "/v1/orders", json=desk.terms())
    mark = fingerprint("POST", "/v1/orders", prepared.content, None)
    desk.context.store.idempotency.begin("pm", again, mark, str(minted))
    answer = await desk.post("/v1/orders", desk.terms(), Idempotency_Key=again)
    assert answer.status_code == 201
    assert answer.json()["order_id"] == identifier("ORD", minted)


async def test_an_order_with_a_client_order_id_is_finished_too(desk: Desk) -> None:
    again, terms = key(), desk.terms(client_order_id=key())
    first = await desk.post("/v1/orders", terms, Idempotency_Key=again)
    _forget_answer(desk, "pm", again)
    second = await desk.post("/v1/orders", terms, Idempotency_Key=again)
    assert (second.status_code, second.json()) == (201, first.json())


async def test_a_command_that_died_after_its_effect_has_it_once(desk: Desk) -> None:
    """The answer was lost between Temporal and the store: the same update id is the same command."""
    order_id, _ = await desk.filled()
    part = {"account_id": "ACCT-001", "portfolio_id": "PORT-001", "quantity": "60"}
    path, again = f"/v1/orders/{order_id}/allocations", key()
    first = await desk.post(path, part, Role.TRADER, Idempotency_Key=again)
    assert first.status_code == 201
    _forget_answer(desk, "trader", again)
    second = await desk.post(path, part, Role.TRADER, Idempotency_Key=again)
    assert second.status_code == 201, second.text
    assert second.json()["allocation_id"] == first.json()["allocation_id"]
    assert second.json()["allocation_id"].startswith(ALLOCATION)
    assert len((await desk.get(path)).json()["items"]) == 1


async def test_a_command_that_ended_the_order_may_be_repeated(desk: Desk) -> None:
    """The cancel ended the workflow and its answer was lost: asking again is still that cancel."""
    order_id, again = (await desk.order())["order_id"], key()
    first = await desk.post(f"/v1/orders/{order_id}/cancel", None, Idempotency_Key=again)
    assert first.json()["state"] == "CANCELED"
    await desk.context.temporal.get_workflow_handle(workflow_id(order_id)).result()
    _forget_answer(desk, "pm", again)
    second = await desk.post(f"/v1/orders/{order_id}/cancel", None, Idempotency_Key=again)
    assert (second.status_code, second.json()["state"]) == (200, "CANCELED")


async def test_a_key_that_is_no_key(desk: Desk) -> None:
    for given in ("", " ", "x" * 256, "two words"):
        answer = await desk.post("/v1/orders", desk.terms(), Idempotency_Key=given)
        assert (answer.status_code, answer.json()["code"]) == (400, "MALFORMED")


def _forget_answer(desk: Desk, name: str, again: str) -> None:
    """As if the process had died before it kept the answer."""
    from sqlalchemy import update

    from oms.store import tables

    table = tables.idempotency
    statement = update(table).where(table.c.key_name == name, table.c.idempotency_key == again)
    with desk.context.store.database.write() as connection:
        connection.execute(statement.values(status=None, body=None, headers=None))
