"""A signal never fails an order, whatever it carries: facts are taken, everything else is kept for a person."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from oms.domain import commands as cmd
from oms.domain.facts import Executed, Unreadable
from oms.domain.terms import Role, State
from oms.workflows.contract import CUSTODIAN_FACTS_SIGNAL, VENUE_FACTS_SIGNAL
from oms.workflows.hearing import heard
from tests.domain import orders
from tests.workflows.venue import execution
from tests.workflows.world import World

GOOD = orders.executed("X.01").model_dump(mode="json")
STRANGE: dict[str, tuple[str, list[Any]]] = {
    "no arguments": (VENUE_FACTS_SIGNAL, []),
    "one argument": (VENUE_FACTS_SIGNAL, ["IBKR"]),
    "three arguments": (VENUE_FACTS_SIGNAL, ["IBKR", [], []]),
    "bytes": (VENUE_FACTS_SIGNAL, [b"\xff\x00", b"\xfe"]),
    "facts are no list": (VENUE_FACTS_SIGNAL, ["IBKR", {"kind": "executed"}]),
    "null": (CUSTODIAN_FACTS_SIGNAL, [None, None]),
    "unknown kind": (VENUE_FACTS_SIGNAL, ["IBKR", [{"kind": "moon_phase"}]]),
    "a negative price": (VENUE_FACTS_SIGNAL, ["IBKR", [GOOD | {"price": "-1"}]]),
    "an endless number": (VENUE_FACTS_SIGNAL, ["IBKR", [GOOD | {"quantity": "1E+999999999"}]]),
    "an instant after time": (VENUE_FACTS_SIGNAL, ["IBKR", [GOOD | {"ts_init_ns": 10**30}]]),
    "an instant before time": (VENUE_FACTS_SIGNAL, ["IBKR", [GOOD | {"ts_event_ns": -(10**30)}]]),
    "nobody knows the signal": ("good_morning", ["IBKR", [GOOD]]),
}


@pytest.mark.parametrize("name", STRANGE)
async def test_a_strange_signal_is_parked_and_the_order_goes_on(world: World, name: str) -> None:
    dealt = await world.open()
    signal, arguments = STRANGE[name]
    await dealt.handle.signal(signal, args=arguments)
    order = await dealt.becomes(lambda o: o.parked, "parked")
    assert (order.state, len(order.parked)) == (State.CREATED, 1)
    assert (await dealt.do(cmd.CancelOrder(), Role.PM)).state is State.CANCELED
    await dealt.ends(State.CANCELED)


async def test_what_can_be_read_of_a_batch_is_taken(world: World) -> None:
    dealt = await (await world.open()).sent_to_trader()
    placement_id = await dealt.place()
    fill, charge = (one.model_dump(mode="json") for one in execution(placement_id, "100"))
    batch = [fill, {"kind": "from_a_later_version", "n": 1}, charge]
    await dealt.handle.signal(VENUE_FACTS_SIGNAL, args=["IBKR", batch])
    order = await dealt.is_in(State.FILLED)
    assert (len(order.parked), len(order.ledger.commissions)) == (1, 1)
    parked = next(e for e in world.store.journal.of_order(dealt.order_id) if e.kind == "fact_parked")
    assert "from_a_later_version" in parked.happening.raw  # type: ignore[union-attr]


async def test_a_fact_of_another_order_is_parked(world: World) -> None:
    dealt = await world.open()
    await dealt.hear(orders.executed("X.01", placement_id="PLC-of-another-order"))
    order = await dealt.becomes(lambda o: o.parked, "parked")
    assert (order.executed_quantity, order.state) == (0, State.CREATED)


@given(
    signal=st.sampled_from([VENUE_FACTS_SIGNAL, CUSTODIAN_FACTS_SIGNAL, "other"]),
    payloads=st.lists(st.binary(max_size=60) | st.just(to_json([GOOD])) | st.just(b'"IBKR"'), max_size=3),
)
def test_hearing_never_raises(signal: str, payloads: list[bytes]) -> None:
    source, facts = heard(signal, payloads, orders.NS)
    assert isinstance(source, str)
    assert all(isinstance(fact, (Executed, Unreadable)) for fact in facts)


@given(
    junk=st.recursive(
        st.none() | st.integers() | st.floats() | st.text(),
        lambda s: st.lists(s) | st.dictionaries(st.text(), s),
    )
)
def test_a_readable_fact_is_never_lost_beside_junk(junk: Any) -> None:
    _, facts = heard(VENUE_FACTS_SIGNAL, [b'"IBKR"', to_json([GOOD, junk, GOOD])], orders.NS)
    assert [type(fact) for fact in facts] == [Executed, Unreadable, Executed]
