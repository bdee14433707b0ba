"""Merge, split and remainder over HTTP: what they make, how they link, what they refuse."""

import asyncio
import uuid
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import update

from oms.api.order_book import OrderBook
from oms.domain.commands import Actor, RequestPreTradeCompliance
from oms.domain.halts import Halt, HaltScope
from oms.domain.identifiers import workflow_id
from oms.domain.terms import Role
from oms.store import tables
from tests.api.desk import Desk
from tests.domain.orders import NOW


async def order(desk: Desk, order_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await desk.get(f"/v1/orders/{order_id}")).json()
    return found


async def some(desk: Desk, count: int = 2, **terms: Any) -> list[str]:
    return [(await desk.order(**terms))["order_id"] for _ in range(count)]


async def merge(desk: Desk, order_ids: list[str], role: Role | str = Role.PM, **more: Any) -> Any:
    return await desk.post("/v1/orders/merge", {"order_ids": order_ids, **more}, role)


async def split(
    desk: Desk, order_id: str, *quantities: str, role: Role | str = Role.PM, **headers: str
) -> Any:
    return await desk.post(f"/v1/orders/{order_id}/split", {"quantities": quantities}, role, **headers)


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    found: dict[str, Any] = answer.json()
    return found


async def closed(desk: Desk, executed: str = "40") -> str:
    order_id, _ = await desk.filled(executed)
    await desk.command(order_id, "close", Role.TRADER)
    return order_id


# -- merge ------------------------------------------------------------------------------------------


async def test_a_merge_is_one_order_for_all_and_links_both_ways(desk: Desk) -> None:
    sources = [
        (await desk.order(ordered_quantity=quantity))["order_id"] for quantity in ("100", "0.5", "29.5")
    ]
    made = await merge(desk, sources)
    assert made.status_code == 201, made.text
    merged = await order(desk, made.json()["order_id"])
    assert made.headers["location"] == f"/v1/orders/{merged['order_id']}"
    assert (merged["state"], merged["ordered_quantity"]) == ("CREATED", "130")
    assert [(link["kind"], link["order_id"], link["source"]) for link in merged["links"]] == [
        ("MERGED", source, True) for source in sources
    ]
    for source in [await order(desk, order_id) for order_id in sources]:
        assert (source["state"], source["reason"], source["restructuring"]) == ("CANCELED", "MERGED", None)
        assert source["links"] == [{"kind": "MERGED", "order_id": merged["order_id"], "source": False}]
    await desk.command(merged["order_id"], "pre-trade-compliance/request")


async def test_a_merge_over_portfolios_keeps_each_share(desk: Desk) -> None:
    first, second = (
        await some(desk, 1),
        await some(desk, 1, portfolio_id="PORT-002", route={"venue": "IBKR", "account": "DU001456"}),
    )
    both = [*first, *second]
    refused = problem(await merge(desk, both), 409, "MERGE_MISMATCH")
    assert (refused["field"], refused["values"]) == ("portfolio_id", ["PORT-001", "PORT-002"])
    made = await merge(desk, both, allocation="by_source")
    assert made.status_code == 201, made.text
    merged = await order(desk, made.json()["order_id"])
    assert [(s["portfolio_id"], s["account_id"], s["quantity"]) for s in merged["shares"]] == [
        ("PORT-001", "ACCT-001", "100"),
        ("PORT-002", "ACCT-002", "100"),
    ]


@pytest.mark.parametrize(
    ("changes", "field", "values"),
    [
        ({"direction": "Sell"}, "direction", ["Buy", "Sell"]),
        ({"limit_price": "151"}, "limit_price", ["150.25", "151"]),
        ({"order_type": "Market", "limit_price": None}, "order_type", ["Limit", "Market"]),
        ({"time_in_force": "GTC"}, "time_in_force", ["Day", "GTC"]),
        ({"compliance": "builtin"}, "compliance", ["external", "builtin"]),
    ],
)
async def test_what_differs_is_not_merged_and_is_named(
    desk: Desk, changes: dict[str, Any], field: str, values: list[str]
) -> None:
    (one,), (other,) = await some(desk, 1), await some(desk, 1, **changes)
    refused = problem(await merge(desk, [one, other]), 409, "MERGE_MISMATCH")
    assert (refused["field"], refused["values"]) == (field, values)
    assert (await order(desk, one))["version"] == (await order(desk, other))["version"] == 1


async def test_other_instruments_are_not_merged(desk: Desk) -> None:
    other = (await desk.post("/v1/instruments", {"symbol": "MSFT"})).json()["instrument_id"]
    (one,), (two,) = await some(desk, 1), await some(desk, 1, instrument_id=other)
    refused = problem(await merge(desk, [one, two]), 409, "MERGE_MISMATCH")
    assert (refused["field"], refused["values"]) == ("instrument_id", [desk.instrument_id, other])


async def test_one_order_twice_is_no_merge(desk: Desk) -> None:
    (one,) = await some(desk, 1)
    assert problem(await merge(desk, [one, one]), 409, "MERGE_MISMATCH")["order_ids"] == [one]
    assert (await order(desk, one))["version"] == 1


async def test_an_order_that_nobody_knows_or_that_the_key_may_not_see(desk: Desk) -> None:
    (mine,) = await some(desk, 1)
    problem(await merge(desk, [mine, "ORD-nobody"]), 404, "ORDER_NOT_FOUND")
    hidden = await merge(desk, [mine, *await some(desk, 1)], "secret-second")
    assert problem(hidden, 404, "ORDER_NOT_FOUND")["order_id"] == mine
    problem(await split(desk, mine, "50", "50", role="secret-second"), 404, "ORDER_NOT_FOUND")
    problem(await split(desk, "ORD-nobody", "50", "50"), 404, "ORDER_NOT_FOUND")


async def test_only_the_portfolio_manager_merges_and_splits(desk: Desk) -> None:
    both = await some(desk)
    for role in (Role.TRADER, Role.OPS, Role.COMPLIANCE, Role.VIEWER):
        problem(await merge(desk, both, role), 403, "NOT_AUTHORIZED")
        problem(await split(desk, both[0], "50", "50", role=role), 403, "NOT_AUTHORIZED")


async def test_with_the_trader_it_is_too_late(desk: Desk) -> None:
    one, other = await some(desk)
    await desk.command(other, "pre-trade-compliance/request")
    await desk.command(other, "pre-trade-compliance/pass", Role.COMPLIANCE)
    await desk.command(other, "send-to-trader")
    refused = problem(await merge(desk, [one, other]), 409, "INVALID_STATE")
    assert refused["state"] == "SENT_TO_TRADER"
    problem(await split(desk, other, "50", "50"), 409, "INVALID_STATE")
    assert (await order(desk, one))["version"] == 1


async def test_the_same_merge_under_one_key_is_one_merge(desk: Desk) -> None:
    both, again = await some(desk), uuid.uuid4().hex
    body = {"order_ids": both}
    answers = await asyncio.gather(
        *(desk.post("/v1/orders/merge", body, Idempotency_Key=again) for _ in range(10))
    )
    assert {answer.status_code for answer in answers} == {201}
    (merged,) = {answer.json()["order_id"] for answer in answers}
    assert (await order(desk, merged))["ordered_quantity"] == "200"


async def test_a_merge_whose_answer_was_lost_is_found_again(desk: Desk) -> None:
    """The process died after the merge and before the answer was kept: the request runs again with its ids."""
    both, again = await some(desk), uuid.uuid4().hex
    first = await desk.post("/v1/orders/merge", {"order_ids": both}, Idempotency_Key=again)
    with desk.context.store.database.write() as connection:
        connection.execute(update(tables.idempotency).values(status=None, body=None, headers=None))
    second = await desk.post("/v1/orders/merge", {"order_ids": both}, Idempotency_Key=again)
    assert (second.status_code, second.json()) == (201, first.json())


async def test_of_many_merges_that_share_sources_one_wins_and_nobody_stays_held(desk: Desk) -> None:
    sources = await some(desk, 4)
    pairs = [sources, sources[::-1], [sources[1], sources[0]], [sources[2], sources[1], sources[3]]]
    answers = await asyncio.gather(*(merge(desk, pair) for pair in pairs))
    won = [pair for pair, answer in zip(pairs, answers, strict=True) if answer.status_code == 201]
    assert len(won) == 1
    for answer in answers:
        assert answer.status_code == 201 or answer.json()["code"] in ("RESTRUCTURING", "INVALID_STATE")
    for source in sources:
        found = await order(desk, source)
        assert found["restructuring"] is None
        assert found["state"] == ("CANCELED" if source in won[0] else "CREATED")
    left = [source for source in sources if source not in won[0]]
    for source in left:
        await desk.command(source, "cancel")


# -- split ------------------------------------------------------------------------------------------


async def test_a_split_conserves_the_quantity_and_links_both_ways(desk: Desk) -> None:
    (source,) = await some(desk, 1, metadata={"desk": "7"}, client_order_id=uuid.uuid4().hex)
    made = await split(desk, source, "60", "39.999999999999999999", "0.000000000000000001")
    assert made.status_code == 201, made.text
    parts = [await order(desk, order_id) for order_id in made.json()["order_ids"]]
    assert len({part["order_id"] for part in parts}) == 3
    assert sum(Decimal(part["ordered_quantity"]) for part in parts) == 100
    for part in parts:
        assert (part["state"], part["limit_price"], part["metadata"]) == ("CREATED", "150.25", {"desk": "7"})
        assert part["client_order_id"] is None
        assert part["links"] == [{"kind": "SPLIT", "order_id": source, "source": True}]
    ended = await order(desk, source)
    assert (ended["state"], ended["reason"]) == ("CANCELED", "SPLIT")
    assert [link["order_id"] for link in ended["links"]] == made.json()["order_ids"]
    assert await desk.context.temporal.get_workflow_handle(workflow_id(source)).result() == "CANCELED"


async def test_a_split_that_does_not_sum(desk: Desk) -> None:
    (source,) = await some(desk, 1)
    refused = problem(await split(desk, source, "60", "41"), 409, "SPLIT_MISMATCH")
    assert (refused["sum"], refused["ordered_quantity"], refused["parts"]) == ("101", "100", ["60", "41"])
    for bad in (["100"], ["50", "0"], ["150", "-50"], ["x", "1"], [], ["1"] * 101):
        problem(await split(desk, source, *bad), 422, "VALIDATION_FAILED")
    assert (await order(desk, source))["version"] == 1


async def test_a_split_of_a_version_that_is_no_more(desk: Desk) -> None:
    (source,) = await some(desk, 1)
    changed = await desk.ask(Role.PM, "PATCH", f"/v1/orders/{source}", {"limit_price": "151"})
    refused = problem(await split(desk, source, "50", "50", If_Match='"1"'), 409, "VERSION_CONFLICT")
    assert (refused["version"], refused["expected"]) == (2, 1)
    made = await split(desk, source, "50", "50", If_Match=changed.headers["etag"])
    assert made.status_code == 201
    parts = [await order(desk, order_id) for order_id in made.json()["order_ids"]]
    assert {part["limit_price"] for part in parts} == {"151"}


# -- remainder --------------------------------------------------------------------------------------


async def test_the_unfilled_part_goes_on_once(desk: Desk) -> None:
    source = await closed(desk)
    for role in (Role.OPS, Role.COMPLIANCE):
        problem(await desk.post(f"/v1/orders/{source}/remainder", role=role), 403, "NOT_AUTHORIZED")
    made = await desk.post(f"/v1/orders/{source}/remainder", role=Role.TRADER)
    assert made.status_code == 201, made.text
    rest = await order(desk, made.json()["order_id"])
    assert made.headers["location"] == f"/v1/orders/{rest['order_id']}"
    assert (rest["state"], rest["ordered_quantity"], rest["pre_trade"]["status"]) == (
        "CREATED",
        "60",
        "NOT_REQUESTED",
    )
    assert rest["links"] == [{"kind": "REMAINDER", "order_id": source, "source": True}]
    known = await order(desk, source)
    assert (known["state"], known["links"]) == (
        "CLOSED",
        [{"kind": "REMAINDER", "order_id": rest["order_id"], "source": False}],
    )
    refused = problem(await desk.post(f"/v1/orders/{source}/remainder"), 409, "NO_REMAINDER")
    assert refused["order_ids"] == [rest["order_id"]]


async def test_nothing_is_left_of_a_filled_order_and_an_open_one_has_no_remainder(desk: Desk) -> None:
    refused = problem(
        await desk.post(f"/v1/orders/{await closed(desk, '100')}/remainder"), 409, "NO_REMAINDER"
    )
    assert refused["unfilled_quantity"] == "0"
    (fresh,) = await some(desk, 1)
    problem(await desk.post(f"/v1/orders/{fresh}/remainder"), 409, "INVALID_STATE")


async def test_an_order_that_has_ended_goes_on_for_its_remainder(desk: Desk) -> None:
    source = await closed(desk)
    await desk.command(source, "send-to-operations", Role.TRADER)
    await desk.command(source, "post-trade-compliance/request", Role.OPS)
    await desk.command(source, "post-trade-compliance/pass", Role.COMPLIANCE)
    await desk.command(source, "confirm", Role.OPS)
    await desk.command(source, "settle", Role.OPS, {"reason": "told by telephone"})
    await desk.command(source, "reconcile", Role.OPS, {"reason": "compared by hand"})
    handle = desk.context.temporal.get_workflow_handle(workflow_id(source))
    assert await handle.result() == "RECONCILED"
    again = uuid.uuid4().hex
    made = await desk.post(f"/v1/orders/{source}/remainder", Idempotency_Key=again)
    assert made.status_code == 201, made.text
    assert (await order(desk, made.json()["order_id"]))["ordered_quantity"] == "60"
    known = await order(desk, source)
    assert (known["state"], len(known["links"])) == ("RECONCILED", 1)
    assert await handle.result() == "RECONCILED", "the workflow has ended again"
    problem(await desk.post(f"/v1/orders/{source}/remainder"), 409, "NO_REMAINDER")


# -- halts ------------------------------------------------------------------------------------------


async def test_a_halt_stops_what_is_new_and_leaves_cancels_open(desk: Desk) -> None:
    one, other = await some(desk)
    source = await closed(desk)
    stop = Halt(scope=HaltScope.PORTFOLIO, subject="PORT-001", reason="drill", by="risk", since=NOW)
    desk.context.store.halts.set(stop)
    try:
        for answer in (
            await desk.post("/v1/orders", desk.terms()),
            await merge(desk, [one, other]),
            await split(desk, one, "50", "50"),
            await desk.post(f"/v1/orders/{source}/remainder"),
            await desk.post(f"/v1/orders/{one}/pre-trade-compliance/request"),
            await desk.ask(Role.PM, "PATCH", f"/v1/orders/{one}", {"limit_price": "151"}),
        ):
            refused = problem(answer, 409, "HALTED")
            assert (refused["scope"], refused["subject"], refused["by"]) == ("portfolio", "PORT-001", "risk")
        booked = await desk.ask(Role.PM, "PATCH", f"/v1/orders/{one}", {"metadata": {"note": "x"}})
        assert booked.status_code == 200, booked.text
        assert (await desk.command(one, "cancel"))["state"] == "CANCELED"
        elsewhere = await desk.post("/v1/orders", desk.terms(portfolio_id="PORT-002"))
        assert elsewhere.status_code == 201, elsewhere.text
    finally:
        desk.context.store.halts.lift(HaltScope.PORTFOLIO, "PORT-001", "risk", "drill over")
    assert (await desk.post("/v1/orders", desk.terms())).status_code == 201
    held = await order(desk, other)
    assert (held["state"], held["restructuring"]) == ("CREATED", None)


async def test_what_is_in_the_journal_is_answered_through_a_halt(desk: Desk) -> None:
    """The command was given, the answer was lost, trading was halted: the repetition is told what is so."""
    (one,) = await some(desk, 1)
    actor, update_id = Actor(key="desk-7", roles=(Role.PM,)), uuid.uuid4().hex
    book = OrderBook(desk.context.temporal, desk.context.store)
    first = await book.instruct(one, RequestPreTradeCompliance(), actor, update_id=update_id)
    stop = Halt(scope=HaltScope.FIRM, reason="drill", by="risk", since=NOW)
    desk.context.store.halts.set(stop)
    try:
        assert await book.instruct(one, RequestPreTradeCompliance(), actor, update_id=update_id) == first
    finally:
        desk.context.store.halts.lift(HaltScope.FIRM, "", "risk", "drill over")


async def test_nobody_holds_an_order_over_http(desk: Desk) -> None:
    """Begin, complete and abandon are the workflow's own: no route leads to them."""
    document = (await desk.client.get("/openapi.json")).json()
    paths = " ".join(document["paths"])
    assert not any(word in paths for word in ("restructuring", "abandon", "complete", "begin"))
