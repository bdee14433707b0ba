"""Breaks and foreign orders over HTTP: who sees which, what a person may do to them, and how they page."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from oms.domain.breaks import BreakCategory, Difference
from oms.domain.reference import Account, Portfolio
from oms.domain.terms import Role
from oms.store import ForeignExecution, ForeignOrder
from tests.api.desk import Desk

SOURCE = "broker/test"
FIRST, SECOND, SHARED = "DU001456", "DU002456", "DU009456"
SECOND_KEY, BY_ACCOUNT = "secret-second", "secret-by-account"


@dataclass
class Books:
    """A comparison of our books with somebody else's."""

    desk: Desk

    def differ(self, account: str, *subjects: str, theirs: str = "90") -> list[str]:
        """What one comparison of `account` finds; the ids of the breaks that it opens."""
        found = [
            Difference(subject=subject, ours="100", theirs=theirs, detail=f"{subject} differs")
            for subject in subjects
        ]
        outcome = self.desk.context.store.breaks.observe(
            SOURCE, account, BreakCategory.POSITION, found, time.time_ns()
        )
        return [opened.break_id for opened in outcome.opened]

    async def listed(self, query: str = "", key: Role | str = Role.VIEWER) -> list[str]:
        answer = await self.desk.get(f"/v1/breaks?{query}", key)
        assert answer.status_code == 200, answer.text
        return [one["break_id"] for one in answer.json()["items"]]


@pytest.fixture
def books(desk: Desk) -> Iterator[Books]:
    made = Books(desk)
    yield made
    for account in (FIRST, SECOND, SHARED):
        made.differ(account)


async def test_a_break_reads_as_documented(desk: Desk, books: Books) -> None:
    (break_id,) = books.differ(FIRST, "AAPL STK USD 265598")
    shown = (await desk.get(f"/v1/breaks/{break_id}")).json()
    assert shown["opened_at"] == shown["seen_at"]
    assert shown["opened_at"].endswith("Z")
    assert {name: shown[name] for name in shown.keys() - {"opened_at", "seen_at"}} == {
        "break_id": break_id,
        "category": "POSITION",
        "source": SOURCE,
        "account": FIRST,
        "subject": "AAPL STK USD 265598",
        "instrument_id": None,
        "ours": "100",
        "theirs": "90",
        "detail": "AAPL STK USD 265598 differs",
        "status": "OPEN",
        "owner": "ops",
        "closed_at": None,
        "closed_by": None,
        "reason": None,
    }


async def test_breaks_are_filtered_and_paged_newest_first(books: Books) -> None:
    first_account, second_account = books.differ(FIRST, "A", "B", "C"), books.differ(SECOND, "D")
    newest = sorted([*first_account, *second_account], reverse=True)
    assert await books.listed("status=OPEN") == newest
    assert await books.listed("status=OPEN&account=ACCT-001") == sorted(first_account, reverse=True)
    assert await books.listed(f"status=OPEN&account={SECOND}&category=POSITION") == second_account
    assert await books.listed("category=CASH") == []
    assert await books.listed("account=DU404") == []
    first = (await books.desk.get("/v1/breaks?status=OPEN&limit=2")).json()
    assert [one["break_id"] for one in first["items"]] == newest[:2]
    rest = (await books.desk.get(f"/v1/breaks?status=OPEN&cursor={first['next_cursor']}")).json()
    assert ([one["break_id"] for one in rest["items"]], rest["next_cursor"]) == (newest[2:], None)
    assert await books.listed("status=OPEN&offset=3") == newest[3:]
    wrong = await books.desk.get("/v1/breaks?cursor=nonsense")
    assert (wrong.status_code, wrong.json()["field"]) == (422, "cursor")


async def test_a_limited_key_sees_its_own_accounts(desk: Desk, books: Books) -> None:
    (theirs,), (own,) = books.differ(FIRST, "A"), books.differ(SECOND, "B")
    for key in (SECOND_KEY, BY_ACCOUNT):
        assert await books.listed("status=OPEN", key) == [own]
        assert await books.listed("account=ACCT-001", key) == []
        assert (await desk.get(f"/v1/breaks/{own}", key)).status_code == 200
        hidden = await desk.get(f"/v1/breaks/{theirs}", key)
        assert (hidden.status_code, hidden.json()["code"]) == (404, "BREAK_NOT_FOUND")
    refused = await desk.post(f"/v1/breaks/{theirs}/resolve", {"reason": "seen"}, BY_ACCOUNT)
    assert (refused.status_code, refused.json()["code"]) == (404, "BREAK_NOT_FOUND")


async def test_a_break_of_a_shared_account_is_for_those_who_see_all_of_it(desk: Desk, books: Books) -> None:
    """Its detail may name the orders of every portfolio that trades there."""
    reference = desk.context.store.reference
    reference.put_account(Account(account_id="ACCT-SHARED", name="Shared", broker_account=SHARED))
    for portfolio_id in ("PORT-S1", "PORT-S2"):
        reference.put_portfolio(
            Portfolio(
                portfolio_id=portfolio_id,
                name=portfolio_id,
                net_asset_value="1000",
                default_account_id="ACCT-SHARED",
            )
        )
    limited_keys = {"secret-s1": ["PORT-S1"], "secret-s2": ["PORT-S1", "PORT-S2"]}
    for secret, portfolios in limited_keys.items():
        desk.context.store.keys.create(secret, [Role.OPS, Role.VIEWER], secret, portfolios=portfolios)
    (break_id,) = books.differ(SHARED, "A")
    path = f"/v1/breaks/{break_id}"
    for answer in (
        await desk.get(path, "secret-s1"),
        await desk.post(f"{path}/resolve", {"reason": "seen"}, "secret-s1"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "BREAK_NOT_FOUND")
    assert await books.listed("status=OPEN", "secret-s1") == []
    assert await books.listed(f"account={SHARED}", "secret-s1") == []
    assert await books.listed("status=OPEN", "secret-s2") == [break_id]
    assert (await desk.get(path, "secret-s2")).status_code == 200
    assert break_id in await books.listed("status=OPEN")
    order_id = (await desk.order())["order_id"]
    await desk.command(order_id, "pre-trade-compliance/request")
    await desk.command(order_id, "pre-trade-compliance/pass", Role.COMPLIANCE)
    await desk.command(order_id, "send-to-trader")
    placed = {"venue": "IBKR", "quantity": "100", "account": SHARED}
    await desk.command(order_id, "placements", Role.TRADER, placed)
    assert await books.listed("status=OPEN", "secret-s2") == [], "another portfolio trades there now"
    assert (await desk.get(path, "secret-s2")).status_code == 404
    resolved = await desk.post(f"{path}/resolve", {"reason": "seen"}, Role.OPS)
    assert resolved.status_code == 200


async def test_ops_resolve_a_break_with_a_reason_once(desk: Desk, books: Books) -> None:
    (break_id,) = books.differ(FIRST, "A")
    path = f"/v1/breaks/{break_id}/resolve"
    for role in (Role.PM, Role.TRADER, Role.VIEWER, Role.ADMIN):
        assert (await desk.post(path, {"reason": "seen"}, role)).status_code == 403, role
    for body in ({}, {"reason": ""}, {"reason": "seen", "status": "CLEARED"}):
        assert (await desk.post(path, body, Role.OPS)).status_code == 422, body
    answers = [
        await desk.post(path, {"reason": "a transfer of today"}, Role.OPS, Idempotency_Key=break_id)
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
    resolved = answers[0].json()
    assert (resolved["status"], resolved["closed_by"]) == ("RESOLVED", "ops")
    assert resolved["reason"] == "a transfer of today"
    again = await desk.post(path, {"reason": "again"}, Role.OPS)
    assert (again.status_code, again.json()["code"]) == (409, "INVALID_STATE")
    assert (again.json()["state"], again.json()["allowed"]) == ("RESOLVED", ["OPEN"])
    assert books.differ(FIRST, "A") == [], "the difference that a person has seen does not open again"
    assert len(books.differ(FIRST, "A", theirs="80")) == 1, "another difference does"


async def test_a_resolution_whose_answer_was_lost_is_answered_again(desk: Desk, books: Books) -> None:
    (break_id,) = books.differ(FIRST, "A")
    store, key = desk.context.store, f"lost-{break_id}"
    path, body = f"/v1/breaks/{break_id}/resolve", {"reason": "seen"}
    first = await desk.post(path, body, Role.OPS, Idempotency_Key=key)
    assert first.status_code == 200
    # As when the process died between the write and its answer: the key was begun and never finished.
    desk.forget_answer(key)
    second = await desk.post(path, body, Role.OPS, Idempotency_Key=key)
    assert (second.status_code, second.json()) == (200, first.json()), second.text
    found = store.breaks.get(break_id)
    assert found is not None
    assert found.reason == "seen"


async def test_unknown_breaks(desk: Desk) -> None:
    for answer in (
        await desk.get("/v1/breaks/BRK-none"),
        await desk.post("/v1/breaks/BRK-none/resolve", {"reason": "r"}, Role.OPS),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "BREAK_NOT_FOUND")


def foreign(key: str, account: str, status: str, at: int) -> ForeignOrder:
    return ForeignOrder(
        key=key,
        gateway="ibkr/test",
        account=account,
        perm_id=7,
        symbol="MSFT",
        sec_type="STK",
        conid=272093,
        action="BUY",
        quantity="100",
        order_type="LMT",
        status=status,
        filled="0",
        origin="TWS",
        first_seen_ns=at,
        last_seen_ns=at,
    )


async def test_foreign_orders_are_shown_and_filtered(desk: Desk) -> None:
    now = time.time_ns()
    orders = [
        foreign("perm/1", FIRST, "Submitted", now + 1),
        foreign("perm/2", SECOND, "Submitted", now + 2),
        foreign("perm/3", SECOND, "Filled", now + 3),
    ]
    executions = [
        ForeignExecution(
            exec_id="0001.01.01",
            key="perm/3",
            account=SECOND,
            conid=272093,
            side="BUY",
            quantity="100",
            price="400",
            ts_ns=now,
        )
    ]
    desk.context.store.foreign.keep("ibkr/test", orders, executions, now)

    async def keys(query: str = "", key: Role | str = Role.VIEWER) -> list[str]:
        answer = await desk.get(f"/v1/foreign-orders?gateway=ibkr/test&{query}", key)
        assert answer.status_code == 200, answer.text
        return [one["key"] for one in answer.json()["items"]]

    assert await keys() == ["perm/3", "perm/2", "perm/1"]
    assert await keys("working=true") == ["perm/2", "perm/1"]
    assert await keys("working=false") == ["perm/3"]
    assert await keys("limit=1&offset=1") == ["perm/2"]
    assert await keys(key=BY_ACCOUNT) == await keys(key=SECOND_KEY) == ["perm/3", "perm/2"]
    (shown,) = (await desk.get("/v1/foreign-orders?gateway=ibkr/test&working=false")).json()["items"]
    told = {name: shown[name] for name in ("account", "origin", "symbol", "quantity", "status", "working")}
    assert told == {
        "account": SECOND,
        "origin": "TWS",
        "symbol": "MSFT",
        "quantity": "100",
        "status": "Filled",
        "working": False,
    }
    assert (await desk.get("/v1/foreign-orders?gateway=ibkr/404")).json()["items"] == []
