"""What programs wait for, in a book that has been used: a claim, the tail, an account's standing."""

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from sqlalchemy import create_engine, insert, text
from tests.store.building import NS, Tale, straight_through
from tests.store.commanding import WINDOW_NS, command, event, message_id

from oms.domain.programs.tenants import Tenant
from oms.store import Store, tables

pytestmark = [pytest.mark.slow, pytest.mark.speed]
EVENTS, ORDERS, PORTFOLIOS = 100_000, 20_000, 40
TAIL_MS, CLAIM_MS, STANDING_MS = 20.0, 5.0, 25.0
REACH = [f"PORT-{number}" for number in range(0, PORTFOLIOS, 3)]
FILTERS: list[dict[str, Any]] = [
    {},
    {"portfolio_ids": ["PORT-7"]},
    {"portfolio_ids": ["PORT-rare"]},
    {"portfolio_ids": REACH},
    {"tenant": "nts"},
    {"message_id": message_id(777)},
    {"message_id": message_id(780), "order_index": 3, "portfolio_ids": REACH},
    {"order_index": 3, "tenant": "nts"},
]
_numbers = itertools.count()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def used(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    if request.param == "sqlite":
        path: Path = tmp_path_factory.mktemp("used") / "oms.db"
        store = Store(f"sqlite:///{path}")
    else:
        server: str = request.getfixturevalue("postgres")
        engine = create_engine(server, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("CREATE DATABASE oms_used"))
        engine.dispose()
        store = Store(server.replace("/postgres?", "/oms_used?"))
    store.migrate()
    _fill(store)
    yield store
    store.close()


def _fill(store: Store) -> None:
    store.tenants.put(Tenant(tenant="nts", portfolio_id="PORT-3"))
    links = [
        {
            "order_id": f"ORD-{number}",
            "message_id": message_id(number // 4),
            "tenant": "nts",
            "order_index": number % 4,
            "part": "entry",
        }
        for number in range(ORDERS)
    ]
    told = event()
    rows = [
        {
            **told.model_dump(),
            "gateway": "ibkr",
            "natural_key": f"k{number}",
            "order_id": f"ORD-{number % ORDERS}" if number % 10 else None,
            "portfolio_id": "PORT-rare" if number < 3 else f"PORT-{number % PORTFOLIOS}",
            "ts_init_ns": NS + number,
        }
        for number in range(EVENTS)
    ]
    with store.database.write() as connection:
        connection.execute(insert(tables.command_orders), links)
        connection.execute(insert(tables.venue_events), rows)
    for tale in (*(straight_through() for _ in range(40)), *(Tale().placed() for _ in range(20))):
        tale.recorded(store)
    if not store.database.is_sqlite:  # what autovacuum does to a book that grows over weeks
        with store.database.write() as connection:
            connection.execute(text("ANALYZE"))


def _median(ask: Callable[[], Any], times: int = 9) -> float:
    """The median in milliseconds, the best of three rounds: what else the machine does is not measured."""

    def once() -> float:
        began = time.perf_counter()
        ask()
        return 1000 * (time.perf_counter() - began)

    return min(median(once() for _ in range(times)) for _ in range(3))


@pytest.mark.parametrize("wanted", FILTERS, ids=lambda wanted: "+".join(wanted) or "all")
def test_the_tail(used: Store, wanted: dict[str, Any]) -> None:
    assert used.venue_events.tail(50, **wanted)
    assert _median(lambda: used.venue_events.tail(50, **wanted)) <= TAIL_MS


@pytest.mark.parametrize("window_ns", [None, WINDOW_NS])
def test_a_claim(used: Store, window_ns: int | None) -> None:
    def claim() -> None:
        number = next(_numbers)
        record = command(10_000_000 + number, what=f"claim {number}")
        assert used.commands.claim(record, window_ns=window_ns)[1]

    assert _median(claim, 50) <= CLAIM_MS


def test_an_accounts_standing(used: Store) -> None:
    assert used.targets.exposure("DU1", "INS-AAPL").booked == 4000
    assert _median(lambda: used.targets.exposure("DU1", "INS-AAPL")) <= STANDING_MS
