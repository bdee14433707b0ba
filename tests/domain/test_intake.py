"""What programs send: the printed example is taken, and every unknown field and bad value is refused by its path."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.domain.errors import Code, Refused
from oms.domain.programs.envelopes import CommandKind
from oms.domain.programs.exact import read_exactly
from oms.domain.programs.intake import (
    MAX_ORDERS,
    ExitPolicy,
    Flatten,
    Ping,
    SubmitOrders,
    payload,
)
from oms.domain.programs.times import instant
from oms.domain.terms import SecType

SAMPLE = read_exactly(
    '{"asof": null, "orders": [{"contract": {"secType": "FUT", "symbol": "ES", '
    '"lastTradeDateOrContractMonth": "202503", "exchange": "SMART", "currency": "USD"}, '
    '"order": {"action": "BUY", "totalQuantity": 1, "orderType": "MKT", "tif": "DAY", "outsideRth": true}, '
    '"bracket": null, "runner": null, "refs": {"case": "demo", "strategy": "nts-demo"}, '
    '"exit_policy": "bracket"}], "tenant": "nts", "idem_hint": null, "dry_run": false}'
)
BRACKET = {"takeProfitPrice": 110, "stopLossPrice": 90}
RUNNER = {"quantity": 1, "trailAmount": 2}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The sample with the value at `path` another one."""
    body: dict[str, Any] = copy.deepcopy(SAMPLE)
    *way, last = path.split(".")
    part: Any = body
    for step in way:
        part = part[int(step)] if isinstance(part, list) else part[step]
    part[last] = value
    return body


def submitted(body: dict[str, Any]) -> SubmitOrders:
    made = payload(CommandKind.SUBMIT, body)
    assert isinstance(made, SubmitOrders)
    return made


def refusal(kind: CommandKind, body: dict[str, Any]) -> Refused:
    with pytest.raises(Refused) as told:
        payload(kind, body)
    assert told.value.code is Code.VALIDATION_FAILED
    return told.value


# -- what is taken -----------------------------------------------------------------------------------


def test_the_printed_example_is_taken() -> None:
    made = submitted(SAMPLE)
    (one,) = made.orders
    assert (one.contract.symbol, one.contract.sec_type, one.order.total_quantity) == ("ES", SecType.FUTURE, 1)
    assert one.refs == {"case": "demo", "strategy": "nts-demo"}
    assert (made.tenant, made.dry_run, one.exit_policy) == ("nts", False, ExitPolicy.BRACKET)


def test_what_is_left_out_has_the_documented_defaults() -> None:
    least = {
        "orders": [
            {"contract": {"symbol": "ES", "conId": 1}, "order": {"action": "SELL", "totalQuantity": 2}}
        ]
    }
    made = submitted(least)
    (one,) = made.orders
    assert (made.asof, made.tenant, made.idem_hint, made.dry_run) == (None, "nts", None, False)
    assert one.contract.model_dump(exclude={"symbol", "con_id"}, exclude_none=True) == {
        "secType": "FUT",
        "exchange": "SMART",
        "currency": "USD",
    }
    assert (one.order.order_type, one.order.tif, one.order.outside_rth) == ("MKT", "DAY", False)
    assert (one.bracket, one.runner, one.refs, one.exit_policy) == (None, None, {}, ExitPolicy.BRACKET)
    flat = payload(CommandKind.FLATTEN, {})
    assert isinstance(flat, Flatten)
    assert flat.model_dump(mode="json") == {
        "account": None,
        "sec_types": ["FUT"],
        "exclude": [],
        "cancel_open_first": True,
        "wait_seconds": 30,
        "tenant": "nts",
        "idem_hint": None,
        "dry_run": False,
    }
    assert payload(CommandKind.PING, {}) == Ping(echo="")


def test_numbers_keep_their_digits() -> None:
    body = changed("orders.0.order.orderType", "LMT")
    body["orders"][0]["order"]["lmtPrice"] = Decimal("187.500000000000000001")
    assert submitted(body).orders[0].order.lmt_price == Decimal("187.500000000000000001")
    whole = changed("orders.0.order.totalQuantity", Decimal("3.0"))
    assert submitted(whole).orders[0].order.total_quantity == 3


def test_refs_are_kept_as_they_are() -> None:
    refs = {
        "deep": {"list": [1, None, True, "x"]},
        "ratio": Decimal("0.75"),
        "long": Decimal("0.1234567890123456789"),
    }
    kept = submitted(changed("orders.0.refs", refs)).orders[0].refs
    assert kept == {"deep": {"list": [1, None, True, "x"]}, "ratio": 0.75, "long": "0.1234567890123456789"}


def test_the_envelopes_tenant_holds() -> None:
    mine = payload(CommandKind.PING, {"echo": "x"}, "desk-2")
    assert mine.tenant == "desk-2"
    assert payload(CommandKind.PING, {"tenant": "desk-2"}, "desk-2").tenant == "desk-2"
    for other in ("nts", None, 5):
        with pytest.raises(Refused) as told:
            payload(CommandKind.PING, {"tenant": other}, "desk-2")
        assert told.value.facts["field"] == "tenant"


def test_the_fields_of_the_broker_come_back_in_its_own_spelling() -> None:
    made = submitted(changed("orders.0.bracket", BRACKET))
    told = made.model_dump(mode="json")["orders"][0]
    assert told["contract"]["lastTradeDateOrContractMonth"] == "202503"
    assert told["bracket"]["takeProfitPrice"] == "110"
    assert payload(CommandKind.SUBMIT, made.model_dump(mode="json")) == made


# -- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "Tenant",
        "orders.0.exitPolicy",
        "orders.0.contract.sec_type",
        "orders.0.contract.localSymbol",
        "orders.0.order.total_quantity",
        "orders.0.order.ordertype",
        "orders.0.order.auxPrice",
        "orders.0.bracket.takeProfit",
        "orders.0.runner.trail_amount",
    ],
)
def test_an_unknown_field_is_refused_by_its_path(path: str) -> None:
    body = copy.deepcopy(SAMPLE)
    body["orders"][0].update(bracket=dict(BRACKET), runner=dict(RUNNER))
    *way, last = path.split(".")
    part: Any = body
    for step in way:
        part = part[int(step)] if isinstance(part, list) else part[step]
    part[last] = "x"
    refused = refusal(CommandKind.SUBMIT, body)
    assert refused.facts["field"] == path
    assert refused.facts["errors"] == [{"field": path, "message": "there is no such field"}]


@pytest.mark.parametrize(
    ("path", "bad"),
    [
        ("orders", [None, [], {}, "ES", [None], SAMPLE["orders"] * (MAX_ORDERS + 1)]),
        ("tenant", [None, "", "a b", "-x", "x" * 65, 5]),
        ("idem_hint", ["", "with space", "ü", "x" * 129, 5]),
        ("dry_run", ["true", 1, None]),
        ("asof", ["yesterday", 1765000000, "2026-03-09T14:30:00", "20260309", True]),
        ("orders.0.exit_policy", ["", None, "Bracket", "all"]),
        ("orders.0.refs", [None, [], {"": 1}, {"ü": 1}, {f"n{n}": n for n in range(41)}]),
        ("orders.0.contract", [None, {}, "ES"]),
        ("orders.0.contract.secType", ["fut", "BAG", None, 1]),
        ("orders.0.contract.symbol", ["", None, 5, "x" * 129, "É"]),
        (
            "orders.0.contract.lastTradeDateOrContractMonth",
            ["2025", "March", "2025-03-21", 202503, "2025032"],
        ),
        ("orders.0.contract.currency", ["usd", "", "US", None]),
        ("orders.0.contract.exchange", ["", None]),
        ("orders.0.contract.strike", [0, -1, "x"]),
        ("orders.0.contract.right", ["CALL", "c", ""]),
        ("orders.0.contract.multiplier", [0, -50, "x"]),
        ("orders.0.contract.conId", [0, -1, "1", True, Decimal("1.5")]),
        ("orders.0.order", [None, {}, []]),
        ("orders.0.order.action", ["buy", "SHORT", "", None]),
        ("orders.0.order.totalQuantity", [0, -1, Decimal("1.5"), "1", True, None, 10**9 + 1]),
        ("orders.0.order.orderType", ["STP", "mkt", None]),
        ("orders.0.order.tif", ["IOC", "day", None]),
        ("orders.0.order.outsideRth", ["true", 1, None]),
        ("orders.0.order.goodAfterTime", ["soon", 5, "20250230 10:00:00", "20250101 10:00:00 Mars/Base"]),
        ("orders.0.order.goodTillDate", ["20250101", "2025-01-01T10:00:00", "20250309 02:30:00 US/Eastern"]),
        ("orders.0.bracket.tif", ["IOC", None]),
        ("orders.0.bracket.takeProfitPrice", [0, -1, "x", True]),
        ("orders.0.bracket.stopLossPrice", [0, "NaN"]),
        ("orders.0.runner.quantity", [0, None, "1", True]),
        ("orders.0.runner.trailAmount", [0, -1, "x"]),
    ],
)
def test_a_bad_value_is_refused_by_its_path(path: str, bad: list[Any]) -> None:
    for value in bad:
        body = copy.deepcopy(SAMPLE)
        body["orders"][0].update(bracket=dict(BRACKET), runner=dict(RUNNER))
        *way, last = path.split(".")
        part: Any = body
        for step in way:
            part = part[int(step)] if isinstance(part, list) else part[step]
        part[last] = value
        assert refusal(CommandKind.SUBMIT, body).facts["field"].startswith(path), value


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"order": {"orderType": "LMT"}}, "lmtPrice is required for LMT"),
        ({"order": {"lmtPrice": 5}}, "lmtPrice does not belong on MKT"),
        (
            {"order": {"goodAfterTime": "20260309-14:30:00", "goodTillDate": "2026-03-09T10:30:00-04:00"}},
            "goodAfterTime is not before goodTillDate",
        ),
        ({"contract": {"lastTradeDateOrContractMonth": None}}, "is required for FUT"),
        ({"contract": {"lastTradeDateOrContractMonth": ""}}, "is required for FUT"),
        ({"contract": {"secType": "STK"}}, "lastTradeDateOrContractMonth does not belong on STK"),
        ({"contract": {"secType": "OPT"}}, "strike and right are required"),
        ({"contract": {"secType": "OPT", "strike": 100}}, "strike and right are required"),
        ({"contract": {"strike": 100}}, "strike and right do not belong on FUT"),
        ({"bracket": {}}, "a bracket needs takeProfitPrice or stopLossPrice"),
        (
            {"bracket": {"takeProfitPrice": 9, "stopLossLimitPrice": 5}},
            "stopLossLimitPrice needs stopLossPrice",
        ),
        ({"bracket": {"takeProfitPrice": 90, "stopLossPrice": 90}}, "must be above stopLossPrice for a BUY"),
        (
            {"order": {"action": "SELL"}, "bracket": {"takeProfitPrice": 91, "stopLossPrice": 90}},
            "must be below stopLossPrice for a SELL",
        ),
        ({"runner": {"quantity": 1}}, "exactly one of trailAmount and trailPercent"),
        ({"runner": {"quantity": 1, "trailAmount": 1, "trailPercent": 1}}, "exactly one of"),
        ({"runner": {"quantity": 1, "trailPercent": 100}}, "less than 100"),
        ({"exit_policy": "runner"}, "needs a runner"),
        (
            {"exit_policy": "runner", "runner": RUNNER},
            "needs a bracket with takeProfitPrice and stopLossPrice",
        ),
        (
            {"exit_policy": "runner", "runner": RUNNER, "bracket": {"stopLossPrice": 90}},
            "needs a bracket with takeProfitPrice and stopLossPrice",
        ),
        (
            {"exit_policy": "runner", "runner": RUNNER, "bracket": BRACKET},
            "quantity must be below totalQuantity",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused_in_words(entry: dict[str, Any], says: str) -> None:
    body = copy.deepcopy(SAMPLE)
    for name, value in entry.items():
        part = body["orders"][0]
        part[name] = {**part[name], **value} if isinstance(part[name], dict) else value
    refused = refusal(CommandKind.SUBMIT, body)
    assert says in refused.message
    assert refused.facts["field"].startswith("orders.0")


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        (CommandKind.FLATTEN, {"account": ""}, "account"),
        (CommandKind.FLATTEN, {"sec_types": []}, "sec_types"),
        (CommandKind.FLATTEN, {"sec_types": ["FUT", "BOND"]}, "sec_types.1"),
        (CommandKind.FLATTEN, {"exclude": "ES"}, "exclude"),
        (CommandKind.FLATTEN, {"exclude": [5]}, "exclude.0"),
        (CommandKind.FLATTEN, {"cancel_open_first": "yes"}, "cancel_open_first"),
        (CommandKind.FLATTEN, {"wait_seconds": -1}, "wait_seconds"),
        (CommandKind.FLATTEN, {"wait_seconds": 3601}, "wait_seconds"),
        (CommandKind.FLATTEN, {"wait_seconds": True}, "wait_seconds"),
        (CommandKind.FLATTEN, {"accounts": []}, "accounts"),
        (CommandKind.PING, {"echo": None}, "echo"),
        (CommandKind.PING, {"echo": "x" * 1001}, "echo"),
        (CommandKind.PING, {"dry_run": True}, "dry_run"),
    ],
)
def test_the_other_commands_are_as_strict(kind: CommandKind, body: dict[str, Any], field: str) -> None:
    assert refusal(kind, body).facts["field"] == field


def test_a_refusal_lists_what_is_wrong_and_never_what_was_given() -> None:
    body = changed("orders.0.contract.symbol", "")
    body["orders"][0]["order"].update(action="hunter2", totalQuantity="hunter2")
    refused = refusal(CommandKind.SUBMIT, body)
    assert [one["field"] for one in refused.facts["errors"]] == [
        "orders.0.contract.symbol",
        "orders.0.order.action",
        "orders.0.order.totalQuantity",
    ]
    assert "(2 more)" in refused.message
    assert "hunter2" not in f"{refused.message} {refused.facts}"


# -- times -------------------------------------------------------------------------------------------

HALF_PAST_TWO = datetime(2026, 3, 9, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-09T14:30:00Z",
        "2026-03-09T14:30:00+00:00",
        "2026-03-09T10:30:00-04:00",
        "2026-03-09T14:30:00.000000Z",
        "20260309-14:30:00",
        "20260309 14:30:00",
        "20260309 14:30:00 UTC",
        "20260309 10:30:00 US/Eastern",
        "20260309 10:30:00 America/New_York",
        "20260309  10:30:00   US/Eastern",
        datetime(2026, 3, 9, 14, 30, tzinfo=UTC),
    ],
)
def test_every_way_to_write_an_instant(text: str | datetime) -> None:
    assert instant(text) == HALF_PAST_TWO
    assert instant(text).tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("2026-03-09T14:30:00", "says no offset"),
        (datetime(2026, 3, 9, 14, 30), "says no offset"),  # noqa: DTZ001 - that it has none is the point
        ("2026-03-09", "says no offset"),
        ("20260309 14:30", "RFC 3339"),
        ("20261309 14:30:00", "RFC 3339"),
        ("20260309 25:30:00", "RFC 3339"),
        ("20260309-14:30:00 US/Eastern", "RFC 3339"),
        ("20260309 14:30:00 Mars/Base", "no time zone 'Mars/Base'"),
        ("20260309 14:30:00 America", "no time zone"),
        ("20260309 14:30:00 A/../../etc", "RFC 3339"),
        ("20260308 02:30:00 US/Eastern", "the clocks change"),
        ("20261101 01:30:00 US/Eastern", "the clocks change"),
        ("0001-01-01T00:00:00+14:00", "RFC 3339"),
        (1773066600, "RFC 3339"),
        (None, "RFC 3339"),
        ("", "RFC 3339"),
    ],
)
def test_what_is_no_one_instant_is_refused_in_words(text: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        instant(text)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001 - it is local time
def test_a_local_time_in_the_brokers_form_is_that_time(local: datetime) -> None:
    whole = local.replace(microsecond=0)
    assert instant(whole.strftime("%Y%m%d-%H:%M:%S")) == whole.replace(tzinfo=UTC)
    assert instant(whole.strftime("%Y%m%d %H:%M:%S")) == whole.replace(tzinfo=UTC)
