"""A broker's statement against our books. Pure: what is missing and ours is evidence, everything else is a difference.

A difference never changes a book. Evidence does only what the venue's own message would have done: it goes to the
order that placed it, which books each execution once.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from oms.domain.breaks import Difference
from oms.domain.executions import revision
from oms.domain.numbers import ZERO, add, plain, subtract
from oms.domain.reference import Instrument
from oms.domain.statements import BookedExecution, Contract, StatementPosition, StatementTrade
from oms.domain.terms import SecType
from oms.domain.venues import PlacementTicket

_Words = tuple[str, str, str, date | None, Decimal | None, str]


@dataclass(frozen=True)
class Evidence:
    """What a statement proves about a placement of ours: an execution that its order lacks, or only its commission."""

    trade: StatementTrade
    placement_id: str
    executed: bool
    charged: bool


@dataclass(frozen=True)
class OurSide:
    """What our books know about the executions of a comparison.

    `booked` by what execution ids identify. `tickets` by order reference, of placements that a gateway of ours sent.
    `begins_ns`: our books have nothing older. `scope`: from when until when the statement has every execution.
    `standing`: the subjects of differences that an earlier comparison found; they are judged again here.
    """

    booked: Mapping[str, BookedExecution]
    tickets: Mapping[str, PlacementTicket]
    begins_ns: int
    scope: tuple[int, int]
    standing: Collection[str] = ()


@dataclass
class TradesCompared:
    """`earlier` trades are from before our books begin and were not compared."""

    matched: int = 0
    earlier: int = 0
    evidence: list[Evidence] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)


@dataclass(frozen=True)
class Holding:
    """What our books hold of an instrument at the broker. `quantity` is signed."""

    instrument: Instrument
    quantity: Decimal


def compare_trades(trades: Iterable[StatementTrade], ours: OurSide, *, overdue: bool) -> TradesCompared:
    """Both sides, execution by execution. `overdue`: evidence that is not booked by now is a difference as well."""
    found, seen = TradesCompared(), set[str]()
    for trade in trades:
        seen.add(trade.key)
        if trade.ts_event_ns < ours.begins_ns and trade.key not in ours.booked:
            found.earlier += 1
        else:
            _compare(trade, ours, found, overdue=overdue)
    begin, end = ours.scope
    standing = {revision(subject)[0] for subject in ours.standing}
    for key, execution in ours.booked.items():
        if key not in seen and (begin <= execution.ts_event_ns < end or key in standing):
            found.differences.append(_not_at_the_broker(execution, "the broker's statement does not have it"))
    return found


def _compare(trade: StatementTrade, ours: OurSide, found: TradesCompared, *, overdue: bool) -> None:
    booked = ours.booked.get(trade.key)
    if trade.canceled:
        found.differences += _canceled(trade, booked)
    elif booked is None or revision(booked.exec_id)[1] < trade.revision:
        _missing(trade, booked, ours, found, overdue=overdue)
    elif revision(booked.exec_id)[1] > trade.revision:
        # Our books have a correction that is younger than the statement.
        found.matched += 1
    else:
        _both(trade, booked, found, overdue=overdue)


def _canceled(trade: StatementTrade, booked: BookedExecution | None) -> list[Difference]:
    if booked is not None:
        return [_not_at_the_broker(booked, "the broker took the execution back")]
    if trade.exec_id:
        return []
    detail = (
        f"the broker took back trade {trade.trade_id} of {trade.contract.named}, which no kept statement has"
    )
    return [Difference(subject=trade.subject, ours="", theirs="0", detail=detail)]


def _missing(
    trade: StatementTrade,
    booked: BookedExecution | None,
    ours: OurSide,
    found: TradesCompared,
    *,
    overdue: bool,
) -> None:
    """The broker has an execution, or a correction of one, that we have not."""
    ticket = ours.tickets.get(trade.order_ref) if trade.exec_id else None
    wrong = "no order of ours has its reference" if ticket is None else disagreement(trade, ticket)
    if ticket is not None and wrong is None:
        charged = trade.commission is not None
        found.evidence.append(Evidence(trade, ticket.placement_id, executed=True, charged=charged))
        wrong = f"it was given to {ticket.order_id}, which has not booked it" if overdue else None
    if wrong is not None:
        told = f"{_said(trade)}: {wrong}"
        here = plain(booked.quantity) if booked else ""
        there = plain(trade.quantity)
        found.differences.append(Difference(subject=trade.subject, ours=here, theirs=there, detail=told))


def disagreement(trade: StatementTrade, ticket: PlacementTicket) -> str | None:
    """Why an execution under our reference is not one of the placement, in a sentence, or None where it is."""
    pairs = [
        ("account", trade.account, ticket.account),
        (
            "side",
            "a buy" if trade.quantity > ZERO else "a sale",
            "a buy" if ticket.direction.sign > 0 else "a sale",
        ),
    ]
    if ticket.instrument.conid is not None:
        pairs.append(("contract", str(trade.contract.conid), str(ticket.instrument.conid)))
    wrong = [f"{name} {there}, not {here}" for name, there, here in pairs if there != here]
    return f"it is not what {ticket.placement_id} asked for: {'; '.join(wrong)}" if wrong else None


def _both(trade: StatementTrade, booked: BookedExecution, found: TradesCompared, *, overdue: bool) -> None:
    pairs = [
        ("quantity", booked.quantity, trade.quantity),
        ("price", booked.price, trade.price),
    ]
    if trade.commission is not None and booked.commission is not None:
        pairs.append(("commission", booked.commission, trade.commission))
    elif trade.commission is not None:
        found.evidence.append(Evidence(trade, booked.placement_id, executed=False, charged=True))
        if overdue:
            pairs.append(("commission", ZERO, trade.commission))
    wrong = [(name, plain(here), plain(there)) for name, here, there in pairs if here != there]
    wrong += [
        (name, here, there)
        for name, here, there in (
            ("currency", booked.currency, trade.contract.currency),
            ("commission currency", booked.commission_currency, trade.commission_currency),
        )
        if here and there and here != there
    ]
    if not wrong:
        found.matched += 1
        return
    told = "; ".join(f"{name} {here} in our books, {there} at the broker" for name, here, there in wrong)
    found.differences.append(
        Difference(
            subject=trade.subject,
            ours=wrong[0][1],
            theirs=wrong[0][2],
            detail=f"{booked.order_id} {booked.instrument.symbol}: {told}",
            instrument_id=booked.instrument.instrument_id,
        )
    )


def _not_at_the_broker(booked: BookedExecution, why: str) -> Difference:
    return Difference(
        subject=booked.exec_id,
        ours=plain(booked.quantity),
        theirs="",
        detail=f"{booked.order_id} {booked.instrument.symbol} at {plain(booked.price)}: {why}",
        instrument_id=booked.instrument.instrument_id,
    )


def _said(trade: StatementTrade) -> str:
    return f"{plain(trade.quantity)} {trade.contract.named} at {plain(trade.price)} on {trade.trade_date}"


def compare_positions(
    positions: Iterable[StatementPosition], holdings: Sequence[Holding], known: Mapping[int, str]
) -> list[Difference]:
    """Holdings by contract. `known`: instrument ids that executions have tied to a contract id.

    Currencies are not compared: the broker shows them as cash.
    """
    theirs: dict[str, Decimal] = defaultdict(lambda: ZERO)
    names: dict[str, str] = {}
    by_words = {_words(holding.instrument): holding.instrument for holding in holdings}
    by_conid = {
        h.instrument.conid: h.instrument.instrument_id for h in holdings if h.instrument.conid
    } | dict(known)
    for position in positions:
        contract = position.contract
        same = by_words.get(_words_of(contract))
        key = by_conid.get(contract.conid) or (same.instrument_id if same else contract.named)
        theirs[key] = add(theirs[key], position.quantity)
        names[key] = contract.named
    ours = {h.instrument.instrument_id: h for h in holdings if h.instrument.sec_type is not SecType.CASH}
    return [
        difference
        for key in dict.fromkeys((*ours, *theirs))
        if (difference := _held(ours.get(key), theirs[key], names.get(key))) is not None
    ]


def _held(ours: Holding | None, theirs: Decimal, name: str | None) -> Difference | None:
    here = ours.quantity if ours else ZERO
    if here == theirs:
        return None
    gap = plain(subtract(theirs, here))
    return Difference(
        subject=name or (_named(ours.instrument) if ours else ""),
        ours=plain(here),
        theirs=plain(theirs),
        detail=f"{plain(here)} in our books, {plain(theirs)} at the broker, a gap of {gap}",
        instrument_id=ours.instrument.instrument_id if ours else None,
    )


def _words(instrument: Instrument) -> _Words:
    """What an instrument is called where its contract id is not known."""
    terms = (instrument.expiry, instrument.strike, instrument.right or "")
    return (instrument.sec_type, instrument.symbol, instrument.currency, *terms)


def _words_of(contract: Contract) -> _Words:
    """The same of the broker's contract; a derivative's own symbol has its terms in it."""
    terms = (contract.expiry, contract.strike, contract.right)
    return (contract.sec_type, contract.underlying or contract.symbol, contract.currency, *terms)


def _named(instrument: Instrument) -> str:
    parts = (instrument.symbol, instrument.sec_type, instrument.currency, instrument.conid)
    return " ".join(str(part) for part in parts if part)
