"""Positions of both sides, matched by contract id first and by description where there is none."""

from datetime import date
from decimal import Decimal
from typing import Any

from ib_async import Contract, Position

from oms.domain.reference import Instrument
from oms.domain.terms import SecType
from oms.gateways.ibkr.holdings import Line, difference, latest, matched, our_line, their_line


def ours(quantity: int, conid: int | None = None, **terms: Any) -> Line:
    given = {"instrument_id": "INS-1", "symbol": "AAPL", **terms}
    return our_line("DU1", Instrument(**given), conid, Decimal(quantity))


def theirs(quantity: float, conid: int = 265598, account: str = "DU1", **terms: Any) -> Line:
    given = {"symbol": "AAPL", "secType": "STK", "currency": "USD", **terms}
    return their_line(Position(account, Contract(conId=conid, **given), quantity, 0.0))


def only(*lines: Line) -> Line:
    (line,) = matched(lines).values()
    return line


def test_the_contract_id_decides_whatever_the_description_says() -> None:
    line = only(ours(100, conid=265598), theirs(150, symbol="AAPL OLD"))
    assert (line.ours, line.theirs, line.gap) == (100, 150, 50)
    assert line.instrument_id == "INS-1"


def test_one_without_an_id_is_known_by_its_description() -> None:
    assert only(ours(100), theirs(100)).gap == 0
    assert only(ours(60), ours(40, instrument_id="INS-2", conid=265598), theirs(100)).gap == 0


def test_what_one_side_lacks_is_zero() -> None:
    assert (only(ours(-5)).gap, only(ours(-5)).subject) == (5, "AAPL STK USD")
    assert only(theirs(0.5)).gap == Decimal("0.5")
    assert matched([]) == {}


def test_a_description_that_means_two_contracts_means_none_of_them() -> None:
    lines = matched([ours(10), theirs(10, conid=1), theirs(10, conid=2)])
    assert sorted(line.gap for line in lines.values()) == [-10, 10, 10]


def test_options_and_futures_are_told_apart_by_all_their_terms() -> None:
    option = {"sec_type": SecType.OPTION, "expiry": date(2027, 3, 19), "strike": Decimal(150), "right": "C"}
    terms = {"secType": "OPT", "lastTradeDateOrContractMonth": "20270319", "right": "CALL"}
    line = only(ours(2, **option), theirs(3, conid=7, strike=150.0, **terms))
    assert (line.gap, line.subject) == (1, "AAPL OPT USD 20270319 150 C 7")
    assert len(matched([ours(2, **option), theirs(2, conid=8, strike=155.0, **terms)])) == 2
    future = {"symbol": "ES", "sec_type": SecType.FUTURE, "expiry": date(2026, 12, 18)}
    told = {"symbol": "ES", "secType": "FUT", "lastTradeDateOrContractMonth": "20261218 08:30 US/Central"}
    assert only(ours(-1, **future), theirs(-1, conid=9, **told)).gap == 0


def test_accounts_are_not_mixed() -> None:
    assert len(matched([ours(10), theirs(10, account="DU2")])) == 2


def test_the_last_word_on_a_position_counts() -> None:
    contract = Contract(conId=1, symbol="AAPL", secType="STK", currency="USD")
    told = [Position("DU1", contract, 10.0, 0.0), Position("DU1", contract, 0.0, 0.0)]
    assert [position.position for position in latest(told)] == [0.0]


def test_a_difference_says_what_and_how_much_was_not_ours() -> None:
    line = only(ours(100), theirs(150))
    assert (
        difference(line, Decimal(0)).detail == "AAPL STK USD 265598: the broker has 150, the order book 100"
    )
    told = difference(line, Decimal(50))
    assert told.detail.endswith("; of the difference 50 was executed today by orders that are not ours")
    assert (told.subject, told.ours, told.theirs) == ("AAPL STK USD 265598", "100", "150")
