"""Target positions: batches as they were posted, plans that are kept once, and an account's standing in one moment."""

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, func, select

from oms.domain.errands import Refusal
from oms.domain.numbers import total
from oms.domain.order import Order
from oms.domain.programs.targets import Aimed, Exposure, Plan, TargetBatch
from oms.store import tables
from oms.store.contracts import contract_of
from oms.store.database import Database
from oms.store.standing import booked_in, orders_of_others, working_in, working_orders

_A = tables.aims.c


class Targets:
    """Batches, what their aims came to, and what both are computed from. Accounts at a broker go by its names."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._open = database.insert_new(tables.target_batches, "batch_id")

    def open_batch(self, batch: TargetBatch) -> TargetBatch:
        """The batch that stands under this id afterwards: `batch`, or the one that was there."""
        row = {
            "batch_id": batch.batch_id,
            "account_id": batch.account_id,
            "portfolio_id": batch.portfolio_id,
            "submitted_at": batch.submitted_at,
            "body": batch.model_dump_json(),
        }
        batches = tables.target_batches.c
        with self._database.write() as connection:
            if connection.execute(self._open, row).rowcount == 1:
                return batch
            kept = select(batches.body).where(batches.batch_id == batch.batch_id)
            return TargetBatch.model_validate_json(connection.execute(kept).scalar_one())

    def batch(self, batch_id: str) -> TargetBatch | None:
        """The batch as it was posted."""
        batches = tables.target_batches.c
        with self._database.read() as connection:
            body = connection.execute(select(batches.body).where(batches.batch_id == batch_id)).scalar()
        return None if body is None else TargetBatch.model_validate_json(body)

    def recent(
        self,
        limit: int,
        accounts: Collection[str] | None = None,
        portfolio_ids: Collection[str] | None = None,
    ) -> list[TargetBatch]:
        """The last `limit` batches, the one posted last first.

        accounts: only those for these accounts (our own ids). portfolio_ids: only those of these portfolios.
        """
        batches = tables.target_batches.c
        query = select(batches.body).order_by(batches.submitted_at.desc(), batches.batch_id.desc())
        for column, permitted in ((batches.account_id, accounts), (batches.portfolio_id, portfolio_ids)):
            if permitted is not None:
                query = query.where(column.in_([*permitted]))
        with self._database.read() as connection:
            return [TargetBatch.model_validate_json(body) for body in connection.scalars(query.limit(limit))]

    def plan_once(self, aim_id: str, plan: Plan, target: str | None = None) -> Plan:
        """The plan that stands for the aim afterwards: `plan`, or the one that was kept first.

        target: what the plan is about, an account and a contract; its plans have an order (`is_overtaken`).

        Asked twice, or by many at once, everybody gets the same answer. Raises Refused where the aim was refused
        before it had a plan: it never gets one then.
        """
        kept = {"plan": plan.model_dump_json(), "target": target}
        row = self._write(aim_id, kept, _A.plan.is_(None) & _A.refusal.is_(None))
        if row.plan is None:
            raise Refusal.model_validate_json(row.refusal).refused()
        return Plan.model_validate_json(row.plan)

    def keep(self, aim_id: str, refusal: Refusal) -> Refusal:
        """The refusal that stands for the aim afterwards, beside its plan if it has one: the one that was kept first."""
        row = self._write(aim_id, {"refusal": refusal.model_dump_json()}, _A.refusal.is_(None))
        return Refusal.model_validate_json(row.refusal)

    def is_overtaken(self, aim_id: str) -> bool:
        """Whether a plan for the same target was kept after this one: it did not know what this one opens later."""
        mine, later = tables.aims.alias(), tables.aims.alias()
        query = (
            select(later.c.aim_id)
            .join(mine, mine.c.target == later.c.target)
            .where(mine.c.aim_id == aim_id, later.c.aim_id != aim_id, later.c.turn >= mine.c.turn)
        )
        with self._database.read() as connection:
            return connection.execute(query.limit(1)).first() is not None

    def aim(self, aim_id: str) -> Aimed | None:
        """What became of the aim; None where nothing is kept of it."""
        with self._database.read() as connection:
            row = connection.execute(select(tables.aims).where(_A.aim_id == aim_id)).one_or_none()
        return None if row is None else _aimed(row)

    def aimed(self, batch_id: str) -> dict[str, Aimed]:
        """What became of the batch's aims, by aim id, as far as anything is kept of them."""
        query = select(tables.aims).where(_A.batch_id == batch_id)
        with self._database.read() as connection:
            return {row.aim_id: _aimed(row) for row in connection.execute(query)}

    def exposure(self, account: str, instrument_id: str, portfolio_id: str | None = None) -> Exposure:
        """The account's standing in one contract, all of it in one moment; of one portfolio alone if so asked.

        Every instrument that is the contract counts, because the broker has one position in it.
        Executions count by the account of their placement, and so does what still works; an order that is not
        placed yet counts by the account of its route. Orders at the broker that this system did not place work too,
        under their key; they are no portfolio's.
        """
        with self._database.snapshot() as connection:
            contract = contract_of(connection, instrument_id)
            held = booked_in(connection, account, contract.instrument_ids, portfolio_id)
            working = working_orders(connection, account, contract.instrument_ids, portfolio_id)
            others = () if portfolio_id is not None else orders_of_others(connection, account, contract)
        return Exposure(booked=total(held.values()), working=(*working, *others))

    def held_in(self, account: str, portfolio_id: str | None = None) -> dict[str, Decimal]:
        """What our executions in the account come to, signed, by instrument id; flat ones are left out."""
        with self._database.snapshot() as connection:
            held = booked_in(connection, account, None, portfolio_id)
        return {instrument_id: quantity for instrument_id, quantity in held.items() if quantity}

    def working_in(self, account: str, portfolio_id: str | None = None) -> list[Order]:
        """The orders that may still trade in the account, oldest first, with the totals of their executions."""
        with self._database.snapshot() as connection:
            return working_in(connection, account, portfolio_id)

    def _write(self, aim_id: str, kept: Mapping[str, str | None], where: ColumnElement[bool]) -> Any:
        """The aim's row, after the columns `kept` were written if the row is new or `where` holds of it."""
        columns: dict[str, Any] = dict(kept)
        if columns.get("target") is not None:
            last = select(func.coalesce(func.max(_A.turn), 0)).where(_A.target == columns["target"])
            columns["turn"] = last.scalar_subquery() + 1
        row = {"aim_id": aim_id, "batch_id": aim_id.rpartition("/")[0], **columns}
        statement = self._database.insert(tables.aims).values(row)
        replaced = {name: statement.excluded[name] for name in columns}
        statement = statement.on_conflict_do_update(index_elements=["aim_id"], set_=replaced, where=where)
        with self._database.write() as connection:
            connection.execute(statement)
            return connection.execute(select(tables.aims).where(_A.aim_id == aim_id)).one()


def _aimed(row: Any) -> Aimed:
    return Aimed(
        plan=None if row.plan is None else Plan.model_validate_json(row.plan),
        refusal=None if row.refusal is None else Refusal.model_validate_json(row.refusal),
    )
