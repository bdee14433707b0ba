"""Bad input is refused with one clear problem, and is never a 500."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from oms.domain.terms import Role
from tests.api.desk import Desk

HEADERS = {"X-API-Key": "secret-pm", "Content-Type": "application/json"}


def refused(answer: Any, status: int, code: str, field: str | None = None) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), answer.text
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["type"].endswith(code.lower())
    assert problem["title"]
    assert problem["detail"]
    if field is not None:
        assert problem["field"] == field, answer.text
    return problem


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"instrument_id": "INS-nobody"}, "INVALID_INSTRUMENT", None),
        ({"instrument_id": None, "instrument": {"symbol": "NOPE"}}, "INVALID_INSTRUMENT", None),
        (
            {"instrument_id": None, "instrument": {"symbol": "AAPL", "mic": "XLON"}},
            "INVALID_INSTRUMENT",
            None,
        ),
        ({"instrument_id": None}, "VALIDATION_FAILED", "instrument_id"),
        ({"instrument": {"symbol": "AAPL"}}, "VALIDATION_FAILED", "instrument_id"),
        ({"portfolio_id": "PORT-404"}, "INVALID_PORTFOLIO", None),
        ({"ordered_quantity": "0"}, "VALIDATION_FAILED", "ordered_quantity"),
        ({"ordered_quantity": -5}, "VALIDATION_FAILED", "ordered_quantity"),
        ({"ordered_quantity": "NaN"}, "VALIDATION_FAILED", "ordered_quantity"),
        ({"ordered_quantity": "Infinity"}, "VALIDATION_FAILED", "ordered_quantity"),
        ({"ordered_quantity": True}, "VALIDATION_FAILED", "ordered_quantity"),
        ({"ordered_quantity": "ten"}, "VALIDATION_FAILED", "ordered_quantity"),
        ({"ordered_quantity": "1e9999999"}, "VALIDATION_FAILED", None),
        ({"ordered_quantity": "1e-9999999"}, "VALIDATION_FAILED", None),
        ({"ordered_quantity": "1_000"}, "VALIDATION_FAILED", "ordered_quantity"),
        ({"ordered_quantity": ["1"]}, "VALIDATION_FAILED", "ordered_quantity"),
        ({"limit_price": "0.1234567890123456789"}, "VALIDATION_FAILED", "limit_price"),
        ({"limit_price": None}, "INVALID_ORDER_TYPE", "limit_price"),
        ({"order_type": "Market"}, "INVALID_ORDER_TYPE", "limit_price"),
        ({"order_type": "Stop", "limit_price": None}, "INVALID_ORDER_TYPE", "stop_price"),
        ({"order_type": "Iceberg"}, "VALIDATION_FAILED", "order_type"),
        ({"direction": "buy"}, "VALIDATION_FAILED", "direction"),
        ({"time_in_force": "GTD"}, "VALIDATION_FAILED", "expires_at"),
        ({"time_in_force": "GTD", "expires_at": "2020-01-01T00:00:00Z"}, "VALIDATION_FAILED", "expires_at"),
        (
            {"time_in_force": "GTD", "expires_at": "9999-12-31T23:59:59-12:00"},
            "VALIDATION_FAILED",
            "expires_at",
        ),
        ({"time_in_force": "GTD", "expires_at": "2030-01-01T00:00:00"}, "VALIDATION_FAILED", "expires_at"),
        ({"route": {"venue": "NYSE"}}, "INVALID_VENUE", None),
        ({"route": {"venue": "IBKR", "account": "DU404"}}, "INVALID_ACCOUNT", None),
        ({"route": {}}, "VALIDATION_FAILED", "route.venue"),
        ({"route": {"venue": "IBKR", "params": {"a": 1}}}, "VALIDATION_FAILED", "route.params.a"),
        ({"client_order_id": "ümlaut"}, "VALIDATION_FAILED", "client_order_id"),
        ({"client_order_id": ""}, "VALIDATION_FAILED", "client_order_id"),
        ({"compliance": "none"}, "VALIDATION_FAILED", "compliance"),
        (
            {"metadata": {"k": list(range(60)), **{str(n): n for n in range(60)}}},
            "VALIDATION_FAILED",
            "metadata",
        ),
        ({"colour": "red"}, "VALIDATION_FAILED", "colour"),
        ({"kind": "create"}, "VALIDATION_FAILED", "kind"),
    ],
)
async def test_an_order_that_cannot_be(
    desk: Desk, changes: dict[str, Any], code: str, field: str | None
) -> None:
    answer = await desk.post("/v1/orders", desk.terms(**changes))
    refused(answer, 422, code, field)


async def test_the_message_names_the_field_and_the_limit(desk: Desk) -> None:
    answer = await desk.post("/v1/orders", desk.terms(ordered_quantity="0.1234567890123456789"))
    problem = refused(answer, 422, "VALIDATION_FAILED", "ordered_quantity")
    assert "19 decimal places" in problem["detail"]
    assert problem["detail"].count("\n") == 0


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "",
        "not json",
        '{"ordered_quantity": NaN}',
        '{"ordered_quantity": -Infinity}',
        '{"ordered_quantity": 0.' + "1" * 300 + "}",
        '{"ordered_quantity": ' + "9" * 5000 + "}",
        '{"metadata": {"a": "\\ud800"}}',
        '{"metadata": ' + "[" * 60 + "]" * 60 + "}",
        '{"metadata": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
)
async def test_a_body_that_cannot_be_read(desk: Desk, text: str) -> None:
    answer = await desk.client.post("/v1/orders", content=text, headers=HEADERS)
    refused(answer, 422 if text == "" else 400, "VALIDATION_FAILED" if text == "" else "MALFORMED")


async def test_a_body_that_cannot_be_read_is_told_why(desk: Desk) -> None:
    for text, why in (
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": }', "line 1, column 7"),
        ("[" * 50 + "]" * 50, "deeper than 40 levels"),
    ):
        answer = await desk.client.post("/v1/orders", content=text, headers=HEADERS)
        assert why in refused(answer, 400, "MALFORMED")["detail"]


@pytest.mark.parametrize("text", ["null", "[]", '"order"', "5", "true"])
async def test_a_body_of_the_wrong_shape(desk: Desk, text: str) -> None:
    refused(await desk.client.post("/v1/orders", content=text, headers=HEADERS), 422, "VALIDATION_FAILED")


async def test_bytes_that_are_no_text_and_types_that_are_no_json(desk: Desk) -> None:
    body = json.dumps(desk.terms()).encode()
    refused(await desk.client.post("/v1/orders", content=b"\xff\xfe{}", headers=HEADERS), 400, "MALFORMED")
    for media in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "nonsense",
        "multipart/form-data; boundary=x",
    ):
        headers = {**HEADERS, "Content-Type": media}
        refused(await desk.client.post("/v1/orders", content=body, headers=headers), 400, "MALFORMED")
    unsaid = await desk.client.post("/v1/orders", content=body, headers={"X-API-Key": "secret-pm"})
    assert unsaid.status_code == 201


async def test_metadata_numbers_are_kept_or_refused(desk: Desk) -> None:
    terms = json.dumps(desk.terms(metadata={"x": "N"}))
    exact = await desk.client.post("/v1/orders", content=terms.replace('"N"', "1.25"), headers=HEADERS)
    assert exact.json()["metadata"] == {"x": 1.25}
    for number in ("0.12345678901234567891", "1e400"):
        lost = await desk.client.post("/v1/orders", content=terms.replace('"N"', number), headers=HEADERS)
        refused(lost, 422, "VALIDATION_FAILED", "metadata")


async def test_paths_and_methods_that_do_not_exist(desk: Desk) -> None:
    for path in ("/", "/v1", "/v1/nothing", "/v1/orders/", "/docs", "/redoc", "/v1/orders/a/b/c"):
        refused(await desk.get(path), 404, "PATH_NOT_FOUND")
    answer = await desk.ask(Role.PM, "DELETE", "/v1/orders")
    refused(answer, 405, "METHOD_NOT_ALLOWED")
    assert "GET" in answer.headers["allow"]
    refused(await desk.ask(Role.PM, "PUT", "/v1/orders/x"), 405, "METHOD_NOT_ALLOWED")


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/v1/orders/ORD-none", "ORDER_NOT_FOUND"),
        ("PATCH", "/v1/orders/ORD-none", "ORDER_NOT_FOUND"),
        ("POST", "/v1/orders/ORD-none/cancel", "ORDER_NOT_FOUND"),
        ("POST", "/v1/orders/ORD-none/pre-trade-compliance/pass", "ORDER_NOT_FOUND"),
        ("GET", "/v1/orders/ORD-none/fills", "ORDER_NOT_FOUND"),
        ("GET", "/v1/orders/ORD-none/journal", "ORDER_NOT_FOUND"),
        ("GET", "/v1/orders/ORD-none/placements", "ORDER_NOT_FOUND"),
        ("GET", "/v1/orders/ORD-none/allocations", "ORDER_NOT_FOUND"),
        ("GET", "/v1/placements/PLC-none", "PLACEMENT_NOT_FOUND"),
        ("POST", "/v1/placements/PLC-none/cancel", "PLACEMENT_NOT_FOUND"),
        ("GET", "/v1/allocations/ALC-none", "ALLOCATION_NOT_FOUND"),
        ("GET", "/v1/instruments/INS-none", "INSTRUMENT_NOT_FOUND"),
        ("GET", "/v1/portfolios/PORT-none", "PORTFOLIO_NOT_FOUND"),
        ("GET", "/v1/accounts/ACCT-none", "ACCOUNT_NOT_FOUND"),
    ],
)
async def test_ids_that_nothing_has(desk: Desk, method: str, path: str, code: str) -> None:
    body = {"limit_price": "1"} if method == "PATCH" else None
    role = Role.COMPLIANCE if path.endswith("pass") else Role.PM
    refused(await desk.ask(role, method, path, body), 404, code)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=x",
        "offset=-1",
        f"offset={10**30}",
        "cursor=abc",
        "cursor=%F0%9F%98%80",
        "cursor=",
        "state=OPEN",
        "direction=buy",
        "created_after=yesterday",
        "created_after=0001-01-01T00:00:00%2B14:00",
        "portfolio_id=",
        "portfolio_id=%00",
    ],
)
async def test_queries_that_make_no_sense(desk: Desk, query: str) -> None:
    refused(await desk.get(f"/v1/orders?{query}"), 422, "VALIDATION_FAILED")


async def test_strange_ids_are_no_defect(desk: Desk) -> None:
    for order_id in ("%00", "%F0%9F%98%80", "a" * 5000, "%FF", "..%2f..", "'%20OR%201=1"):
        for path in (f"/v1/orders/{order_id}", f"/v1/placements/{order_id}", f"/v1/accounts/{order_id}"):
            assert (await desk.get(path)).status_code in (404, 422)
        assert (await desk.post(f"/v1/orders/{order_id}/cancel")).status_code in (404, 422)


async def test_a_body_above_the_limit(desk: Desk) -> None:
    refused(await desk.post("/v1/orders", {"x": "y" * 3_000_000}), 413, "PAYLOAD_TOO_LARGE")
    refused(await desk.post("/v1/orders/ORD-none/close", {"x": "y" * 3_000_000}), 413, "PAYLOAD_TOO_LARGE")

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 100_000

    refused(await desk.client.post("/v1/orders", content=chunks(), headers=HEADERS), 413, "PAYLOAD_TOO_LARGE")


async def test_what_an_order_could_not_carry(desk: Desk) -> None:
    answer = await desk.post("/v1/orders", desk.terms(metadata={"long": "y" * 500_000}))
    problem = refused(answer, 413, "PAYLOAD_TOO_LARGE")
    assert problem["actual"] > problem["limit"]


async def test_commands_without_a_body_take_none_or_an_empty_one(desk: Desk) -> None:
    order_id = (await desk.order())["order_id"]
    path = f"/v1/orders/{order_id}/pre-trade-compliance/request"
    refused(await desk.post(path, {"surprise": 1}), 422, "VALIDATION_FAILED", "surprise")
    assert (await desk.post(path, {})).status_code == 200


async def test_the_wrong_state_names_the_state_and_the_allowed_ones(desk: Desk) -> None:
    order_id = (await desk.order())["order_id"]
    problem = refused(await desk.post(f"/v1/orders/{order_id}/send-to-trader"), 409, "INVALID_STATE")
    assert problem["state"] == "CREATED"
    assert problem["allowed"] == ["PRE_TRADE_COMPLIANCE_PASSED"]


async def test_an_exception_code_that_does_not_exist(desk: Desk) -> None:
    order_id = (await desk.order())["order_id"]
    path = f"/v1/orders/{order_id}/exceptions"
    refused(await desk.post(f"{path}/NONSENSE/resolve", {"reason": "r"}, Role.OPS), 422, "VALIDATION_FAILED")
    refused(
        await desk.post(f"{path}/OVERFILL/resolve", {"reason": "r"}, Role.OPS), 404, "EXCEPTION_NOT_FOUND"
    )


async def test_a_last_event_id_that_is_none(desk: Desk) -> None:
    for given in ("x", "-1", "1.5", "9" * 30):
        refused(await desk.get("/v1/stream", Last_Event_ID=given), 400, "MALFORMED")
    refused(await desk.get("/v1/stream?after=x"), 422, "VALIDATION_FAILED")
