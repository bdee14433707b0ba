"""The migrations make exactly the schema the tables describe, from nothing and as often as asked."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from tests.store.building import straight_through

from oms.store import Store, tables
from oms.store.migrating import _config


def _differences(store: Store) -> list[Any]:
    with store.database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, tables.metadata))


def test_migrated_schema_is_the_tables(store: Store) -> None:
    assert _differences(store) == []


def test_the_comparison_sees_a_difference(empty_url: str) -> None:
    store = Store(empty_url)
    store.migrate()
    assert _differences(store) == []
    with store.database.write() as connection:
        connection.execute(text("DROP INDEX ix_orders_state"))
    assert _differences(store) != []
    store.close()


def test_migrating_again_changes_nothing(store: Store) -> None:
    tale = straight_through().recorded(store)
    store.migrate()
    assert store.orders.get(tale.id) == tale.order


def test_from_empty_from_many_threads_at_once(empty_url: str) -> None:
    stores = [Store(empty_url) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(Store.migrate, stores))
    assert [store.check() for store in stores] == [None] * 4
    assert stores[0].journal.head() == 0
    for store in stores:
        store.close()


def test_check_says_why(empty_url: str) -> None:
    store = Store(empty_url)
    assert "not migrated" in (store.check() or "")
    store.migrate()
    assert store.check() is None
    with store.database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    assert "revision 0000" in (store.check() or "")
    store.close()


def test_down_to_nothing_and_up_again(empty_url: str) -> None:
    store = Store(empty_url)
    store.migrate()
    with store.database.write() as connection:
        command.downgrade(_config(connection), "base")
    assert "not migrated" in (store.check() or "")
    store.migrate()
    assert _differences(store) == []
    store.close()


def test_check_of_a_server_that_is_away() -> None:
    store = Store("postgresql://nobody@127.0.0.1:1/oms")
    assert (store.check() or "").startswith("The database cannot be reached")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://localhost/oms"])
def test_only_files_and_postgresql(url: str) -> None:
    with pytest.raises(ValueError, match=r"SQLite|sqlite"):
        Store(url)
