"""Bring a database to this program's schema, or say why it is not there."""

import threading
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from oms.store.database import Database

_SCRIPTS = Path(__file__).parent / "migrations"
_ALEMBIC = threading.Lock()
"""Alembic keeps what it works on in module globals, so one thread of this process migrates at a time."""
_ONE_AT_A_TIME = 0x4F4D53
"""The PostgreSQL advisory lock (the letters OMS) under which one process migrates."""


def migrate(database: Database) -> None:
    """Run every revision that is missing, all in one transaction. Twice, or from two processes at once, is once."""
    with _ALEMBIC, database.write() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ONE_AT_A_TIME})
        command.upgrade(_config(connection), "head")


def reason_not_usable(database: Database) -> str | None:
    """Why the order book cannot work with this database, in a sentence, or None where it can."""
    needed = _head()
    try:
        with database.read() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
    except SQLAlchemyError as error:
        return f"The database cannot be reached: {str(getattr(error, 'orig', None) or error).strip()}"
    if found is None:
        return f"The database is empty or not migrated; it needs revision {needed}: run `oms db upgrade`."
    if found != needed:
        return f"The database is at revision {found} and this program needs {needed}: run `oms db upgrade`."
    return None


@cache
def _head() -> str | None:
    return ScriptDirectory(str(_SCRIPTS)).get_current_head()


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["connection"] = connection
    return config
