"""What an aim comes to, pure: never beyond the target, whatever part of what works already is executed."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from hashlib import sha256

from oms.domain.commands import CreateOrder, Route
from oms.domain.decide import Opening
from oms.domain.errors import Code, Refused
from oms.domain.events import Link
from oms.domain.handling import Handling
from oms.domain.identifiers import ORDER, identifier, uuid7
from oms.domain.numbers import MAX_DECIMALS, MAX_DIGITS, ZERO, add, multiply, plain, subtract, total
from oms.domain.order import Order
from oms.domain.programs.targets import AIMED_BY, Aim, Exposure, Leg, Plan, WorkingOrder
from oms.domain.reference import Instrument
from oms.domain.terms import (
    Automation,
    Direction,
    LinkKind,
    OrderType,
    PlacementStatus,
    State,
    TimeInForce,
    Venue,
)

_UNPLACED = frozenset(
    {
        State.CREATED,
        State.PENDING_PRE_TRADE_COMPLIANCE,
        State.PRE_TRADE_COMPLIANCE_PASSED,
        State.SENT_TO_TRADER,
    }
)
"""Where automation goes on to a placement by itself. A failed check is no such state: it needs a person."""
_UNACKNOWLEDGED = frozenset({PlacementStatus.PENDING, PlacementStatus.SENT, PlacementStatus.IN_DOUBT})
_DIGITS = Context(prec=400)


def pending(order: Order) -> Decimal:
    """Signed, what may still be executed of `order` without anybody's doing.

    What works at venues, and of a straight-through order on its way to one the whole; a manual order that is not
    placed is nobody's promise. An order that was canceled while its placement works still counts what works.
    """
    quantity = order.working_quantity
    if order.is_straight_through and order.state in _UNPLACED:
        quantity = max(quantity, order.unfilled_quantity)
    return multiply(Decimal(order.direction.sign), quantity)


def working_order(order: Order, now: datetime | None = None) -> WorkingOrder | None:
    """`order` as a plan sees it; None where nothing of it can be executed, and no new target has to end it.

    now: by which it is told whether the order is overdue.
    """
    is_aimed = AIMED_BY in order.request.metadata
    may_wake = is_aimed and order.state is State.PRE_TRADE_COMPLIANCE_FAILED
    amount = pending(order)
    if not amount and not may_wake:
        return None
    return WorkingOrder(
        order_id=order.order_id,
        pending=amount,
        state=order.state,
        ours=is_aimed,
        is_ending=order.cancel_requested or order.close_requested,
        is_overdue=now is not None and _is_overdue(order, now),
    )


def _is_overdue(order: Order, now: datetime) -> bool:
    send_by = order.request.handling.send_by
    is_known = any(placement.status not in _UNACKNOWLEDGED for placement in order.placements)
    return send_by is not None and now >= send_by and not is_known


def plan(aim: Aim, exposure: Exposure) -> Plan:
    """What is still to be done for `aim`: orders to end first, or else the legs to open.

    With every subset of what works, in every part, executed beside the legs, the position is never beyond the
    target, seen from what is held. Orders of others count where they lead to the target and are never ended.
    """
    held = add(exposure.booked, aim.unbooked)
    gap = subtract(aim.target, held)
    ends = tuple(_to_end(gap, exposure.working))
    toward = total(one.pending for one in exposure.working if one.order_id not in ends and _leads(one, gap))
    delta = _within(subtract(gap, toward), gap)
    return Plan(
        aim_id=aim.aim_id,
        held=held,
        working=toward,
        delta=delta,
        ends=ends,
        legs=() if ends else tuple(_legs(aim, add(held, toward), delta)),
    )


def check_lots(target: Decimal, instrument: Instrument) -> None:
    """Raise Refused VALIDATION_FAILED where `target` is no whole number of the instrument's lots."""
    if target.remainder_near(instrument.lot_size, _DIGITS):
        raise Refused(
            Code.VALIDATION_FAILED,
            f"quantity: {instrument.symbol} trades in lots of {plain(instrument.lot_size)}, and "
            f"{plain(target)} is no whole number of them.",
            field="quantity",
            lot_size=plain(instrument.lot_size),
        )


def openings_of(aim: Aim, plan: Plan) -> tuple[Opening, ...]:
    """The orders of the plan's legs. The second is linked to the first and is opened after it was accepted."""
    first = plan.legs[0].order_id if plan.legs else ""
    return tuple(_opening(aim, leg, None if leg.order_id == first else first) for leg in plan.legs)


def _to_end(gap: Decimal, working: Sequence[WorkingOrder]) -> Iterator[str]:
    """Ours that lead elsewhere, that end already, that may never be sent, or that do not fit beside all others'."""
    room = subtract(abs(gap), total(abs(o.pending) for o in working if not o.ours and _leads(o, gap)))
    for one in working:
        if not one.ours:
            continue
        counts = _leads(one, gap) and not one.is_ending and not one.is_overdue
        stays = counts and abs(one.pending) <= room
        if stays:
            room = subtract(room, abs(one.pending))
        else:
            yield one.order_id


def _leads(one: WorkingOrder, gap: Decimal) -> bool:
    """Whether it trades in the direction of the target."""
    return one.pending * gap > 0


def _within(delta: Decimal, gap: Decimal) -> Decimal:
    """`delta`, or nothing where what works is already more than the gap."""
    return delta if delta * gap > 0 else ZERO


def _legs(aim: Aim, position: Decimal, delta: Decimal) -> Iterator[Leg]:
    """One order, or two where a position is left behind on the way: first the part down to nothing, then the other side.

    position: what will be held once that which works is executed.
    """
    if not delta:
        return
    leaves = position * delta < 0
    first = min(abs(delta), abs(position)) if leaves else ZERO
    is_buy = delta > 0
    words = (Direction.BUY_TO_COVER, Direction.BUY) if is_buy else (Direction.SELL, Direction.SELL_SHORT)
    quantities = (first, subtract(abs(delta), first))
    for number, (direction, quantity) in enumerate(zip(words, quantities, strict=True)):
        if quantity:
            order_type, limit_price = _price(aim, is_buy=is_buy)
            yield Leg(
                order_id=leg_id(aim, number),
                direction=direction,
                quantity=quantity,
                order_type=order_type,
                limit_price=limit_price,
            )


def leg_id(aim: Aim, number: int) -> str:
    """The id of a leg's order: of the aim's id and time, so that opening it twice is once."""
    digest = sha256(f"{aim.aim_id}|{number}".encode()).digest()
    return identifier(ORDER, uuid7(aim.ts_event_ns // 1_000_000, digest))


def _price(aim: Aim, *, is_buy: bool) -> tuple[OrderType, Decimal | None]:
    """A limit exactly as given, else the expected price with its tolerance, else the market."""
    if aim.limit_price is not None:
        return OrderType.LIMIT, aim.limit_price
    if aim.expected_price is None or aim.tolerance_pct is None:
        return OrderType.MARKET, None
    return OrderType.LIMIT, tolerated(aim.expected_price, aim.tolerance_pct, is_buy=is_buy)


def tolerated(expected: Decimal, tolerance_pct: Decimal, *, is_buy: bool) -> Decimal:
    """The worst price that is taken: so many percent above `expected` for a buy, below it for a sale.

    Exact, and where that has more digits than are kept, rounded to the better price.
    """
    percent = add(Decimal(100), tolerance_pct if is_buy else -tolerance_pct)
    price = multiply(expected, percent).scaleb(-2, _DIGITS)
    places = min(MAX_DECIMALS, MAX_DIGITS - max(1, price.adjusted() + 1))
    rounding = ROUND_FLOOR if is_buy else ROUND_CEILING
    rounded = price.quantize(Decimal(1).scaleb(-places), rounding, _DIGITS)
    return Decimal(plain(rounded))


def _opening(aim: Aim, leg: Leg, after: str | None) -> Opening:
    request = CreateOrder(
        portfolio_id=aim.portfolio_id,
        instrument_id=aim.instrument.instrument_id,
        direction=leg.direction,
        ordered_quantity=leg.quantity,
        order_type=leg.order_type,
        limit_price=leg.limit_price,
        time_in_force=TimeInForce.DAY,
        route=Route(venue=Venue.IBKR, account=aim.account),
        automation=Automation.STRAIGHT_THROUGH,
        metadata={**aim.metadata, AIMED_BY: aim.aim_id, "target": plain(aim.target)},
        handling=Handling(send_by=aim.send_by),
    )
    return Opening(
        order_id=leg.order_id,
        request=request,
        instrument=aim.instrument,
        default_account_id=aim.account_id,
        actor=aim.actor,
        ts_event_ns=aim.ts_event_ns,
        correlation_id=aim.correlation_id,
        links=(Link(kind=LinkKind.CROSSES_ZERO, order_id=after, source=True),) if after else (),
    )
