"""A broker's statement: fetched and kept, then compared with our books."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from oms.domain.breaks import BreakCategory, Difference
from oms.domain.comparing import Evidence, Holding, OurSide, TradesCompared, compare_positions, compare_trades
from oms.domain.executions import revision
from oms.domain.identifiers import placement_of
from oms.domain.numbers import ZERO, add, subtract
from oms.domain.statements import (
    CompareAsk,
    Compared,
    Fetched,
    FlexAsk,
    Statement,
    StatementTrade,
)
from oms.gateways.flex import FlexBusy, FlexClient, FlexError, FlexRefused, read_statements
from oms.gateways.flex.evidence import ending, messages
from oms.gateways.flex.reader import identity, read_statement
from oms.store import Intent, IntentState, Store

LOG = structlog.get_logger()
_NEXT_TRY = timedelta(minutes=2)


@dataclass(frozen=True)
class _Ours:
    """Our side, with the intents behind it."""

    side: OurSide
    intents: Mapping[str, Intent]
    trades: tuple[StatementTrade, ...]


class FlexActivities:
    """`client` asks for the statements of `query_id`, whose times are in `zone`."""

    def __init__(self, store: Store, client: FlexClient, query_id: str, zone: str) -> None:
        self._store = store
        self._client = client
        self._query_id = query_id
        self._zone = zone

    # Fetching

    @activity.defn(name="fetch_statement")
    async def fetch_statement(self, asked: FlexAsk) -> Fetched:
        """Fetch the query's statements and keep them. Twice: the same statement is kept once.

        A call that is made again after a crash goes on with the reference that the service gave the one before.
        """
        details = activity.info().heartbeat_details
        reference = str(details[0]) if details and details[0] else None
        try:
            document = await self._client.statement(
                asked.from_date, asked.to_date, reference, activity.heartbeat
            )
            statements = await asyncio.to_thread(read_statements, document, self._query_id, self._zone)
        except FlexError as error:
            raise _failed(error) from None
        kept = [await asyncio.to_thread(self._keep, *statement) for statement in statements]
        return Fetched(statement_ids=tuple(name for name, _ in kept), fresh=sum(new for _, new in kept))

    def _keep(self, statement: Statement, body: bytes) -> tuple[str, bool]:
        kept = self._store.statements.keep(statement, body, identity(body), time.time_ns())
        LOG.info("flex.statement", account=statement.account, to_date=str(statement.to_date), fresh=kept[1])
        return kept

    # Comparing

    @activity.defn(name="compare_statement")
    async def compare_statement(self, asked: CompareAsk) -> Compared:
        """Compare a kept statement with our books: what is missing and ours goes to its order, the rest is a break.

        Twice: evidence is a row of an inbox by the execution's id, a break that stands stays one.
        """
        return await asyncio.to_thread(self._compare, asked)

    def _compare(self, asked: CompareAsk) -> Compared:
        statement = read_statement(
            self._store.statements.body(asked.statement_id), self._query_id, self._zone
        )
        found = Compared(
            statement_id=asked.statement_id,
            account=statement.account,
            from_date=statement.from_date,
            to_date=statement.to_date,
            trades=len(statement.trades or ()),
        )
        if not self._is_ours(statement.account):
            LOG.warning("flex.alarm.unknown_account", account=statement.account)
            return found.model_copy(
                update={"notes": (f"account {statement.account} is not in our books; nothing was compared",)}
            )
        ours = self._ours(statement)
        compared = self._trades(statement, ours, found, overdue=asked.overdue)
        return self._positions(asked.statement_id, statement, ours, *compared, overdue=asked.overdue)

    def _is_ours(self, account: str) -> bool:
        """Whether an account of our reference data is held there, or a gateway of ours has served it."""
        if any(account in report.accounts for report in self._store.gateways.all()):
            return True
        return self._store.booked.knows(account)

    def _ours(self, statement: Statement) -> _Ours:
        store, account = self._store, statement.account
        standing = store.statements.standing(statement.source, account, BreakCategory.TRADE)
        keys = {trade.key for trade in statement.trades or ()} | {revision(name)[0] for name in standing}
        trades = store.statements.trades(statement.source, account, keys)
        begin, end = statement.covers_ns
        booked = store.booked.executions(account, begin, end, keys | {trade.key for trade in trades})
        refs = {ref: name for trade in trades if (name := placement_of(ref := trade.order_ref)) is not None}
        by_placement, _ = store.intents.among(list(refs.values()))
        intents = {ref: by_placement[name] for ref, name in refs.items() if name in by_placement}
        begins = store.booked.begins_ns()
        side = OurSide(
            booked=booked,
            tickets={ref: intent.ticket for ref, intent in intents.items()},
            begins_ns=time.time_ns() if begins is None else begins,
            scope=(begin, end),
            standing=standing,
        )
        return _Ours(side, intents, trades)

    def _trades(
        self, statement: Statement, ours: _Ours, found: Compared, *, overdue: bool
    ) -> tuple[Compared, TradesCompared]:
        if statement.trades is None:
            note = "the query has no Trades section; executions were not compared"
            return found.model_copy(update={"notes": (note,)}), TradesCompared()
        compared = compare_trades(ours.trades, ours.side, overdue=overdue)
        given = self._give(statement, ours, compared.evidence)
        notes = [f"{compared.earlier} trades are older than our books"] if compared.earlier else []
        told = self._observed(statement, BreakCategory.TRADE, compared.differences, found)
        update = {"matched": compared.matched, "given": given, "waiting": len(compared.evidence)}
        return told.model_copy(update={**update, "notes": (*told.notes, *notes)}), compared

    def _give(self, statement: Statement, ours: _Ours, evidence: Iterable[Evidence]) -> int:
        """Evidence to the gateways' inboxes, a placement at a time; answers how many rows are new."""
        groups: dict[str, list[Evidence]] = defaultdict(list)
        for one in evidence:
            groups[one.placement_id].append(one)
        by_placement = {intent.placement_id: intent for intent in ours.intents.values()}
        doubtful = [
            intent.placement_id
            for intent in by_placement.values()
            if intent.state is IntentState.IN_DOUBT and intent.placement_id not in groups
        ]
        return sum(
            self._give_one(statement, by_placement[name], groups.get(name, []))
            for name in (*groups, *doubtful)
            if name in by_placement
        )

    def _give_one(self, statement: Statement, intent: Intent, evidence: list[Evidence]) -> int:
        now_ns = time.time_ns()
        trades = [
            trade
            for trade in self._store.statements.executed(intent.order_ref)
            if trade.exec_id and not trade.canceled and trade.account == intent.account
        ]
        told = messages(evidence, intent.order_id, now_ns)
        ends = ending(intent, trades, statement, now_ns)
        given, ended = self._store.evidence.give(intent.gateway, told, ends, now_ns)
        if given:
            LOG.warning(
                "flex.evidence",
                order_id=intent.order_id,
                placement_id=intent.placement_id,
                executions=[one.trade.exec_id for one in evidence if one.executed],
                ended_doubt=ended,
            )
        return given

    def _positions(
        self,
        statement_id: str,
        statement: Statement,
        ours: _Ours,
        found: Compared,
        trades: TradesCompared,
        *,
        overdue: bool,
    ) -> Compared:
        note = None
        latest = self._store.statements.latest(statement.source, statement.account)
        if statement.positions is None:
            note = "the query has no Open Positions section; holdings were not compared"
        elif latest is not None and latest.statement_id != statement_id:
            note = f"a statement up to {latest.to_date} is known; holdings are compared with that one"
        if note is not None or statement.positions is None:
            return found.model_copy(update={"notes": (*found.notes, note)})
        holdings = self._holdings(statement, ours, [] if overdue else trades.evidence)
        known = {
            trade.contract.conid: ours.side.booked[trade.key].instrument.instrument_id
            for trade in ours.trades
            if trade.key in ours.side.booked
        }
        differences = compare_positions(statement.positions, holdings, known)
        return self._observed(statement, BreakCategory.POSITION, differences, found)

    def _holdings(self, statement: Statement, ours: _Ours, coming: Iterable[Evidence]) -> list[Holding]:
        """What we hold at the end of the statement: what was booked before it, what is in it, what is on its way."""
        _, end = statement.covers_ns
        held = {h.instrument.instrument_id: h for h in self._store.booked.holdings(statement.account, end)}
        in_it = {trade.key for trade in statement.trades or ()}
        later = [b for b in ours.side.booked.values() if b.key in in_it and b.ts_event_ns >= end]
        changes = [(execution.instrument, execution.quantity) for execution in later]
        for one in (one for one in coming if one.executed):
            before = ours.side.booked.get(one.trade.key)
            change = subtract(one.trade.quantity, before.quantity if before else ZERO)
            changes.append((ours.intents[one.trade.order_ref].ticket.instrument, change))
        for instrument, quantity in changes:
            standing = held.get(instrument.instrument_id) or Holding(instrument, ZERO)
            held[instrument.instrument_id] = replace(standing, quantity=add(standing.quantity, quantity))
        return list(held.values())

    def _observed(
        self, statement: Statement, category: BreakCategory, differences: list[Difference], found: Compared
    ) -> Compared:
        outcome = self._store.breaks.observe(
            statement.source, statement.account, category, differences, time.time_ns()
        )
        for one in outcome.opened:
            LOG.warning(
                "flex.break", break_id=one.break_id, category=category, subject=one.subject, detail=one.detail
            )
        return found.model_copy(
            update={
                "differences": found.differences + len(differences),
                "opened": found.opened + len(outcome.opened),
                "cleared": found.cleared + len(outcome.cleared),
            }
        )


def _failed(error: FlexError) -> ApplicationError:
    """What the workflow is told: a refusal is for a person, everything else may be better later."""
    refused = isinstance(error, FlexRefused)
    if refused:
        LOG.error("flex.alarm.refused", reason=str(error))
    return ApplicationError(
        str(error),
        type=type(error).__name__,
        non_retryable=refused,
        next_retry_delay=_NEXT_TRY if isinstance(error, FlexBusy) else None,
        category=ApplicationErrorCategory.BENIGN
        if isinstance(error, FlexBusy)
        else ApplicationErrorCategory.UNSPECIFIED,
    )
