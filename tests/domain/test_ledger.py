"""How a ledger travels: packed where it is long, and in slices where only a part of it is written."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms.domain.events import Event
from oms.domain.executions import PACKED_FROM, Commission, Execution, Ledger, revision
from oms.domain.order import JournalBatch, Order
from oms.domain.packing import pack, unpack
from tests.domain.orders import NS, Desk, busted, charged, executed

PAYLOAD_BYTES = 2 * 2**20
"""What Temporal takes as one message at most."""
IDS = st.sampled_from(["A", "B", "0000e0d5.6735a1c2", "C\x00", "ü", "D"])


def with_fills(count: int) -> Desk:
    """An order with `count` executions and their commissions, with ids and times as Interactive Brokers makes them."""
    desk = Desk(ordered_quantity=str(count * 100), order_type="Market", limit_price=None)
    desk.place(str(count * 100))
    for first in range(0, count, 100):
        facts = []
        for number in range(first, min(first + 100, count)):
            exec_id = f"0000e0d5.{0x6735A1C2 + number * 7919:08x}.01.01"
            at = NS + number * 137_000_000
            price = str(Decimal(15_000 + number % 173) / 100)
            facts.append(
                executed(exec_id, str(1 + number % 100), price, ts_event_ns=at, ts_init_ns=at + number)
            )
            facts.append(charged(exec_id, str(Decimal(35 + number % 65) / 100), ts_event_ns=at))
        desk.observe(*facts)
    return desk


def test_a_long_ledger_is_packed_and_comes_back_as_it_was() -> None:
    desk = with_fills(PACKED_FROM)
    text = desk.order.model_dump_json()
    assert "packed" in json.loads(text)["ledger"]
    assert Order.model_validate_json(text) == desk.order
    again = Order.model_validate_json(text)
    assert again.model_dump_json() == text
    desk.observe(executed("0000e0d5.6735a1c2.01.02", "1", "9"), busted("0000e0d5.6735c0b1.01.01"))
    assert Order.model_validate_json(desk.order.model_dump_json()) == desk.order


def test_a_short_ledger_can_be_read_by_a_person() -> None:
    told = json.loads(with_fills(3).order.model_dump_json())["ledger"]
    assert "packed" not in told
    assert len(told["executions"]) == len(told["commissions"]) == 3


def test_tens_of_thousands_of_fills_go_through_temporal() -> None:
    desk = with_fills(3_000)
    assert len(desk.order.model_dump_json()) * 20 < PAYLOAD_BYTES, "sixty thousand fit"
    last = JournalBatch.of(desk.order, desk.journal[-200:])
    first = JournalBatch.of(desk.order, desk.journal[5:205])
    assert len(last.order.model_dump_json()) < 50_000, "a record carries what happened, not what is there"
    assert len(first.order.ledger.executions) == len(last.order.ledger.executions) == 100
    assert last.order.ledger.filled == desk.order.ledger.filled


def executions() -> st.SearchStrategy[Execution]:
    return st.builds(
        lambda base, number, quantity, event, init, venue: Execution(
            exec_id=f"{base}.{number}",
            placement_id=f"PLC-{number}",
            quantity=quantity,
            price=Decimal("1.50"),
            currency="USD",
            venue=venue,
            ts_event_ns=event,
            ts_init_ns=init,
        ),
        IDS,
        st.integers(0, 3),
        st.decimals(0, 1000, places=3),
        st.integers(0, 2**62),
        st.integers(0, 2**62),
        st.sampled_from(["IBKR", "BRIDGE"]),
    )


def commissions() -> st.SearchStrategy[Commission]:
    return st.builds(
        lambda base, number, amount: Commission(exec_id=f"{base}.{number}", amount=amount, currency="EUR"),
        IDS,
        st.integers(0, 3),
        st.decimals(-10, 10, places=4),
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(executions(), max_size=8), st.lists(commissions(), max_size=8))
def test_whatever_is_packed_is_unpacked(booked: list[Execution], charges: list[Commission]) -> None:
    ledger = Ledger()
    for execution in booked:
        ledger = ledger.book(execution)
    for commission in charges:
        ledger = ledger.charge(commission)
    known, charged_ = unpack(pack(ledger.executions, ledger.commissions))
    assert {base: Execution(**terms) for base, terms in known.items()} == ledger.executions
    assert list(known) == list(ledger.executions)
    assert {base: Commission(**terms) for base, terms in charged_.items()} == ledger.commissions


@pytest.mark.parametrize("text", ["", "AAAA", "not base64", "eJwDAAAAAAE="])
def test_what_is_no_packed_ledger_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="packed"):
        Ledger.model_validate({"packed": text})


STEPS = st.lists(st.one_of(executions(), commissions(), IDS.map(lambda base: f"{base}.1")), max_size=12)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_what_stands_apart_is_known_after_each_step(steps: list[Execution | Commission | str]) -> None:
    """It is told by no row of an execution and its commission; looked for at once or kept up to date, it is the same."""
    ledger = Ledger()
    for step in steps:
        match step:
            case Execution():
                ledger = ledger.book(step)
            case Commission():
                ledger = ledger.charge(step)
            case exec_id:
                ledger = ledger.bust(exec_id)
        anew = Ledger.model_validate(ledger.model_dump(exclude={"apart"}))
        assert anew.apart is None
        assert anew.only(()) == ledger.only(())
        for base in ledger.executions.keys() | ledger.commissions.keys():
            execution, commission = ledger.executions.get(base), ledger.commissions.get(base)
            plain = execution is not None and base.isascii() and base.isprintable()
            alone = commission is None or (execution is not None and commission.exec_id == execution.exec_id)
            assert (base in ledger.apart) == (not plain or not alone)


def test_a_slice_has_what_the_events_are_about() -> None:
    desk = with_fills(5)
    bases = list(desk.order.ledger.executions)
    desk.observe(charged("Z.1", "2"))
    events: list[Event] = desk.observe(executed(f"{bases[2]}.02", "7", "9"))
    ledger = JournalBatch.of(desk.order, events).order.ledger
    assert set(ledger.executions) == {bases[2]}
    assert set(ledger.commissions) == {bases[2], "Z"}, "the one without an execution is in no row"
    assert (ledger.filled, ledger.by_placement) == (desk.order.ledger.filled, desk.order.ledger.by_placement)
    assert {revision(e.happening.exec_id)[0] for e in events} == {bases[2]}
