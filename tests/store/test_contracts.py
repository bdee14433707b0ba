"""Instruments that are one contract: by the broker's number, else by how they are described."""

from datetime import date
from decimal import Decimal
from typing import Any

from alembic import command as command_line
from tests.store.building import NS, Tale

from oms.domain.programs.targets import WorkingOrder
from oms.domain.reference import Instrument, InstrumentTerms
from oms.store import ForeignOrder, Store
from oms.store.migrating import _config


def put(store: Store, name: str, **terms: Any) -> Instrument:
    return store.reference.put_instrument(InstrumentTerms(**{"symbol": "BRK B", **terms}), f"INS-{name}")


def test_by_the_brokers_number_whatever_they_are_called(store: Store) -> None:
    put(store, "1", conid=7)
    put(store, "2", symbol="BRK.B", conid=7)
    put(store, "3", symbol="BRK.B", exchange="NYSE", conid=7)
    put(store, "4", symbol="BRK.A", conid=8)
    for name in "123":
        assert store.reference.one_contract(f"INS-{name}") == ("INS-1", "INS-2", "INS-3")
    assert store.reference.one_contract("INS-4") == ("INS-4",)
    assert store.reference.one_contract("INS-nobody") == ("INS-nobody",)


def test_one_without_a_number_is_the_contract_that_is_described_alike(store: Store) -> None:
    put(store, "1", exchange="NYSE")
    put(store, "2", conid=7)
    put(store, "3", exchange="ARCA")
    put(store, "4", symbol="BRK.B", conid=7)
    put(store, "5", symbol="BRK.B", exchange="IEX")
    put(store, "6", currency="EUR")
    for name in "12345":
        assert store.reference.one_contract(f"INS-{name}") == tuple(f"INS-{n}" for n in "12345"), name
    assert store.reference.one_contract("INS-6") == ("INS-6",)


def test_one_that_may_be_either_of_two_stands_apart(store: Store) -> None:
    put(store, "1", exchange="NYSE")
    put(store, "2", exchange="ARCA", conid=7)
    put(store, "3", exchange="IEX", conid=8)
    put(store, "4")
    assert store.reference.one_contract("INS-4") == ("INS-1", "INS-4")
    assert store.reference.one_contract("INS-2") == ("INS-2",)
    assert store.reference.one_contract("INS-3") == ("INS-3",)


def test_a_number_that_is_learned_later_counts_from_then(store: Store) -> None:
    put(store, "1", conid=7)
    put(store, "2", symbol="BRK.B")
    assert store.reference.one_contract("INS-2") == ("INS-2",)
    put(store, "3", symbol="BRK.B", conid=7)
    assert store.reference.one_contract("INS-2") == ("INS-1", "INS-2")


def test_options_are_told_apart_by_all_their_terms(store: Store) -> None:
    terms: dict[str, Any] = {"sec_type": "OPT", "expiry": date(2026, 6, 19), "right": "C"}
    put(store, "1", strike=Decimal(100), **terms)
    put(store, "2", strike=Decimal("100.00"), exchange="CBOE", **terms)
    put(store, "3", strike=Decimal(101), **terms)
    assert store.reference.one_contract("INS-2") == ("INS-1", "INS-2")
    assert store.reference.one_contract("INS-3") == ("INS-3",)


def test_an_account_stands_in_a_contract_not_in_a_description(store: Store) -> None:
    smart, nyse = put(store, "1", conid=7), put(store, "2", exchange="NYSE", conid=7)
    Tale(instrument=nyse).placed().filled(60).recorded(store)
    Tale(instrument=smart).placed().filled(5).recorded(store)
    for instrument in (smart, nyse):
        exposure = store.targets.exposure("DU1", instrument.instrument_id)
        assert (exposure.booked, [one.pending for one in exposure.working]) == (65, [40, 95])
    assert store.targets.held_in("DU1") == {"INS-1": 5, "INS-2": 60}


def test_instruments_of_an_older_release_have_their_number_too(store: Store) -> None:
    put(store, "1", conid=7)
    put(store, "2", symbol="BRK.B", conid=7)
    put(store, "3", exchange="NYSE")
    before = store.reference.one_contract("INS-3")
    with store.database.write() as connection:
        command_line.downgrade(_config(connection), "0006")
    store.migrate()
    assert store.reference.one_contract("INS-3") == before == ("INS-1", "INS-2", "INS-3")


def test_orders_of_others_in_the_contract_work_too(store: Store) -> None:
    """By the broker's number, else by what it is called; an expiry is no part of what the broker tells of an order."""
    known, named = put(store, "1", conid=7), put(store, "2", symbol="AAPL")
    future = put(store, "3", symbol="ES", sec_type="FUT", expiry=date(2027, 3, 19))
    told = [
        other("perm/1", symbol="BRK B", conid=7),
        other("perm/2", symbol="BRK B", conid=8),
        other("perm/3", symbol="AAPL", conid=265598, action="SELL"),
        other("perm/4", symbol="ES", sec_type="FUT", conid=11),
        other("perm/5", symbol="BRK B"),
    ]
    store.foreign.keep("ibkr", told, [], NS)
    Tale(instrument=known).placed().recorded(store)
    seen = [(one.order_id[:6], one.pending, one.ours) for one in working(store, known)]
    assert seen[1:] == [("perm/1", 100, False), ("perm/5", 100, False)]
    assert seen[0][1] == 100
    assert [(one.order_id, one.pending) for one in working(store, named)] == [("perm/3", -100)]
    assert working(store, future) == ()
    assert len(store.targets.exposure("DU1", known.instrument_id, "PORT-001").working) == 1
    assert store.targets.exposure("DU2", known.instrument_id).working == ()


def other(key: str, **told: Any) -> ForeignOrder:
    terms = {"key": key, "gateway": "ibkr", "account": "DU1", "action": "BUY", "quantity": Decimal(100)}
    seen = {"status": "Submitted", "sec_type": "STK", "first_seen_ns": NS, "last_seen_ns": NS}
    return ForeignOrder.model_validate({**terms, **seen, **told})


def working(store: Store, instrument: Instrument) -> tuple[WorkingOrder, ...]:
    return store.targets.exposure("DU1", instrument.instrument_id).working
