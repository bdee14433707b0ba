"""Watching limits that prices and positions can exceed without any order."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from oms.domain.commands import RULE_ENGINE, RuleResult
from oms.domain.control import ControlEvent, ControlKind
from oms.domain.drafting import nanoseconds
from oms.domain.reference import Portfolio
from oms.domain.rules.engine import breaches, needs
from oms.store import tables
from oms.store.books import Books
from oms.store.control import ControlJournal
from oms.store.database import Database
from oms.store.rules import Rules

_Breaches = Mapping[str, RuleResult]
"""What is over its limit, by rule."""


@dataclass(frozen=True)
class Watch:
    """Compares portfolios with the breaches that were told of."""

    database: Database
    books: Books
    rules: Rules

    def all(self, now: datetime) -> tuple[ControlEvent, ...]:
        """Every change in every portfolio, written down and told."""
        portfolios = tables.portfolios.c
        with self.database.read() as connection:
            ids = connection.scalars(select(portfolios.portfolio_id).order_by(portfolios.portfolio_id)).all()
        return tuple(event for portfolio_id in ids for event in self.one(portfolio_id, now))

    def one(self, portfolio_id: str, now: datetime) -> list[ControlEvent]:
        """Every change in one portfolio, written down and told in one transaction.

        Most looks find none and lock nothing. One that does looks again with the portfolio locked: two who watch at
        once tell once.
        """
        with self.database.snapshot() as connection:
            portfolio = self.books.portfolio(connection, portfolio_id)
            if portfolio is None or not self._changes(connection, portfolio, now):
                return []
        with self.database.write() as connection:
            portfolio = self.books.lock(connection, [portfolio_id])[portfolio_id]
            changes = self._changes(connection, portfolio, now)
            for event in changes:
                _write(connection, event, now)
            ControlJournal(self.database).append(connection, changes)
        return changes

    def _changes(self, connection: Connection, portfolio: Portfolio, now: datetime) -> list[ControlEvent]:
        told = _told(connection, portfolio.portfolio_id)
        rules = self.rules.applying(connection, portfolio.portfolio_id, portfolio.default_account_id)
        over: _Breaches = {}
        if rules:
            book = self.books.read(connection, portfolio, needs(rules), now)
            over = {result.rule_id: result for result in breaches(rules, book)}
        began = [result for rule_id, result in over.items() if rule_id not in told]
        ended = [result for rule_id, result in told.items() if rule_id not in over]
        return [
            *_events(ControlKind.LIMIT_BREACHED, began, portfolio.portfolio_id, now),
            *_events(ControlKind.LIMIT_CLEARED, ended, portfolio.portfolio_id, now),
        ]


def _told(connection: Connection, portfolio_id: str) -> dict[str, RuleResult]:
    rows = tables.breaches.c
    query = select(rows.rule_id, rows.body).where(rows.portfolio_id == portfolio_id)
    return {
        rule_id: RuleResult.model_validate_json(body)
        for rule_id, body in connection.execute(query.order_by(rows.rule_id))
    }


def _write(connection: Connection, event: ControlEvent, now: datetime) -> None:
    rows = tables.breaches
    if event.kind is ControlKind.LIMIT_CLEARED:
        of_rule = rows.c.rule_id == event.subject
        connection.execute(delete(rows).where(of_rule, rows.c.portfolio_id == event.portfolio_id))
        return
    body = RuleResult.model_validate(event.data["result"]).model_dump_json()
    row = {"rule_id": event.subject, "portfolio_id": event.portfolio_id, "since": now, "body": body}
    connection.execute(insert(rows), row)


def _events(
    kind: ControlKind, results: Iterable[RuleResult], portfolio_id: str, now: datetime
) -> list[ControlEvent]:
    """One event for each result: as it is at a breach, as it was at the breach when that has cleared."""
    return [
        ControlEvent(
            kind=kind,
            subject=result.rule_id,
            portfolio_id=portfolio_id,
            actor=RULE_ENGINE.key,
            reason=result.description,
            ts_ns=nanoseconds(now),
            data={
                "rule_id": result.rule_id,
                "severity": result.severity.value,
                "result": result.model_dump(mode="json"),
            },
        )
        for result in results
    ]
