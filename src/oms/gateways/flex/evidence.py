"""What a statement proves about our placements, as the gateway that owns them would have said it itself.

The natural keys are the gateway's own, so an execution that it hears of as well is one row of its inbox. A doubt ends
the way a gateway ends one when it finds an order: by what the broker's books show, never by a guess.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from oms.domain.comparing import Evidence
from oms.domain.facts import Charged, Executed, PlacementReported
from oms.domain.numbers import plain, total
from oms.domain.statements import Statement, StatementTrade
from oms.domain.terms import PlacementStatus, TimeInForce, Venue
from oms.gateways.ibkr.reading import OVER
from oms.gateways.ibkr.records import record_of
from oms.store import Intent, IntentState
from oms.store.evidence import Ending
from oms.store.inbox import InboxMessage

_LASTS_A_DAY = frozenset(TimeInForce) - {TimeInForce.GTC, TimeInForce.GTD}


def messages(evidence: Iterable[Evidence], order_id: str, now_ns: int) -> list[InboxMessage]:
    """The executions and commissions that one order lacks."""
    told = []
    for one in evidence:
        if one.executed:
            told.append(_executed(one, order_id, now_ns))
        if one.charged and one.trade.commission is not None:
            told.append(_charged(one.trade, one.trade.commission, order_id, now_ns))
    return told


def ending(
    intent: Intent, trades: Sequence[StatementTrade], statement: Statement, now_ns: int
) -> Ending | None:
    """What becomes of a placement in doubt, given every execution of it that any statement has.

    Filled: its quantity was executed. Expired: it was good for the day of its last execution, and the statement has
    that day whole. Otherwise the broker knows the order, so it is working as far as anybody knows, and the gateway
    goes on looking. None: nothing was executed, which proves nothing.
    """
    if intent.state is not IntentState.IN_DOUBT or not trades:
        return None
    filled = total(abs(trade.quantity) for trade in trades)
    status = _status(intent, filled, max(trades, key=lambda trade: trade.ts_event_ns), statement)
    reason = f"the broker's statement of {statement.to_date} shows {plain(filled)} executed"
    seen = {"status": status, "filled": filled, "reason": reason, "seen": True}
    fact = PlacementReported(
        placement_id=intent.placement_id,
        status=status,
        filled_quantity=filled,
        venue_order_ids=tuple(str(perm_id) for perm_id in intent.perm_ids),
        reason=reason,
        ts_event_ns=now_ns,
        ts_init_ns=now_ns,
    )
    return Ending(
        before=intent,
        state=IntentState.DONE if status in OVER else IntentState.ACKNOWLEDGED,
        detail=record_of(intent).model_copy(update=seen).model_dump_json(),
        message=InboxMessage(
            natural_key=f"statement/{intent.placement_id}/{status}/{plain(filled)}",
            order_id=intent.order_id,
            fact=fact,
            ts_init_ns=now_ns,
        ),
    )


def _status(intent: Intent, filled: Decimal, last: StatementTrade, statement: Statement) -> PlacementStatus:
    if filled >= intent.ticket.quantity:
        return PlacementStatus.FILLED
    if intent.ticket.time_in_force in _LASTS_A_DAY and statement.is_over(last.trade_date):
        return PlacementStatus.EXPIRED
    return PlacementStatus.WORKING


def _executed(evidence: Evidence, order_id: str, now_ns: int) -> InboxMessage:
    trade = evidence.trade
    fact = Executed(
        placement_id=evidence.placement_id,
        exec_id=trade.exec_id,
        quantity=abs(trade.quantity),
        price=trade.price,
        currency=trade.contract.currency,
        venue=Venue.IBKR,
        ts_event_ns=trade.ts_event_ns,
        ts_init_ns=now_ns,
    )
    return InboxMessage(f"exec/{trade.exec_id}", order_id, fact, now_ns)


def _charged(trade: StatementTrade, commission: Decimal, order_id: str, now_ns: int) -> InboxMessage:
    fact = Charged(
        exec_id=trade.exec_id,
        commission=commission,
        currency=trade.commission_currency or trade.contract.currency,
        ts_event_ns=trade.ts_event_ns,
        ts_init_ns=now_ns,
    )
    return InboxMessage(f"fee/{trade.exec_id}/{commission}", order_id, fact, now_ns)
