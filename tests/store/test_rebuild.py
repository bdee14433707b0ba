"""Every projection can be thrown away: the journal alone brings it back."""

import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, text, update
from tests.store.building import Tale, new_id, straight_through

from oms.domain import commands as cmd
from oms.domain.errors import Refused
from oms.domain.order import JournalBatch
from oms.domain.terms import PlacementStatus
from oms.store import Store, rebuild, tables

PROJECTED = ("order_exceptions", "allocations", "placements", "fills", "reservations", "orders")


def _everything(store: Store) -> dict[str, list[tuple[object, ...]]]:
    with store.database.read() as connection:
        return {
            name: sorted(
                (tuple(row) for row in connection.execute(tables.metadata.tables[name].select())), key=str
            )
            for name in PROJECTED
        }


def _tales(store: Store) -> list[Tale]:
    doubtful = Tale().placed().reported(PlacementStatus.IN_DOUBT)
    tales = [straight_through(), straight_through(), Tale(), doubtful]
    return [tale.recorded(store) for tale in tales]


def test_a_sound_book_is_clean(store: Store) -> None:
    tales = _tales(store)
    report = rebuild(store, write=False)
    assert report.is_clean
    assert (report.orders, report.events) == (len(tales), sum(len(tale.events) for tale in tales))
    assert rebuild(store, write=True).written == 0


def test_emptied_projections_come_back(store: Store) -> None:
    tales = _tales(store)
    before = _everything(store)
    with store.database.write() as connection:
        for name in PROJECTED:
            connection.execute(delete(tables.metadata.tables[name]))
    assert rebuild(store, write=False).differing == len(tales)
    assert store.orders.list().items == ()
    report = rebuild(store, write=True)
    assert (report.differing, report.written) == (len(tales), len(tales))
    assert _everything(store) == before
    assert rebuild(store, write=True).is_clean


@pytest.mark.parametrize(
    ("damage", "table", "what"),
    [
        ("UPDATE orders SET state = 'CREATED' WHERE state = 'CONFIRMED'", "orders", "state"),
        ("DELETE FROM fills WHERE exec_id IN (SELECT max(exec_id) FROM fills)", "fills", "missing"),
        (
            "UPDATE fills SET price = '1.5' WHERE exec_id IN (SELECT max(exec_id) FROM fills)",
            "fills",
            "price",
        ),
        ("UPDATE allocations SET account_id = 'A9'", "allocations", "account_id"),
        ("UPDATE placements SET status = 'PENDING'", "placements", "status"),
    ],
)
def test_damage_is_named_and_repaired(store: Store, damage: str, table: str, what: str) -> None:
    tale = straight_through().recorded(store)
    before = _everything(store)
    if not store.database.is_sqlite:
        damage = damage.replace("'1.5'", "1.5")
    with store.database.write() as connection:
        connection.execute(text(damage))
    report = rebuild(store, write=False)
    assert [(d.order_id, d.table, d.what) for d in report.differences] == [(tale.id, table, what)]
    assert rebuild(store, write=True).written == 1
    assert _everything(store) == before


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("DELETE FROM reservations", "missing"),
        ("UPDATE reservations SET quantity = '1.5'", "quantity"),
        ("UPDATE reservations SET price = '1.5'", "price"),
    ],
)
def test_damaged_reservations_are_named_and_repaired(store: Store, damage: str, what: str) -> None:
    tale = Tale().placed().filled(40).recorded(store)
    before = _everything(store)
    if not store.database.is_sqlite:
        damage = damage.replace("'1.5'", "1.5")
    with store.database.write() as connection:
        connection.execute(text(damage))
    report = rebuild(store, write=False)
    assert [(d.order_id, d.table, d.what) for d in report.differences] == [(tale.id, "reservations", what)]
    assert rebuild(store, write=True).written == 1
    assert _everything(store) == before


def test_what_nobody_holds_any_more_is_freed(store: Store) -> None:
    """Rows of an order that is over, and of one that was never recorded."""
    tale = straight_through().recorded(store)
    with store.database.write() as connection:
        for order_id in (tale.id, "ORD-nobody"):
            connection.execute(
                tables.reservations.insert(),
                {
                    "order_id": order_id,
                    "portfolio_id": "PORT-001",
                    "instrument_id": "INS-AAPL",
                    "direction": "Buy",
                    "quantity": Decimal(1),
                    "price": None,
                    "unallocated": Decimal(0),
                },
            )
    report = rebuild(store, write=True)
    assert {(d.order_id, d.what) for d in report.differences} == {
        (tale.id, "unexpected"),
        ("ORD-nobody", "unexpected"),
    }
    assert _everything(store)["reservations"] == []
    assert rebuild(store, write=False).is_clean


def test_what_a_check_reserved_is_left_alone_until_the_order_goes_on(store: Store) -> None:
    tale = Tale().waiting().recorded(store)
    store.compliance.evaluate_and_reserve(tale.order, tale.at)
    before = _everything(store)
    assert len(before["reservations"]) == 1
    assert rebuild(store, write=True).is_clean
    with store.database.write() as connection:
        connection.execute(text("UPDATE orders SET state = 'CREATED'"))
    rebuild(store, write=True)
    assert _everything(store) == before


def test_a_projection_without_a_journal_is_removed(store: Store) -> None:
    tale, gone = straight_through().recorded(store), straight_through().recorded(store)
    with store.database.write() as connection:
        connection.execute(delete(tables.journal).where(tables.journal.c.order_id == gone.id))
    report = rebuild(store, write=False)
    assert {(d.order_id, d.what) for d in report.differences} == {(gone.id, "unexpected")}
    rebuild(store, write=True)
    assert store.orders.get(gone.id) is None
    assert store.orders.fills(gone.id) == ()
    assert store.orders.get(tale.id) == tale.order


def test_rebuilding_goes_through_more_than_one_chunk(store: Store) -> None:
    ids = {Tale().recorded(store).id for _ in range(450)}
    with store.database.write() as connection:
        connection.execute(delete(tables.orders))
    report = rebuild(store, write=True)
    assert (report.orders, report.written) == (450, 450)
    assert {order.order_id for order in store.orders.list(limit=500).items} == ids


def test_rebuilding_while_orders_move_on(url: str) -> None:
    """Neither waits for the other for ever, nothing moves back, and the end is clean."""
    stores = [Store(url), Store(url)]
    tales = [straight_through() for _ in range(12)]
    for tale in tales:
        stores[0].journal.record(*tale.batches[0])
    with ThreadPoolExecutor(5) as threads:
        recording = [threads.submit(tale.recorded, stores[n % 2]) for n, tale in enumerate(tales)]
        while not all(record.done() for record in recording):
            with stores[0].database.write() as connection:
                connection.execute(delete(tables.placements))
            rebuild(stores[1], write=True)
        for record in recording:
            record.result()
    rebuild(stores[0], write=True)
    assert [stores[0].orders.get(tale.id) for tale in tales] == [tale.order for tale in tales]
    assert rebuild(stores[0], write=False).is_clean
    for store in stores:
        store.close()


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "fill",
                "correct",
                "bust",
                "charge",
                "doubt",
                "working",
                "canceled",
                "rejected",
                "place",
                "cancel",
                "allocate",
                "close",
                "operations",
                "resolve",
                "cancel placement",
                "update",
            ]
        ),
        st.integers(0, 4),
    ),
    max_size=14,
)


def _exec_id(tale: Tale, number: int, revision: str = "01") -> str:
    """One of them with what not every database keeps."""
    return f"{tale.id}-{number}{chr(0) if number == 4 else ''}.{revision}"


def _act(tale: Tale, action: str, number: int) -> None:
    placements = tale.order.placements
    statuses = {
        "doubt": PlacementStatus.IN_DOUBT,
        "working": PlacementStatus.WORKING,
        "canceled": PlacementStatus.CANCELED,
        "rejected": PlacementStatus.REJECTED,
    }
    if action in statuses:
        tale.reported(statuses[action], reason="said so")
    elif action in ("fill", "correct"):
        tale.hear(
            tale.execution(
                10 + number, 5 + number, _exec_id(tale, number, "01" if action == "fill" else "02")
            )
        )
    elif action == "bust":
        tale.busted(_exec_id(tale, number))
    elif action == "charge":
        tale.charged(_exec_id(tale, number), f"0.{number + 1}")
    elif action == "allocate":
        tale.allocated(f"A{number}", 10 + number, f"PORT-00{1 + number % 2}")
    else:
        tale.do(
            {
                "place": cmd.CreatePlacement(
                    placement_id=new_id("PLC"), venue="IBKR", account="DU1", quantity=Decimal(5)
                ),
                "cancel": cmd.CancelOrder(reason="enough"),
                "cancel placement": cmd.CancelPlacement(placement_id=placements[0].placement_id),
                "close": cmd.CloseOrder(),
                "operations": cmd.SendToOperations(allocation_id=new_id("ALC")),
                "resolve": cmd.ResolveException(code="LATE_FILL", reason="seen"),
                "update": cmd.UpdateOrder(changes=cmd.OrderChanges(metadata={"note": number})),
            }[action]
        )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS, cut=st.integers(1, 5), sliced=st.booleans())
def test_what_is_written_step_by_step_is_what_the_journal_says(
    store: Store, actions: list[tuple[str, int]], cut: int, sliced: bool
) -> None:
    """Whatever happens to an order, however its events are cut into batches, and whether or not a batch has all of it."""
    tale = Tale().placed()
    for action, number in actions:
        try:
            _act(tale, action, number)
        except Refused:
            continue
    for start in range(0, len(tale.batches), cut):
        batches = tale.batches[start : start + cut]
        order, events = batches[-1][0], [event for _, events in batches for event in events]
        store.journal.record(JournalBatch.of(order, events).order if sliced else order, events)
    report = rebuild(store, write=False)
    assert report.differences == []
    assert store.orders.get(tale.id) == tale.order
    glanced = store.orders.glance(tale.id)
    assert glanced is not None
    assert (glanced.executed_quantity, glanced.average_price) == (
        tale.order.executed_quantity,
        tale.order.average_price,
    )


def test_a_row_that_an_older_release_wrote_is_read_and_is_no_difference(store: Store) -> None:
    """Its body has every execution, and none of the fields that came later."""
    tale = Tale().placed().reported(PlacementStatus.WORKING).filled(40).filled(20)
    for order, events in tale.batches:
        store.journal.record(order, events)
    told = json.loads(tale.order.model_dump_json())
    assert len(told["ledger"]["executions"]) == 2
    for name in ("apart", "uncharged"):
        told["ledger"].pop(name)
    told["request"].pop("handling")
    (placement,) = told["placements"]
    for name in ("heard_ns", "doubted_ns", "handling", "revision", "last_change", "rounded"):
        placement.pop(name)
    with store.database.write() as connection:
        orders, placements = tables.orders, tables.placements
        connection.execute(update(orders).where(orders.c.order_id == tale.id).values(body=json.dumps(told)))
        one = update(placements).where(placements.c.order_id == tale.id)
        connection.execute(one.values(body=json.dumps(placement)))
    assert rebuild(store, write=False).differences == []
    found = store.orders.get(tale.id)
    assert found is not None
    later = {"ledger": {"apart"}, "placements": {0: {"heard_ns"}}}
    assert found.model_dump(exclude=later) == tale.order.model_dump(exclude=later)
    assert found.ledger.only(()).apart == ()
