"""Signed commands: kept, accepted and acknowledged once, however often and wherever they are sent."""

import asyncio
import json
import re
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.service import RPCError

from oms.api.message_ids import MessageIds
from oms.domain.control import ControlKind
from oms.domain.terms import Role
from oms.workflows.programs import command_workflow_id
from tests.api.desk import SECRETS, TOKEN, Desk
from tests.api.programs import beside, command, hint, order, orders, over, ping
from tests.api.test_bad_input import refused
from tests.stack import temporal_server, until

HEADERS = {"x-api-token": SECRETS[Role.PM], "Content-Type": "application/json"}
SECOND = "secret-second"


async def test_an_order_is_acknowledged_opened_and_told_of(desk: Desk) -> None:
    named = hint()
    sent = orders(
        order(orderType="LMT", lmtPrice=150.25), idem_hint=named, asof=None, tenant="nts", dry_run=False
    )
    ack = await desk.post("/oms/orders", sent)
    assert ack.status_code == 200, ack.text
    body = ack.json()
    assert set(body) == {"status", "message_id", "idem_key"}
    assert (body["status"], body["idem_key"]) == ("enqueued", f"oms:nts:{named}")
    assert re.fullmatch(r"\d{13}-\d{10}", body["message_id"])
    done = await over(desk, body["message_id"])
    assert (done["status"], done["kind"], done["tenant"], done["by"]) == ("DONE", "oms.submit", "nts", "pm")
    (opened,) = done["orders"]
    assert (opened["order_index"], opened["part"], opened["symbol"]) == (0, "entry", "AAPL")
    assert opened["refusal"] is None
    assert done["payload"] == sent
    order_id = opened["order_id"]
    shown = await desk.reads(order_id, lambda one: one["state"] == "ROUTED")
    assert (shown["portfolio_id"], shown["direction"], shown["limit_price"]) == ("PORT-001", "Buy", "150.25")
    assert (shown["automation"], shown["metadata"]["message_id"]) == ("straight_through", body["message_id"])
    live = (await command(desk, body["idem_key"]))["orders"][0]
    assert (live["state"], live["executed_quantity"], live["average_price"]) == ("ROUTED", 0, None)
    assert [placement["status"] for placement in live["placements"]] == ["WORKING"]


async def test_every_number_is_kept_as_it_was_written(desk: Desk) -> None:
    text = json.dumps(orders(order(orderType="LMT", lmtPrice="N"), refs={"a": 1})).replace('"refs"', '"x"')
    assert (await desk.client.post("/oms/orders", content=text, headers=HEADERS)).status_code == 422
    price = "150.123456789012345678"
    text = json.dumps(orders(order(orderType="LMT", lmtPrice="N"))).replace('"N"', price)
    ack = await desk.client.post("/oms/orders", content=text, headers=HEADERS)
    assert ack.status_code == 200, ack.text
    told = await desk.get(f"/oms/commands/{ack.json()['message_id']}")
    assert f'"lmtPrice":{price}' in told.text
    done = await over(desk, ack.json()["message_id"])
    shown = (await desk.get(f"/v1/orders/{done['orders'][0]['order_id']}")).json()
    assert shown["limit_price"] == price


@pytest.mark.parametrize("token", [SECRETS[Role.PM], TOKEN])
async def test_a_ping_goes_all_the_way(desk: Desk, token: str) -> None:
    answer = await desk.client.post("/oms/ping", json=ping(), headers={"x-api-token": token})
    assert answer.status_code == 200, answer.text
    assert (await over(desk, answer.json()["message_id"]))["status"] == "DONE"


async def test_ids_sort_by_arrival_as_text_and_as_numbers(desk: Desk) -> None:
    told = [(await desk.post("/oms/ping", ping())).json()["message_id"] for _ in range(20)]
    assert told == sorted(told) == sorted(told, key=lambda one: [int(part) for part in one.split("-")])
    listed = [one["message_id"] for one in (await desk.get("/oms/commands?limit=20")).json()["items"]]
    assert listed == told[::-1]


def test_an_id_is_greater_than_the_one_before_whatever_the_clock_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = iter([5_000_000, 5_000_000, 4_999_999, 6_000_000])
    monkeypatch.setattr("oms.api.message_ids.time.time_ns", lambda: next(at))
    made = MessageIds()
    told = [made.next() for _ in range(4)]
    assert told == sorted(set(told))
    assert {len(one) for one in told} == {24}


async def test_an_id_that_another_process_has_made_too_is_made_anew(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ns = time.time_ns()
    monkeypatch.setattr("oms.api.message_ids.time", SimpleNamespace(time_ns=lambda: now_ns))
    monkeypatch.setattr("oms.api.message_ids.secrets", SimpleNamespace(randbelow=lambda _: 7))
    async with beside(desk) as one, beside(desk) as other:
        bodies = [ping(), {"echo": hint()}, {"echo": hint()}, ping()]
        sent = list(zip((one, other, one, other), bodies, strict=True))
        answers = [await process.post("/oms/ping", body) for process, body in sent]
        assert [answer.status_code for answer in answers] == [200] * 4, answers[1].text
        told = [answer.json() for answer in answers]
        assert len({one["message_id"] for one in told}) == 4
        for acknowledged in told[1:3]:
            assert acknowledged["idem_key"].endswith(f"-{acknowledged['message_id']}")
        for (process, body), before in zip(sent, told, strict=True):
            assert (await process.post("/oms/ping", body)).json() == before
    for each in told:
        assert (await over(desk, each["message_id"]))["idem_key"] == each["idem_key"]


# -- the same command again -----------------------------------------------------------------------


async def test_the_same_hint_is_the_same_command_for_ever(desk: Desk) -> None:
    sent = orders()
    first = await desk.post("/oms/orders", sent)
    second = await desk.post("/oms/orders", sent)
    assert second.json() == first.json()
    done = await over(desk, first.json()["message_id"])
    async with beside(desk, command_window_seconds=0.001) as later:
        third = await later.post("/oms/orders", sent)
    assert third.json() == first.json()
    later_seen = await command(desk, first.json()["message_id"])
    assert [one["order_id"] for one in later_seen["orders"]] == [one["order_id"] for one in done["orders"]]
    other = await desk.post("/oms/orders", {**sent, "orders": [order(totalQuantity=2)]})
    problem = refused(other, 422, "IDEMPOTENCY_CONFLICT")
    assert problem["idem_key"] == first.json()["idem_key"]


async def test_without_a_hint_the_same_body_is_the_same_command_within_the_window(desk: Desk) -> None:
    sent = {"echo": hint()}
    async with beside(desk, command_window_seconds=0.3) as quick:
        first = (await quick.post("/oms/ping", sent)).json()
        assert (await quick.post("/oms/ping", sent)).json() == first
        assert re.fullmatch(rf"oms:nts:[0-9a-f]{{32}}-{first['message_id']}", first["idem_key"])

        async def another() -> dict[str, Any] | None:
            again = (await quick.post("/oms/ping", sent)).json()
            return again if again != first else None

        second = await until(another, "the window to end", seconds=5)
    assert second["message_id"] > first["message_id"]
    assert (await over(desk, second["message_id"]))["status"] == "DONE"


async def test_what_temporal_has_forgotten_is_not_done_again(desk: Desk) -> None:
    """After its retention Temporal knows nothing of a command; so does one that was just set up."""
    sent = orders()
    first = (await desk.post("/oms/orders", sent)).json()
    await over(desk, first["message_id"])
    async with temporal_server() as server:
        context = replace(desk.context, temporal=await server.client())
        async with beside(desk, context) as forgetful:
            assert (await forgetful.post("/oms/orders", sent)).json() == first
            handle = context.temporal.get_workflow_handle(command_workflow_id(first["idem_key"]))
            with pytest.raises(RPCError, match="not found"):
                await handle.describe()


async def test_the_worker_verifies_by_itself(desk: Desk) -> None:
    """An API with another secret is not believed: what it signed moves nothing, and everybody hears of it."""
    head = desk.context.store.control.head()
    async with beside(desk, envelope_secrets=("not-the-workers",)) as stranger:
        ack = await stranger.post("/oms/orders", orders())
        assert ack.status_code == 200
    refusal = await over(desk, ack.json()["message_id"])
    assert (refusal["status"], refusal["refusal"]["code"]) == ("REFUSED", "BAD_SIGNATURE")
    assert refusal["orders"] == []
    (event,) = desk.context.store.control.stream(head, kinds=[ControlKind.COMMAND_REFUSED])
    assert event.subject == ack.json()["message_id"]
    assert await tail_of(desk, ack.json()["message_id"]) == []


async def tail_of(desk: Desk, message_id: str) -> list[str]:
    """What happened under a command, in order."""
    answer = await desk.get(f"/ib/events/tail?msg_id={message_id}")
    return [event["json"]["event_type"] for event in answer.json()]


async def test_fifty_at_once_in_two_processes_are_one_command(desk: Desk) -> None:
    sent = orders()
    async with beside(desk) as other:
        desks = [desk, other]
        answers = await asyncio.gather(*(desks[n % 2].post("/oms/orders", sent) for n in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    (ack,) = {answer.text for answer in answers}
    done = await over(desk, json.loads(ack)["message_id"])
    assert len(done["orders"]) == 1
    found = [
        one
        for one in (await desk.get("/v1/orders?limit=500")).json()["items"]
        if one["metadata"].get("message_id") == done["message_id"]
    ]
    assert len(found) == 1


async def test_an_idempotency_key_gives_the_first_answer_too(desk: Desk) -> None:
    again, sent = hint(), ping()
    first = await desk.post("/oms/ping", sent, Idempotency_Key=again)
    second = await desk.post("/oms/ping", sent, Idempotency_Key=again)
    assert second.json() == first.json()
    assert second.headers["idempotent-replayed"] == "true"
    refused(await desk.post("/oms/ping", ping(), Idempotency_Key=again), 422, "IDEMPOTENCY_CONFLICT")


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("orders", {}, "orders"),
        ("orders", {"orders": []}, "orders"),
        ("orders", {"orders": [order()] * 201}, "orders"),
        ("orders", orders(order(), colour="red"), "colour"),
        ("orders", orders(order(colour="red")), "orders.0.order.colour"),
        ("orders", orders({**order(), "stop": 1}), "orders.0.stop"),
        ("orders", orders({**order(), "bracket": {"tp": 1}}), "orders.0.bracket.tp"),
        ("orders", orders(order(), order(action="HOLD")), "orders.1.order.action"),
        ("orders", orders(order(totalQuantity=0)), "orders.0.order.totalQuantity"),
        ("orders", orders(order(totalQuantity=1.5)), "orders.0.order.totalQuantity"),
        ("orders", orders(order(totalQuantity="1")), "orders.0.order.totalQuantity"),
        ("orders", orders(order(totalQuantity=10**30)), "orders.0.order.totalQuantity"),
        ("orders", orders(order(orderType="STP")), "orders.0.order.orderType"),
        ("orders", orders(order(orderType="LMT")), "orders.0.order"),
        ("orders", orders(order(tif="FOK")), "orders.0.order.tif"),
        ("orders", orders(order(outsideRth="yes")), "orders.0.order.outsideRth"),
        ("orders", orders({"contract": {"symbol": "ES"}, "order": order()["order"]}), "orders.0.contract"),
        ("orders", orders({**order(), "exit_policy": "scale"}), "orders.0.exit_policy"),
        ("orders", orders({**order(), "exit_policy": "runner"}), "orders.0"),
        ("orders", orders(idem_hint="two words"), "idem_hint"),
        ("orders", orders(idem_hint=""), "idem_hint"),
        ("orders", orders(idem_hint="x" * 129), "idem_hint"),
        ("orders", orders(tenant="no tenant"), "tenant"),
        ("orders", orders(dry_run="maybe"), "dry_run"),
        ("orders", orders(asof="soon"), "asof"),
        ("flatten", {"sec_types": []}, "sec_types"),
        ("flatten", {"sec_types": ["BOND"]}, "sec_types.0"),
        ("flatten", {"wait_seconds": -1}, "wait_seconds"),
        ("flatten", {"wait_seconds": 10**9}, "wait_seconds"),
        ("flatten", {"account": ""}, "account"),
        ("flatten", {"accounts": ["DU1"]}, "accounts"),
        ("ping", {"echo": 5}, "echo"),
        ("ping", {"eko": "x"}, "eko"),
        ("ping", {"echo": "x" * 1001}, "echo"),
    ],
)
async def test_a_command_that_cannot_be(desk: Desk, path: str, body: dict[str, Any], field: str) -> None:
    refused(await desk.post(f"/oms/{path}", body), 422, "VALIDATION_FAILED", field)


@pytest.mark.parametrize("path", ["ping", "orders", "flatten", "envelopes"])
@pytest.mark.parametrize(
    ("content", "media", "status"),
    [
        ("not json", "application/json", 400),
        ('{"echo": NaN}', "application/json", 400),
        ('{"wait_seconds": Infinity}', "application/json", 400),
        ('{"echo": "\\ud800"}', "application/json", 400),
        ("[" * 5000, "application/json", 400),
        ("[]", "application/json", 422),
        ("null", "application/json", 422),
        ("", "application/json", 422),
        ("echo=hi", "application/x-www-form-urlencoded", 400),
        ("{}", "text/plain", 400),
        ('{"x": "' + "y" * 3_000_000 + '"}', "application/json", 413),
    ],
)
async def test_a_body_that_is_none(desk: Desk, path: str, content: str, media: str, status: int) -> None:
    headers = {**HEADERS, "Content-Type": media}
    answer = await desk.client.post(f"/oms/{path}", content=content, headers=headers)
    codes = {400: "MALFORMED", 413: "PAYLOAD_TOO_LARGE", 422: "VALIDATION_FAILED"}
    refused(answer, status, codes[status])


async def test_what_no_workflow_could_carry(desk: Desk) -> None:
    large = orders({**order(), "refs": {"note": "y" * 600_000}})
    problem = refused(await desk.post("/oms/orders", large), 413, "PAYLOAD_TOO_LARGE")
    assert problem["actual"] > problem["limit"]
    text = json.dumps(orders(order(orderType="LMT", lmtPrice="N"))).replace('"N"', "1.5e300")
    refused(await desk.client.post("/oms/orders", content=text, headers=HEADERS), 422, "VALIDATION_FAILED")


async def test_without_a_token_nothing_is_said(desk: Desk) -> None:
    for method, path in (
        ("POST", "/oms/ping"),
        ("POST", "/oms/orders"),
        ("POST", "/oms/flatten"),
        ("POST", "/oms/envelopes"),
        ("GET", "/oms/commands"),
        ("GET", "/oms/commands/x"),
        ("GET", "/ib/events/tail"),
    ):
        for headers in ({}, {"x-api-token": "wrong"}):
            answer = await desk.client.request(method, path, json={}, headers=headers)
            refused(answer, 401, "UNAUTHENTICATED")
            assert "warning" not in answer.headers


@pytest.mark.parametrize("role", [role for role in Role if role not in (Role.SYSTEM, Role.PM)])
async def test_only_a_pm_trades(desk: Desk, role: Role) -> None:
    for path, body in (("orders", orders()), ("flatten", {"idem_hint": hint()})):
        refused(await desk.post(f"/oms/{path}", body, role), 403, "NOT_AUTHORIZED")
    assert (await desk.post("/oms/ping", ping(), role)).status_code == 200


async def test_a_process_without_a_secret_takes_nothing(desk: Desk) -> None:
    (before,) = (await desk.get("/oms/commands?limit=1")).json()["items"]
    async with beside(desk, envelope_secrets=()) as mute:
        for path, body in (("ping", ping()), ("orders", orders()), ("envelopes", {"kind": "oms.ping"})):
            answer = await mute.post(f"/oms/{path}", body)
            assert "ENVELOPE_SECRET" in refused(answer, 503, "UNAVAILABLE")["detail"]
            assert answer.headers["retry-after"]
    (after,) = (await desk.get("/oms/commands?limit=1")).json()["items"]
    assert after["message_id"] == before["message_id"]


async def test_a_refused_entry_is_told_and_the_others_go_on(desk: Desk) -> None:
    ended = order(goodTillDate="2020-01-02T00:00:00Z")
    ack = await desk.post("/oms/orders", orders(order(), ended, order(totalQuantity=2)))
    done = await over(desk, ack.json()["message_id"])
    assert done["status"] == "DONE"
    first, second, third = done["orders"]
    assert None not in (first["order_id"], third["order_id"])
    assert (second["order_id"], second["state"]) == (None, None)
    assert (second["order_index"], second["refusal"]["code"]) == (1, "VALIDATION_FAILED")


async def test_a_dry_run_opens_nothing(desk: Desk) -> None:
    ack = await desk.post("/oms/orders", orders(dry_run=True))
    done = await over(desk, ack.json()["message_id"])
    assert done["status"] == "DRY_RUN"
    assert [one["state"] for one in done["orders"]] == [None]


# -- tenants are kept apart -----------------------------------------------------------------------


async def test_a_key_acts_for_its_own_tenants_only(desk: Desk) -> None:
    for tenant in ("nts", "nobody"):
        problem = refused(
            await desk.post("/oms/orders", orders(tenant=tenant), SECOND), 422, "INVALID_TENANT"
        )
        assert problem["detail"] == f"There is no tenant {tenant!r}."
    assert (await desk.post("/oms/ping", ping(tenant="other"), SECOND)).status_code == 200
    assert (await desk.post("/oms/ping", ping(tenant="other"), "secret-by-account")).status_code == 200
    refused(await desk.post("/oms/ping", ping(), "secret-by-account"), 422, "INVALID_TENANT")


async def test_nothing_of_another_tenant_is_seen_or_guessed(desk: Desk) -> None:
    named = hint()
    ours = (await desk.post("/oms/orders", orders(idem_hint=named))).json()
    theirs = (await desk.post("/oms/ping", ping(tenant="other", idem_hint=named), SECOND)).json()
    assert ours["idem_key"] == f"oms:nts:{named}"
    assert theirs["idem_key"] == f"oms:other:{named}"
    await over(desk, ours["message_id"])
    for guessed in (ours["message_id"], ours["idem_key"]):
        refused(await desk.get(f"/oms/commands/{guessed}", SECOND), 404, "COMMAND_NOT_FOUND")
    listed = (await desk.get("/oms/commands?limit=500", SECOND)).json()["items"]
    assert {one["tenant"] for one in listed} == {"other"}
    refused(await desk.get("/oms/commands?tenant=nts", SECOND), 422, "INVALID_TENANT")
    refused(await desk.get("/ib/events/tail?tenant=nts", SECOND), 422, "INVALID_TENANT")
    tail = (await desk.get(f"/ib/events/tail?msg_id={ours['message_id']}", SECOND)).json()
    assert tail == []


async def test_commands_come_page_by_page(desk: Desk) -> None:
    sent = [(await desk.post("/oms/ping", ping())).json()["message_id"] for _ in range(5)]
    seen: list[str] = []
    cursor = ""
    while len(seen) < 5:
        page = (await desk.get(f"/oms/commands?limit=2&tenant=nts{cursor}")).json()
        seen += [one["message_id"] for one in page["items"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert seen[:5] == sent[::-1]
    refused(await desk.get("/oms/commands/nothing"), 404, "COMMAND_NOT_FOUND")
    for bad in ("limit=0", "limit=501", "tenant=%20", "cursor=%00"):
        refused(await desk.get(f"/oms/commands?{bad}"), 422, "VALIDATION_FAILED")


async def test_the_workflow_is_found_by_the_commands_name(desk: Desk) -> None:
    ack = (await desk.post("/oms/ping", ping())).json()
    await over(desk, ack["message_id"])
    handle = desk.context.temporal.get_workflow_handle(command_workflow_id(ack["idem_key"]))
    described = await handle.describe()
    assert described.id == f"command/{ack['idem_key']}"
