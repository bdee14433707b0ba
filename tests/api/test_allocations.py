"""Allocation by schemes and account groups through the interface: exact, named, refused with the numbers."""

import asyncio
import uuid
from decimal import Decimal
from typing import Any

import pytest

from oms.domain.allocating import MAX_ACCOUNTS
from oms.domain.identifiers import ALLOCATION, GROUP, is_identifier
from oms.domain.reference import Account
from oms.domain.terms import PlacementStatus, Role
from tests.api.desk import Desk, executed, reported
from tests.api.test_idempotency import _forget_answer


def account(number: str, **terms: Any) -> dict[str, Any]:
    return {"account_id": f"ACCT-{number}", "portfolio_id": f"PORT-{number}", **terms}


def name(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


async def closed(desk: Desk, quantity: str = "100") -> str:
    order_id, _ = await desk.filled(quantity)
    await desk.command(order_id, "close", Role.TRADER)
    return order_id


async def executed_in_lots(desk: Desk, lot_size: str) -> str:
    """100 executed of an instrument with this lot."""
    made = await desk.post("/v1/instruments", {"symbol": name("LOT"), "lot_size": lot_size})
    order_id, placement_id = await desk.routed(instrument_id=made.json()["instrument_id"])
    await desk.venue_says(
        order_id, *executed(placement_id, "100"), reported(placement_id, PlacementStatus.FILLED, "100")
    )
    await desk.reads(order_id, lambda order: order["executed_quantity"] == "100")
    return order_id


async def spread(desk: Desk, order_id: str, scheme: str, *accounts: Any, **rest: Any) -> Any:
    body = {"scheme": scheme, "accounts": accounts, **rest}
    return await desk.post(f"/v1/orders/{order_id}/allocations", body, Role.TRADER)


def refused(answer: Any, status: int, code: str, **facts: Any) -> None:
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), answer.text
    assert facts.items() <= body.items(), body


@pytest.mark.parametrize(
    ("scheme", "accounts", "rest"),
    [
        ("quantity", (account("001", quantity="99.5"), account("002", quantity="0.5")), {}),
        ("pro_rata", (account("001", weight=2), account("002", weight="1")), {}),
        ("average_price", (account("001", weight=2), account("002", weight=1)), {}),
        ("percentage", (account("001", percentage="33.3"), account("002", percentage="66.7")), {}),
        ("step_down", (account("001", quantity=70), account("002", quantity=70)), {}),
        ("step_down", (account("001", quantity=70),), {"residual_account_id": "ACCT-001"}),
        ("hierarchy", (account("001", weight=1), account("002")), {}),
    ],
)
async def test_after_any_scheme_executed_is_allocated_at_the_hand_off(
    desk: Desk, scheme: str, accounts: Any, rest: Any
) -> None:
    order_id = await closed(desk)
    made = await spread(desk, order_id, scheme, *accounts, **rest)
    assert made.status_code == 201, made.text
    items = made.json()["items"]
    assert made.headers["location"] == f"/v1/orders/{order_id}/allocations"
    assert made.headers["etag"]
    assert sum(Decimal(item["quantity"]) for item in items) == 100
    assert {item["scheme"] for item in items} == {scheme}
    assert all(is_identifier(ALLOCATION, item["allocation_id"]) and item["why"] for item in items)
    assert (await desk.get(made.headers["location"])).json()["items"] == items
    handed = await desk.command(order_id, "send-to-operations", Role.TRADER)
    assert handed["state"] == "SENT_TO_OPERATIONS"
    assert sum(Decimal(a["quantity"]) for a in handed["allocations"]) == Decimal(handed["executed_quantity"])


async def test_money_is_divided_and_conserves_the_orders_totals(desk: Desk) -> None:
    order_id, placement_id = await desk.routed()
    await desk.venue_says(
        order_id,
        *executed(placement_id, "60", "150.25"),
        *executed(placement_id, "40", "150.11"),
        reported(placement_id, PlacementStatus.FILLED, "100"),
    )
    await desk.reads(order_id, lambda order: order["executed_quantity"] == "100")
    early = await spread(desk, order_id, "quantity", account("001", quantity="25"))
    (only,) = early.json()["items"]
    assert (only["average_price"], only["currency"]) == ("150.194", "USD")
    assert (only["principal"], only["commission"], only["other_commissions"]) == ("3754.85", "0.53", {})
    rest = (account("001", weight=1), account("002", weight=1))
    made = await spread(desk, order_id, "average_price", *rest)
    assert made.status_code == 201, made.text
    listed = (await desk.get(f"/v1/orders/{order_id}/allocations")).json()["items"]
    assert [a["quantity"] for a in listed] == ["25", "38", "37"]
    assert {a["average_price"] for a in listed} == {"150.194"}
    assert sum(Decimal(a["principal"]) for a in listed) == Decimal("15019.4")
    assert sum(Decimal(a["commission"]) for a in listed) == Decimal("2.1")
    for one in listed:
        assert (await desk.get(f"/v1/allocations/{one['allocation_id']}")).json() == one
    page = (await desk.get(f"/v1/orders/{order_id}/allocations?limit=2")).json()
    after = await desk.get(f"/v1/orders/{order_id}/allocations?cursor={page['next_cursor']}")
    assert page["items"] + after.json()["items"] == listed


async def test_the_residual_says_where_its_home_is(desk: Desk) -> None:
    order_id = await executed_in_lots(desk, "30")
    accounts = (account("001", weight=1), account("002", weight=1))
    answer = await spread(desk, order_id, "pro_rata", *accounts, residual_account_id="ACCT-002")
    residual = answer.json()["residual"]
    assert [item["quantity"] for item in answer.json()["items"]] == ["60", "40"]
    assert (residual["account_id"], residual["quantity"]) == ("ACCT-002", "10")
    assert residual["why"].endswith("10 left over has its home here")
    whole = await spread(desk, await closed(desk), "pro_rata", *accounts)
    assert whole.json()["residual"] is None


async def test_what_does_not_fit_is_refused_with_the_numbers(desk: Desk) -> None:
    order_id = await closed(desk, "40")
    over = await spread(
        desk, order_id, "quantity", account("001", quantity="30"), account("002", quantity="11")
    )
    refused(over, 409, "ALLOCATION_MISMATCH", asked="41", quantity="40")
    short = await spread(desk, order_id, "step_down", account("001", quantity="30"))
    refused(short, 409, "ALLOCATION_MISMATCH", quantity="40", taken="30", left_over="10")
    small = await spread(desk, order_id, "pro_rata", account("001", weight=1, minimum="41"))
    refused(small, 409, "ALLOCATION_MISMATCH", quantity="40", minimums=["41"])
    percentages = (account("001", percentage="50"), account("002", percentage="49.9"))
    uneven = await spread(desk, order_id, "percentage", *percentages)
    refused(uneven, 422, "VALIDATION_FAILED", field="accounts", sum="99.9", expected="100")
    assert (await desk.get(f"/v1/orders/{order_id}/allocations")).json()["items"] == []
    await spread(desk, order_id, "pro_rata", account("001", weight=1))
    nothing = await spread(desk, order_id, "pro_rata", account("002", weight=1))
    refused(nothing, 409, "ALLOCATION_MISMATCH", allocated="40", executed="40")


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"scheme": "by_mood", "accounts": []}, 422, "VALIDATION_FAILED", "scheme"),
        ({"scheme": ["pro_rata"], "accounts": []}, 422, "VALIDATION_FAILED", "scheme"),
        ({"scheme": "pro_rata", "accounts": []}, 422, "VALIDATION_FAILED", "accounts"),
        ({"scheme": "pro_rata"}, 422, "VALIDATION_FAILED", "accounts"),
        (
            {"scheme": "pro_rata", "accounts": [account("001", weight=0)]},
            422,
            "VALIDATION_FAILED",
            "accounts.0.weight",
        ),
        (
            {"scheme": "pro_rata", "accounts": [account("001", quantity=1, weight=1)]},
            422,
            "VALIDATION_FAILED",
            "accounts.0.quantity",
        ),
        (
            {"scheme": "pro_rata", "accounts": [account("001", weight=1), account("001", weight=2)]},
            422,
            "VALIDATION_FAILED",
            "accounts",
        ),
        (
            {"scheme": "step_down", "accounts": [account("001", quantity=5, minimum=6)]},
            422,
            "VALIDATION_FAILED",
            "accounts.0",
        ),
        ({"scheme": "hierarchy", "accounts": [{"weight": 1}]}, 422, "VALIDATION_FAILED", "accounts.0"),
        (
            {"scheme": "pro_rata", "accounts": [account("001", weight=1)], "residual_account_id": "ACCT-002"},
            422,
            "VALIDATION_FAILED",
            "residual_account_id",
        ),
        (
            {
                "scheme": "pro_rata",
                "accounts": [account("001", weight=1)],
                "residual_account_id": "ACCT-9",
                "residual_portfolio_id": "PORT-001",
            },
            422,
            "INVALID_ACCOUNT",
            None,
        ),
        ({"scheme": "pro_rata", "accounts": [account("009", weight=1)]}, 422, "INVALID_ACCOUNT", None),
        (
            {"scheme": "hierarchy", "accounts": [{**account("001"), "portfolio_id": "P-9"}]},
            422,
            "INVALID_PORTFOLIO",
            None,
        ),
        ({"scheme": "hierarchy", "accounts": [{"group_id": "GRP-9"}]}, 404, "GROUP_NOT_FOUND", None),
        (account("001"), 422, "VALIDATION_FAILED", "quantity"),
        ({}, 422, "VALIDATION_FAILED", "account_id"),
        ([], 422, "VALIDATION_FAILED", None),
    ],
)
async def test_a_scheme_that_cannot_be_meant(
    desk: Desk, body: Any, status: int, code: str, field: str | None
) -> None:
    order_id = await _one_closed(desk)
    answer = await desk.post(f"/v1/orders/{order_id}/allocations", body, Role.TRADER)
    refused(answer, status, code, **({} if field is None else {"field": field}))
    nowhere = await desk.post("/v1/orders/ORD-none/allocations", body, Role.TRADER)
    assert nowhere.status_code in (404, 422)


_CLOSED: list[str] = []


async def _one_closed(desk: Desk) -> str:
    """One executed order for all that is refused: nothing happens to it."""
    if not _CLOSED:
        _CLOSED.append(await closed(desk))
    return _CLOSED[0]


async def test_who_may_and_when(desk: Desk) -> None:
    order_id = await _one_closed(desk)
    path = f"/v1/orders/{order_id}/allocations"
    body = {"scheme": "pro_rata", "accounts": [account("001", weight=1)]}
    assert (await desk.post(path, body, Role.VIEWER)).status_code == 403
    assert (await desk.post(path, body, "secret-second")).status_code == 404
    stale = await desk.post(path, body, Role.TRADER, If_Match='"1"')
    refused(stale, 409, "VERSION_CONFLICT")
    fresh = await desk.order()
    early = await desk.post(f"/v1/orders/{fresh['order_id']}/allocations", body, Role.TRADER)
    refused(early, 409, "INVALID_STATE", state="CREATED")


async def test_a_scheme_whose_answer_was_lost_has_its_effect_once(desk: Desk) -> None:
    order_id, again = await closed(desk), uuid.uuid4().hex
    path = f"/v1/orders/{order_id}/allocations"
    body = {"scheme": "pro_rata", "accounts": [account("001", weight=1), account("002", weight=1)]}
    first = await desk.post(path, body, Role.TRADER, Idempotency_Key=again)
    assert first.status_code == 201, first.text
    _forget_answer(desk, "trader", again)
    second = await desk.post(path, body, Role.TRADER, Idempotency_Key=again)
    assert (second.status_code, second.json()) == (201, first.json())
    assert len((await desk.get(path)).json()["items"]) == 2


async def test_of_people_who_allocate_at_once_one_does(desk: Desk) -> None:
    order_id = await closed(desk)
    asked = [spread(desk, order_id, "pro_rata", account("001", weight=1)) for _ in range(6)]
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {
        "ALLOCATION_MISMATCH"
    }
    assert len((await desk.get(f"/v1/orders/{order_id}/allocations")).json()["items"]) == 1


# -- account groups -------------------------------------------------------------------------------------------


async def grouped(desk: Desk, group_id: str | None, *members: Any, role: Role | str = Role.OPS) -> Any:
    body = {"group_id": group_id, "name": "A group", "members": members}
    return await desk.post("/v1/account-groups", body, role)


async def test_a_group_is_described_read_and_listed(desk: Desk) -> None:
    minted = await grouped(desk, None, account("001", weight="2"))
    assert minted.status_code == 201, minted.text
    group_id = minted.json()["group_id"]
    assert is_identifier(GROUP, group_id)
    assert minted.headers["location"] == f"/v1/account-groups/{group_id}"
    assert minted.json()["members"][0]["weight"] == "2"
    again = await grouped(desk, group_id, account("001"), account("002", minimum="5"))
    assert again.status_code == 200
    read = await desk.get(minted.headers["location"])
    assert read.json() == again.json()
    listed = (await desk.get("/v1/account-groups?limit=500")).json()["items"]
    assert again.json() in listed
    assert (await desk.get("/v1/account-groups/GRP-none")).json()["code"] == "GROUP_NOT_FOUND"
    assert (await grouped(desk, None, account("001"), role=Role.TRADER)).status_code == 403


async def test_the_same_request_describes_one_group(desk: Desk) -> None:
    body, again = {"name": "Once", "members": [account("001")]}, uuid.uuid4().hex
    first = await desk.post("/v1/account-groups", body, Role.OPS, Idempotency_Key=again)
    _forget_answer(desk, "ops", again)
    second = await desk.post("/v1/account-groups", body, Role.OPS, Idempotency_Key=again)
    assert second.json() == first.json()


async def test_a_group_of_groups_is_spread_down_to_its_accounts(desk: Desk) -> None:
    inner, outer = name("GRP"), name("GRP")
    await grouped(desk, inner, account("001", weight=3), account("002", weight=1))
    await grouped(desk, outer, {"group_id": inner})
    order_id = await closed(desk)
    made = await spread(desk, order_id, "hierarchy", {"group_id": outer, "weight": "1"})
    assert made.status_code == 201, made.text
    items = made.json()["items"]
    assert [(i["account_id"], i["quantity"]) for i in items] == [("ACCT-001", "75"), ("ACCT-002", "25")]
    assert items[0]["why"].startswith(f"{outer}: weight 1 of 1; {inner}: weight 1 of 1; weight 3 of 4")
    both = await spread(desk, order_id, "hierarchy", {"group_id": inner}, {"group_id": outer})
    refused(both, 422, "VALIDATION_FAILED", field="accounts", path=[outer, inner])


async def test_an_order_is_spread_over_five_hundred_accounts(desk: Desk) -> None:
    names = [name("ACCT") for _ in range(MAX_ACCOUNTS)]
    for one in names:
        desk.context.store.reference.put_account(
            Account(account_id=one, name="One of many", broker_account="DU001456")
        )
    members = [{"account_id": one, "portfolio_id": "PORT-001", "weight": n} for n, one in enumerate(names, 1)]
    many = (await grouped(desk, None, *members)).json()["group_id"]
    order_id = await executed_in_lots(desk, "0.000001")
    made = await spread(desk, order_id, "hierarchy", {"group_id": many})
    assert made.status_code == 201, made.text
    items = made.json()["items"]
    assert (len(items), sum(Decimal(item["quantity"]) for item in items)) == (MAX_ACCOUNTS, 100)
    assert sum(Decimal(item["principal"]) for item in items) == 15025
    assert sum(Decimal(item["commission"]) for item in items) == Decimal("1.05")
    more = await grouped(desk, None, {"group_id": many}, account("001"))
    crowded = await spread(desk, order_id, "hierarchy", {"group_id": more.json()["group_id"]})
    refused(crowded, 422, "VALIDATION_FAILED", field="accounts")


async def test_a_circle_is_refused_and_named(desk: Desk) -> None:
    inner, outer = name("GRP"), name("GRP")
    await grouped(desk, inner, account("001"))
    await grouped(desk, outer, {"group_id": inner})
    circle = await grouped(desk, inner, account("001"), {"group_id": outer})
    refused(circle, 422, "CIRCULAR_HIERARCHY", path=[inner, outer, inner])
    itself = await grouped(desk, inner, {"group_id": inner})
    refused(itself, 422, "CIRCULAR_HIERARCHY", path=[inner, inner])
    assert (await desk.get(f"/v1/account-groups/{inner}")).json()["members"][0]["account_id"] == "ACCT-001"


async def test_a_group_that_cannot_be(desk: Desk) -> None:
    refused(await grouped(desk, None, account("009")), 422, "INVALID_ACCOUNT")
    stranger = {**account("001"), "portfolio_id": "P-9"}
    refused(await grouped(desk, None, stranger), 422, "INVALID_PORTFOLIO")
    refused(await grouped(desk, None, {"group_id": "GRP-none"}), 404, "GROUP_NOT_FOUND")
    twice = await grouped(desk, None, account("001"), account("001"))
    refused(twice, 422, "VALIDATION_FAILED", field="members")
    refused(await grouped(desk, None), 422, "VALIDATION_FAILED", field="members")
    neither = await grouped(desk, None, {"weight": "1"})
    refused(neither, 422, "VALIDATION_FAILED", field="members.0")


async def test_a_key_sees_the_groups_whose_accounts_it_may_touch(desk: Desk) -> None:
    foreign, own = name("GRP"), name("GRP")
    await grouped(desk, foreign, account("001"))
    await grouped(desk, own, account("002"))
    assert (await desk.get(f"/v1/account-groups/{own}", "secret-by-account")).status_code == 200
    assert (await desk.get(f"/v1/account-groups/{foreign}", "secret-by-account")).status_code == 404
    listed = (await desk.get("/v1/account-groups?limit=500", "secret-by-account")).json()["items"]
    assert own in {g["group_id"] for g in listed}
    assert foreign not in {g["group_id"] for g in listed}
    overwritten = await grouped(desk, foreign, account("002"), role="secret-by-account")
    refused(overwritten, 404, "GROUP_NOT_FOUND")
    reached = await grouped(desk, None, {"group_id": foreign}, role="secret-by-account")
    refused(reached, 404, "GROUP_NOT_FOUND")
    beyond = await grouped(desk, None, account("001"), role="secret-by-account")
    refused(beyond, 422, "INVALID_ACCOUNT")
