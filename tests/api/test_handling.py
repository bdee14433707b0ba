"""What a venue is told beside type, price and time: taken, shown, and refused with the field that is wrong."""

from typing import Any

import pytest

from oms.domain.terms import Role
from tests.api.desk import Desk
from tests.api.test_bad_input import refused

PLAIN: dict[str, Any] = {
    "trail_amount": None,
    "trail_percent": None,
    "limit_offset": None,
    "outside_rth": False,
    "good_after": None,
    "send_by": None,
    "oca_group": None,
    "oca_type": "cancel",
    "bracket": None,
    "adjustment": None,
}
CHILD = {"bracket_id": "b-1", "role": "child", "size": 3}
STOP = {"order_type": "Stop", "limit_price": None, "stop_price": "140"}
TRAILS_LATER = {"trigger_price": "160", "stop_price": None, "trail_amount": "1.5", "trail_percent": None}


async def test_an_order_without_handling_has_a_plain_one(desk: Desk) -> None:
    assert (await desk.order())["handling"] == PLAIN


@pytest.mark.parametrize(
    ("terms", "handling", "shown"),
    [
        (
            {"order_type": "TrailingStop", "limit_price": None, "stop_price": "140"},
            {"trail_percent": "1.50"},
            {"trail_percent": "1.5"},
        ),
        (
            {"order_type": "TrailingStopLimit", "limit_price": None},
            {"trail_amount": "0.5", "limit_offset": "0.10"},
            {"trail_amount": "0.5", "limit_offset": "0.1"},
        ),
        ({"order_type": "MidPrice"}, {}, {}),
        ({"order_type": "MidPrice", "limit_price": None}, {"outside_rth": False}, {}),
        (
            {},
            {"good_after": "2030-01-02T09:30:00-05:00", "outside_rth": True},
            {"good_after": "2030-01-02T14:30:00Z", "outside_rth": True},
        ),
        ({}, {"oca_group": "pairs", "oca_type": "reduce"}, {"oca_group": "pairs", "oca_type": "reduce"}),
        ({}, {"bracket": CHILD}, {"bracket": CHILD}),
        ({}, {"bracket": CHILD, "oca_group": "exits"}, {"bracket": CHILD, "oca_group": "exits"}),
        ({}, {"send_by": "2030-01-02T09:30:00-05:00"}, {"send_by": "2030-01-02T14:30:00Z"}),
        (
            STOP,
            {"adjustment": {"trigger_price": "160.00", "trail_amount": "1.50"}},
            {"adjustment": TRAILS_LATER},
        ),
    ],
)
async def test_handling_is_kept_and_shown(
    desk: Desk, terms: dict[str, Any], handling: dict[str, Any], shown: dict[str, Any]
) -> None:
    order = await desk.order(**terms, handling=handling)
    assert order["handling"] == {**PLAIN, **shown}
    read = (await desk.get(f"/v1/orders/{order['order_id']}")).json()
    assert read["handling"] == order["handling"]


@pytest.mark.parametrize(
    ("terms", "code", "field"),
    [
        ({"order_type": "TrailingStop", "limit_price": None}, "INVALID_ORDER_TYPE", "handling.trail_amount"),
        ({"handling": {"trail_percent": "2"}}, "INVALID_ORDER_TYPE", "handling.trail_percent"),
        ({"handling": {"limit_offset": "2"}}, "INVALID_ORDER_TYPE", "handling.limit_offset"),
        (
            {
                "order_type": "TrailingStopLimit",
                "limit_price": None,
                "handling": {"trail_amount": "1"},
            },
            "INVALID_ORDER_TYPE",
            "handling.limit_offset",
        ),
        ({"order_type": "TrailingStop"}, "INVALID_ORDER_TYPE", "limit_price"),
        ({"order_type": "MidPrice", "stop_price": "1"}, "INVALID_ORDER_TYPE", "stop_price"),
        ({"handling": {"trail_amount": "1", "trail_percent": "1"}}, "VALIDATION_FAILED", "handling"),
        ({"handling": {"trail_percent": "100"}}, "VALIDATION_FAILED", "handling.trail_percent"),
        ({"handling": {"trail_amount": "0"}}, "VALIDATION_FAILED", "handling.trail_amount"),
        ({"handling": {"good_after": "2030-01-02T09:30:00"}}, "VALIDATION_FAILED", "handling.good_after"),
        (
            {"handling": {"good_after": "0001-01-01T00:00:00+12:00"}},
            "VALIDATION_FAILED",
            "handling.good_after",
        ),
        ({"handling": {"oca_group": "x" * 33}}, "VALIDATION_FAILED", "handling.oca_group"),
        ({"handling": {"oca_type": "all"}}, "VALIDATION_FAILED", "handling.oca_type"),
        (
            {"handling": {"oca_group": "g", "bracket": {**CHILD, "role": "parent"}}},
            "VALIDATION_FAILED",
            "handling",
        ),
        ({"handling": {"send_by": "2030-01-02T09:30:00"}}, "VALIDATION_FAILED", "handling.send_by"),
        ({"handling": {"adjustment": TRAILS_LATER}}, "INVALID_ORDER_TYPE", "handling.adjustment"),
        (
            {**STOP, "handling": {"adjustment": {"trigger_price": "160"}}},
            "VALIDATION_FAILED",
            "handling.adjustment",
        ),
        (
            {**STOP, "handling": {"adjustment": {**TRAILS_LATER, "trigger_price": "0"}}},
            "VALIDATION_FAILED",
            "handling.adjustment.trigger_price",
        ),
        ({"handling": {"bracket": {**CHILD, "size": 1}}}, "VALIDATION_FAILED", "handling.bracket.size"),
        ({"handling": {"bracket": {**CHILD, "role": "twin"}}}, "VALIDATION_FAILED", "handling.bracket.role"),
        (
            {
                "time_in_force": "GTD",
                "expires_at": "2030-01-01T00:00:00Z",
                "handling": {"good_after": "2030-01-01T00:00:00Z"},
            },
            "VALIDATION_FAILED",
            "handling.good_after",
        ),
        ({"handling": {"iceberg": "1"}}, "VALIDATION_FAILED", "handling.iceberg"),
        ({"handling": None}, "VALIDATION_FAILED", "handling"),
    ],
)
async def test_what_does_not_fit_is_refused_with_its_field(
    desk: Desk, terms: dict[str, Any], code: str, field: str
) -> None:
    given = {**desk.terms(), **terms}
    body = {name: value for name, value in given.items() if value is not None or name == "handling"}
    refused(await desk.post("/v1/orders", body), 422, code, field)


async def sent(desk: Desk, **terms: Any) -> str:
    """The id of an order that the desk has."""
    order_id = str((await desk.order(**terms))["order_id"])
    await desk.command(order_id, "pre-trade-compliance/request")
    await desk.command(order_id, "pre-trade-compliance/pass", Role.COMPLIANCE)
    await desk.command(order_id, "send-to-trader")
    return order_id


async def test_a_placement_has_its_own_handling_or_the_orders(desk: Desk) -> None:
    order_id = await sent(desk, handling={"outside_rth": True})
    path = f"/v1/orders/{order_id}/placements"
    body: dict[str, Any] = {"venue": "IBKR", "quantity": "10"}
    inherited = (await desk.post(path, body, Role.TRADER)).json()
    assert inherited["handling"] == {**PLAIN, "outside_rth": True}
    assert (inherited["revision"], inherited["change"], inherited["roundings"]) == (0, None, [])
    own = {**body, "order_type": "TrailingStopLimit", "handling": {"trail_amount": "1", "limit_offset": "1"}}
    refusal = await desk.post(path, {**own, "handling": {"trail_amount": "1"}}, Role.TRADER)
    assert (refusal.status_code, refusal.json()["code"]) == (422, "INVALID_ORDER_TYPE"), refusal.text
    unknown = await desk.post(path, {**own, "handling": {"colour": "red"}}, Role.TRADER)
    refused(unknown, 422, "VALIDATION_FAILED", "handling.colour")


async def test_a_strategy_is_refused_before_anything_is_sent(desk: Desk) -> None:
    order_id = await sent(desk)
    path = f"/v1/orders/{order_id}/placements"
    body = {"venue": "IBKR", "quantity": "10", "strategy": "VWAP"}
    for asked in (
        {**body, "strategy": "Sniper"},
        {**body, "params": {"max_percent": "200"}},
        {**body, "params": {"colour": "red"}},
    ):
        answer = await desk.post(path, asked, Role.TRADER)
        assert answer.status_code == 422, answer.text
        assert answer.json()["code"] in ("UNSUPPORTED_BY_VENUE", "VALIDATION_FAILED")
    placed = await desk.post(path, {**body, "params": {"max_percent": "10"}}, Role.TRADER)
    assert (placed.status_code, placed.json()["params"]) == (201, {"max_percent": "10"}), placed.text
