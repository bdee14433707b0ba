"""The last finding about each business invariant."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, select

from oms.domain.commands import SYSTEM
from oms.domain.control import ControlEvent, ControlKind
from oms.domain.drafting import nanoseconds
from oms.domain.findings import EXAMPLES_KEPT, MEANING, Finding, Invariant, Suspect
from oms.store import tables
from oms.store.control import ControlJournal
from oms.store.database import Database

_TOLD = 20


class Findings:
    """What the last look at the order book found. A change of it is told once, in the control journal."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._control = ControlJournal(database)
        self._insert = database.insert_new(tables.invariants)
        self._upsert = database.upsert(tables.invariants)

    def all(self) -> tuple[Finding, ...]:
        """One finding for each invariant that was ever looked at, in the order of the invariants."""
        query = select(tables.invariants.c.body)
        with self._database.read() as connection:
            known = [Finding.model_validate_json(body) for body in connection.scalars(query)]
        return tuple(sorted(known, key=lambda finding: list(Invariant).index(finding.name)))

    def keep(self, broken: Iterable[Suspect], at: datetime) -> tuple[Finding, ...]:
        """Write what a look at `at` has found, for every invariant: `broken` for these orders, whole for all others.

        One transaction; an invariant that breaks or holds again is told in the control journal there and then.
        The same look again tells nothing, and an older look than the last one changes nothing. Answers the findings
        that changed.
        """
        by_name: dict[Invariant, list[Suspect]] = defaultdict(list)
        for suspect in broken:
            by_name[suspect.name].append(suspect)
        turned: list[Finding] = []
        with self._database.write() as connection:
            for name in Invariant:
                before = self._locked(connection, name, at)
                if before.checked_at > at:
                    continue
                after = _finding(name, by_name[name], at, before)
                connection.execute(self._upsert, _row(after))
                if after.broken != before.broken:
                    turned.append(after)
            self._control.append(connection, [_event(finding) for finding in turned])
        return tuple(turned)

    def _locked(self, connection: Connection, name: Invariant, at: datetime) -> Finding:
        """What is known of the invariant; nobody else can change it before this transaction ends."""
        connection.execute(self._insert, _row(_finding(name, [], at, None)))
        rows = tables.invariants.c
        body = connection.execute(
            select(rows.body).where(rows.name == name.value).with_for_update()
        ).scalar_one()
        return Finding.model_validate_json(body)


def _finding(name: Invariant, suspects: list[Suspect], at: datetime, before: Finding | None) -> Finding:
    count = len(suspects)
    broken = count > 0
    since = before.since if before and before.broken else at
    return Finding(
        name=name,
        meaning=MEANING[name],
        broken=broken,
        checked_at=at,
        since=since if broken else None,
        detail=f"It does not hold for {count} order(s)." if broken else "It holds for every order looked at.",
        examples=tuple(suspects[:EXAMPLES_KEPT]),
    )


def _row(finding: Finding) -> dict[str, object]:
    return {
        "name": finding.name.value,
        "broken": finding.broken,
        "checked_at": finding.checked_at,
        "body": finding.model_dump_json(),
    }


def _event(finding: Finding) -> ControlEvent:
    return ControlEvent(
        kind=ControlKind.INVARIANT_BROKEN if finding.broken else ControlKind.INVARIANT_RESTORED,
        subject=finding.name,
        actor=SYSTEM.key,
        reason=finding.detail,
        ts_ns=nanoseconds(finding.checked_at),
        data={
            "meaning": finding.meaning,
            "examples": [
                example.model_dump(include={"order_id", "detail"}) for example in finding.examples[:_TOLD]
            ],
        },
    )
