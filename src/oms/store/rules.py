"""Compliance rules. A rule is never deleted: a deactivated one stays for the verdicts that name it."""

from sqlalchemy import Connection, select

from oms.domain.compliance import Rule
from oms.store import tables
from oms.store.database import Database
from oms.store.errors import Taken
from oms.store.page import Page, page_of, paged


class Rules:
    """Rules at their latest version."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = database.insert_new(tables.rules)
        self._upsert = database.upsert(tables.rules)

    def put(self, rule: Rule) -> Rule:
        """Keep `rule`, which is new or one version later than what is kept. The same rule again changes nothing.

        Raises Taken when another content is kept under this version or a later one: two people changed it at once.
        """
        with self._database.write() as connection:
            return self._put(connection, rule)

    def get(self, rule_id: str) -> Rule | None:
        with self._database.read() as connection:
            return self._get(connection, rule_id)

    def deactivate(self, rule_id: str) -> Rule | None:
        """The rule, no longer applied and one version later; as it is where it was inactive, None where unknown."""
        with self._database.write() as connection:
            rule = self._get(connection, rule_id)
            if rule is None or not rule.active:
                return rule
            return self._put(
                connection, rule.model_copy(update={"active": False, "version": rule.version + 1})
            )

    def applying_to(self, portfolio_id: str, account_id: str | None = None) -> tuple[Rule, ...]:
        """The active rules that name the portfolio, the account or nobody in particular, oldest first."""
        rules = tables.rules.c
        query = select(rules.body).where(rules.active.is_(True)).order_by(rules.created_at, rules.rule_id)
        with self._database.read() as connection:
            active = [Rule.model_validate_json(body) for body in connection.scalars(query)]
        targets = {portfolio_id, account_id}
        return tuple(
            rule for rule in active if not rule.target_accounts or targets.intersection(rule.target_accounts)
        )

    def list(
        self, limit: int = 100, offset: int = 0, cursor: str | None = None, active: bool | None = None
    ) -> Page[Rule]:
        """Rules newest first, of both kinds unless `active` says which. Raises BadCursor."""
        rules = tables.rules.c
        query = select(rules.created_at, rules.rule_id, rules.body)
        if active is not None:
            query = query.where(rules.active.is_(active))
        with self._database.read() as connection:
            rows = connection.execute(
                paged(query, rules.created_at, rules.rule_id, limit, offset, cursor)
            ).all()
        return page_of(rows, limit, lambda row: Rule.model_validate_json(row.body))

    def _get(self, connection: Connection, rule_id: str) -> Rule | None:
        query = select(tables.rules.c.body).where(tables.rules.c.rule_id == rule_id).with_for_update()
        body = connection.execute(query).scalar()
        return None if body is None else Rule.model_validate_json(body)

    def _put(self, connection: Connection, rule: Rule) -> Rule:
        row = rule.model_dump(include={"rule_id", "version", "active", "created_at"})
        row["body"] = rule.model_dump_json()
        if connection.execute(self._insert, row).rowcount == 1:
            return rule
        known = self._get(connection, rule.rule_id)
        if known == rule:
            return rule
        if known is not None and known.version >= rule.version:
            raise Taken(
                f"Rule {rule.rule_id} is at version {known.version}; version {rule.version} is not new."
            )
        connection.execute(self._upsert, row)
        return rule
