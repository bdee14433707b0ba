"""Gateways over HTTP: how each is, what it measures, and reading its venue anew through a workflow."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy import delete
from temporalio.worker import Worker

from oms.activities.venue import VenueActivities
from oms.api.app import create_app
from oms.domain.reference import Account, Portfolio
from oms.domain.terms import Role
from oms.store import AccountHealth, GatewayReport, GatewayState, tables
from oms.workflows.contract import gateway_queue
from oms.workflows.resync import ResyncInput, ResyncOutcome
from tests.api.desk import Desk
from tests.stack import until
from tests.workflows.venue import ScriptedVenue

SECOND_KEY, BY_ACCOUNT = "secret-second", "secret-by-account"
NAME = "ibkr/71"
AT = f"/v1/gateways/{NAME}/resync"
ENCODED = f"/v1/gateways/{NAME.replace('/', '%2F')}/resync"


def report(**changes: Any) -> GatewayReport:
    told = {
        "name": NAME,
        "venue": "IBKR",
        "accounts": ("DU001456", "DU002456"),
        "connected": True,
        "gate_open": True,
        "updated_ns": time.time_ns(),
        "state": GatewayState.OPEN,
        "client_id": 71,
        "host": "desk-7",
        "messages_per_second": 12,
        "waiting": 3,
        "queue": 4,
        "in_doubt": 1,
        "foreign_orders": 2,
        "open_breaks": 5,
        "connected_ns": time.time_ns(),
        "reconciled_ns": time.time_ns(),
        "per_account": (
            AccountHealth(account="DU001456", served=True, compared_ns=time.time_ns()),
            AccountHealth(account="DU002456", served=False, differences=2, detail="not at this login"),
        ),
    }
    return GatewayReport.model_validate({**told, **changes})


@pytest.fixture
def told(desk: Desk) -> Iterator[Desk]:
    """A desk with one gateway that has reported, which is gone after the test: /readyz looks at all of them."""
    desk.context.store.gateways.report(report())
    yield desk
    with desk.context.store.database.write() as connection:
        connection.execute(delete(tables.gateways).where(tables.gateways.c.name.like("ibkr/7%")))


async def gateway(desk: Desk, key: Role | str = Role.VIEWER) -> dict[str, Any]:
    listed = await desk.get("/v1/gateways", key)
    assert listed.status_code == 200, listed.text
    (found,) = [one for one in listed.json()["items"] if one["name"] == NAME]
    return dict(found)


async def test_a_gateway_reads_as_documented(told: Desk) -> None:
    shown = await gateway(told)
    assert 0 <= shown.pop("age_seconds") < 60
    for name in ("updated_at", "connected_at", "reconciled_at"):
        assert shown.pop(name).endswith("Z")
    first, second = shown.pop("per_account")
    assert first.pop("compared_at").endswith("Z")
    assert first == {"account": "DU001456", "served": True, "differences": 0, "detail": None}
    assert (second["differences"], second["detail"], second["compared_at"]) == (2, "not at this login", None)
    assert shown == {
        "name": NAME,
        "venue": "IBKR",
        "state": "open",
        "ready": True,
        "connected": True,
        "gate_open": True,
        "reason": None,
        "accounts": ["DU001456", "DU002456"],
        "client_id": 71,
        "host": "desk-7",
        "queue": 4,
        "waiting": 3,
        "in_doubt": 1,
        "oldest_undelivered_seconds": None,
        "messages_per_second": 12,
        "foreign_orders": 2,
        "open_breaks": 5,
    }


async def test_a_closed_or_silent_gateway_says_why(told: Desk) -> None:
    gateways, oldest = told.context.store.gateways, time.time_ns() - 90_000_000_000
    gateways.report(
        report(gate_open=False, state="closed", detail="1100: lost", oldest_undelivered_ns=oldest)
    )
    closed = await gateway(told)
    assert (closed["ready"], closed["state"], closed["reason"]) == (False, "closed", "1100: lost")
    assert closed["oldest_undelivered_seconds"] >= 90
    with told.context.store.database.write() as connection:
        connection.execute(delete(tables.gateways).where(tables.gateways.c.name == NAME))
    gateways.report(report(updated_ns=time.time_ns() - 60_000_000_000))
    silent = await gateway(told)
    assert (silent["ready"], silent["gate_open"]) == (False, True)
    assert silent["reason"].startswith("its last report is 6")


async def test_a_limited_key_sees_the_gateways_of_its_accounts(told: Desk) -> None:
    told.context.store.gateways.report(report(name="ibkr/72", accounts=("DU001456",), per_account=()))
    for key in (SECOND_KEY, BY_ACCOUNT):
        shown = await gateway(told, key)
        assert shown["accounts"] == ["DU002456"]
        assert [account["account"] for account in shown["per_account"]] == ["DU002456"]
        names = [one["name"] for one in (await told.get("/v1/gateways", key)).json()["items"]]
        assert "ibkr/72" not in names
    hidden = await told.post("/v1/gateways/ibkr/72/resync", None, BY_ACCOUNT)
    assert (hidden.status_code, hidden.json()["code"]) == (404, "GATEWAY_NOT_FOUND")
    assert "ibkr/72" not in hidden.json()["known"]


COUNTED = ("queue", "waiting", "in_doubt", "messages_per_second", "foreign_orders", "open_breaks")


async def test_a_limited_key_is_told_nothing_of_others(told: Desk) -> None:
    """What is counted over the session, and its own words, may be about any account of it."""
    oldest = time.time_ns() - 5_000_000_000
    closed = {
        "gate_open": False,
        "state": "closed",
        "detail": "DU001456: 1100",
        "oldest_undelivered_ns": oldest,
    }
    told.context.store.gateways.report(report(**closed))
    for key in (SECOND_KEY, BY_ACCOUNT):
        shown = await gateway(told, key)
        assert {name: shown[name] for name in COUNTED} == dict.fromkeys(COUNTED)
        assert (shown["oldest_undelivered_seconds"], shown["ready"]) == (None, False)
        assert shown["reason"] == "it would not send an order now"
        assert "DU001456" not in str(shown)
    whole = await gateway(told)
    assert (whole["reason"], whole["in_doubt"]) == ("DU001456: 1100", 1)
    told.context.store.gateways.report(report(detail="DU001456 is compared"))
    assert (await gateway(told, SECOND_KEY))["reason"] is None
    done = (await told.post(AT, None, BY_ACCOUNT)).json()
    assert (done["name"], done["unsettled"], done["foreign_orders"], done["differences"]) == (
        NAME,
        None,
        None,
        None,
    )


async def test_the_health_of_a_shared_account_is_for_those_who_see_all_of_it(told: Desk) -> None:
    reference = told.context.store.reference
    reference.put_account(Account(account_id="ACCT-G", name="Shared", broker_account="DU-shared"))
    for portfolio_id in ("PORT-G1", "PORT-G2"):
        reference.put_portfolio(
            Portfolio(portfolio_id=portfolio_id, name="G", net_asset_value="1", default_account_id="ACCT-G")
        )
    for secret, portfolios in {"secret-g1": ["PORT-G1"], "secret-g2": ["PORT-G1", "PORT-G2"]}.items():
        told.context.store.keys.create(secret, [Role.VIEWER], secret, portfolios=portfolios)
    health = AccountHealth(account="DU-shared", served=True, differences=1, detail="PLC-1 explains it")
    told.context.store.gateways.report(report(accounts=("DU-shared",), per_account=(health,)))
    part, whole = await gateway(told, "secret-g1"), await gateway(told, "secret-g2")
    assert (part["accounts"], part["per_account"]) == (["DU-shared"], [])
    assert [one["detail"] for one in whole["per_account"]] == ["PLC-1 explains it"]


async def test_metrics_of_a_gateway(told: Desk) -> None:
    told.context.store.gateways.report(report(oldest_undelivered_ns=time.time_ns() - 5_000_000_000))
    text = (await told.client.get("/metrics")).text
    for name, value in (
        ("connected", 1.0),
        ("gate_open", 1.0),
        ("queue", 4.0),
        ("waiting", 3.0),
        ("in_doubt", 1.0),
        ("messages_per_second", 12.0),
        ("foreign_orders", 2.0),
        ("open_breaks", 5.0),
    ):
        assert f'oms_gateway_{name}{{gateway="{NAME}"}} {value}' in text, name
    (line,) = [
        line
        for line in text.splitlines()
        if line.startswith(f'oms_gateway_oldest_undelivered_seconds{{gateway="{NAME}"}}')
    ]
    assert 5 <= float(line.split(" ")[1]) < 60


@pytest.mark.parametrize("role", [Role.OPS, Role.TRADER, Role.ADMIN])
@pytest.mark.parametrize("path", [AT, ENCODED])
async def test_a_resync_answers_what_the_gateway_found(told: Desk, role: Role, path: str) -> None:
    done = await told.post(path, None, role)
    assert done.status_code == 200, done.text
    found = done.json()
    assert found.pop("reconciled_at").endswith("Z")
    assert found == {"name": NAME, "unsettled": 1, "foreign_orders": 2, "differences": 3}


async def test_a_request_that_is_repeated_is_one_resync(told: Desk) -> None:
    first, second = [await told.post(AT, {}, Role.OPS, Idempotency_Key="resync-once-1") for _ in range(2)]
    assert (first.status_code, second.json()) == (200, first.json())
    assert second.headers["idempotent-replayed"] == "true"


async def test_who_may_and_which(told: Desk) -> None:
    for role in (Role.VIEWER, Role.PM, Role.COMPLIANCE, Role.OPERATOR):
        answer = await told.post(AT, None, role)
        assert (answer.status_code, answer.json()["code"]) == (403, "NOT_AUTHORIZED"), role
    for name in ("ibkr/404", "nobody", "ibkr/71/resync"):
        unknown = await told.post(f"/v1/gateways/{name}/resync", None, Role.OPS)
        assert (unknown.status_code, unknown.json()["code"]) == (404, "GATEWAY_NOT_FOUND"), name
        assert NAME in unknown.json()["known"]
    assert (await told.get(AT)).status_code == 405


@asynccontextmanager
async def hasty(desk: Desk) -> AsyncIterator[Desk]:
    """The same interface, which waits one second for an answer."""
    app = create_app(
        replace(desk.context, settings=replace(desk.context.settings, answer_within_seconds=1.0))
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://oms", timeout=30) as client:
        yield Desk(client, desk.context)


async def test_a_resync_goes_through_an_account_that_is_served(told: Desk) -> None:
    """The first account that a session names may belong to another one by now."""
    health = (
        AccountHealth(account="DU-nobody", served=False),
        AccountHealth(account="DU001456", served=True),
    )
    told.context.store.gateways.report(report(accounts=("DU-nobody", "DU001456"), per_account=health))
    assert (await told.post(AT, None, Role.OPS)).status_code == 200


async def test_a_gateway_that_nobody_runs_is_503(told: Desk) -> None:
    told.context.store.gateways.report(report(name="ibkr/73", accounts=("DU-nobody",), per_account=()))
    async with hasty(told) as desk:
        answer = await desk.post("/v1/gateways/ibkr/73/resync", None, Role.OPS)
    assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE"), answer.text
    assert "ibkr/73 cannot be read anew now" in answer.json()["detail"]
    assert int(answer.headers["retry-after"]) > 0


async def test_another_gateway_does_not_answer_for_the_one_that_was_asked(told: Desk) -> None:
    """A session that took the account over serves its queue before anybody has reported so."""
    account, context = "DU-moved", told.context
    context.store.gateways.report(report(name="ibkr/74", accounts=(account,), per_account=()))
    resync = VenueActivities(ScriptedVenue()).resync
    queue = gateway_queue("IBKR", account)
    async with Worker(context.temporal, task_queue=queue, activities=[resync]):
        answer = await told.post("/v1/gateways/ibkr/74/resync", None, Role.OPS)
    assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE"), answer.text
    assert answer.json()["detail"] == (
        "ibkr/74 cannot be read anew now: its account is served by the venue now, which was read in its place."
    )


async def test_every_resync_can_be_seen_afterwards(told: Desk) -> None:
    await told.post(AT, None, Role.OPS, Idempotency_Key="resync-seen-1")

    async def look() -> list[str]:
        listed = told.context.temporal.list_workflows("WorkflowType = 'ResyncGateway'")
        return [flow.id async for flow in listed if flow.id.startswith(f"resync/{NAME}/")]

    asked = await until(look, "the resync to be listed")
    handle = told.context.temporal.get_workflow_handle(asked[0], result_type=ResyncOutcome)
    outcome = await handle.result()
    assert outcome.resynced is not None
    assert outcome.resynced.name == NAME
    again = ResyncInput(name=NAME, venue="IBKR", account="DU001456", request_id="r-1")
    assert again.workflow_id == f"resync/{NAME}/r-1"
