"""Trading that is halted, and by whom."""

from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, select

from oms.domain.control import ControlEvent, ControlKind
from oms.domain.drafting import nanoseconds
from oms.domain.halts import Dealing, Halt, HaltScope, covering
from oms.domain.order import Order
from oms.store import tables
from oms.store.control import ControlJournal
from oms.store.database import Database
from oms.store.halting import halt_of, names_of, standing_halt


class Halts:
    """The halts that are in force. Each change and its line in the control journal are one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._control = ControlJournal(database)
        self._insert = database.insert_new(tables.halts, "scope", "subject")
        halts = tables.halts.c
        self._all = select(tables.halts).order_by(halts.since, halts.scope, halts.subject)

    def set(self, halt: Halt) -> Halt:
        """The halt that stands for this scope and subject afterwards: `halt`, or the one that stood before.

        A halt that stands keeps who, when and why, and is not written down again.
        """
        row = {
            "scope": halt.scope.value,
            "subject": halt.subject,
            "reason": halt.reason,
            "halted_by": halt.by,
            "since": halt.since,
        }
        with self._database.write() as connection:
            while connection.execute(self._insert, row).rowcount == 0:
                standing = self._standing(connection, halt.scope, halt.subject)
                # Gone again: somebody lifted it between the two statements, and it is halted anew.
                if standing is not None:
                    return standing
            self._tell(connection, ControlKind.HALTED, halt, halt.by, halt.reason, nanoseconds(halt.since))
            return halt

    def lift(self, scope: HaltScope, subject: str, by: str, reason: str) -> Halt | None:
        """The halt that this call ended; None where none stood, and then nothing is written."""
        halts = tables.halts.c
        ended = delete(tables.halts).where(halts.scope == scope.value, halts.subject == subject)
        now_ns = nanoseconds(datetime.now(UTC))
        with self._database.write() as connection:
            row = connection.execute(ended.returning(*tables.halts.columns)).first()
            if row is None:
                return None
            halt = halt_of(row)
            self._tell(connection, ControlKind.RESUMED, halt, by, reason, now_ns)
            return halt

    def last_lift(self, scope: HaltScope, subject: str) -> ControlEvent | None:
        """What the journal says of the last time such a halt ended; `data` is the halt."""
        return self._control.last(ControlKind.RESUMED, _named(scope, subject))

    def all(self) -> tuple[Halt, ...]:
        """Every halt in force, the oldest first. One query, of a table that is nearly always empty."""
        with self._database.read() as connection:
            return tuple(halt_of(row) for row in connection.execute(self._all))

    def over(self, order: Dealing) -> Halt | None:
        """The halt that stops such an order, the widest first; None where none does."""
        with self._database.read() as connection:
            return standing_halt(connection, order)

    def within(self, halt: Halt, orders: Iterable[Order]) -> list[Order]:
        """Those of `orders` that `halt` covers, wherever they may go."""
        kept = []
        with self._database.read() as connection:
            for order in orders:
                deals = order.dealing
                places = [deals, *(deals.at(p.venue, p.account) for p in order.live_placements)]
                names = names_of(connection, deals, [halt])
                if any(covering([halt], place, names) for place in places):
                    kept.append(order)
        return kept

    def _standing(self, connection: Connection, scope: HaltScope, subject: str) -> Halt | None:
        halts = tables.halts.c
        query = select(tables.halts).where(halts.scope == scope.value, halts.subject == subject)
        row = connection.execute(query.with_for_update()).first()
        return None if row is None else halt_of(row)

    def _tell(
        self, connection: Connection, kind: ControlKind, halt: Halt, actor: str, reason: str, ts_ns: int
    ) -> None:
        event = ControlEvent(
            kind=kind,
            subject=_named(halt.scope, halt.subject),
            portfolio_id=halt.subject if halt.scope is HaltScope.PORTFOLIO else None,
            actor=actor,
            reason=reason,
            ts_ns=ts_ns,
            data=halt.model_dump(mode="json"),
        )
        self._control.append(connection, [event])


def _named(scope: HaltScope, subject: str) -> str:
    return f"{scope}/{subject}"
