"""An order's executions are in the table of fills alone: its row keeps their totals, so that one more fill writes little.

`kept_body` is what the row keeps, `whole_orders` puts both together again.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select

from oms.domain.executions import Commission, Execution, Ledger, revision
from oms.domain.order import Order
from oms.store import tables
from oms.store.columns import storable

_AT_ONCE = 200
_F = tables.fills.c
_FILLS = select(
    _F.order_id,
    _F.execution,
    _F.exec_id,
    _F.placement_id,
    _F.quantity,
    _F.price,
    _F.currency,
    _F.venue,
    _F.commission,
    _F.commission_currency,
    _F.ts_event_ns,
    _F.ts_init_ns,
).where(_F.order_id.in_(bindparam("order_ids", expanding=True)))


def kept_body(order: Order) -> str:
    """The order as JSON without what its rows in the table of fills say."""
    return order.model_copy(update={"ledger": order.ledger.only(())}).model_dump_json()


def whole_orders(connection: Connection, bodies: Iterable[str]) -> list[Order]:
    """The orders behind `bodies` with all of their executions, in the same order."""
    orders = [Order.model_validate_json(body) for body in bodies]
    filled = [order.order_id for order in orders if order.ledger.by_placement]
    rows: dict[str, list[Any]] = defaultdict(list)
    for start in range(0, len(filled), _AT_ONCE):
        for row in connection.execute(_FILLS, {"order_ids": filled[start : start + _AT_ONCE]}):
            rows[row.order_id].append(row)
    return [_with_fills(order, rows.get(order.order_id, ())) for order in orders]


def _with_fills(order: Order, rows: Sequence[Any]) -> Order:
    """`order` with the executions of `rows`; one that its body has is told there as no row can."""
    ledger, told = order.ledger, {storable(base) for base in order.ledger.executions}
    executions: dict[str, Execution] = {}
    commissions: dict[str, Commission] = {}
    for row in rows:
        if row.execution in told:
            continue
        base = revision(row.exec_id)[0]
        executions[base] = _execution(row)
        if row.commission is not None:
            commissions[base] = Commission.model_construct(
                exec_id=row.exec_id, amount=row.commission, currency=row.commission_currency
            )
    if not executions:
        return order
    complete: Ledger = ledger.model_copy(
        update={
            "executions": executions | ledger.executions,
            "commissions": commissions | ledger.commissions,
        }
    )
    return order.model_copy(update={"ledger": complete})


def _execution(row: Any) -> Execution:
    return Execution.model_construct(
        exec_id=row.exec_id,
        placement_id=row.placement_id,
        quantity=row.quantity,
        price=row.price,
        currency=row.currency,
        venue=row.venue,
        ts_event_ns=row.ts_event_ns,
        ts_init_ns=row.ts_init_ns,
    )
