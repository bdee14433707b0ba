"""Groups of accounts and groups, for allocation by hierarchy. No group ever contains itself."""

from datetime import UTC, datetime

from sqlalchemy import Connection, func, select

from oms.domain.groups import AccountGroup, refuse_cycles
from oms.store import tables
from oms.store.database import Database
from oms.store.page import Page, page_of, paged

_ONE_AT_A_TIME = 0x4752_5053
"""The PostgreSQL advisory lock (the letters GRPS) under which groups are put; on SQLite writers wait anyway."""


class Groups:
    """Account groups by id. Putting the same group twice is putting it once; the later description replaces it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        statement = database.insert(tables.account_groups)
        self._put = statement.on_conflict_do_update(
            index_elements=["group_id"], set_={"body": statement.excluded.body}
        )

    def put(self, group: AccountGroup) -> AccountGroup:
        """Keep the group. Two people who put two groups into each other at once do not make a circle.

        Raises Refused: CIRCULAR_HIERARCHY, GROUP_NOT_FOUND for a member that nobody knows.
        """
        row = {
            "group_id": group.group_id,
            "created_at": datetime.now(UTC),
            "body": group.model_dump_json(),
        }
        with self._database.write() as connection:
            if not self._database.is_sqlite:
                connection.execute(select(func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))
            refuse_cycles(group, _all(connection))
            connection.execute(self._put, row)
        return group

    def get(self, group_id: str) -> AccountGroup | None:
        query = select(tables.account_groups.c.body).where(tables.account_groups.c.group_id == group_id)
        with self._database.read() as connection:
            body = connection.execute(query).scalar()
        return None if body is None else AccountGroup.model_validate_json(body)

    def page(self, limit: int = 100, offset: int = 0, cursor: str | None = None) -> Page[AccountGroup]:
        """Groups, newest first. Raises BadCursor."""
        groups = tables.account_groups.c
        query = select(groups.created_at, groups.group_id, groups.body)
        query = paged(query, groups.created_at, groups.group_id, limit, offset, cursor)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return page_of(rows, limit, lambda row: AccountGroup.model_validate_json(row.body))

    def all(self) -> dict[str, AccountGroup]:
        """Every group by its id, as of one moment."""
        with self._database.read() as connection:
            return _all(connection)


def _all(connection: Connection) -> dict[str, AccountGroup]:
    groups = tables.account_groups.c
    rows = connection.execute(select(groups.group_id, groups.body))
    return {row.group_id: AccountGroup.model_validate_json(row.body) for row in rows}
