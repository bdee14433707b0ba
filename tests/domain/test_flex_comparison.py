"""A broker's statement against our books: what is ours goes to its order, everything else is said and nothing moves."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.domain.breaks import Difference
from oms.domain.comparing import Holding, OurSide, TradesCompared, compare_positions, compare_trades
from oms.domain.executions import revision
from oms.domain.identifiers import order_ref
from oms.domain.reference import Instrument
from oms.domain.statements import (
    BookedExecution,
    Contract,
    Statement,
    StatementPosition,
    StatementTrade,
    TradeRow,
    next_due,
    standing_trades,
)
from oms.domain.terms import Direction, OrderType, SecType, TimeInForce
from oms.domain.venues import PlacementTicket

ACCOUNT, PLACEMENT = "DU123456", "PLC-01936d8a-7c1e-7b2a-8f3d-4e5a6b7c8d9e"
REF = order_ref(PLACEMENT)
AAPL = Contract(conid=265598, symbol="AAPL", sec_type="STK", currency="USD")
STOCK = Instrument(instrument_id="INS-AAPL", symbol="AAPL", conid=265598)
DAY = date(2026, 3, 2)
SECOND = 1_000_000_000
NS = int(datetime(2026, 3, 2, 15, 0, tzinfo=UTC).timestamp()) * SECOND
TICKET = PlacementTicket(
    order_id="ORD-1",
    placement_id=PLACEMENT,
    venue="IBKR",
    account=ACCOUNT,
    instrument=STOCK,
    direction=Direction.BUY,
    quantity=Decimal(100),
    order_type=OrderType.MARKET,
    time_in_force=TimeInForce.DAY,
)


def row(exec_id: str = "0001.02.03.01", **changes: Any) -> TradeRow:
    given = {
        "account": ACCOUNT,
        "contract": AAPL,
        "trade_id": "T-1",
        "exec_id": exec_id,
        "order_ref": REF,
        "quantity": Decimal(100),
        "price": Decimal("150.25"),
        "commission": Decimal("1.05"),
        "commission_currency": "USD",
        "trade_date": DAY,
        "ts_event_ns": NS,
    }
    return TradeRow(**{**given, **changes})


def trade(exec_id: str = "0001.02.03.01", **changes: Any) -> StatementTrade:
    (made,) = standing_trades([row(exec_id, **changes)])
    return made


def booked(exec_id: str = "0001.02.03.01", **changes: Any) -> BookedExecution:
    given = {
        "exec_id": exec_id,
        "order_id": "ORD-1",
        "placement_id": PLACEMENT,
        "instrument": STOCK,
        "quantity": Decimal(100),
        "price": Decimal("150.25"),
        "currency": "USD",
        "commission": Decimal("1.05"),
        "commission_currency": "USD",
        "ts_event_ns": NS,
    }
    return BookedExecution(**{**given, **changes})


def compared(
    trades: list[StatementTrade], *executions: BookedExecution, overdue: bool = False, **changes: Any
) -> TradesCompared:
    side = {
        "booked": {execution.key: execution for execution in executions},
        "tickets": {REF: TICKET},
        "begins_ns": 0,
        "scope": (NS - SECOND, NS + SECOND),
    }
    return compare_trades(trades, OurSide(**{**side, **changes}), overdue=overdue)


def only(differences: list[Difference]) -> tuple[str, str, str]:
    (one,) = differences
    return one.subject, one.ours, one.theirs


# -- executions -------------------------------------------------------------------------------------------------------


def test_both_sides_alike_is_a_match() -> None:
    found = compared([trade()], booked())
    assert (found.matched, found.evidence, found.differences) == (1, [], [])


def test_what_is_ours_and_not_booked_is_evidence_and_no_difference_yet() -> None:
    found = compared([trade()])
    (evidence,) = found.evidence
    assert (evidence.placement_id, evidence.executed, evidence.charged) == (PLACEMENT, True, True)
    assert found.differences == []


def test_evidence_that_its_order_never_booked_is_a_difference_too() -> None:
    found = compared([trade()], overdue=True)
    assert len(found.evidence) == 1
    assert only(found.differences) == ("0001.02.03.01", "", "100")
    assert "given to ORD-1" in found.differences[0].detail


@pytest.mark.parametrize("ref", ["", "by hand", order_ref("PLC-01936d8a-7c1e-7b2a-8f3d-000000000000")])
def test_an_execution_that_nobody_here_placed_is_a_difference(ref: str) -> None:
    found = compared([trade(order_ref=ref, quantity=Decimal(-7))])
    assert found.evidence == []
    assert only(found.differences) == ("0001.02.03.01", "", "-7")
    assert "AAPL STK USD 265598" in found.differences[0].detail


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"account": "DU999999"}, "account DU999999, not DU123456"),
        ({"quantity": Decimal(-100)}, "side a sale, not a buy"),
        ({"contract": AAPL.model_copy(update={"conid": 1})}, "contract 1, not 265598"),
    ],
)
def test_an_execution_under_our_reference_that_is_not_what_we_asked_for_is_never_evidence(
    changes: dict[str, Any], said: str
) -> None:
    found = compared([trade(**changes)])
    assert found.evidence == []
    assert said in found.differences[0].detail


def test_a_line_without_an_execution_is_named_by_the_brokers_trade() -> None:
    found = compared([trade("", order_ref="")])
    assert only(found.differences) == ("trade/T-1", "", "100")


def test_what_the_broker_does_not_have_is_a_difference_within_the_statements_time_only() -> None:
    inside, before, after = (
        booked(),
        booked("a.01", ts_event_ns=NS - 2 * SECOND),
        booked("b.01", ts_event_ns=NS + SECOND),
    )
    found = compared([], inside, before, after)
    assert only(found.differences) == ("0001.02.03.01", "100", "")


def test_a_difference_that_stands_is_judged_again_outside_the_statements_time() -> None:
    old = booked("a.01", ts_event_ns=0)
    assert compared([], old).differences == []
    assert only(compared([], old, standing={"a.01"}).differences) == ("a.01", "100", "")


@pytest.mark.parametrize(
    ("changes", "ours", "theirs", "said"),
    [
        ({"price": Decimal("150.26")}, "150.26", "150.25", "price 150.26 in our books, 150.25 at the broker"),
        ({"quantity": Decimal(90)}, "90", "100", "quantity 90 in our books"),
        ({"commission": Decimal(2)}, "2", "1.05", "commission 2 in our books"),
        ({"currency": "EUR"}, "EUR", "USD", "currency EUR in our books"),
    ],
)
def test_a_figure_that_differs_is_a_difference_with_both_sides(
    changes: dict[str, Any], ours: str, theirs: str, said: str
) -> None:
    found = compared([trade()], booked(**changes))
    assert only(found.differences) == ("0001.02.03.01", ours, theirs)
    assert said in found.differences[0].detail
    assert found.differences[0].instrument_id == "INS-AAPL"


def test_a_commission_that_our_books_lack_is_evidence() -> None:
    found = compared([trade()], booked(commission=None))
    (evidence,) = found.evidence
    assert (evidence.executed, evidence.charged, found.differences) == (False, True, [])
    assert only(compared([trade()], booked(commission=None), overdue=True).differences)[1:] == ("0", "1.05")


def test_no_commission_in_the_statement_is_no_word_about_it() -> None:
    found = compared([trade(commission=None)], booked())
    assert (found.matched, found.evidence, found.differences) == (1, [], [])


def test_trades_from_before_our_books_are_counted_and_not_judged() -> None:
    found = compared([trade(order_ref="")], begins_ns=NS + 1)
    assert (found.earlier, found.differences) == (1, [])


# -- corrections ------------------------------------------------------------------------------------------------------


def test_a_correction_replaces_what_it_corrects_and_commissions_add_up() -> None:
    lines = [
        row("x.01", commission=Decimal("1.3666")),
        row("", cancels="T-1", quantity=Decimal(-100), commission=Decimal(0), order_ref=""),
        row("x.02", quantity=Decimal(50), commission=Decimal("-0.3333")),
    ]
    (made,) = standing_trades(lines)
    assert (made.exec_id, made.quantity, made.commission, made.canceled) == (
        "x.02",
        50,
        Decimal("1.0333"),
        False,
    )
    assert standing_trades(lines[::-1]) == (made,)


def test_a_correction_that_we_lack_is_evidence_and_one_we_have_first_is_a_match() -> None:
    assert len(compared([trade("x.02")], booked("x.01")).evidence) == 1
    assert compared([trade("x.01")], booked("x.02", price=Decimal(1))).matched == 1


def test_an_execution_taken_back_is_a_difference_only_where_we_have_it() -> None:
    lines = [row("x.01"), row("", cancels="T-1", quantity=Decimal(-100), order_ref="")]
    (gone,) = standing_trades(lines)
    assert gone.canceled
    assert compared([gone]).differences == []
    found = compared([gone], booked("x.01"))
    assert only(found.differences) == ("x.01", "100", "")
    assert "took the execution back" in found.differences[0].detail


def test_what_is_taken_back_of_an_unknown_day_is_said() -> None:
    (orphan,) = standing_trades([row("", trade_id="", cancels="T-9", order_ref="")])
    assert only(compared([orphan]).differences) == ("trade/T-9", "", "0")


@given(st.permutations(range(6)), st.lists(st.integers(0, 5), max_size=6))
def test_any_order_and_repetition_of_lines_leaves_the_same_executions(
    order: list[int], again: list[int]
) -> None:
    lines = [row(f"{base}.0{number}", trade_id=base) for base in "ab" for number in (1, 2, 3)]
    made = standing_trades([lines[at] for at in (*order, *again)])
    assert [(one.key, revision(one.exec_id)[1]) for one in made] == [("a", 3), ("b", 3)]


# -- holdings ---------------------------------------------------------------------------------------------------------


def held(quantity: int, contract: Contract = AAPL) -> StatementPosition:
    return StatementPosition(account=ACCOUNT, contract=contract, quantity=Decimal(quantity))


def test_holdings_alike_and_flat_ones_are_no_difference() -> None:
    flat = Holding(Instrument(instrument_id="INS-MSFT", symbol="MSFT"), Decimal(0))
    assert compare_positions([held(100)], [Holding(STOCK, Decimal(100)), flat], {}) == []


def test_a_gap_names_the_contract_as_every_comparison_does() -> None:
    (found,) = compare_positions([held(90)], [Holding(STOCK, Decimal(100))], {})
    assert (found.subject, found.ours, found.theirs) == ("AAPL STK USD 265598", "100", "90")
    assert (found.instrument_id, "a gap of -10" in found.detail) == ("INS-AAPL", True)


def test_what_only_one_side_holds_is_a_gap_to_zero() -> None:
    other = AAPL.model_copy(update={"conid": 5, "symbol": "XOM"})
    found = compare_positions([held(7, other)], [Holding(STOCK, Decimal(3))], {})
    assert [(one.subject, one.ours, one.theirs) for one in found] == [
        ("AAPL STK USD 265598", "3", "0"),
        ("XOM STK USD 5", "0", "7"),
    ]


@pytest.mark.parametrize(
    "instrument",
    [
        Instrument(instrument_id="I", symbol="AAPL"),
        Instrument(instrument_id="I", symbol="ANOTHER NAME", conid=265598),
    ],
)
def test_a_contract_is_known_by_its_id_or_by_its_words(instrument: Instrument) -> None:
    assert compare_positions([held(1)], [Holding(instrument, Decimal(1))], {}) == []


def test_a_derivative_is_known_by_its_terms_or_by_an_execution() -> None:
    contract = Contract(
        conid=9,
        symbol="AAPL  260717C00047000",
        sec_type="OPT",
        currency="USD",
        underlying="AAPL",
        expiry=date(2026, 7, 17),
        strike=Decimal(47),
        right="C",
    )
    terms = {"sec_type": SecType.OPTION, "expiry": "2026-07-17", "strike": "47.00", "right": "C"}
    option = Instrument(instrument_id="I", symbol="AAPL", **terms)
    assert compare_positions([held(2, contract)], [Holding(option, Decimal(2))], {}) == []
    future = Instrument(instrument_id="F", symbol="ES", sec_type=SecType.FUTURE, expiry="2026-03-20")
    unlike = Contract(conid=11, symbol="ESH6", sec_type="FUT", currency="USD")
    assert len(compare_positions([held(2, unlike)], [Holding(future, Decimal(2))], {})) == 2
    assert compare_positions([held(2, unlike)], [Holding(future, Decimal(2))], {11: "F"}) == []


def test_currencies_are_not_holdings() -> None:
    euro = Instrument(instrument_id="I", symbol="EUR", sec_type=SecType.CASH)
    assert compare_positions([], [Holding(euro, Decimal(1000))], {}) == []


# -- time -------------------------------------------------------------------------------------------------------------


def statement(generated: datetime, **changes: Any) -> Statement:
    given = {
        "source": "flex/1",
        "account": ACCOUNT,
        "from_date": DAY,
        "to_date": DAY,
        "generated_at": generated,
        "zone": "US/Eastern",
    }
    return Statement(**{**given, **changes})


def test_a_statement_of_a_past_day_is_whole_until_its_close() -> None:
    made = statement(datetime(2026, 3, 3, 12, 0, tzinfo=UTC))
    begin, end = (datetime.fromtimestamp(ns / SECOND, UTC) for ns in made.covers_ns)
    assert (begin, end) == (datetime(2026, 3, 2, 5, 0, tzinfo=UTC), datetime(2026, 3, 2, 22, 0, tzinfo=UTC))
    assert made.is_over(DAY)


def test_a_statement_of_today_is_whole_until_it_was_made() -> None:
    generated = datetime(2026, 3, 2, 16, 30, tzinfo=UTC)
    made = statement(generated)
    assert made.covers_ns[1] == int(generated.timestamp()) * SECOND
    assert not made.is_over(DAY)


def test_the_next_time_of_day_is_that_of_its_own_clocks() -> None:
    """On the day the clocks of New York go forward, seven in the morning is an hour earlier."""
    evening = datetime(2026, 3, 7, 20, 0, tzinfo=UTC)
    due = next_due(evening, time(7), "US/Eastern")
    assert due.astimezone(UTC) == datetime(2026, 3, 8, 11, 0, tzinfo=UTC)
    assert next_due(due, time(7), "US/Eastern").astimezone(UTC) == datetime(2026, 3, 9, 11, 0, tzinfo=UTC)
