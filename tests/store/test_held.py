"""What we should have at the broker: booked fills, and what the gateway has heard and no order has booked yet."""

import itertools
from decimal import Decimal
from typing import Any

from tests.store.building import APPLE, NS, Tale

from oms.domain.facts import Executed
from oms.domain.reference import Instrument
from oms.domain.terms import Direction, OrderType, TimeInForce
from oms.domain.venues import PlacementTicket
from oms.store import InboxMessage, Intent, IntentState, Store
from oms.store.held import Held

FORD = Instrument(instrument_id="INS-F", symbol="F")
ACCOUNTS = frozenset({"DU1", "DU2"})
LATER = NS * 2
"""Nothing was heard since then."""
_numbers = itertools.count(1)


def sent(store: Store, tale: Tale, account: str = "DU1", gateway: str = "ibkr") -> Tale:
    """Record the order, and the intent of its placement as a gateway would have written it."""
    tale.recorded(store)
    placement = tale.order.placements[-1]
    ticket = PlacementTicket(
        order_id=tale.id,
        placement_id=placement.placement_id,
        venue="IBKR",
        account=account,
        instrument=tale.order.instrument,
        direction=tale.order.request.direction,
        quantity=placement.quantity,
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.DAY,
    )
    store.intents.open(
        Intent(
            placement_id=placement.placement_id,
            order_id=tale.id,
            gateway=gateway,
            client_id=7,
            broker_order_id=next(_numbers),
            order_ref=ticket.order_ref,
            account=account,
            state=IntentState.DONE,
            ticket=ticket,
            created_ns=NS,
            updated_ns=NS,
        )
    )
    return tale


def heard(
    store: Store, tale: Tale, *executions: Executed, delivered: bool = False, gateway: str = "ibkr"
) -> None:
    """Put executions into the inbox, where a gateway keeps them first."""
    before = {row.id for row in store.inbox.undelivered(gateway)}
    messages = [
        InboxMessage(natural_key=f"exec/{one.exec_id}", order_id=tale.id, fact=one, ts_init_ns=NS)
        for one in executions
    ]
    store.inbox.add(gateway, messages)
    if delivered:
        store.inbox.delivered({row.id for row in store.inbox.undelivered(gateway)} - before)


def quantities(store: Store) -> dict[tuple[str, str], Decimal]:
    return {(one.account, one.instrument_id): one.quantity for one in store.held.by(ACCOUNTS, LATER)}


def placed(
    store: Store, direction: Direction = Direction.BUY, instrument: Instrument = APPLE, **more: Any
) -> Tale:
    return sent(store, Tale(direction=direction, instrument=instrument).placed(), **more)


def test_fills_add_up_by_broker_account_and_instrument(store: Store) -> None:
    placed(store).filled(60).filled(40).recorded(store)
    placed(store, Direction.SELL).filled(30).recorded(store)
    ford = placed(store, Direction.SELL_SHORT, FORD).filled(5).recorded(store)
    placed(store, account="DU2", gateway="other").filled(1).recorded(store)
    assert quantities(store) == {("DU1", "INS-AAPL"): 70, ("DU1", "INS-F"): -5, ("DU2", "INS-AAPL"): 1}
    assert store.held.by(ACCOUNTS, LATER)[1] == Held(
        "DU1", "INS-F", Decimal(-5), ford.order.placements[-1].placement_id
    )


def test_what_is_flat_is_left_out(store: Store) -> None:
    placed(store).filled(30).recorded(store)
    placed(store, Direction.SELL).filled(30).recorded(store)
    assert quantities(store) == {}


def test_what_was_heard_counts_before_its_order_books_it_and_never_twice(store: Store) -> None:
    tale = placed(store)
    first, second = tale.execution(10, 5, "E1.01"), tale.execution(20, 5, "E2.01")
    heard(store, tale, first)
    assert quantities(store) == {("DU1", "INS-AAPL"): 10}
    heard(store, tale, second, delivered=True)
    assert quantities(store) == {("DU1", "INS-AAPL"): 30}
    tale.hear(first).recorded(store)
    assert quantities(store) == {("DU1", "INS-AAPL"): 30}
    tale.hear(second).recorded(store)
    assert quantities(store) == {("DU1", "INS-AAPL"): 30}


def test_a_correction_on_its_way_replaces_what_is_booked(store: Store) -> None:
    tale = placed(store)
    first, corrected = tale.execution(10, 5, "E1.01"), tale.execution(7, 5, "E1.02")
    heard(store, tale, first, delivered=True)
    tale.hear(first).recorded(store)
    heard(store, tale, corrected)
    assert quantities(store) == {("DU1", "INS-AAPL"): 7}
    tale.hear(corrected).recorded(store)
    assert quantities(store) == {("DU1", "INS-AAPL"): 7}


def test_an_execution_that_was_taken_back_stays_away(store: Store) -> None:
    tale = placed(store)
    first = tale.execution(10, 5, "E1.01")
    heard(store, tale, first, delivered=True)
    tale.hear(first).recorded(store)
    tale.busted("E1.01").recorded(store)
    assert quantities(store) == {}


def test_a_fact_for_an_order_nobody_recorded_is_ours_all_the_same(store: Store) -> None:
    tale = Tale().placed()
    execution = tale.execution(10, 5, "E1.01")
    recorded = placed(store)
    lost = execution.model_copy(update={"placement_id": recorded.order.placements[-1].placement_id})
    heard(store, tale, lost)
    assert quantities(store) == {("DU1", "INS-AAPL"): 10}


def test_an_orphan_is_not_ours(store: Store) -> None:
    tale = placed(store)
    heard(store, tale, tale.execution(10, 5, "E1.01"))
    store.inbox.orphan([row.id for row in store.inbox.undelivered("ibkr")], "no such order")
    assert quantities(store) == {}


def test_what_another_gateway_has_heard_is_ours_and_counts_once(store: Store) -> None:
    """After a failover the first gateway's inbox may still wait, and the second one hears the same executions."""
    tale = placed(store, gateway="first")
    execution = tale.execution(10, 5, "E1.01")
    heard(store, tale, execution, gateway="first")
    assert quantities(store) == {("DU1", "INS-AAPL"): 10}
    heard(store, tale, execution, gateway="second")
    assert quantities(store) == {("DU1", "INS-AAPL"): 10}
    tale.hear(execution).recorded(store)
    assert quantities(store) == {("DU1", "INS-AAPL"): 10}


def test_other_accounts_are_left_out(store: Store) -> None:
    placed(store, account="DU1").filled(1).recorded(store)
    other = placed(store, account="DU3")
    heard(store, other, other.execution(10, 5, "E1.01"))
    assert quantities(store) == {("DU1", "INS-AAPL"): 1}


def test_what_was_heard_of_lately_is_named_also_where_it_is_flat(store: Store) -> None:
    bought, sold, ford = placed(store), placed(store, Direction.SELL), placed(store, instrument=FORD)
    first, second = bought.execution(30, 5, "E1.01"), sold.execution(30, 5, "E2.01")
    heard(store, bought, first.model_copy(update={"ts_init_ns": NS}))
    heard(store, sold, second.model_copy(update={"ts_init_ns": NS + 1}), delivered=True)
    ford.filled(5).recorded(store)
    for recorded in (False, True):
        if recorded:
            bought.hear(first).recorded(store)
            sold.hear(second).recorded(store)
        flat, held = store.held.by(ACCOUNTS, NS + 1)
        assert (flat.instrument_id, flat.quantity, flat.lately) == ("INS-AAPL", 0, True)
        assert (held.instrument_id, held.quantity, held.lately) == ("INS-F", 5, False)
        assert [one.instrument_id for one in store.held.by(ACCOUNTS, NS + 2)] == ["INS-F"]
