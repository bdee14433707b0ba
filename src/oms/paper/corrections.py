"""Corrections and busts of executions at the paper broker."""

from dataclasses import replace
from decimal import Decimal

from oms.paper.ledger import Ledger
from oms.paper.orders import Execution, PaperOrder, commission, corrected_id


def corrected(
    ledger: Ledger, exec_id: str, quantity: Decimal, price: Decimal
) -> tuple[Execution, Execution, PaperOrder]:
    """An execution, what it is corrected to, and its order after that; quantity 0 is a bust.

    A finished order stays finished. Raises KeyError for an unknown execution, ValueError when it was corrected before
    or would overfill.
    """
    before = ledger.execution(exec_id)
    order = ledger.order((before.client_id, before.order_id)) if before else None
    if before is None or order is None:
        raise KeyError(exec_id)
    new_id = corrected_id(exec_id)
    if ledger.execution(new_id) is not None:
        raise ValueError(f"{exec_id} was corrected already")
    filled = order.filled - before.quantity + quantity
    if quantity < 0 or filled > order.terms.quantity:
        raise ValueError(f"a correction to {quantity} does not fit the order")
    fee = commission(quantity, price, before.instrument.multiplier)
    order = replace(
        order,
        filled=filled,
        cost=order.cost - before.quantity * before.price + quantity * price,
        commission=order.commission - before.commission + fee,
    )
    if order.live and order.remaining == 0:
        raise ValueError("a correction that completes a live order is not offered")
    after = replace(
        before,
        exec_id=new_id,
        quantity=quantity,
        price=price,
        cumulative=before.cumulative - before.quantity + quantity,
        average_price=order.average_price,
        commission=fee,
    )
    return before, after, order


def one_tick_worse(execution: Execution) -> Decimal:
    """The price of an execution, one tick worse for the account."""
    tick = execution.instrument.tick
    return execution.price + (tick if execution.side == "BUY" else -min(tick, execution.price))
