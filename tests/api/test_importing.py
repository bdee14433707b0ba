"""Reference data by the file: each line judged by itself, the same file twice, files that are none."""

import json
import uuid
from typing import Any

import httpx
import pytest

from oms.domain.terms import Role
from tests.api.desk import SECRETS, Desk

HEAD = "symbol,currency,sec_type,multiplier,tick_size,lot_size,expiry,issuer,sector,country,exchange"


async def send(
    desk: Desk, path: str, content: str | bytes, role: Role | str = Role.ADMIN, **headers: str
) -> httpx.Response:
    """POST a CSV file."""
    secret = SECRETS[role] if isinstance(role, Role) else role
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await desk.client.post(
        path,
        content=content,
        headers={"Authorization": f"Bearer {secret}", "Content-Type": "text/csv; charset=utf-8", **named},
    )


def mark() -> str:
    return uuid.uuid4().hex[:8].upper()


async def test_good_lines_are_kept_and_bad_ones_named(desk: Desk) -> None:
    one, two = f"S{mark()}", f"F{mark()}"
    file = (
        f"# our universe\n{HEAD}\n\n"
        f'{one},USD,STK,,0.005,100,,"Acme, Inc.",Technology,US,\n'
        f"{one},dollar,STK,,,,,,,,\n"
        f"{two},USD,FUT,50,0.25,1,,,,,CME\n"
        f"{two},USD,FUT,50,0.25,1,2027-03-19,,,,CME\n"
        f"short,USD\n"
    )
    answer = await send(desk, "/v1/instruments/import", file)
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert (report["accepted"], report["rejected"]) == (2, 3)
    assert [(line["line"], line["ok"]) for line in report["lines"]] == [
        (4, True),
        (5, False),
        (6, False),
        (7, True),
        (8, False),
    ]
    problems = [line["problem"] for line in report["lines"] if not line["ok"]]
    assert [problem["code"] for problem in problems] == ["VALIDATION_FAILED"] * 3
    assert [problem["field"] for problem in problems] == ["currency", "body", None]
    assert "expiry is required" in problems[1]["detail"]
    assert "2 cells under 11 columns" in problems[2]["detail"]
    stock = (await desk.get(f"/v1/instruments/{report['lines'][0]['id']}")).json()
    assert (stock["issuer"], stock["sector"], stock["country"]) == ("Acme, Inc.", "Technology", "US")
    assert (stock["tick_size"], stock["lot_size"], stock["exchange"]) == ("0.005", "100", "SMART")
    future = (await desk.get(f"/v1/instruments/{report['lines'][3]['id']}")).json()
    assert (future["multiplier"], future["expiry"], future["exchange"]) == ("50", "2027-03-19", "CME")


async def test_the_same_file_again_changes_nothing(desk: Desk) -> None:
    name = mark()
    account = [
        {"account_id": f"A-{name}", "name": "Main", "broker_account": f"DU{name}", "custodian": "BANK"}
    ]
    fund = [
        {
            "portfolio_id": f"P-{name}",
            "name": "Fund",
            "default_account_id": f"A-{name}",
            "net_asset_value": "1e6",
        }
    ]
    stock = [{"symbol": f"S{name}", "currency": "EUR", "sector": "Energy"}]
    price = [{"symbol": f"S{name}", "price": "12.5", "as_of": "2026-03-02T15:00:00Z"}]

    async def all_of_it() -> list[Any]:
        reports = []
        for kind, file in (
            ("accounts", account),
            ("portfolios", fund),
            ("instruments", stock),
            ("prices", price),
        ):
            answer = await desk.post(f"/v1/{kind}/import", file, Role.OPS)
            assert (answer.status_code, answer.json()["rejected"]) == (200, 0), answer.text
            reports.append(answer.json())
        reads = [f"/v1/accounts/A-{name}", f"/v1/portfolios/P-{name}", f"/v1/instruments?symbol=S{name}"]
        return reports + [(await desk.get(path)).json() for path in reads]

    first = await all_of_it()
    assert await all_of_it() == first
    assert len(first[-1]["items"]) == 1
    assert first[4]["custodian"] == "BANK"
    assert first[5]["net_asset_value"] == "1000000"
    kept = desk.context.store.reference.price(first[2]["lines"][0]["id"])
    assert kept is not None
    assert str(kept.price) == "12.5"


@pytest.mark.parametrize(
    "encoded",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace(",", ";").encode(),
        lambda text: text.upper().replace("USD", "USD").encode(),
    ],
    ids=["bom", "utf-16", "crlf", "semicolons", "capitals"],
)
async def test_csv_in_every_dress(desk: Desk, encoded: Any) -> None:
    symbol = f"S{mark()}"
    answer = await send(desk, "/v1/instruments/import", encoded(f"symbol,currency\n\n{symbol},USD\n"))
    assert (answer.status_code, answer.json()["accepted"]) == (200, 1), answer.text
    assert answer.json()["lines"][0]["line"] == 3
    assert len((await desk.get(f"/v1/instruments?symbol={symbol}")).json()["items"]) == 1


@pytest.mark.parametrize(
    ("content", "field", "told"),
    [
        ("symbol,curency\nA,USD\n", "curency", "unknown column 'curency'"),
        ("currency\nUSD\n", "symbol", "no column symbol"),
        ("symbol,symbol\nA,A\n", "symbol", "is there twice"),
        ("", "body", None),
        ("symbol\n", "body", "no line"),
        ("\n\n", "body", "empty"),
        (b"symbol\n\xff\xfe\xfa\n", "body", "save the file as UTF-8"),
        ("symbol\nA\0B\n", "body", "NUL"),
        ('"symbol\nA\n', "body", "never closed"),
    ],
)
async def test_a_file_that_is_none_is_refused_once(
    desk: Desk, content: str | bytes, field: str, told: str | None
) -> None:
    answer = await send(desk, "/v1/instruments/import", content)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (
        422,
        "VALIDATION_FAILED",
        field,
    )
    assert told is None or told in answer.json()["detail"]


@pytest.mark.parametrize("body", [{}, {"symbol": "A"}, "symbol\nA\U0001f600", 7, None, []])
async def test_json_that_is_no_array_of_lines(desk: Desk, body: Any) -> None:
    answer = await desk.post("/v1/instruments/import", body, Role.ADMIN)
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED"), answer.text


async def test_json_items_are_judged_one_by_one(desk: Desk) -> None:
    symbol = f"S{mark()}"
    items = [7, {"symbol": symbol, "tick_size": 0.25}, {"symbol": symbol, "colour": "red"}, {"symbol": ""}]
    answer = await desk.post("/v1/instruments/import", items, Role.ADMIN)
    assert [(line["line"], line["ok"]) for line in answer.json()["lines"]] == [
        (1, False),
        (2, True),
        (3, False),
        (4, False),
    ]
    fields = [line["problem"]["field"] for line in answer.json()["lines"] if not line["ok"]]
    assert fields == ["body", "colour", "symbol"]


async def test_what_a_line_refers_to_must_be_there_and_in_reach(desk: Desk) -> None:
    name = mark()
    lines = [
        {"portfolio_id": f"P-{name}", "name": "x", "default_account_id": "ACCT-none"},
        {"portfolio_id": "PORT-001", "name": "x", "default_account_id": "ACCT-001"},
    ]
    told = (await desk.post("/v1/portfolios/import", lines, "secret-by-account")).json()["lines"]
    assert [(line["ok"], line["problem"]["code"]) for line in told] == [
        (False, "INVALID_PORTFOLIO"),
        (False, "INVALID_PORTFOLIO"),
    ]
    told = (await desk.post("/v1/portfolios/import", lines[:1], Role.ADMIN)).json()["lines"]
    assert told[0]["problem"]["code"] == "INVALID_ACCOUNT"
    assert told[0]["problem"]["field"] == "default_account_id"
    prices = [
        {"symbol": f"S{name}", "price": "1"},
        {"price": "1"},
        {"instrument_id": "INS-none", "price": "1"},
    ]
    told = (await desk.post("/v1/prices/import", prices, Role.ADMIN)).json()["lines"]
    assert [line["problem"]["code"] for line in told] == [
        "INVALID_INSTRUMENT",
        "VALIDATION_FAILED",
        "INVALID_INSTRUMENT",
    ]


async def test_an_id_of_another_instrument(desk: Desk) -> None:
    lines = [{"symbol": f"S{mark()}", "instrument_id": desk.instrument_id}]
    told = (await desk.post("/v1/instruments/import", lines, Role.ADMIN)).json()["lines"]
    assert (told[0]["ok"], told[0]["problem"]["field"]) == (False, "instrument_id")


@pytest.mark.parametrize(
    ("kind", "role"), [("instruments", Role.VIEWER), ("accounts", Role.TRADER), ("portfolios", Role.VIEWER)]
)
async def test_who_may_import(desk: Desk, kind: str, role: Role) -> None:
    answer = await send(desk, f"/v1/{kind}/import", "name\nx\n", role)
    assert (answer.status_code, answer.json()["code"]) == (403, "NOT_AUTHORIZED")
    assert (await send(desk, f"/v1/{kind}/import", "name\nx\n", "no-such-key")).status_code == 401


async def test_files_that_are_too_long(desk: Desk) -> None:
    many = "symbol\n" + "A\n" * 10_001
    answer = await send(desk, "/v1/instruments/import", many)
    assert (answer.status_code, answer.json()["code"], answer.json()["limit"]) == (
        413,
        "PAYLOAD_TOO_LARGE",
        10_000,
    )
    answer = await send(desk, "/v1/instruments/import", "symbol\n" + "A" * 3_000_000)
    assert (answer.status_code, answer.json()["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_file_under_a_key_is_read_once(desk: Desk) -> None:
    key, symbol = uuid.uuid4().hex, f"S{mark()}"
    file = f"symbol\n{symbol}\n"
    first = await send(desk, "/v1/instruments/import", file, idempotency_key=key)
    again = await send(desk, "/v1/instruments/import", file, idempotency_key=key)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json()
    other = await send(desk, "/v1/instruments/import", f"{file}MORE\n", idempotency_key=key)
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_CONFLICT")


async def test_csv_is_taken_by_imports_alone(desk: Desk) -> None:
    answer = await send(desk, "/v1/instruments", "symbol\nA\n")
    assert (answer.status_code, answer.json()["code"]) == (400, "MALFORMED")
    plain = await desk.client.post(
        "/v1/instruments/import",
        content="symbol\nA\n",
        headers={"X-API-Key": SECRETS[Role.ADMIN], "Content-Type": "text/plain"},
    )
    assert (plain.status_code, plain.json()["code"]) == (400, "MALFORMED")


async def test_the_document_shows_both_ways(desk: Desk) -> None:
    document = (await desk.client.get("/openapi.json")).json()
    for kind in ("instruments", "portfolios", "accounts", "prices"):
        content = document["paths"][f"/v1/{kind}/import"]["post"]["requestBody"]["content"]
        assert set(content) == {"text/csv", "application/json"}, kind
        assert content["application/json"]["schema"]["type"] == "array"
        assert "$ref" in content["application/json"]["schema"]["items"]
    assert json.dumps(document)
