"""Observing: an order and facts give events. A fact is never refused; one that changes nothing gives no event."""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from oms.domain import events as ev
from oms.domain import facts as fact
from oms.domain.apply import fold
from oms.domain.consequences import conclude
from oms.domain.drafting import SYSTEM_STAMP, Draft
from oms.domain.executions import Execution, revision
from oms.domain.instructions import SettlementInstruction
from oms.domain.lifecycle import TERMINAL
from oms.domain.numbers import add, fits, plain, subtract
from oms.domain.order import Order, Placement
from oms.domain.placement import Change
from oms.domain.settlement import SettlementDate
from oms.domain.terms import ExceptionCode, PlacementStatus, Role, SettlementStatus, TimeInForce

_RANK: dict[PlacementStatus, int] = {
    PlacementStatus.PENDING: 0,
    PlacementStatus.SENT: 1,
    PlacementStatus.IN_DOUBT: 2,
    PlacementStatus.HELD: 3,
    PlacementStatus.WORKING: 4,
    PlacementStatus.PARTIALLY_FILLED: 4,
    PlacementStatus.CANCEL_PENDING: 4,
    PlacementStatus.REJECTED: 5,
    PlacementStatus.EXPIRED: 6,
    PlacementStatus.CANCELED: 7,
    PlacementStatus.FILLED: 8,
}
"""Reports only move a placement forward, so their order does not matter."""
_ALIVE = frozenset({PlacementStatus.HELD, PlacementStatus.WORKING})
_MAY_LIVE = frozenset({PlacementStatus.IN_DOUBT, PlacementStatus.REJECTED})
_OURS = frozenset({PlacementStatus.PARTIALLY_FILLED, PlacementStatus.CANCEL_PENDING})
"""Statuses that the order book concludes itself: reported by a venue they say that the placement works."""
_STANDS_UNTIL_CANCELED = frozenset({TimeInForce.GTC})


def observe(
    order: Order, facts: Sequence[fact.Fact], now: datetime, source: str, *, moves_back: bool = True
) -> list[ev.Event]:
    """The events that `facts` cause, in any state. `source` is who reported them: a venue or a custodian.

    `moves_back`: a placement that was known can be in doubt again, and a rejected one alive; histories from before
    that are replayed without.
    """
    draft = Draft(order, now, ev.Stamp(key=source, role=Role.SYSTEM))
    draft.moves_back = moves_back
    for one in facts:
        draft.now_ns = max(draft.now_ns, one.ts_init_ns)
        _OBSERVERS[type(one)](draft, one)
        conclude(draft)
    return draft.events


def brings_news(order: Order, facts: Sequence[fact.Fact]) -> bool:
    """Whether `facts` say anything that the order does not know, in whichever words it was told before.

    For a book that is closed (`Order.takes_facts`): what would be booked, parked or looked at by a person is news.
    """
    after = fold(order, observe(order, facts, order.updated_at, "nobody"))
    return _told(after) != _told(order)


def _told(order: Order) -> tuple[Any, ...]:
    placements = [(p.status, p.is_over, p.quantity, p.revision) for p in order.placements]
    return (order.ledger, order.parked, order.exceptions, placements)


def schedule(order: Order, date: SettlementDate, now: datetime) -> list[ev.Event]:
    """The events of a settlement date that the calendar gave. Again for a scheduled order: none."""
    if order.settlement.status is not SettlementStatus.NOT_DUE:
        return []
    draft = Draft(order, now, SYSTEM_STAMP)
    draft.add(ev.SettlementScheduled(**date.model_dump()))
    return draft.events


def instructed(order: Order, instruction: SettlementInstruction, now: datetime) -> list[ev.Event]:
    """The events of an instruction that the custodian has taken. Again for an instructed order: none."""
    if order.settlement.status is not SettlementStatus.SCHEDULED:
        return []
    draft = Draft(order, now, SYSTEM_STAMP)
    draft.add(ev.SettlementInstructed(**instruction.model_dump()))
    conclude(draft)
    return draft.events


def _park(draft: Draft, one: Any, reason: str) -> None:
    raw = one.raw if isinstance(one, fact.Unreadable) else one.model_dump_json(exclude={"ts_init_ns"})
    source = one.source if isinstance(one, fact.Unreadable) else one.kind
    parked = ev.FactParked(source=source, raw=raw, reason=reason)
    if parked.digest not in draft.order.parked:
        draft.add(parked, one.ts_event_ns)


def _placement_reported(draft: Draft, one: fact.PlacementReported) -> None:
    placement = draft.order.placement(one.placement_id)
    if placement is None:
        _park(draft, one, "the order has no such placement")
        return
    status = _next_status(placement, one, moves_back=draft.moves_back)
    moves = status is not placement.venue_status
    as_of, claimed = _newest_claim(placement, one)
    known = tuple(dict.fromkeys((*placement.venue_order_ids, *one.venue_order_ids)))
    if not moves and (claimed, known) == (placement.venue_filled, placement.venue_order_ids):
        return
    draft.add(
        ev.PlacementReportedByVenue(
            placement_id=placement.placement_id,
            status=status,
            filled_quantity=claimed,
            filled_as_of_ns=as_of,
            venue_order_ids=known,
            reason=one.reason if moves else None,
        ),
        one.ts_event_ns,
    )
    if moves and placement.venue_status is PlacementStatus.REJECTED:
        _revived(draft, placement)
    rejected = moves and status is PlacementStatus.REJECTED
    if rejected and not draft.order.is_straight_through:
        draft.raise_exception(
            ExceptionCode.PLACEMENT_REJECTED,
            placement.placement_id,
            one.reason or f"rejected by {placement.venue}",
        )


def _revived(draft: Draft, placement: Placement) -> None:
    """A rejected placement is alive after all. Where its quantity has gone elsewhere meanwhile, it is canceled."""
    draft.resolve_exceptions(
        ExceptionCode.PLACEMENT_REJECTED,
        f"{placement.placement_id} works at {placement.venue} after all",
        placement.placement_id,
    )
    order = draft.order
    committed = add(order.working_quantity, order.executed_quantity)
    if order.is_terminal or committed > order.ordered_quantity:
        draft.system(ev.PlacementCancelRequested(placement_id=placement.placement_id))


def _newest_claim(placement: Placement, one: fact.PlacementReported) -> tuple[int, Decimal]:
    """When the venue last said how much it filled, and how much; after a bust it may say less than before."""
    standing = (placement.venue_filled_as_of_ns, placement.venue_filled)
    claimed = one.filled_quantity
    if claimed is None and one.status is PlacementStatus.FILLED:
        claimed = placement.quantity
    return standing if claimed is None else max(standing, (one.ts_event_ns, claimed))


def may_move_back(order: Order, facts: Sequence[fact.Fact]) -> bool:
    """Whether `facts` could put a placement in doubt again, or show one alive that was rejected."""
    said = {one.status for one in facts if isinstance(one, fact.PlacementReported)}
    rejected = said | {placement.venue_status for placement in order.placements}
    return PlacementStatus.IN_DOUBT in said or (PlacementStatus.REJECTED in rejected and bool(said & _ALIVE))


def _goes_to_and_fro(standing: PlacementStatus, reported: PlacementStatus) -> bool:
    """Between alive on one side and in doubt or rejected on the other a placement moves both ways: the newest counts.

    IBKR can show an order alive that was `Inactive` before (TWS API, "Order Status").
    """
    return (standing in _ALIVE and reported in _MAY_LIVE) or (standing in _MAY_LIVE and reported in _ALIVE)


def _is_newer(placement: Placement, reported: PlacementStatus, at_ns: int) -> bool:
    """Of two words of one moment that of life stands against a doubt, and gives way to a rejection."""
    if reported is PlacementStatus.REJECTED:
        return at_ns >= placement.heard_ns
    if reported is PlacementStatus.IN_DOUBT or placement.venue_status is PlacementStatus.REJECTED:
        return at_ns > placement.heard_ns
    return at_ns >= placement.doubted_ns


def _next_status(placement: Placement, one: fact.PlacementReported, *, moves_back: bool) -> PlacementStatus:
    reported = PlacementStatus.WORKING if one.status in _OURS else one.status
    if (
        reported is PlacementStatus.CANCELED
        and not placement.cancel_requested
        and not placement.is_grouped
        and placement.time_in_force not in _STANDS_UNTIL_CANCELED
    ):
        reported = PlacementStatus.EXPIRED
    standing, offered = _RANK[placement.venue_status], _RANK[reported]
    if placement.resolved_by_hand and offered >= _RANK[PlacementStatus.HELD]:
        return reported
    if moves_back and _goes_to_and_fro(placement.venue_status, reported):
        return reported if _is_newer(placement, reported, one.ts_event_ns) else placement.venue_status
    return reported if offered > standing else placement.venue_status


def _cancel_refused(draft: Draft, one: fact.CancelRefused) -> None:
    placement = draft.order.placement(one.placement_id)
    if placement is not None and placement.cancel_requested and not placement.is_over:
        draft.add(
            ev.PlacementCancelRefused(placement_id=one.placement_id, reason=one.reason), one.ts_event_ns
        )


def _terms_rounded(draft: Draft, one: fact.TermsRounded) -> None:
    """Kept once for each revision, also for one that is over: what was sent belongs into the journal."""
    placement = draft.order.placement(one.placement_id)
    if placement is None or not 0 <= one.revision < placement.next_revision:
        _park(draft, one, "nobody asked the placement for such terms")
        return
    if all(known.revision != one.revision for known in placement.rounded):
        rounded = ev.PlacementTermsRounded(
            placement_id=one.placement_id, revision=one.revision, roundings=one.roundings
        )
        draft.add(rounded, one.ts_event_ns)


def _placement_changed(draft: Draft, one: fact.PlacementChanged) -> None:
    """The venue has it, whatever it said before and whether or not the placement is over."""
    asked = _asked_change(draft, one)
    if asked is not None:
        changed = ev.PlacementChangedAtVenue(placement_id=one.placement_id, revision=asked.revision)
        draft.add(changed, one.ts_event_ns)


def _change_refused(draft: Draft, one: fact.ChangeRefused) -> None:
    asked = _asked_change(draft, one)
    if asked is not None and asked.refused is None:
        refused = ev.PlacementChangeRefused(
            placement_id=one.placement_id, revision=asked.revision, reason=one.reason
        )
        draft.add(refused, one.ts_event_ns)


def _change_in_doubt(draft: Draft, one: fact.ChangeInDoubt) -> None:
    """Shown on the order until the venue's word on the change, or the placement's end, is evidence."""
    asked, placement = _asked_change(draft, one), draft.order.placement(one.placement_id)
    if asked is not None and placement is not None and placement.change == asked:
        draft.raise_exception(ExceptionCode.PLACEMENT_IN_DOUBT, one.placement_id, one.reason)


def _asked_change(
    draft: Draft, one: fact.PlacementChanged | fact.ChangeRefused | fact.ChangeInDoubt
) -> Change | None:
    """The last change that was asked for, if the fact is about it; word of an earlier one changes nothing."""
    placement = draft.order.placement(one.placement_id)
    if placement is None or not 0 < one.revision < placement.next_revision:
        _park(draft, one, "nobody asked the placement for such a change")
        return None
    asked = placement.last_change
    return asked if asked is not None and asked.revision == one.revision else None


def _executed(draft: Draft, one: fact.Executed) -> None:
    order = draft.order
    if order.placement(one.placement_id) is None:
        _park(draft, one, "the order has no such placement")
        return
    standing = order.ledger.current(one.exec_id)
    if not order.ledger.is_news(one.exec_id):
        _mark_amended(draft, one, standing)
        return
    if not _can_be_kept(order, one, standing):
        _park(draft, one, "the executed quantity would have more digits than can be kept")
        return
    terms = one.model_dump(exclude={"kind", "ts_event_ns", "ts_init_ns"})
    if standing is None:
        draft.add(ev.FillBooked(**terms), one.ts_event_ns)
    else:
        terms["placement_id"] = standing.placement_id
        draft.add(ev.FillCorrected(**terms, replaces=standing.exec_id), one.ts_event_ns)
    if _is_late(order):
        draft.raise_exception(
            ExceptionCode.FILL_CORRECTED if standing else ExceptionCode.LATE_FILL,
            revision(one.exec_id)[0],
            f"{plain(one.quantity)} at {plain(one.price)} came when the order was {order.state}",
        )
    _watch_overfill(draft, order)


def _can_be_kept(order: Order, one: fact.Executed, standing: Execution | None) -> bool:
    before = subtract(order.executed_quantity, standing.quantity) if standing else order.executed_quantity
    executed = add(before, one.quantity)
    return fits(executed) and fits(subtract(order.ordered_quantity, executed))


def _mark_amended(draft: Draft, one: fact.Executed, standing: Execution | None) -> None:
    """An older revision that comes late shows that the one in the book is a correction: say so once."""
    placement = draft.order.placement(standing.placement_id) if standing else None
    if standing is None or placement is None or placement.amended_ns:
        return
    if revision(one.exec_id)[1] < revision(standing.exec_id)[1]:
        terms = standing.model_dump(exclude={"ts_event_ns", "ts_init_ns"})
        draft.add(ev.FillCorrected(**terms, replaces=one.exec_id), standing.ts_event_ns)


def _is_late(order: Order) -> bool:
    return order.closed_at is not None or order.state in TERMINAL


def _watch_overfill(draft: Draft, before: Order) -> None:
    ordered, executed = before.ordered_quantity, draft.order.executed_quantity
    detail = f"{plain(executed)} executed of {plain(ordered)} ordered"
    if executed > ordered and executed > before.executed_quantity:
        draft.raise_exception(ExceptionCode.OVERFILL, before.order_id, detail)
    elif executed <= ordered:
        draft.resolve_exceptions(ExceptionCode.OVERFILL, detail)


def _busted(draft: Draft, one: fact.Busted) -> None:
    order = draft.order
    subject = revision(one.exec_id)[0]
    if order.placement(one.placement_id) is None:
        _park(draft, one, "the order has no such placement")
        return
    if subject in order.ledger.busted:
        return
    standing = order.ledger.current(one.exec_id)
    placement_id = standing.placement_id if standing else one.placement_id
    draft.add(
        ev.FillBusted(placement_id=placement_id, exec_id=one.exec_id, reason=one.reason), one.ts_event_ns
    )
    if standing and _is_late(order):
        draft.raise_exception(
            ExceptionCode.FILL_BUSTED,
            subject,
            f"{one.exec_id} was taken back when the order was {order.state}",
        )
    _watch_overfill(draft, order)


def _charged(draft: Draft, one: fact.Charged) -> None:
    standing = draft.order.ledger.commission_of(one.exec_id)
    if standing is not None:
        older = revision(one.exec_id)[1] < revision(standing.exec_id)[1]
        same = (standing.amount, standing.currency) == (one.commission, one.currency)
        if older or (same and standing.exec_id == one.exec_id):
            return
    draft.add(
        ev.CommissionBooked(exec_id=one.exec_id, commission=one.commission, currency=one.currency),
        one.ts_event_ns,
    )


def _settlement_reported(draft: Draft, one: fact.SettlementReported) -> None:
    settlement = draft.order.settlement
    if one.instruction_id != settlement.instruction_id:
        _park(draft, one, f"the order's instruction is {settlement.instruction_id}")
        return
    status = SettlementStatus.SETTLED if one.settled else SettlementStatus.FAILED
    if settlement.status is SettlementStatus.SETTLED or (settlement.status, settlement.failure) == (
        status,
        one.reason,
    ):
        return
    draft.add(
        ev.SettlementReportedByCustodian(settled=one.settled, reason=one.reason, statement=one.statement),
        one.ts_event_ns,
    )
    if not one.settled:
        draft.raise_exception(
            ExceptionCode.SETTLEMENT_FAILED, one.instruction_id, one.reason or "the custodian gave no reason"
        )


def _unreadable(draft: Draft, one: fact.Unreadable) -> None:
    _park(draft, one, one.reason)


_OBSERVERS: dict[type, Callable[[Draft, Any], None]] = {
    fact.PlacementReported: _placement_reported,
    fact.CancelRefused: _cancel_refused,
    fact.TermsRounded: _terms_rounded,
    fact.PlacementChanged: _placement_changed,
    fact.ChangeRefused: _change_refused,
    fact.ChangeInDoubt: _change_in_doubt,
    fact.Executed: _executed,
    fact.Busted: _busted,
    fact.Charged: _charged,
    fact.SettlementReported: _settlement_reported,
    fact.Unreadable: _unreadable,
}
