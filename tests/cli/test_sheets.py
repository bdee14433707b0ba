"""Reading orders from files: pure, row by row."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.cli.sheets import Row, UnreadableFile, read_rows

HEAD = "portfolio_id,symbol,direction,ordered_quantity,order_type,time_in_force,limit_price,metadata.note"
GOOD = "PORT-001,AAPL,Buy,100,Limit,Day,150.25,"
BODY = {
    "portfolio_id": "PORT-001",
    "direction": "Buy",
    "ordered_quantity": "100",
    "order_type": "Limit",
    "time_in_force": "Day",
    "limit_price": "150.25",
    "instrument": {"symbol": "AAPL"},
}
FLAT = {**{k: v for k, v in BODY.items() if k != "instrument"}, "symbol": "AAPL"}


def rows(text: str | bytes, name: str = "orders.csv") -> list[Row]:
    return read_rows(name, text.encode() if isinstance(text, str) else text)


def unreadable(text: str | bytes, name: str = "orders.csv") -> str:
    with pytest.raises(UnreadableFile) as caught:
        rows(text, name)
    return str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        f"{HEAD}\n{GOOD}\n".encode(),
        f"{HEAD}\n{GOOD}".encode("utf-8-sig"),
        f"{HEAD}\r\n{GOOD}\r\n".encode(),
        f"{HEAD}\n{GOOD}\n".encode("utf-16"),
        f"{HEAD}\n{GOOD}\n".replace(",", ";").encode(),
        f"{HEAD}\n{GOOD}\n".replace(",", "\t").encode(),
        f"{HEAD.upper()}\n {GOOD.replace(',', ' , ')}\n".encode(),
    ],
    ids=["plain", "bom", "crlf", "utf-16", "semicolons", "tabs", "spaces and capitals"],
)
def test_csv_in_every_dress(content: bytes) -> None:
    assert rows(content) == [Row(2, BODY)]


def test_lines_are_those_of_the_file() -> None:
    text = f'# first\n\n{HEAD}\n{GOOD}\n# between "quotes, and commas\n,,,,,,,\n{GOOD}"a, ""b""\nc"\n{GOOD}\n'
    found = rows(text)
    assert [row.line for row in found] == [4, 7, 9]
    assert found[1].body == {**BODY, "metadata": {"note": 'a, "b"\nc'}}


def test_a_bad_row_stops_no_other() -> None:
    found = rows(f"{HEAD}\n{GOOD}\nPORT-001,AAPL,Buy\nPORT-001,,Buy,1,Market,Day,,\n{GOOD}\n")
    assert [(row.line, row.problem) for row in found] == [
        (2, ""),
        (3, "3 cells under 8 columns"),
        (4, "no symbol"),
        (5, ""),
    ]


def test_a_quote_that_never_closes_is_told_where_it_opens() -> None:
    found = rows(f'{HEAD}\n{GOOD}\n{GOOD}"open\n{GOOD}\n')
    assert [row.line for row in found] == [2, 3]
    assert "never closed" in found[1].problem


def test_the_header_is_judged_before_any_row() -> None:
    assert unreadable(f"{HEAD},colour\n{GOOD},red\n").startswith("line 1: unknown column 'colour'")
    assert unreadable(f"# x\n{HEAD},SYMBOL\n{GOOD},A\n") == "line 2: column 'symbol' is there twice"
    assert unreadable("portfolio_id,direction\nPORT-001,Buy\n").endswith(
        "no column ordered_quantity, order_type, time_in_force, symbol"
    )


@pytest.mark.parametrize(
    "content", [b"", b" \n\n", b"\xef\xbb\xbf", HEAD.encode(), b"# only\n# words\n", b"[]"]
)
def test_a_file_without_orders_is_an_error(content: bytes) -> None:
    assert unreadable(content, "-") in ("it is empty", "no orders in it")


def test_bytes_that_are_no_text() -> None:
    assert unreadable(f"{HEAD}\n{GOOD}Zürich\n".encode("latin-1")) == (
        "line 2 is not UTF-8 text; save the file as UTF-8"
    )
    assert "NUL" in unreadable(b"PK\x03\x04\0\0")


def test_objects_in_cells() -> None:
    head = f"{HEAD},route.venue,route"
    found = rows(f'{head}\n{GOOD}x,IBKR,"{{""strategy"": ""VWAP""}}"\n{GOOD},,[1]\n')
    assert found[0].body == {
        **BODY,
        "metadata": {"note": "x"},
        "route": {"venue": "IBKR", "strategy": "VWAP"},
    }
    assert found[1].problem == "route: '[1]' is not a JSON object"


def test_a_json_array_has_lines_and_keeps_every_digit() -> None:
    exact = json.dumps(FLAT).replace('"150.25"', "150.250000000000000001").replace('"100"', "100")
    found = rows(
        f'[\n  {exact},\n  {{"symbol": 1, "symbol": 2}},\n  7,\n  {json.dumps(FLAT)}\n]\n', "orders.json"
    )
    assert found[0] == Row(2, {**BODY, "limit_price": "150.250000000000000001"})
    assert [(row.line, row.problem) for row in found[1:]] == [
        (3, "'symbol' is there twice"),
        (4, "an order is a JSON object"),
        (5, ""),
    ]


def test_what_is_no_json_ends_an_array() -> None:
    found = rows(f"[\n{json.dumps(FLAT)},\n{{oops}},\n{json.dumps(FLAT)}]", "orders.json")
    assert [row.line for row in found] == [2, 3]
    assert "nothing after it was read" in found[1].problem
    assert rows(f"[{json.dumps(FLAT)}", "orders.json")[-1].problem


def test_json_lines_by_name_and_by_content() -> None:
    text = f'{json.dumps(FLAT)}\n\n{{"portfolio_id": 1}}\n{{oops\n{json.dumps({**FLAT, "colour": "red"})}\n'
    for name in ("orders.jsonl", "orders.ndjson", "-"):
        found = rows(text, name)
        assert [row.line for row in found] == [1, 3, 4, 5]
        assert found[0].body == BODY
        assert found[1].problem == "no direction, ordered_quantity, order_type, time_in_force, symbol"
        assert found[2].problem.startswith("not JSON: ")
        assert found[3].problem == "unknown field 'colour'"


def test_metadata_keeps_its_json_types() -> None:
    found = rows(json.dumps([{**FLAT, "metadata": {"a": 1.5, "b": [2, None], "c": True}}]), "orders.json")
    assert found[0].body == {**BODY, "metadata": {"a": 1.5, "b": [2, None], "c": True}}


def test_handling_in_columns_and_in_objects() -> None:
    bracket = {"bracket_id": "b-1", "role": "parent", "size": 2}
    head = f"{HEAD},handling.trail_amount,handling.outside_rth,handling.bracket"
    cell = json.dumps(bracket).replace('"', '""')
    found = rows(f'{head}\n{GOOD},0.50,true,\n{GOOD},,,"{cell}"\n{GOOD},,,b-1\n')
    assert found[0].body == {**BODY, "handling": {"trail_amount": "0.50", "outside_rth": "true"}}
    assert found[1].body == {**BODY, "handling": {"bracket": bracket}}
    assert found[2].problem == "handling.bracket: 'b-1' is not a JSON object"
    told = '{"trail_amount": 0.12345678901234567890, "outside_rth": true}'
    (exact,) = rows(json.dumps(FLAT)[:-1] + f', "handling": {told}}}', "orders.jsonl")
    assert exact.body == {**BODY, "handling": {"trail_amount": "0.12345678901234567890", "outside_rth": True}}


def test_an_instrument_is_named_once() -> None:
    found = rows(json.dumps([{**FLAT, "instrument_id": "INS-1"}]), "orders.json")
    assert found[0].problem == "give either instrument_id or symbol, and not both"


def test_ten_thousand_rows() -> None:
    found = rows(f"{HEAD}\n" + f"{GOOD}\n" * 10_000)
    assert (len(found), found[-1].line) == (10_000, 10_001)
    assert all(row.body for row in found)


def judge(content: bytes) -> None:
    """Any content is rows, each with a body or a problem, or one line that says why it is not."""
    for name in ("a.csv", "a.json", "a.jsonl", "-"):
        found, reason = [], ""
        try:
            found = read_rows(name, content)
        except UnreadableFile as error:
            reason = str(error)
        assert bool(found) != bool(reason)
        assert "\n" not in reason
        assert all((row.body is None) == bool(row.problem) for row in found)


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode(errors="surrogatepass")))
def test_any_bytes_are_rows_or_one_reason(content: bytes) -> None:
    judge(content)


@given(st.text(alphabet='[]{},":\n\\x1# ', max_size=120))
def test_any_punctuation_is_rows_or_one_reason(text: str) -> None:
    judge(text.encode())
    judge(f"{HEAD}\n{text}".encode())
