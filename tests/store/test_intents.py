"""Intents that move together, terms that change, and how what was told is found again."""

from decimal import Decimal

from tests.store.building import APPLE

from oms.domain.terms import Direction, OrderType, TimeInForce
from oms.domain.venues import PlacementTicket
from oms.store import InboxMessage, Intent, IntentState, Store


def intent(number: int, state: IntentState = IntentState.QUEUED) -> Intent:
    ticket = PlacementTicket(
        order_id=f"ORD-{number}",
        placement_id=f"PLC-{number}",
        venue="IBKR",
        account="DU1",
        instrument=APPLE,
        direction=Direction.BUY,
        quantity=Decimal(10),
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.DAY,
    )
    return Intent(
        placement_id=ticket.placement_id,
        order_id=ticket.order_id,
        gateway="ibkr",
        client_id=7,
        broker_order_id=100 + number,
        order_ref=f"ref-{number}",
        account="DU1",
        state=state,
        ticket=ticket,
        created_ns=number,
        updated_ns=number,
    )


def as_sent(one: Intent, number: int) -> Intent:
    update = {"state": IntentState.SENDING, "broker_order_id": number, "detail": "sent", "updated_ns": 9}
    return one.model_copy(update=update)


def test_all_move_or_none(store: Store) -> None:
    waiting = [intent(number) for number in (1, 2)]
    for one in (*waiting, intent(3, IntentState.WITHDRAWN)):
        store.intents.open(one)
    moved = [as_sent(one, 200 + number) for number, one in enumerate(waiting)]
    gone = as_sent(intent(3), 300)
    assert store.intents.move_together([*moved, gone], IntentState.QUEUED) is False
    assert [store.intents.get(one.placement_id) for one in waiting] == waiting
    assert store.intents.move_together(moved, IntentState.QUEUED) is True
    assert [store.intents.get(one.placement_id) for one in moved] == moved
    assert store.intents.move_together(moved, IntentState.QUEUED) is False
    assert store.intents.in_state(7, IntentState.QUEUED) == []


def test_terms_change_where_that_is_said_and_nowhere_else(store: Store) -> None:
    known = intent(1, IntentState.ACKNOWLEDGED)
    store.intents.open(known)
    less = known.ticket.model_copy(update={"quantity": Decimal(4), "revision": 1})
    changed = known.model_copy(update={"ticket": less, "detail": "less"})
    store.intents.update_all([changed])
    assert store.intents.get("PLC-1").ticket == known.ticket
    store.intents.update_all([changed], {"PLC-1"})
    assert store.intents.get("PLC-1").ticket == less
    assert store.intents.update("PLC-1", ticket=known.ticket).ticket == known.ticket


def test_only_what_was_sent_has_a_number_at_the_broker() -> None:
    numbers = (IntentState.SENDING, 5), (IntentState.DONE, 5), (IntentState.DONE, -5), (IntentState.QUEUED, 5)
    intents = [intent(1, state).model_copy(update={"broker_order_id": number}) for state, number in numbers]
    assert [one.was_sent for one in intents] == [True, True, False, False]


def test_the_keys_of_messages_are_found_by_how_they_begin(store: Store) -> None:
    told = [
        "fee/00a.1/-1.5",
        "fee/00a.1/2",
        "fee/00a.10/3",
        "fee/00a.2/1E-7/1",
        "exec/00a.1",
        "fee/00a.1/-1.5/2",
    ]
    rows = [InboxMessage(natural_key=key, order_id=None, fact=None, ts_init_ns=1) for key in told]
    store.inbox.add("ibkr", rows)
    store.inbox.add("other", rows)
    others = [f"fee/{number}/" for number in range(500)]
    assert store.inbox.keys_under("ibkr", ["fee/00a.2/", *others, "fee/00a.1/"]) == [
        "fee/00a.1/-1.5",
        "fee/00a.1/2",
        "fee/00a.2/1E-7/1",
        "fee/00a.1/-1.5/2",
    ]
    assert store.inbox.keys_under("ibkr", []) == []
