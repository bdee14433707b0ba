"""Rows of the ledger's tables: how orders, executions and quotes are written and read back.

Decimals are kept as text (exact), moments as epoch seconds in text (text order is time order).
"""

import json
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from oms.paper.instructions import instructions_of
from oms.paper.instruments import catalogue
from oms.paper.market import Quote
from oms.paper.order_layout import OrderFields
from oms.paper.orders import Execution, OrderTerms, PaperOrder

ORDER_COLUMNS = 32
_FLAGS = frozenset({"finite", "held"})


def moment_text(moment: datetime) -> str:
    """Epoch seconds with microseconds, so that text order is time order."""
    return f"{moment.timestamp():017.6f}"


def order_row(order: PaperOrder) -> tuple[Any, ...]:
    """All columns of ``orders``."""
    t = order.terms
    return (
        t.client_id,
        t.order_id,
        order.perm_id,
        t.instrument.con_id,
        t.account,
        t.order_ref,
        t.side,
        str(t.quantity),
        t.order_type,
        _optional(t.limit),
        _optional(t.stop),
        t.tif,
        _optional_time(t.good_till),
        t.oca_group,
        t.oca_type,
        t.parent_id,
        t.transmit,
        t.attributes.dump(),
        order.status,
        moment_text(order.placed_at),
        order.why_held,
        str(order.filled),
        str(order.cost),
        str(order.last_price),
        str(order.commission),
        order.triggered,
        order.rested,
        _optional_time(order.expires),
        _optional_time(order.completed_at),
        order.completed_status,
        _optional(order.trail_stop),
        order.looks,
    )


def order_of(row: Sequence[Any]) -> PaperOrder:
    """The order in a row of ``orders``."""
    attributes = OrderFields.load(row[17])
    terms = OrderTerms(
        client_id=row[0],
        order_id=row[1],
        instrument=catalogue()[row[3]],
        account=row[4],
        order_ref=row[5],
        side=row[6],
        quantity=Decimal(row[7]),
        order_type=row[8],
        limit=_decimal(row[9]),
        stop=_decimal(row[10]),
        tif=row[11],
        good_till=_time(row[12]),
        oca_group=row[13],
        oca_type=row[14],
        parent_id=row[15],
        transmit=bool(row[16]),
        attributes=attributes,
        instructions=instructions_of(attributes),
    )
    return PaperOrder(
        terms,
        perm_id=row[2],
        status=row[18],
        placed_at=_moment(row[19]),
        why_held=row[20],
        filled=Decimal(row[21]),
        cost=Decimal(row[22]),
        last_price=Decimal(row[23]),
        commission=Decimal(row[24]),
        triggered=bool(row[25]),
        rested=bool(row[26]),
        expires=_time(row[27]),
        completed_at=_time(row[28]),
        completed_status=row[29],
        trail_stop=_decimal(row[30]),
        looks=row[31],
    )


def execution_row(execution: Execution) -> tuple[Any, ...]:
    """All columns of ``executions`` but the number and the replaced flag."""
    return (
        execution.exec_id,
        execution.client_id,
        execution.order_id,
        execution.perm_id,
        execution.account,
        execution.instrument.con_id,
        execution.side,
        str(execution.quantity),
        str(execution.price),
        moment_text(execution.time),
        str(execution.cumulative),
        str(execution.average_price),
        str(execution.commission),
        execution.order_ref,
        execution.passive,
        _optional(execution.realized),
    )


def execution_of(row: Sequence[Any]) -> Execution:
    """The execution in a row of ``executions``."""
    return Execution(
        exec_id=row[1],
        client_id=row[2],
        order_id=row[3],
        perm_id=row[4],
        account=row[5],
        instrument=catalogue()[row[6]],
        side=row[7],
        quantity=Decimal(row[8]),
        price=Decimal(row[9]),
        time=_moment(row[10]),
        cumulative=Decimal(row[11]),
        average_price=Decimal(row[12]),
        commission=Decimal(row[13]),
        order_ref=row[14],
        passive=bool(row[15]),
        realized=_decimal(row[16]),
    )


def quote_text(quote: Quote) -> str:
    """JSON of a quote's figures, in the order of its fields."""
    return json.dumps([str(figure) for figure in (getattr(quote, f.name) for f in fields(Quote))])


def quote_of(text: str) -> Quote:
    """Read back what ``quote_text`` wrote."""
    kept = dict(zip((f.name for f in fields(Quote)), json.loads(text), strict=True))
    return Quote(
        **{n: Decimal(v) for n, v in kept.items() if n not in _FLAGS and n != "steps"},
        steps=int(kept["steps"]),
        finite=kept["finite"] == "True",
        held=kept["held"] == "True",
    )


def _optional(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _optional_time(moment: datetime | None) -> str | None:
    return None if moment is None else moment_text(moment)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _moment(text: str) -> datetime:
    return datetime.fromtimestamp(float(text), UTC)


def _time(text: str | None) -> datetime | None:
    return None if text is None else _moment(text)
