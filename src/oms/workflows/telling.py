"""An order in words, for a person who reads the Temporal Web UI."""

from temporalio.common import SearchAttributeKey

from oms.domain.decide import Opening
from oms.domain.duties import waiting_on
from oms.domain.numbers import plain
from oms.domain.order import Order
from oms.domain.placement import Change
from oms.workflows.contract import (
    DIRECTION_ATTRIBUTE,
    INSTRUMENT_ATTRIBUTE,
    PORTFOLIO_ATTRIBUTE,
    STATE_ATTRIBUTE,
    VENUE_ATTRIBUTE,
)


def summary(opening: Opening) -> str:
    """One line: what was ordered."""
    request = opening.request
    price = f" at {plain(request.limit_price)}" if request.limit_price is not None else ""
    stop = f" stop {plain(request.stop_price)}" if request.stop_price is not None else ""
    return (
        f"{request.direction} {plain(request.ordered_quantity)} {opening.instrument.symbol} "
        f"{request.order_type}{price}{stop} {request.time_in_force} for {request.portfolio_id}"
    )


def static_details(opening: Opening) -> str:
    """What does not change: whose order it is and how it moves."""
    request = opening.request
    return (
        f"Order `{opening.order_id}`, created by **{opening.actor.key}**, automation {request.automation}, "
        f"compliance {request.compliance}."
    )


def search_attributes(order: Order) -> dict[SearchAttributeKey[str], str]:
    """What an order is found by; the venue once it has one."""
    found_by = {
        STATE_ATTRIBUTE: order.state.value,
        PORTFOLIO_ATTRIBUTE: order.portfolio_id,
        INSTRUMENT_ATTRIBUTE: order.instrument_id,
        DIRECTION_ATTRIBUTE: order.direction.value,
    }
    return found_by | ({VENUE_ATTRIBUTE: order.placements[-1].venue} if order.placements else {})


def details(order: Order, trouble: tuple[str, ...] = ()) -> str:
    """Markdown: the state, who moves the order next, fills, placements, exceptions, what keeps failing."""
    waiting = waiting_on(order)
    until = f" until {waiting.until:%Y-%m-%d %H:%M:%S} UTC" if waiting.until else ""
    average = order.average_price
    lines = [
        f"**{order.state}**, version {order.version}, waiting on **{waiting.on}**: {waiting.what}{until}",
        "",
        f"Executed {plain(order.executed_quantity)} of {plain(order.ordered_quantity)}"
        + (f" at {plain(average)}" if average is not None else "")
        + f", working {plain(order.working_quantity)}.",
    ]
    lines += [
        f"- Placement `{p.placement_id}` at {p.venue} {p.account}: **{p.status}** "
        f"{plain(p.executed_quantity)}/{plain(p.quantity)}"
        + (f" ({p.reason})" if p.reason else "")
        + (f", change {p.change.revision} asked: {_terms(p.change)}" if p.change else "")
        for p in order.placements
    ]
    lines += [f"- Exception **{e.code}** for {e.owner}: {e.detail}" for e in order.exceptions]
    if order.settlement.settlement_date:
        lines.append(f"- Settlement {order.settlement.status} for {order.settlement.settlement_date}")
    lines += [f"- Tried again: {text}" for text in trouble]
    if order.reason:
        lines.append(f"- Reason: {order.reason}")
    return "\n".join(lines)


def _terms(change: Change) -> str:
    return ", ".join(f"{name} {plain(value)}" for name, value in change.terms.items())
