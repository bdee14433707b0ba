"""What IBKR tells of an instrument, as an instrument of ours; over TCP, and where the paper broker cannot go, by hand."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from ib_async import Contract, ContractDetails, RequestError
from tests.gateways.rig import Rig, ticket

from oms.domain.reference import Instrument, InstrumentQuestion, InstrumentTerms
from oms.domain.terms import SecType
from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr.contracts import Contracts


async def found(rig: Rig, **named: Any) -> tuple[InstrumentTerms, ...]:
    gateway = await rig.gateway()
    answer = await Contracts(gateway._wire.contract_details).described(InstrumentQuestion(**named))
    assert answer.count == len(answer.found)
    return answer.found


async def test_a_stock(rig: Rig) -> None:
    (apple,) = await found(rig, symbol="AAPL")
    assert apple == InstrumentTerms(
        symbol="AAPL",
        primary_exchange="NASDAQ",
        conid=265598,
        tick_size=Decimal("0.01"),
        issuer="APPLE INC",
        sector="Technology",
    )


async def test_a_future_and_a_pair_of_currencies(rig: Rig) -> None:
    (future,) = await found(rig, symbol="ES", sec_type="FUT", currency="USD")
    assert (future.exchange, future.multiplier, future.tick_size) == ("CME", 50, Decimal("0.25"))
    assert (future.expiry, future.issuer, future.conid) == (date(2027, 3, 19), None, 649180695)
    await rig.close()
    (pair,) = await found(rig, symbol="EUR", sec_type="CASH", exchange="SMART")
    assert (pair.exchange, pair.currency, pair.tick_size) == ("SMART", "USD", Decimal("0.00005"))


async def test_what_it_became_can_be_placed(rig: Rig) -> None:
    """The description leads back to the contract that it came from."""
    gateway = await rig.gateway()
    contracts = Contracts(gateway._wire.contract_details)
    for symbol, sec_type in (("IBM", "STK"), ("ES", "FUT"), ("EUR", "CASH")):
        answer = await contracts.described(InstrumentQuestion(symbol=symbol, sec_type=sec_type))
        terms = answer.found[0]
        contract = (await contracts.qualified(Instrument(instrument_id="INS-1", **dict(terms)))).contract
        assert (contract.conId, contract.symbol) == (terms.conid, symbol)


@pytest.mark.parametrize("exchange", [None, "SMART", "CME"])
@pytest.mark.parametrize(
    ("month", "expiry"),
    [("202503", date(2025, 3, 21)), ("202606", date(2026, 6, 18)), ("202703", date(2027, 3, 19))],
)
async def test_a_future_by_its_month(rig: Rig, month: str, expiry: date, exchange: str | None) -> None:
    """Wherever it is asked for: no future is routed by SMART."""
    named = {} if exchange is None else {"exchange": exchange}
    (future,) = await found(rig, symbol="ES", sec_type="FUT", contract_month=month, **named)
    assert (future.expiry, future.contract_month) == (expiry, month)
    assert (future.exchange, future.multiplier, future.tick_size) == ("CME", 50, Decimal("0.25"))


@pytest.mark.parametrize("exchange", ["SMART", "CME"])
async def test_a_future_can_be_placed_wherever_it_is_said_to_be(rig: Rig, exchange: str) -> None:
    gateway = await rig.gateway()
    question = InstrumentQuestion(symbol="ES", sec_type="FUT", contract_month="202503", exchange="SMART")
    (terms,) = (await gateway.describe(question)).found
    for conid in (terms.conid, None):
        update = {"exchange": exchange, "conid": conid}
        instrument = Instrument(instrument_id=f"INS-{exchange}-{conid}", **dict(terms)).model_copy(
            update=update
        )
        order = ticket(instrument=instrument, quantity="1")
        await gateway.place(order)
        await rig.fills(order)
        assert rig.sent(order)["exchange"] == "CME"
        assert rig.sent(order)["conId"] == str(terms.conid)


async def test_of_several_exchanges_of_one_contract_its_home_counts() -> None:
    listed = [
        detail(9, secType="FUT", symbol="ES", exchange=exchange, lastTradeDateOrContractMonth="20250321")
        for exchange in ("QBALGO", "CME", "QBALGO")
    ]

    async def ask(wanted: Contract) -> list[ContractDetails]:
        assert (wanted.exchange, wanted.lastTradeDateOrContractMonth) == ("", "202503")
        for one in listed:
            one.validExchanges, one.contractMonth = "CME,QBALGO", "202503"
        return listed

    question = InstrumentQuestion(symbol="ES", sec_type="FUT", contract_month="202503", exchange="SMART")
    answer = await Contracts(ask).described(question)
    assert (answer.count, answer.found[0].exchange) == (1, "CME")


@pytest.mark.parametrize(
    "named",
    [
        {"symbol": "NOPE"},
        {"symbol": "ES", "sec_type": "FUT", "contract_month": "202504"},
        {"symbol": "ES", "sec_type": "FUT", "contract_month": "202503", "exchange": "NYMEX"},
        {"symbol": "ES", "sec_type": "FUT", "contract_month": "202503", "expiry": "2027-03-19"},
        {"symbol": "AAPL", "currency": "EUR"},
        {"symbol": "AAPL", "primary_exchange": "NYSE"},
        {"symbol": "AAPL", "conid": 272093},
        {"symbol": "AAPL", "sec_type": "FUT"},
        {"symbol": "ES", "sec_type": "FUT", "expiry": "2027-06-18"},
        {"symbol": "ES", "sec_type": "FUT", "multiplier": "5"},
    ],
)
async def test_what_does_not_fit_is_not_found(rig: Rig, named: dict[str, Any]) -> None:
    assert await found(rig, **named) == ()


async def test_a_connection_that_is_gone_is_no_answer(rig: Rig) -> None:
    gateway = await rig.gateway()
    contracts = Contracts(gateway._wire.contract_details)
    await rig.paper.stop()
    gateway._wire.disconnect()
    with pytest.raises(GatewayNotReady):
        await contracts.described(InstrumentQuestion(symbol="AAPL"))


def detail(conid: int, **fields: Any) -> ContractDetails:
    terms = {"secType": "STK", "symbol": "RY", "currency": "USD", "exchange": "SMART", **fields}
    return ContractDetails(contract=Contract(conId=conid, **terms), minTick=0.01, longName="ROYAL BANK")


async def test_several_are_counted_and_the_first_are_named() -> None:
    listed = [detail(number, primaryExchange=f"X{number}") for number in range(1, 31)]

    async def ask(_wanted: Contract) -> list[ContractDetails]:
        return [*listed, listed[0]]

    answer = await Contracts(ask).described(InstrumentQuestion(symbol="RY"))
    assert (answer.count, len(answer.found)) == (30, 20)
    one = await Contracts(ask).described(InstrumentQuestion(symbol="RY", primary_exchange="X7"))
    assert [terms.conid for terms in one.found] == [7]


async def test_an_option_with_all_its_terms() -> None:
    option = detail(
        5,
        secType="OPT",
        lastTradeDateOrContractMonth="20270115 16:00 US/Eastern",
        strike=152.5,
        right="Call",
        multiplier="100",
    )

    async def ask(wanted: Contract) -> list[ContractDetails]:
        assert (wanted.strike, wanted.right, wanted.lastTradeDateOrContractMonth) == (152.5, "C", "20270115")
        return [option]

    question = InstrumentQuestion(
        symbol="RY", sec_type="OPT", expiry="2027-01-15", strike="152.50", right="C", currency="USD"
    )
    (terms,) = (await Contracts(ask).described(question)).found
    assert (terms.sec_type, terms.strike, terms.right, terms.multiplier) == (
        SecType.OPTION,
        Decimal("152.5"),
        "C",
        100,
    )
    assert terms.expiry == date(2027, 1, 15)


async def test_what_cannot_be_an_instrument_is_left_out() -> None:
    async def ask(_wanted: Contract) -> list[ContractDetails]:
        return [detail(1, secType="WAR"), detail(2, currency="dollar"), detail(3), ContractDetails()]

    answer = await Contracts(ask).described(InstrumentQuestion(symbol="RY"))
    assert [terms.conid for terms in answer.found] == [3]


async def test_other_errors_say_nothing_about_the_instrument() -> None:
    async def ask(_wanted: Contract) -> list[ContractDetails]:
        raise RequestError(1, 162, "Historical data query")

    with pytest.raises(GatewayNotReady, match="162"):
        await Contracts(ask).described(InstrumentQuestion(symbol="RY"))
