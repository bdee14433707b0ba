"""Trade economics: who pays what, exactly, and our book beside the custodian's statement."""

from decimal import Decimal
from typing import Any

import pytest

from oms.domain.settlement import Difference, differences, instruction, net_amount, principal
from oms.domain.terms import SecType, SettlementStatus, State
from tests.domain.orders import AAPL, SETTLES, Desk, busted, charged, executed, in_state


def traded(*, charge: str = "1.5", currency: str = "USD", **terms: Any) -> Desk:
    desk = Desk(**terms).place()
    desk.observe(executed("A.1", "60", "10"), executed("B.1", "40", "10.5"))
    desk.observe(charged("A.1", charge, currency=currency))
    return desk


@pytest.mark.parametrize(
    ("direction", "net"),
    [("Buy", "-1021.5"), ("BuyToCover", "-1021.5"), ("Sell", "1018.5"), ("SellShort", "1018.5")],
)
def test_a_purchase_pays_principal_and_commission_a_sale_receives_the_difference(
    direction: str, net: str
) -> None:
    desk = traded(direction=direction, order_type="Market", limit_price=None)
    assert principal(desk.order) == 1020
    assert net_amount(desk.order) == Decimal(net)


def test_a_contract_is_worth_its_multiplier() -> None:
    future = AAPL.model_copy(
        update={"sec_type": SecType.FUTURE, "expiry": SETTLES.trade_date, "multiplier": Decimal(50)}
    )
    desk = traded(instrument=future)
    assert principal(desk.order) == 51000
    assert net_amount(desk.order) == Decimal("-51001.5")


def test_a_commission_in_another_currency_is_not_netted() -> None:
    desk = traded(currency="EUR")
    assert net_amount(desk.order) == -1020


def test_principal_is_exact_where_the_average_is_rounded() -> None:
    desk = Desk().place()
    desk.observe(executed("A.1", "1", "10"), executed("B.1", "2", "9.5"))
    assert desk.order.average_price == Decimal("9.666666666667")
    assert principal(desk.order) == 29


def test_long_numbers_settle_exactly() -> None:
    desk = Desk(ordered_quantity="0.000000000000000003", limit_price="0.000000000000000007")
    desk.place("0.000000000000000003")
    desk.fill("0.000000000000000003", price="0.000000000000000007")
    assert principal(desk.order) == Decimal("21e-36")
    assert type(desk.order).model_validate_json(desk.order.model_dump_json()) == desk.order


def test_the_instruction_says_it_all() -> None:
    desk = in_state(State.CONFIRMED).instruct()
    sent = instruction(desk.order)
    assert sent.instruction_id == desk.order.order_id.replace("ORD-", "SI-")
    assert (sent.account_id, sent.direction, sent.quantity) == ("ACCT-001", "Buy", 100)
    assert (sent.principal, sent.net_amount, sent.currency) == (1000, -1000, "USD")
    assert (sent.settlement_date, sent.settles_at) == (SETTLES.settlement_date, SETTLES.settles_at)
    kept = desk.order.settlement
    assert (kept.status, kept.instruction, kept.reasons) == (SettlementStatus.INSTRUCTED, sent, ("T+1",))


def test_what_the_custodian_was_told_does_not_change_when_a_fill_is_taken_back() -> None:
    desk = in_state(State.CONFIRMED).instruct()
    sent = desk.order.settlement.instruction
    fill = next(iter(desk.order.ledger.executions.values()))
    desk.observe(busted(fill.exec_id, placement_id=fill.placement_id))
    assert desk.order.executed_quantity == 0
    assert desk.order.settlement.instruction == sent


def test_there_is_no_instruction_without_a_date_or_a_fill() -> None:
    for state in (State.CONFIRMED, State.CREATED):
        with pytest.raises(ValueError, match="no settlement date or no fill"):
            instruction(in_state(state).order)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"quantity": "99"}, "quantity: our book says 100, the custodian says 99"),
        ({"average_price": "10.01"}, "average_price: our book says 10, the custodian says 10.01"),
        ({"commission": "0.01"}, "commission: our book says 0, the custodian says 0.01"),
        ({"net_amount": "1000"}, "net_amount: our book says -1000, the custodian says 1000"),
        ({"currency": "EUR"}, "currency: our book says USD, the custodian says EUR"),
    ],
)
def test_every_difference_is_a_break(wrong: dict[str, str], text: str) -> None:
    desk = in_state(State.CONFIRMED).instruct()
    (found,) = differences(desk.order, desk.statement(**wrong))
    assert found.text == text


def test_numbers_that_are_written_differently_do_not_differ() -> None:
    desk = in_state(State.CONFIRMED).instruct()
    assert differences(desk.order, desk.statement(quantity="100.00", net_amount="-1E+3")) == []


def test_a_difference_reads_like_a_sentence() -> None:
    assert Difference("quantity", "1", "2").text == "quantity: our book says 1, the custodian says 2"
