"""A broker's statement: what it says was executed and is held, and what a comparison with our books is asked and told.

The broker's side follows the Activity Flex Query of Interactive Brokers (Reporting Guide, "Flex Queries").
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime

from oms.domain.executions import revision
from oms.domain.model import Open
from oms.domain.numbers import ZERO, Amount, Exact, total
from oms.domain.reference import Instrument

CLOSES_AT = time(17)
"""Until then the last day of a statement is whole; what trades later may count as the next day (futures, overnight)."""


class Contract(Open):
    """What a line of a statement is about. `symbol` is the broker's own: an option's has its terms in it."""

    conid: int
    symbol: str
    sec_type: str
    currency: str
    underlying: str = ""
    expiry: date | None = None
    strike: Amount | None = None
    right: str = ""

    @property
    def named(self) -> str:
        """The same words in every comparison: `AAPL STK USD 265598`."""
        return f"{self.symbol} {self.sec_type} {self.currency} {self.conid}"


class TradeRow(Open):
    """One line of the trades section. `quantity` is signed; `commission` is positive where it was paid.

    `cancels` names the trade id that the line takes back; such a line has no execution id of its own.
    """

    account: str
    contract: Contract
    trade_id: str
    transaction_id: str = ""
    exec_id: str = ""
    order_ref: str = ""
    quantity: Amount
    price: Amount
    commission: Amount | None = None
    commission_currency: str = ""
    trade_date: date
    ts_event_ns: int
    cancels: str = ""


class StatementTrade(Open):
    """One execution as the broker's statement leaves it, its corrections applied.

    `key` is the same through all its revisions. `canceled`: taken back, and by nothing replaced.
    """

    account: str
    contract: Contract
    key: str
    trade_id: str
    exec_id: str
    order_ref: str
    quantity: Amount
    price: Amount
    commission: Exact | None
    commission_currency: str
    trade_date: date
    ts_event_ns: int
    canceled: bool = False

    @property
    def subject(self) -> str:
        """How a break names it: the execution id, or the broker's trade id where nothing was executed."""
        return self.exec_id or self.key

    @property
    def revision(self) -> int:
        return revision(self.exec_id)[1]


class StatementPosition(Open):
    """What the broker says is held at the end of the statement. `quantity` is signed."""

    account: str
    contract: Contract
    quantity: Amount


class Statement(Open):
    """One account's statement. A section that the query does not have is None, which is not the same as empty.

    `zone` is that of the statement's days; `source` is where it came from: `flex/` and the query.
    """

    source: str
    account: str
    from_date: date
    to_date: date
    generated_at: AwareDatetime
    zone: str
    trades: tuple[StatementTrade, ...] | None = None
    positions: tuple[StatementPosition, ...] | None = None

    @property
    def covers_ns(self) -> tuple[int, int]:
        """From when until when every execution must be in it, in nanoseconds; the end is not part of it.

        A statement of past days is whole until the close of its last one. One that was made on its last day is
        whole until it was made.
        """
        zone = ZoneInfo(self.zone)
        begin = datetime.combine(self.from_date, time(), zone)
        is_running = self.generated_at.astimezone(zone).date() <= self.to_date
        end = self.generated_at if is_running else datetime.combine(self.to_date, CLOSES_AT, zone)
        return _ns(begin), _ns(end)

    def is_over(self, day: date) -> bool:
        """Whether the statement has everything of `day`."""
        return day <= self.to_date < self.generated_at.astimezone(ZoneInfo(self.zone)).date()


class BookedExecution(Open):
    """One execution as our books have it. `quantity` is signed."""

    exec_id: str
    order_id: str
    placement_id: str
    instrument: Instrument
    quantity: Amount
    price: Amount
    currency: str
    commission: Amount | None = None
    commission_currency: str = ""
    ts_event_ns: int

    @property
    def key(self) -> str:
        return revision(self.exec_id)[0]


class FlexAsk(Open):
    """Which days to fetch; where they are absent, those that the query itself names."""

    from_date: date | None = None
    to_date: date | None = None


class Fetched(Open):
    """The statements that were fetched and are kept, one for each account. `fresh`: how many were not known before."""

    statement_ids: tuple[str, ...]
    fresh: int = 0


class CompareAsk(Open):
    """Compare a kept statement with our books. `overdue`: what was given to an order and is not booked is a break now."""

    statement_id: str
    overdue: bool = False


class Compared(Open):
    """What a comparison found.

    `trades` of the statement, `matched` in both books, `given`: executions and commissions that the book lacked and
    that went to their orders just now, `waiting`: those that are not booked yet, `differences` standing, `opened` and
    `cleared` with this comparison. `notes` says what was not compared, and why.
    """

    statement_id: str
    account: str
    from_date: date
    to_date: date
    trades: int = 0
    matched: int = 0
    given: int = 0
    waiting: int = 0
    differences: int = 0
    opened: int = 0
    cleared: int = 0
    notes: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        return not (self.waiting or self.differences or self.notes)


def standing_trades(rows: Sequence[TradeRow]) -> tuple[StatementTrade, ...]:
    """The executions behind the lines of a statement, oldest first.

    The broker corrects an execution by a line that takes it back and another one with a higher revision of its id;
    the commissions of all of them add up to what was charged.
    """
    groups: dict[str, list[TradeRow]] = defaultdict(list)
    for row in (row for row in rows if not row.cancels):
        groups[_key(row)].append(row)
    keys = {row.trade_id: _key(row) for row in rows if row.trade_id and not row.cancels}
    back: dict[str, list[TradeRow]] = defaultdict(list)
    for row in (row for row in rows if row.cancels):
        back[keys.get(row.cancels, _trade_key(row.cancels))].append(row)
    found = [_standing(key, lines, back.pop(key, [])) for key, lines in groups.items()]
    # What is taken back here may have been executed in the days of an earlier statement.
    found += [_taken_back(key, lines[-1]) for key, lines in back.items()]
    return tuple(sorted(found, key=lambda trade: (trade.ts_event_ns, trade.key)))


def next_due(now: datetime, at: time, zone: str) -> datetime:
    """The next moment after `now` at which clocks in `zone` show `at`."""
    local = now.astimezone(ZoneInfo(zone))
    due = datetime.combine(local.date(), at, local.tzinfo)
    return due if due > local else datetime.combine(local.date() + timedelta(days=1), at, local.tzinfo)


def _key(row: TradeRow) -> str:
    """What identifies the execution through all its revisions; without one, the broker's number of the line."""
    if row.exec_id:
        return revision(row.exec_id)[0]
    return _trade_key(row.trade_id) if row.trade_id else f"transaction/{row.transaction_id}"


def _trade_key(trade_id: str) -> str:
    return f"trade/{trade_id}"


def _standing(key: str, lines: list[TradeRow], back: list[TradeRow]) -> StatementTrade:
    """The revision that stands: the highest of those that were not taken back."""
    last = max(lines, key=lambda row: revision(row.exec_id)[1])
    last = [row for row in lines if row.exec_id == last.exec_id][-1]
    charged = [row.commission for row in ([*lines, *back] if back else [last]) if row.commission is not None]
    gone = len(back) >= len(lines)
    return _trade(key, last, total(charged) if charged else None, canceled=gone)


def _taken_back(key: str, line: TradeRow) -> StatementTrade:
    return _trade(key, line.model_copy(update={"trade_id": line.cancels}), None, canceled=True)


def _trade(key: str, line: TradeRow, commission: Decimal | None, *, canceled: bool) -> StatementTrade:
    return StatementTrade(
        account=line.account,
        contract=line.contract,
        key=key,
        trade_id=line.trade_id,
        exec_id=line.exec_id,
        order_ref=line.order_ref,
        quantity=ZERO if canceled else line.quantity,
        price=line.price,
        commission=commission,
        commission_currency=line.commission_currency,
        trade_date=line.trade_date,
        ts_event_ns=line.ts_event_ns,
        canceled=canceled,
    )


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1_000
