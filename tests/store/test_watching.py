"""What-if, headroom, and limits that prices and positions exceed without an order, over a real order book."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select
from tests.store import limits
from tests.store.building import APPLE, EVERYBODY, NOON, Tale

from oms.domain import commands as cmd
from oms.domain.compliance import Verdict
from oms.domain.control import ControlEvent, ControlKind
from oms.domain.errors import Code, Refused
from oms.domain.halts import Halt, HaltScope
from oms.domain.reference import Instrument
from oms.domain.rules.book import Book, Proposal
from oms.domain.terms import Direction, OrderType
from oms.store import Store, tables
from oms.store.compliance import WhatIf

LATER = NOON + timedelta(minutes=1)


@pytest.fixture
def book(store: Store) -> Store:
    limits.portfolio(store)
    limits.instruments(store)
    return store


def asked(
    instrument: Instrument = APPLE, quantity: int = 100, portfolio_id: str = "PORT-001", **given: Any
) -> WhatIf:
    proposal = Proposal(
        order_id=f"what-if {instrument.symbol}",
        instrument=instrument,
        direction=given.pop("direction", Direction.BUY),
        quantity=Decimal(quantity),
        order_type=OrderType.MARKET,
    )
    return WhatIf(portfolio_id=portfolio_id, proposal=proposal, **given)


def fails(verdicts: tuple[Verdict, ...]) -> list[list[str]]:
    return [[result.rule_id for result in verdict.violations] for verdict in verdicts]


def held(store: Store, quantity: int, price: str = "10", **request: Any) -> Tale:
    tale = Tale(ordered_quantity=Decimal(quantity), **request).placed().filled(quantity, price)
    return tale.recorded(store)


def all_rows(store: Store) -> dict[str, list[Any]]:
    with store.database.read() as connection:
        return {
            name: list(connection.execute(table.select())) for name, table in tables.metadata.tables.items()
        }


def test_what_if_judges_several_orders_together_and_writes_nothing(book: Store) -> None:
    limits.rule(book, "max_position", max_quantity="150")
    limits.rule(book, "gross_exposure", max_notional="2500")
    before = all_rows(book)
    verdicts = book.compliance.what_if(
        [asked(), asked(limits.NVIDIA), asked(quantity=50), asked(quantity=1)], LATER
    )
    assert fails(verdicts) == [[], [], [], ["R-gross_exposure", "R-max_position"]]
    assert fails(book.compliance.what_if([asked(), asked()], LATER)) == [[], ["R-max_position"]]
    assert all_rows(book) == before


def test_what_if_keeps_portfolios_apart_and_names_one_that_is_not_there(book: Store) -> None:
    limits.portfolio(book, "PORT-002", default_account_id="ACCT-002")
    limits.rule(book, "max_position", max_quantity="100", target_accounts=("ACCT-002",))
    orders = [asked(), asked(portfolio_id="PORT-002"), asked(), asked(portfolio_id="PORT-002")]
    assert fails(book.compliance.what_if(orders, LATER)) == [[], [], [], ["R-max_position"]]
    assert fails(book.compliance.what_if([asked(quantity=999, account_id="ACCT-002")], LATER)) == [
        ["R-max_position"]
    ]
    with pytest.raises(Refused) as refused:
        book.compliance.what_if([asked(portfolio_id="PORT-404")], LATER)
    assert refused.value.code is Code.PORTFOLIO_NOT_FOUND


def test_what_if_knows_of_a_halt_and_of_what_is_in_flight(book: Store) -> None:
    limits.rule(book, "max_position", max_quantity="150")
    tale = Tale().waiting().recorded(book)
    book.compliance.evaluate_and_reserve(tale.order, NOON)
    assert fails(book.compliance.what_if([asked()], LATER)) == [["R-max_position"]]
    book.halts.set(Halt(scope=HaltScope.FIRM, reason="r", by="carol", since=NOON))
    assert fails(book.compliance.what_if([asked()], LATER)) == [["HALT"]]


def test_headroom_counts_what_is_held_and_in_flight(book: Store) -> None:
    limits.rule(book, "max_position", max_quantity="1000")
    limits.rule(book, "short_sale_ban")
    held(book, 300)
    book.compliance.evaluate_and_reserve(Tale().waiting().recorded(book).order, NOON)
    (room,) = book.compliance.headroom("PORT-001", None, LATER)
    assert (room.current_value, room.limit_value, room.headroom, room.headroom_pct) == (
        400,
        1000,
        600,
        Decimal("0.6"),
    )
    assert book.compliance.headroom("PORT-001", "R-max_position", LATER) == (room,)
    assert book.compliance.headroom("PORT-001", "R-short_sale_ban", LATER) == ()


def test_headroom_names_what_is_missing(book: Store) -> None:
    limits.rule(book, "gross_exposure", max_notional="1000")
    unpriced = Instrument(instrument_id="INS-NEW", symbol="NEW")
    limits.instruments(book, unpriced, price=None)
    held(book, 1, instrument=unpriced)
    codes = {}
    for portfolio_id, rule_id in (
        ("PORT-404", None),
        ("PORT-001", "R-404"),
        ("PORT-001", "R-gross_exposure"),
    ):
        with pytest.raises(Refused) as refused:
            book.compliance.headroom(portfolio_id, rule_id, LATER)
        codes[portfolio_id, rule_id] = refused.value.code
    assert [*codes.values()] == [Code.PORTFOLIO_NOT_FOUND, Code.RULE_NOT_FOUND, Code.NOT_COMPUTABLE]
    assert book.compliance.headroom("PORT-001", None, LATER) == ()


def _book(store: Store) -> Book:
    return store.compliance.book("PORT-001", store.rules.applying_to("PORT-001"), LATER)


def test_rates_come_from_currency_pairs(book: Store) -> None:
    """One EUR is 1.1 USD; one GBP is what 0.8 GBP for a USD turned round makes; nobody knows the CHF."""
    limits.pair(book, "EUR", "USD", "1.1")
    limits.pair(book, "USD", "EUR", "0.5")
    limits.pair(book, "USD", "GBP", "0.8")
    limits.pair(book, "CHF", "EUR", "2")
    for currency in ("EUR", "GBP", "CHF"):
        instrument = Instrument(instrument_id=f"INS-{currency}", symbol=currency, currency=currency)
        limits.instruments(book, instrument)
        held(book, 1, instrument=instrument)
    assert _book(book).rates == {"USD": 1, "EUR": Decimal("1.1"), "GBP": Decimal("1.25")}
    limits.pair(book, "EUR", "USD", "1.2", at=LATER)
    assert _book(book).rates["EUR"] == Decimal("1.2")


def test_without_a_rate_the_rule_fails(book: Store) -> None:
    limits.rule(book, "gross_exposure", max_notional="1000")
    limits.instruments(book, limits.SIEMENS)
    assert fails(book.compliance.what_if([asked(limits.SIEMENS, 1)], LATER)) == [["R-gross_exposure"]]
    limits.pair(book, "EUR", "USD", "1.1")
    assert fails(book.compliance.what_if([asked(limits.SIEMENS, 1)], LATER)) == [[]]


def test_turnover_is_what_was_traded_since_midnight_utc_and_what_is_in_flight(book: Store) -> None:
    limits.rule(book, "max_daily_turnover", max_notional="1000000")
    midnight = NOON.replace(hour=0)
    held(book, 7, at=midnight - timedelta(hours=1))
    held(book, 20, "11", at=midnight + timedelta(hours=1))
    held(book, 5, "12", direction=Direction.SELL)
    Tale(order_type="Limit", limit_price=Decimal(9)).placed().filled(40, "8").recorded(book)
    Tale(ordered_quantity=Decimal(3)).placed().recorded(book)
    assert _book(book).turnover == 20 * 11 + 5 * 12 + (40 * 8 + 60 * 9) + 3 * 10


def test_turnover_that_cannot_be_valued_stops_the_order(book: Store) -> None:
    """A market order without any price is in flight: nobody knows what it will cost."""
    limits.rule(book, "max_daily_turnover", max_notional="1000000")
    unpriced = Instrument(instrument_id="INS-NEW", symbol="NEW")
    limits.instruments(book, unpriced, price=None)
    Tale(instrument=unpriced).placed().recorded(book)
    order = Tale(ordered_quantity=Decimal(1)).waiting().recorded(book).order
    assert fails((book.compliance.evaluate_and_reserve(order, LATER),)) == [["R-max_daily_turnover"]]


def test_allocations_to_another_portfolio_count_there(book: Store) -> None:
    limits.portfolio(book, "PORT-002")
    Tale().placed().filled(100, "10").allocated("ACCT-002", 30, "PORT-002").recorded(book)
    lines = {
        owner: book.compliance.book(owner, (), LATER).lines[APPLE.instrument_id].position
        for owner in ("PORT-001", "PORT-002")
    }
    assert lines == {"PORT-001": 70, "PORT-002": 30}


def test_issuers_of_named_instruments_are_restricted_too(book: Store) -> None:
    other = Instrument(instrument_id="INS-NVDA-OPT", symbol="NVDX", issuer="Nvidia")
    limits.instruments(book, other)
    limits.rule(book, "restricted_list", instrument_ids=[limits.NVIDIA.instrument_id])
    assert fails(book.compliance.what_if([asked(other), asked()], LATER)) == [["R-restricted_list"], []]


def test_the_same_order_again_within_the_window_is_stopped(book: Store) -> None:
    limits.rule(book, "duplicate_order", window_seconds=60)
    first, same, other = (Tale(ordered_quantity=Decimal(n)).waiting().recorded(book) for n in (5, 5, 6))
    said = [
        book.compliance.evaluate_and_reserve(tale.order, NOON + timedelta(seconds=seconds))
        for seconds, tale in ((0, first), (59, same), (59, other))
    ]
    assert [len(verdict.violations) for verdict in said] == [0, 1, 0]
    late = Tale(ordered_quantity=Decimal(6)).waiting().recorded(book)
    assert book.compliance.evaluate_and_reserve(late.order, NOON + timedelta(seconds=120)).violations == ()


# -- limits that are exceeded without an order --------------------------------------------------------


def kinds(events: tuple[ControlEvent, ...] | list[ControlEvent]) -> list[tuple[str, str, str | None]]:
    return [(event.kind, event.subject, event.portfolio_id) for event in events]


def breaches(store: Store) -> list[tuple[str, str]]:
    rows = tables.breaches.c
    with store.database.read() as connection:
        return [tuple(row) for row in connection.execute(select(rows.rule_id, rows.portfolio_id))]


BREACHED = (ControlKind.LIMIT_BREACHED, "R-gross_exposure", "PORT-001")
CLEARED = (ControlKind.LIMIT_CLEARED, "R-gross_exposure", "PORT-001")


def test_a_price_that_moves_a_portfolio_over_a_limit_is_told_once_and_so_is_the_end(book: Store) -> None:
    limits.rule(book, "gross_exposure", max_notional="1000", severity="SOFT")
    limits.portfolio(book, "PORT-002")
    held(book, 90)
    before = book.control.head()
    assert book.compliance.watch(NOON) == ()
    limits.quote(book, APPLE, "12", LATER)
    told = book.compliance.watch(LATER)
    assert kinds(told) == [BREACHED]
    assert told[0].data["severity"] == "SOFT"
    assert (told[0].data["result"]["used"], told[0].data["result"]["limit"]) == ("1080", "1000")
    assert book.compliance.watch(LATER) == ()
    assert breaches(book) == [("R-gross_exposure", "PORT-001")]

    limits.quote(book, APPLE, "11", LATER + timedelta(minutes=1))
    assert kinds(book.compliance.watch(LATER)) == [CLEARED]
    assert book.compliance.watch(LATER) == ()
    assert breaches(book) == []
    assert kinds(book.control.stream(before)) == [BREACHED, CLEARED]


def test_what_is_in_flight_is_no_breach(book: Store) -> None:
    limits.rule(book, "gross_exposure", max_notional="1000")
    Tale(ordered_quantity=Decimal(500)).placed().recorded(book)
    assert book.compliance.watch(LATER) == ()


def test_a_rule_that_ends_ends_its_breach(book: Store) -> None:
    limits.rule(book, "gross_exposure", max_notional="100")
    held(book, 90)
    assert kinds(book.compliance.watch(LATER)) == [BREACHED]
    book.rules.deactivate("R-gross_exposure")
    assert kinds(book.compliance.watch(LATER)) == [CLEARED]


def test_two_who_watch_at_once_tell_once(url: str) -> None:
    stores = Store(url), Store(url)
    limits.portfolio(stores[0])
    limits.instruments(stores[0])
    limits.rule(stores[0], "gross_exposure", max_notional="100")
    held(stores[0], 90)
    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(lambda n: stores[n % 2].compliance.watch(LATER), range(8)))
    assert kinds([event for events in told for event in events]) == [BREACHED]
    assert kinds(stores[0].control.stream(0, kinds=[ControlKind.LIMIT_BREACHED])) == [BREACHED]
    for store in stores:
        store.close()


# -- what is told of orders ---------------------------------------------------------------------------


def test_orders_that_failed_were_warned_of_or_let_through_are_told_once(book: Store) -> None:
    limits.rule(book, "max_order_quantity", max_quantity="1")
    limits.rule(book, "max_position", max_quantity="1", severity="SOFT")
    before = book.control.head()
    tale = Tale().waiting().recorded(book)
    tale.judged(book.compliance.evaluate_and_reserve(tale.order, NOON))
    override = cmd.OverridePreTradeCompliance(override_id="OVR-1", reason="agreed", approver_id="ceo")
    tale.as_actor("chief").do(override)
    book.rules.deactivate("R-max_order_quantity")
    warned = Tale().waiting().recorded(book)
    warned.judged(book.compliance.evaluate_and_reserve(warned.order, NOON))
    for _ in range(2):
        for each in (tale, warned):
            book.journal.record(each.order, each.events)
    _, failed, overridden, soft = book.control.stream(before)
    assert [(e.kind, e.order_id, e.actor, e.reason) for e in (failed, overridden, soft)] == [
        (ControlKind.ORDER_FAILED, tale.id, EVERYBODY.key, None),
        (ControlKind.ORDER_OVERRIDDEN, tale.id, "chief", "agreed"),
        (ControlKind.ORDER_WARNED, warned.id, EVERYBODY.key, None),
    ]
    assert [each["rule_id"] for each in failed.data["violations"]] == ["R-max_order_quantity"]
    assert overridden.data == {
        "gate": "pre_trade",
        "order_version": 4,
        "override_id": "OVR-1",
        "approver_id": "ceo",
    }
    assert [each["rule_id"] for each in soft.data["violations"]] == ["R-max_position"]
