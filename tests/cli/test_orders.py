"""`oms orders` against a real order book."""

import json
import signal
import time
import uuid
from collections.abc import Callable

import pytest

from oms.cli.book import Book, BookError
from oms.cli.following import Connected, Following, Lost, Told, read_events
from oms.cli.orders import find_order
from tests.cli.cutting import forwarder
from tests.cli.running import Dev, Running, run, stopped_at_last


def create(dev: Dev, **changes: object) -> dict[str, object]:
    """An order that the system moves to its end."""
    terms = {
        "portfolio_id": "INCOME",
        "instrument": {"symbol": "KO"},
        "direction": "Buy",
        "ordered_quantity": "10",
        "order_type": "Limit",
        "time_in_force": "Day",
        "limit_price": "70",
        "automation": "straight_through",
        "client_order_id": uuid.uuid4().hex,
    }
    return Book(dev.api, dev.keys["pm"]).post("/v1/orders", {**terms, **changes})


def reconciled(dev: Dev, order_id: str) -> None:
    book, deadline = Book(dev.api, dev.keys["viewer"]), time.monotonic() + 30
    following = Following(book, after="0")
    seen: list[str] = []
    while "order_reconciled" not in seen:
        assert time.monotonic() < deadline, seen
        seen += [one.kind for one in following.next(1) if isinstance(one, Told) and one.order_id == order_id]
    following.end()


def test_list_and_show(dev: Dev) -> None:
    order = create(dev)
    order_id, client_order_id = str(order["order_id"]), str(order["client_order_id"])
    reconciled(dev, order_id)
    listed = dev.oms("orders", "list", "--portfolio", "INCOME", "--state", "RECONCILED", "--limit", "5")
    assert listed.code == 0, listed.err
    row = next(text for text in listed.out.splitlines() if order_id[-8:] in text)
    assert row.split()[:6] == [order_id[-8:], "RECONCILED", "KO", "Buy", "10", "10"]
    shown = dev.oms("orders", "show", client_order_id, "--ui", dev.ui)
    assert shown.code == 0, shown.err
    for part in (
        "Buy 10 KO  RECONCILED",
        order_id,
        "Placements",
        "Fills",
        "Allocations",
        "Settlement",
        "Journal",
    ):
        assert part in shown.out
    assert f"{dev.ui}/namespaces/default/workflows/order%2F{order_id}" in shown.out
    assert "IBKR (system)" in shown.out
    told = json.loads(dev.oms("orders", "show", order_id, "--json").out)
    assert [event["seq"] for event in told["journal"]] == list(range(1, told["order"]["version"] + 1))
    assert len(told["fills"]) == 1


def test_an_order_is_found_by_each_of_its_names(dev: Dev) -> None:
    book, order = Book(dev.api, dev.keys["pm"]), create(dev)
    order_id = str(order["order_id"])
    for named in (order_id, order_id[-8:], str(order["client_order_id"])):
        assert find_order(book, named)["order_id"] == order_id
    for named in ("ORD-00000000-0000-7000-8000-000000000000", "no-such-order", "", order_id[-3:]):
        with pytest.raises(BookError):
            find_order(book, named)


def test_an_order_that_is_not_there(dev: Dev) -> None:
    ended = dev.oms("orders", "show", "no-such-order")
    assert (ended.code, ended.out, len(ended.err.splitlines())) == (1, "", 1)


def test_a_filter_that_is_none(dev: Dev) -> None:
    ended = dev.oms("orders", "list", "--created-after", "yesterday")
    assert (ended.code, len(ended.err.splitlines())) == (1, 1)
    assert "created_after" in ended.err
    assert dev.oms("orders", "list", "--basket", "none").out == "no orders\n"


@pytest.mark.parametrize(
    ("key", "reason"), [("wrong", "UNAUTHENTICATED"), ("schlüssel", "ASCII"), ("", "no key")]
)
def test_a_key_that_is_none(dev: Dev, key: str, reason: str) -> None:
    ended = run("orders", "list", OMS_API_KEY=key, OMS_API_URL=dev.api, OMS_DATA_DIR="/nonexistent")
    assert (ended.code, ended.out, len(ended.err.splitlines())) == (1, "", 1)
    assert reason in ended.err


@pytest.mark.parametrize("command", ["list", "watch"])
def test_nobody_at_the_address(command: str) -> None:
    ended = run("orders", command, "--key", "k", "--api", "http://127.0.0.1:9")
    assert (ended.code, ended.out, len(ended.err.splitlines())) == (1, "", 1)
    assert "nobody answers" in ended.err


def test_watch_tells_each_event_across_a_lost_connection(dev: Dev) -> None:
    with forwarder(dev.api) as between:
        watch = Running("orders", "watch", "--api", between.url, "--keys", dev.keys_file)
        with stopped_at_last(watch):
            watch.line(lambda text: text == "watching\n", 30, watch.errors)
            first = str(create(dev)["order_id"])
            watch.line(mentions(first, "order created"), 15)
            between.cut()
            second = str(create(dev)["order_id"])
            watch.line(mentions(second, "order created"), 15)
            assert watch.stop(signal.SIGINT)[0] == 0


def mentions(order_id: str, what: str) -> Callable[[str], bool]:
    return lambda text: order_id[-8:] in text and what in text


def test_following_tells_every_event_once_and_in_order(dev: Dev) -> None:
    with forwarder(dev.api) as between:
        following = Following(Book(between.url, dev.keys["viewer"]), after="0")
        told: list[Told] = []
        lost = 0

        def until(kind: str, order_id: str) -> None:
            nonlocal lost
            deadline = time.monotonic() + 30
            while not any((one.kind, one.order_id) == (kind, order_id) for one in told):
                assert time.monotonic() < deadline
                for one in following.next(1):
                    assert isinstance(one, Told | Connected | Lost)
                    lost += isinstance(one, Lost)
                    told.extend([one] if isinstance(one, Told) else [])

        for _ in range(3):
            order_id = str(create(dev)["order_id"])
            until("order_created", order_id)
            between.cut()
        until("order_reconciled", order_id)
        following.end()
    positions = [int(one.position) for one in told]
    assert lost >= 2
    assert positions == list(range(1, len(positions) + 1))


def test_server_sent_events_as_the_standard_has_them() -> None:
    event = {
        "kind": "sent_to_trader",
        "order_id": "ORD-1",
        "data": {},
        "actor": {"key": "pm"},
        "ts_init_ns": 1,
        "state": "SENT_TO_TRADER",
    }
    text = json.dumps(event)
    half = text.index(",") + 1
    lines = [": ping", "id: 7", f"data: {text[:half]}", f"data:{text[half:]}", "", "id: 8", "", "data: {}"]
    assert [(one.position, one.kind, one.actor) for one in read_events(lines)] == [
        ("7", "sent_to_trader", "pm")
    ]
