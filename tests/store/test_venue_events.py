"""The tail of venue events: each kept once, read from the end, with the command that it or its order is of."""

from decimal import Decimal

from tests.store.building import NS, new_id
from tests.store.commanding import event, message_id

from oms.domain.programs.events import TailedEvent, VenueEvent
from oms.domain.programs.outcomes import Commanded, Part
from oms.domain.programs.tenants import Tenant
from oms.store import Store


def keys(events: list[TailedEvent]) -> list[str]:
    return [one.natural_key for one in events]


def linked(store: Store, number: int, index: int, tenant: str = "nts") -> str:
    """An order of command `number`, not opened yet."""
    order_id = new_id("ORD")
    link = Commanded(order_index=index, part=Part.ENTRY, order_id=order_id, symbol="ES")
    store.commands.order_links(message_id(number), tenant, [link])
    return order_id


def test_an_event_is_kept_once_and_comes_back_as_it_was(store: Store) -> None:
    told = [event(), event(), event("e2", "execDetails", order_id="ORD-1", portfolio_id="PORT-001")]
    assert store.venue_events.add("ibkr", told) == 2
    assert store.venue_events.add("ibkr", told) == 0
    assert store.venue_events.add("other", told[:1]) == 1
    assert store.venue_events.add("ibkr", []) == 0
    tail = store.venue_events.tail(10)
    assert [VenueEvent(**dict(one)) for one in tail] == [told[0], told[2], told[0]]
    assert [one.position for one in tail] == sorted({one.position for one in tail})
    assert str(tail[0].body["filled"]) == "1.50"
    assert tail[0].event_id == f"{NS // 1_000_000}-{tail[0].position}"


def test_what_a_venue_says_is_kept_whatever_it_is(store: Store) -> None:
    body = {
        "errorString": "\x00\ud800",
        "price": Decimal("NaN"),
        "size": float("inf"),
        "rest": {"a": [1, None]},
    }
    store.venue_events.add("ibkr", [event("\x00", "e\x00", body=body)])
    (kept,) = store.venue_events.tail(1)
    assert kept.body == {"errorString": "\x00\ud800", "price": None, "size": None, "rest": {"a": [1, None]}}
    assert kept.event_type == "e\\x00"


def test_the_tail_ends_with_the_newest(store: Store) -> None:
    store.venue_events.add("ibkr", [event(f"e{number}") for number in range(7)])
    assert keys(store.venue_events.tail(3)) == ["e4", "e5", "e6"]
    assert len(store.venue_events.tail(1000)) == 7


def test_portfolios_are_kept_apart(store: Store) -> None:
    owners = ["PORT-001", "PORT-002", None, "PORT-001", "PORT-003"]
    store.venue_events.add("ibkr", [event(f"e{n}", portfolio_id=owner) for n, owner in enumerate(owners)])
    assert keys(store.venue_events.tail(10)) == ["e0", "e1", "e2", "e3", "e4"]
    assert keys(store.venue_events.tail(10, portfolio_ids=["PORT-001"])) == ["e0", "e3"]
    assert keys(store.venue_events.tail(2, portfolio_ids=["PORT-001", "PORT-002"])) == ["e1", "e3"]
    assert keys(store.venue_events.tail(2, portfolio_ids=["PORT-001", "PORT-001"])) == ["e0", "e3"]
    many = [f"PORT-{number:03d}" for number in range(2, 90)]
    assert keys(store.venue_events.tail(10, portfolio_ids=many)) == ["e1", "e4"]
    assert store.venue_events.tail(10, portfolio_ids=[]) == []


def test_a_tenants_events_are_those_of_its_portfolio(store: Store) -> None:
    store.tenants.put(Tenant(tenant="nts", portfolio_id="PORT-001"))
    owners = ["PORT-001", "PORT-002", None]
    store.venue_events.add("ibkr", [event(f"e{n}", portfolio_id=owner) for n, owner in enumerate(owners)])
    assert keys(store.venue_events.tail(10, tenant="nts")) == ["e0"]
    assert keys(store.venue_events.tail(10, tenant="nts", portfolio_ids=["PORT-001", "PORT-002"])) == ["e0"]
    assert store.venue_events.tail(10, tenant="nts", portfolio_ids=["PORT-002"]) == []
    assert store.venue_events.tail(10, tenant="nobody") == []


def test_events_of_a_commands_orders_name_it(store: Store) -> None:
    first, second, other = linked(store, 1, 0), linked(store, 1, 1), linked(store, 2, 0)
    submitted = event("submitted", "oms.submit", message_id=message_id(1), portfolio_id="PORT-001")
    received = event("received", order_id=first, message_id=message_id(1), order_index=0)
    store.venue_events.add("oms", [submitted, received])
    told = [("a", second), ("b", other), ("c", first), ("d", None), ("e", "ORD-manual")]
    store.venue_events.add(
        "ibkr", [event(key, order_id=order, portfolio_id="PORT-001") for key, order in told]
    )
    tail = store.venue_events.tail(100)
    one, two = message_id(1), message_id(2)
    assert {event.natural_key: (event.message_id, event.order_index) for event in tail} == {
        "submitted": (one, None),
        "received": (one, 0),
        "a": (one, 1),
        "b": (two, 0),
        "c": (one, 0),
        "d": (None, None),
        "e": (None, None),
    }
    assert keys(store.venue_events.tail(100, message_id=one)) == ["submitted", "received", "a", "c"]
    assert keys(store.venue_events.tail(2, message_id=one)) == ["a", "c"]
    assert keys(store.venue_events.tail(9, message_id=one, order_index=0)) == ["received", "c"]
    assert keys(store.venue_events.tail(9, message_id=one, order_index=1)) == ["a"]
    assert keys(store.venue_events.tail(9, order_index=0)) == ["received", "b", "c"]
    within = store.venue_events.tail(9, message_id=one, portfolio_ids=["PORT-001", "PORT-002"])
    assert keys(within) == ["submitted", "a", "c"]
    assert store.venue_events.tail(9, message_id=one, portfolio_ids=["PORT-002"]) == []
    assert store.venue_events.tail(9, message_id="nobody's") == []


def test_an_orders_link_is_its_first(store: Store) -> None:
    order_id = linked(store, 1, 3)
    again = Commanded(order_index=9, part=Part.RUNNER, order_id=order_id, symbol="ES")
    refused = Commanded(order_index=4, part=Part.ENTRY, symbol="ES")
    store.commands.order_links(message_id(2), "nts", [again, refused])
    store.commands.order_links(message_id(2), "nts", [refused])
    store.venue_events.add("ibkr", [event(order_id=order_id)])
    (kept,) = store.venue_events.tail(5)
    assert (kept.message_id, kept.order_index) == (message_id(1), 3)
