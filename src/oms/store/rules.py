"""Compliance rules, every version of them. A rule is never deleted: a deactivated one stays for the verdicts that name it."""

from datetime import UTC, datetime

from sqlalchemy import Connection, select

from oms.domain.commands import SYSTEM
from oms.domain.control import ControlEvent, ControlKind
from oms.domain.drafting import nanoseconds
from oms.domain.model import Open
from oms.domain.rules.rule import Rule
from oms.store import tables
from oms.store.control import ControlJournal
from oms.store.database import Database
from oms.store.errors import Taken
from oms.store.page import Page, page_of, paged


class RuleVersion(Open):
    """A rule as it was at one version, and who made it so, when and why."""

    rule: Rule
    changed_by: str
    changed_at: datetime
    reason: str | None = None


class Rules:
    """Rules at their latest version, and all that they were. Each change, its version and its line in the control
    journal are one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._control = ControlJournal(database)
        self._insert = database.insert_new(tables.rules)
        self._upsert = database.upsert(tables.rules)
        self._keep = database.insert(tables.rule_versions)
        self._parsed: dict[str, Rule] = {}

    def put(self, rule: Rule, by: str | None = None, reason: str | None = None) -> Rule:
        """Keep `rule`, which is new or one version later than what is kept. The same rule again changes nothing.

        `by` (the rule's creator unless given) and `reason` are kept with the version. Raises Taken when another
        content is kept under this version or a later one: two people changed it at once.
        """
        with self._database.write() as connection:
            return self._put(connection, rule, by or rule.created_by, reason)

    def get(self, rule_id: str) -> Rule | None:
        with self._database.read() as connection:
            return self._get(connection, rule_id)

    def versions(self, rule_id: str) -> tuple[RuleVersion, ...]:
        """Everything the rule ever was, the first version first; empty for a rule nobody made."""
        versions = tables.rule_versions.c
        query = select(tables.rule_versions).where(versions.rule_id == rule_id).order_by(versions.version)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return tuple(
            RuleVersion(
                rule=Rule.model_validate_json(row.body),
                changed_by=row.changed_by,
                changed_at=row.changed_at,
                reason=row.reason,
            )
            for row in rows
        )

    def deactivate(self, rule_id: str, by: str = SYSTEM.key, reason: str | None = None) -> Rule | None:
        """The rule, no longer applied and one version later; as it is where it was inactive, None where unknown."""
        with self._database.write() as connection:
            rule = self._get(connection, rule_id)
            if rule is None or not rule.active:
                return rule
            gone = rule.model_copy(update={"active": False, "version": rule.version + 1})
            return self._put(connection, gone, by, reason)

    def applying_to(self, portfolio_id: str, *account_ids: str | None) -> tuple[Rule, ...]:
        """The active rules that name the portfolio, an account or nobody in particular, oldest first."""
        with self._database.read() as connection:
            return self.applying(connection, portfolio_id, *account_ids)

    def applying(
        self, connection: Connection, portfolio_id: str, *account_ids: str | None
    ) -> tuple[Rule, ...]:
        """`applying_to` inside somebody else's transaction."""
        targets = {portfolio_id, *account_ids}
        return tuple(rule for rule in self._active(connection) if _is_for(rule, targets))

    def list(
        self,
        limit: int = 100,
        offset: int = 0,
        cursor: str | None = None,
        active: bool | None = None,
        *,
        portfolio_id: str | None = None,
        rule_type: str | None = None,
    ) -> Page[Rule]:
        """Rules newest first. Raises BadCursor.

        `active`: of both kinds unless given. `portfolio_id`: the ones that apply to it, those for everybody
        included. `rule_type`: of this type.
        """
        rules = tables.rules.c
        query = select(rules.created_at, rules.rule_id, rules.body)
        if active is not None:
            query = query.where(rules.active.is_(active))
        with self._database.snapshot() as connection:
            if portfolio_id is not None or rule_type is not None:
                # Whom a rule is for and its type are known to its body only, and rules are few.
                wanted = [
                    row.rule_id
                    for row in connection.execute(query)
                    if _fits(Rule.model_validate_json(row.body), portfolio_id, rule_type)
                ]
                query = query.where(rules.rule_id.in_(wanted))
            rows = connection.execute(
                paged(query, rules.created_at, rules.rule_id, limit, offset, cursor)
            ).all()
        return page_of(rows, limit, lambda row: Rule.model_validate_json(row.body))

    def _active(self, connection: Connection) -> tuple[Rule, ...]:
        """Every active rule, oldest first. A version never changes, so each is parsed once."""
        rules = tables.rules.c
        active = select(rules.rule_id, rules.version).where(rules.active.is_(True))
        rows = connection.execute(active.order_by(rules.created_at, rules.rule_id)).all()
        versions = dict(rows)
        known = {
            rule_id: rule for rule_id, rule in self._parsed.items() if rule.version == versions.get(rule_id)
        }
        if news := [*(versions.keys() - known.keys())]:
            bodies = connection.scalars(select(rules.body).where(rules.rule_id.in_(news)))
            # A rule that changed between the two queries counts as it is now.
            known |= {rule.rule_id: rule for rule in map(Rule.model_validate_json, bodies)}
        self._parsed = known
        return tuple(known[rule_id] for rule_id in versions)

    def _get(self, connection: Connection, rule_id: str) -> Rule | None:
        query = select(tables.rules.c.body).where(tables.rules.c.rule_id == rule_id).with_for_update()
        body = connection.execute(query).scalar()
        return None if body is None else Rule.model_validate_json(body)

    def _put(self, connection: Connection, rule: Rule, by: str, reason: str | None) -> Rule:
        row = rule.model_dump(include={"rule_id", "version", "active", "created_at"})
        row["body"] = rule.model_dump_json()
        known = None
        if connection.execute(self._insert, row).rowcount == 0:
            known = self._get(connection, rule.rule_id)
            if known == rule:
                return rule
            if known is not None and known.version >= rule.version:
                raise Taken(
                    f"Rule {rule.rule_id} is at version {known.version}; version {rule.version} is not new."
                )
            connection.execute(self._upsert, row)
        self._write_down(connection, rule, known, by, reason)
        return rule

    def _write_down(
        self, connection: Connection, rule: Rule, known: Rule | None, by: str, reason: str | None
    ) -> None:
        """Keep the version, and tell of the change from `known` (None: the rule is new)."""
        at = datetime.now(UTC)
        row = rule.model_dump(include={"rule_id", "version"})
        row |= {"changed_by": by, "changed_at": at, "reason": reason, "body": rule.model_dump_json()}
        connection.execute(self._keep, row)
        kind = ControlKind.RULE_UPDATED
        if known is None:
            kind = ControlKind.RULE_CREATED
        elif known.active and not rule.active:
            kind = ControlKind.RULE_DELETED
        event = ControlEvent(
            kind=kind,
            subject=rule.rule_id,
            portfolio_id=None,
            actor=by,
            reason=reason,
            ts_ns=nanoseconds(at),
            data={"rule": rule.model_dump(mode="json")},
        )
        self._control.append(connection, [event])


def _is_for(rule: Rule, targets: set[str | None]) -> bool:
    return not rule.target_accounts or not targets.isdisjoint(rule.target_accounts)


def _fits(rule: Rule, portfolio_id: str | None, rule_type: str | None) -> bool:
    return rule_type in (None, rule.rule_type) and (portfolio_id is None or _is_for(rule, {portfolio_id}))
