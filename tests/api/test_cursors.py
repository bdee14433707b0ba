"""Cursors: whatever a list did not write itself is refused, with the field, by every list there is."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from oms.domain.terms import Role
from oms.store.page import sealed, write_cursor
from tests.api.desk import Desk

LISTS = 15
"""There are at least so many; a list that lost its cursor would go unnoticed."""


def spelled(body: bytes) -> str:
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


FORGED = (
    "abc",
    "",
    "%F0%9F%98%80",
    spelled(b'["2026-03-02T12:00:00+00:00", "ORD-1"]'),
    spelled(b"at:5"),
    spelled(b"\x00" * 6 + b'["2026-03-02T12:00:00+00:00", "ORD-1"]'),
    sealed(b"at:-1"),
    sealed(b"at:99999999999999"),
    sealed(b"[]"),
    sealed(b'["soon", "x"]'),
    sealed(b'[7, "x"]'),
    sealed(b"\xff"),
)


async def lists(desk: Desk) -> list[str]:
    """The address of every list, about things that exist."""
    document = (await desk.client.get("/openapi.json")).json()
    rule = {
        "rule_type": "short_sale_ban",
        "name": "cursors",
        "parameters": {},
        "target_accounts": ["PORT-none"],
    }
    made = await desk.post("/v1/compliance/rules", rule, Role.ADMIN)
    known = {
        "order_id": (await desk.order())["order_id"],
        "rule_id": made.json().get("rule_id", "RUL-none"),
    }
    found = []
    for path, operations in document["paths"].items():
        taken: list[Any] = operations.get("get", {}).get("parameters", [])
        if any(parameter["name"] == "cursor" for parameter in taken):
            found.append(path.format(**known))
    assert len(found) >= LISTS
    return found


@pytest.mark.parametrize("cursor", FORGED)
async def test_a_forged_cursor_is_refused_by_every_list(desk: Desk, cursor: str) -> None:
    for path in await lists(desk):
        answer = await desk.get(f"{path}?cursor={cursor}", Role.ADMIN)
        told = (answer.status_code, answer.json().get("code"), answer.json().get("field"))
        assert told == (422, "VALIDATION_FAILED", "cursor"), (path, answer.text)


async def test_a_cursor_with_one_letter_changed_is_refused(desk: Desk) -> None:
    order_id = (await desk.order())["order_id"]
    await desk.command(order_id, "pre-trade-compliance/request")
    for path in ("/v1/orders", f"/v1/orders/{order_id}/journal"):
        cursor = (await desk.get(f"{path}?limit=1", Role.ADMIN)).json()["next_cursor"]
        assert (await desk.get(f"{path}?cursor={cursor}", Role.ADMIN)).status_code == 200
        for place in range(len(cursor)):
            other = "B" if cursor[place] == "A" else "A"
            changed = f"{cursor[:place]}{other}{cursor[place + 1 :]}"
            assert (await desk.get(f"{path}?cursor={changed}", Role.ADMIN)).status_code == 422, (path, place)


async def test_a_cursor_grants_nothing(desk: Desk) -> None:
    """One that another list or another key was given reads on in the reader's own list."""
    await desk.order()
    cursor = write_cursor(datetime(2100, 1, 1, tzinfo=UTC), "ORD-1")
    seen = (await desk.get(f"/v1/orders?cursor={cursor}&limit=500", "secret-second")).json()["items"]
    assert {order["portfolio_id"] for order in seen} <= {"PORT-002"}
