"""What is said on the way to a target: rows of a batch, orders to end first, the legs of a flatten."""

import re
from collections.abc import Collection, Sequence
from datetime import datetime

from oms.domain.commands import Actor
from oms.domain.errands import Refusal
from oms.domain.errors import Code
from oms.domain.lifecycle import MAIN_CHAIN
from oms.domain.model import Open
from oms.domain.order import Order
from oms.domain.programs.intake import Flatten
from oms.domain.programs.outcomes import Commanded, CommandInput
from oms.domain.programs.targets import AccountRead, Aim, Aimed, BrokerPosition
from oms.domain.reference import Account, Instrument
from oms.domain.terms import ComplianceStatus, State

_PASSED = frozenset({ComplianceStatus.PASSED, ComplianceStatus.OVERRIDDEN})
_AFTER_CHECK = frozenset(MAIN_CHAIN[MAIN_CHAIN.index(State.PRE_TRADE_COMPLIANCE_PASSED) :])
READING_HOLDS_NS = 30_000_000_000
"""So old a reading of an account may be when something is planned with it: others may have traded there since."""
CANCELED_WITH_ITS_BATCH = Refusal(
    code=Code.ALREADY_CANCELED, message="The batch was canceled before everything was opened for this row."
)
"""What is kept of a row whose orders are not all open when its batch is canceled: it gets no more of them."""


class Planning(Open):
    """An aim to plan. last: orders that work against it had their time; if some still do, the aim is refused."""

    aim: Aim
    last: bool = False


class Ending(Open):
    """Orders to end, and until when their end is waited for. The same `prefix` again is the same commands."""

    order_ids: tuple[str, ...]
    prefix: str
    actor: Actor
    ts_event_ns: int
    until: datetime
    correlation_id: str | None = None


class Left(Open):
    """An order that has not ended, and what it last said."""

    order_id: str
    why: str


class Ended(Open):
    """What of an `Ending` still may trade; empty when every order is over."""

    left: tuple[Left, ...] = ()


class Rows(Open):
    """Some rows of a kept batch, by number. `read`: the account as it was read, all that no execution explains.

    last: positions that still move are not waited for any longer; such a row is refused. again: they may have been
    aimed before, by a run of the batch that is gone.
    """

    batch_id: str
    numbers: tuple[int, ...]
    read: AccountRead
    last: bool = False
    again: bool = False


class RowsAimed(Open):
    """Which rows have their outcome, which were refused, and which have to wait for executions on their way.

    stale: the rows that nobody came to while the reading held; they need a new one.
    """

    planned: int = 0
    refused: tuple[str, ...] = ()
    unsteady: tuple[int, ...] = ()
    stale: tuple[int, ...] = ()


def is_stale(aim: Aim, now_ns: int, spare_ns: int = 0) -> bool:
    """Whether the account's reading is too old to plan the aim with it, and by `spare_ns` more."""
    return aim.read_ns > 0 and now_ns - aim.read_ns > READING_HOLDS_NS + spare_ns


def is_too_late(aim: Aim, now: datetime) -> bool:
    """Whether the time is over after which nothing of the aim may be sent."""
    return aim.send_by is not None and now >= aim.send_by


def is_settled(aimed: Aimed | None, legs: Sequence[Order | None]) -> bool:
    """Whether an aim has its outcome: refused, nothing to do, or every leg open and past its check."""
    if aimed is None or (aimed.plan is None and aimed.refusal is None):
        return False
    return aimed.refusal is not None or all(leg is not None and has_passed(leg) for leg in legs)


def has_passed(order: Order) -> bool:
    """Whether the order is past its pre-trade check: what becomes of it then is the venue's to say."""
    return order.pre_trade.status in _PASSED


def is_past_check(state: State) -> bool:
    """Whether this state alone says that an order has passed its pre-trade check."""
    return state in _AFTER_CHECK


def why_not_sent(order: Order) -> str | None:
    """Why the order never goes out by itself; None where it does, or where that is not known yet."""
    if has_passed(order):
        return None
    if order.pre_trade.status is ComplianceStatus.FAILED:
        told = "; ".join(violation.description for violation in order.pre_trade.violations)
        return f"it failed its pre-trade check: {told.rstrip('.')}"[:1000]
    return (order.reason or order.state.value) if order.is_terminal else None


def position_of(
    read: AccountRead, instrument: Instrument, also: Collection[str] = ()
) -> BrokerPosition | None:
    """What the account holds of the instrument: by our id, else by the broker's number, else by its name.

    also: the ids of the instruments that are the same contract.
    """
    name = (instrument.symbol, instrument.sec_type, instrument.currency)
    for fits in (
        lambda each: each.instrument_id == instrument.instrument_id,
        lambda each: each.instrument_id in also,
        lambda each: instrument.conid is not None and each.conid == instrument.conid,
        lambda each: instrument.conid is None and (each.symbol, each.sec_type, each.currency) == name,
    ):
        found = next(filter(fits, read.positions), None)
        if found is not None:
            return found
    return None


def is_meant(given: Flatten, sec_type: str, names: Collection[str]) -> bool:
    """Whether a flatten is about such a contract. names: the symbols that it goes by, ours and the broker's."""
    excluded = {_spelled(symbol) for symbol in given.exclude}
    return sec_type in given.sec_types and excluded.isdisjoint(map(_spelled, names))


def _spelled(symbol: str) -> str:
    """One spelling for `BRK.B`, `BRK B` and `brk/b`: everybody sets a share class apart in his own way."""
    return re.sub(r"[\s./-]+", " ", symbol.strip()).upper()


def subject_of(position: BrokerPosition) -> str:
    """What stands for a position in every reading of its account."""
    return str(position.conid) if position.conid else position.instrument_id or position.symbol


class FlattenAsk(Open):
    """A flatten as it was signed, for `tenant`."""

    asked: CommandInput
    given: Flatten
    tenant: str


class FlattenScope(Open):
    """What a flatten may touch: one account, whole or only what the tenant's portfolio has there; or why nothing.

    working: the orders that work there, of the kinds and symbols that were asked for.
    """

    account: Account | None = None
    portfolio_id: str = ""
    portfolio_only: bool = False
    working: tuple[str, ...] = ()
    refusal: Refusal | None = None


class FlattenRead(Open):
    """An account as it was read, and what of it a flatten is about."""

    given: Flatten
    scope: FlattenScope
    read: AccountRead


class FlattenPositions(Open):
    """The positions to flatten, in a fixed order. portfolio_only: by now the account is not the portfolio's alone.

    others: the orders that work there and that this system did not place, in words.
    """

    positions: tuple[BrokerPosition, ...] = ()
    portfolio_only: bool = False
    others: tuple[str, ...] = ()


class FlattenLeg(Open):
    """One position of a flatten as it was read at `read_ns`, to be brought to zero. `send_by`: nothing leaves after it."""

    ask: FlattenAsk
    scope: FlattenScope
    index: int
    position: BrokerPosition
    send_by: datetime
    read_ns: int = 0


class FlattenedLeg(Commanded):
    """What became of a leg. `stale`: nothing, for its reading was too old; the leg is still owed."""

    stale: bool = False


class Flattened(Open):
    """What became of a flatten: a leg per position. `refusal`: nothing was touched; `detail`: what was left as it is."""

    orders: tuple[Commanded, ...] = ()
    refusal: Refusal | None = None
    detail: str | None = None
