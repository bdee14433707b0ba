"""Reference data: put twice is one, found by what it is called, listed newest first; prices only move on."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal

import pytest
from tests.store.building import NOON

from oms.domain.reference import Account, Instrument, InstrumentTerms, Portfolio, QuotedPrice
from oms.domain.terms import SecType, Venue
from oms.store import BadCursor, Store, Taken

OPTION = InstrumentTerms(
    symbol="AAPL", sec_type=SecType.OPTION, expiry=date(2026, 6, 19), strike=Decimal(100), right="C"
)


def test_the_same_instrument_twice_is_the_same_id(store: Store) -> None:
    first = store.reference.put_instrument(InstrumentTerms(symbol="AAPL"), "INS-1")
    again = store.reference.put_instrument(InstrumentTerms(symbol="AAPL", issuer="Apple Inc."), "INS-2")
    assert first.instrument_id == again.instrument_id == "INS-1"
    assert store.reference.instrument("INS-1") == again
    assert again.issuer == "Apple Inc."
    assert store.reference.instrument("INS-2") is None


def test_a_strike_is_the_same_however_it_is_written(store: Store) -> None:
    store.reference.put_instrument(OPTION, "INS-1")
    longer = OPTION.model_copy(update={"strike": Decimal("100.00")})
    assert store.reference.put_instrument(longer, "INS-2").instrument_id == "INS-1"
    other = OPTION.model_copy(update={"strike": Decimal("100.5")})
    assert store.reference.put_instrument(other, "INS-2").instrument_id == "INS-2"
    found = store.reference.find_instrument("AAPL", SecType.OPTION, strike=Decimal("100.000"))
    assert found is not None
    assert found.instrument_id == "INS-1"


def test_an_id_stands_for_one_instrument(store: Store) -> None:
    store.reference.put_instrument(InstrumentTerms(symbol="AAPL"), "INS-1")
    with pytest.raises(Taken):
        store.reference.put_instrument(InstrumentTerms(symbol="MSFT"), "INS-1")


def test_one_instrument_put_by_many_at_once(store: Store) -> None:
    def put(number: int) -> str:
        return store.reference.put_instrument(InstrumentTerms(symbol="AAPL"), f"INS-{number}").instrument_id

    with ThreadPoolExecutor(10) as threads:
        ids = set(threads.map(put, range(10)))
    assert len(ids) == 1
    assert len(store.reference.instruments().items) == 1


def test_finding_needs_one_that_fits(store: Store) -> None:
    reference = store.reference
    toronto = reference.put_instrument(InstrumentTerms(symbol="RY", currency="CAD", exchange="TSE"), "INS-1")
    newyork = reference.put_instrument(InstrumentTerms(symbol="RY"), "INS-2")
    assert reference.find_instrument("RY") is None
    assert reference.find_instrument("RY", currency="CAD") == toronto
    assert reference.find_instrument("RY", SecType.STOCK, "SMART", "USD") == newyork
    assert reference.find_instrument("RY", SecType.FUTURE) is None
    option = reference.put_instrument(OPTION, "INS-3")
    fits = {"expiry": date(2026, 6, 19), "strike": Decimal(100), "right": "C"}
    assert reference.find_instrument("AAPL", SecType.OPTION, None, None, **fits) == option
    assert reference.find_instrument("AAPL", SecType.OPTION, right="P") is None


def test_lists_go_newest_first_in_pages(store: Store) -> None:
    reference = store.reference
    put = [reference.put_instrument(InstrumentTerms(symbol=f"S{n}"), f"INS-{n}") for n in range(5)]
    found: list[Instrument] = []
    cursor = None
    for _ in range(3):
        page = reference.instruments(limit=2, cursor=cursor)
        found, cursor = [*found, *page.items], page.next_cursor
    assert found == put[::-1]
    assert cursor is None
    assert reference.instruments(symbol="S3").items == (put[3],)
    with pytest.raises(BadCursor):
        reference.instruments(cursor="x")


def test_portfolios_and_accounts(store: Store) -> None:
    reference = store.reference
    fund = Portfolio(portfolio_id="P1", name="Fund", net_asset_value=Decimal("1e9"), default_account_id="A1")
    account = Account(account_id="A1", name="Main", broker_account="DU1", venue=Venue.IBKR)
    assert reference.put_portfolio(fund) == fund
    assert reference.put_account(account) == account
    grown = fund.model_copy(update={"net_asset_value": Decimal("2e9")})
    reference.put_portfolio(grown)
    assert reference.portfolio("P1") == grown
    assert reference.account("A1") == account
    assert reference.portfolio("P2") is reference.account("A2") is None
    assert reference.portfolios().items == (grown,)
    assert reference.portfolios(portfolio_ids=["P2"]).items == ()
    assert reference.accounts().items == (account,)
    assert reference.accounts(account_ids=[]).items == ()


def test_an_older_price_never_replaces_a_newer_one(store: Store) -> None:
    def quoted(price: str, seconds: int, instrument: str = "INS-1") -> QuotedPrice:
        return QuotedPrice(
            instrument_id=instrument, price=Decimal(price), as_of=NOON + timedelta(seconds=seconds)
        )

    reference = store.reference
    reference.put_prices([quoted("10", 5), quoted("7", 0, "INS-2")])
    reference.put_prices([quoted("9", 4), quoted("8", 1, "INS-2")])
    assert reference.price("INS-1") == quoted("10", 5)
    assert reference.prices(["INS-2", "INS-3"]) == {"INS-2": quoted("8", 1, "INS-2")}
    reference.put_prices([quoted("12", 8), quoted("11", 7)])
    assert reference.price("INS-1") == quoted("12", 8)
    reference.put_prices([])
    assert len(reference.prices()) == 2
    assert reference.price("INS-3") is None
