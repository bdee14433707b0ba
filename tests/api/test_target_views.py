"""Rows of the target surface: the page's keys, words and types, from a plan and the orders of its legs."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from oms.api.exact_json import Second
from oms.api.target_views import (
    Standing,
    TargetsBody,
    followed_view,
    held_views,
    is_limited,
    placed_view,
    surface_answer,
)
from oms.api.views import View
from oms.domain.commands import SYSTEM
from oms.domain.errands import Refusal
from oms.domain.errors import Refused
from oms.domain.order import Order
from oms.domain.programs.aiming import CANCELED_WITH_ITS_BATCH
from oms.domain.programs.planning import check_lots
from oms.domain.programs.planning import plan as plan_of
from oms.domain.programs.targets import AccountRead, Aim, Aimed, BrokerPosition, Exposure, TargetRow
from oms.domain.terms import OrderType, PlacementStatus
from tests.domain import orders

ROW = TargetRow(symbol="AAPL", quantity="100")


def aim(row: TargetRow = ROW, **changes: Any) -> Aim:
    given = {
        "aim_id": "a1b2c3d4e5f67890/0",
        "account": "DU123456",
        "account_id": "ACCT-001",
        "portfolio_id": "PORT-001",
        "instrument": orders.AAPL,
        "target": row.quantity,
        "unbooked": "0",
        "actor": SYSTEM,
        "ts_event_ns": orders.NS,
        **row.model_dump(include={"limit_price", "expected_price", "tolerance_pct"}),
    }
    return Aim.model_validate({**given, **changes})


def aimed(held: str = "50", row: TargetRow = ROW) -> Aimed:
    return Aimed(plan=plan_of(aim(row), Exposure(booked=held)))


def working(quantity: str = "50", **said: Any) -> orders.Desk:
    """A buy that is on its way to the venue, which has numbered it."""
    desk = orders.Desk(ordered_quantity=quantity).place(quantity)
    desk.observe(orders.reported(PlacementStatus.WORKING, "0", venue_order_ids=("1814001234",), **said))
    return desk


def sent(view: View) -> dict[str, Any]:
    """What a client reads, its numbers exact."""
    read: dict[str, Any] = json.loads(surface_answer(view).body, parse_float=Decimal)
    return read


def row(became: Aimed | None, *legs: Order, of: TargetRow = ROW) -> Standing:
    return Standing(of, became, legs)


def test_a_placed_row_reads_as_the_page_shows_it() -> None:
    assert sent(placed_view(row(aimed(), working().order))) == {
        "symbol": "AAPL",
        "current_pos": 50,
        "desired_pos": 100,
        "delta": 50,
        "action": "BUY",
        "qty": 50,
        "order_type": "MKT",
        "ibkr_order_id": 1814001234,
        "status": "Submitted",
    }


def test_a_followed_row_reads_as_the_page_shows_it() -> None:
    desk = working()
    desk.observe(orders.executed("e1.01", "50", "150.25"), orders.charged("e1.01", "0.35"))
    assert sent(followed_view(row(aimed(), desk.order))) == {
        "symbol": "AAPL",
        "ibkr_order_id": 1814001234,
        "status": "Filled",
        "filled_qty": 50,
        "avg_fill_price": Decimal("150.25"),
        "commission": Decimal("0.35"),
        "delta": 50,
        "action": "BUY",
    }


def test_a_part_is_filled_while_the_row_works() -> None:
    desk = working()
    desk.observe(orders.executed("e1.01", "20", "150.1"))
    read = sent(followed_view(row(aimed(), desk.order)))
    assert (read["status"], read["filled_qty"], read["commission"]) == ("Submitted", 20, 0)


def test_nothing_is_known_of_a_row_yet() -> None:
    read = sent(placed_view(row(None)))
    assert read == {
        "symbol": "AAPL",
        "current_pos": None,
        "desired_pos": 100,
        "delta": None,
        "action": None,
        "qty": None,
        "order_type": "MKT",
        "ibkr_order_id": None,
        "status": "PreSubmitted",
    }
    followed = sent(followed_view(row(None)))
    assert (followed["filled_qty"], followed["avg_fill_price"], followed["commission"]) == (0, 0, 0)


def test_a_row_whose_order_is_not_in_the_book_yet_is_on_its_way() -> None:
    read = sent(placed_view(row(aimed())))
    assert (read["delta"], read["status"], read["ibkr_order_id"]) == (50, "PreSubmitted", None)
    assert not row(aimed()).is_known


def test_a_sale_is_a_negative_delta_and_a_positive_quantity() -> None:
    read = sent(placed_view(row(aimed("150"))))
    assert (read["delta"], read["action"], read["qty"]) == (-50, "SELL", 50)


def test_no_change() -> None:
    read = sent(placed_view(row(aimed("100"))))
    assert (read["delta"], read["qty"], read["status"], read["action"]) == (0, 0, "no_change", None)
    assert "error" not in read
    assert row(aimed("100")).is_known


def test_a_refusal_is_an_error_with_its_text() -> None:
    became = Aimed(refusal=Refusal(code="INVALID_INSTRUMENT", message="'NOPE' is no stock."))
    for read in (sent(placed_view(row(became))), sent(followed_view(row(became)))):
        assert (read["status"], read["error"]) == ("error", "'NOPE' is no stock.")
        assert (read["delta"], read["ibkr_order_id"]) == (None, None)


def test_an_order_that_the_broker_refuses_is_inactive_without_an_error() -> None:
    desk = orders.Desk(ordered_quantity="50", automation="straight_through").drive()
    (placement,) = desk.order.placements
    said = {"placement_id": placement.placement_id, "venue_order_ids": ("1814001234",)}
    desk.observe(orders.reported(PlacementStatus.REJECTED, "0", reason="201: no", **said))
    read = sent(followed_view(row(aimed(), desk.drive().order)))
    assert (read["status"], read["ibkr_order_id"]) == ("Inactive", 1814001234)
    assert "error" not in read


def test_a_failed_check_is_an_error_that_names_the_rule() -> None:
    read = sent(placed_view(row(aimed(), orders.Desk(ordered_quantity="50").fail_pre_trade().order)))
    assert read["status"] == "error"
    assert "Max Position Size" in read["error"]


def test_a_row_without_an_order_is_canceled_with_its_batch() -> None:
    assert sent(followed_view(row(Aimed(refusal=CANCELED_WITH_ITS_BATCH))))["status"] == "Cancelled"
    overtaken = Aimed(plan=aimed().plan, refusal=CANCELED_WITH_ITS_BATCH)
    assert sent(followed_view(row(overtaken, working().order)))["status"] == "Submitted"
    assert not row(overtaken).is_undecided


def test_a_row_that_was_canceled_between_its_two_orders_is_not_filled() -> None:
    cover = orders.Desk(ordered_quantity="30", direction="BuyToCover").place("30")
    cover.observe(orders.executed("e1.01", "30", "100"))
    half = row(Aimed(plan=aimed("-30").plan, refusal=CANCELED_WITH_ITS_BATCH), cover.order)
    read = sent(followed_view(half))
    assert (read["status"], read["filled_qty"]) == ("Cancelled", 30)


def test_through_zero_is_one_row_of_two_orders() -> None:
    became = aimed("-30")
    assert became.plan is not None
    assert [leg.direction for leg in became.plan.legs] == ["BuyToCover", "Buy"]
    cover = orders.Desk(ordered_quantity="30", direction="BuyToCover").place("30")
    cover.observe(
        orders.executed("e1.01", "30", "100"),
        orders.charged("e1.01", "1"),
        orders.reported(PlacementStatus.FILLED, "30", venue_order_ids=("7",)),
    )
    half = row(became, cover.order)
    assert half.is_undecided
    assert sent(placed_view(half))["status"] == "PreSubmitted"
    buy = orders.Desk(ordered_quantity="100").place("100")
    buy.observe(
        orders.executed("e2.01", "100", "113"),
        orders.charged("e2.01", "2.5"),
        orders.reported(PlacementStatus.FILLED, "100", venue_order_ids=("8",)),
    )
    read = sent(followed_view(row(became, cover.order, buy.order)))
    assert (read["delta"], read["action"], read["ibkr_order_id"]) == (130, "BUY", 8)
    assert (read["status"], read["filled_qty"], read["avg_fill_price"]) == ("Filled", 130, 110)
    assert read["commission"] == Decimal("3.5")


@pytest.mark.parametrize(
    ("prices", "limited"),
    [
        ({}, False),
        ({"limit_price": "150.50"}, True),
        ({"expected_price": "150", "tolerance_pct": "0.5"}, True),
        ({"limit_price": "151", "expected_price": "150", "tolerance_pct": "0.5"}, True),
    ],
)
def test_the_order_type_is_that_of_the_order(prices: dict[str, str], limited: bool) -> None:
    given = TargetRow(symbol="AAPL", quantity="100", **prices)
    became = aimed("0", given)
    assert became.plan is not None
    assert is_limited(given) is limited
    assert (became.plan.legs[0].order_type is OrderType.LIMIT) is limited
    assert sent(placed_view(row(became, of=given)))["order_type"] == ("LMT" if limited else "MKT")


def test_numbers_keep_every_digit() -> None:
    given = TargetRow(symbol="AAPL", quantity="0.123456789012345678")
    body = bytes(surface_answer(placed_view(row(aimed("0", given), of=given))).body)
    assert b'"desired_pos":0.123456789012345678' in body
    big = TargetRow(symbol="AAPL", quantity="1E+3")
    assert b'"desired_pos":1000,' in bytes(surface_answer(placed_view(row(None, of=big))).body)


def test_an_instant_is_written_with_its_offset() -> None:
    class At(View):
        at: Second

    east = datetime(2026, 3, 9, 16, 30, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert surface_answer(At(at=east)).body == b'{"at":"2026-03-09T14:30:00+00:00"}'
    assert datetime.fromisoformat("2026-03-09T14:30:00+00:00").tzinfo == UTC


def test_open_stock_positions_alone() -> None:
    def held(symbol: str, quantity: str, sec_type: str = "STK", cost: str | None = "148.5") -> BrokerPosition:
        return BrokerPosition(
            conid=265598,
            symbol=symbol,
            sec_type=sec_type,
            currency="USD",
            quantity=quantity,
            average_cost=cost,
            unbooked="0",
        )

    read = AccountRead(
        account="DU123456",
        positions=(
            held("MSFT", "-5", cost=None),
            held("ES", "1", "FUT"),
            held("IBM", "0"),
            held("AAPL", "100"),
        ),
    )
    assert [sent(view) for view in held_views(read)] == [
        {"symbol": "AAPL", "quantity": 100, "avg_cost": Decimal("148.5"), "conid": 265598},
        {"symbol": "MSFT", "quantity": -5, "avg_cost": 0, "conid": 265598},
    ]


def test_one_target_for_a_symbol() -> None:
    with pytest.raises(ValidationError, match=r"orders\.1\.symbol"):
        TargetsBody.model_validate(
            {"orders": [{"symbol": "AAPL", "quantity": 1}, {"symbol": " aapl", "quantity": 2}]}
        )


def test_a_target_is_a_whole_number_of_lots() -> None:
    hundreds = orders.AAPL.model_copy(update={"lot_size": Decimal(100)})
    for target, instrument in (
        ("0", hundreds),
        ("-300", hundreds),
        ("7", orders.AAPL),
        ("1E+20", orders.AAPL),
    ):
        check_lots(Decimal(target), instrument)
    for target, instrument in (
        ("150", hundreds),
        ("1.5", orders.AAPL),
        ("0.000000000000000001", orders.AAPL),
    ):
        with pytest.raises(Refused, match="lots of") as refused:
            check_lots(Decimal(target), instrument)
        assert (refused.value.code, refused.value.facts["field"]) == ("VALIDATION_FAILED", "quantity")
