"""One execution: what it makes of the order, and how the broker books it."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from oms.paper.orders import FILLED, SUBMITTED, Execution, PaperOrder, commission


def executed(
    order: PaperOrder, quantity: Decimal, price: Decimal, number: int, now: datetime
) -> tuple[PaperOrder, Execution]:
    """The order after a trade, and the execution; ``number`` is the broker's own and makes its id unique."""
    terms = order.terms
    fee = commission(quantity, price, terms.instrument.multiplier)
    passive = order.rested
    order = replace(
        order,
        status=SUBMITTED,
        filled=order.filled + quantity,
        cost=order.cost + quantity * price,
        last_price=price,
        commission=order.commission + fee,
    )
    if order.remaining == 0:
        order = order.finished(FILLED, f"Filled Size: {order.filled:f}", now)
    execution = Execution(
        exec_id=f"{number:08x}.{int(now.timestamp()):08x}.01.01",
        client_id=terms.client_id,
        order_id=terms.order_id,
        perm_id=order.perm_id,
        account=terms.account,
        instrument=terms.instrument,
        side=terms.side,
        quantity=quantity,
        price=price,
        time=now,
        cumulative=order.filled,
        average_price=order.average_price,
        commission=fee,
        order_ref=terms.order_ref,
        passive=passive,
    )
    return order, execution
