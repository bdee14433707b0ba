"""Merging and splitting orders, and carrying on what stayed unfilled, pure: which new orders come of which sources.

Quantities are conserved exactly, and every new order is linked to its sources as they are to it.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from oms.domain import commands as cmd
from oms.domain.commands import Actor, CreateOrder
from oms.domain.decide import Opening, decide
from oms.domain.errors import Code, Refused
from oms.domain.events import Link, Share
from oms.domain.identifiers import Name
from oms.domain.model import Model
from oms.domain.numbers import Quantity, plain, total
from oms.domain.order import Order
from oms.domain.terms import LinkKind, Role

MAX_PARTS = 100


class Merge(Model):
    """Make one order of several. `allocation`: "by_source" lets orders of different portfolios become one,
    which is then allocated to each source's portfolio in the proportion of its quantity."""

    kind: Literal["merge"] = "merge"
    source_ids: Annotated[tuple[Name, ...], Field(min_length=2, max_length=MAX_PARTS)]
    order_id: Name
    allocation: Literal["by_source"] | None = None


class Split(Model):
    """Make several orders of one, with these quantities."""

    kind: Literal["split"] = "split"
    source_id: Name
    quantities: Annotated[tuple[Quantity, ...], Field(min_length=2, max_length=MAX_PARTS)]
    order_ids: tuple[Name, ...]


class Remainder(Model):
    """Carry the unfilled part of an order on in a new one."""

    kind: Literal["remainder"] = "remainder"
    source_id: Name
    order_id: Name


Plan = Annotated[Merge | Split | Remainder, Field(discriminator="kind")]


def openings(plan: Plan, sources: Sequence[Order], actor: Actor, ts_event_ns: int) -> tuple[Opening, ...]:
    """The new orders of `plan`, given its sources as they are. Raises Refused: MERGE_MISMATCH, SPLIT_MISMATCH."""
    match plan:
        case Merge():
            return (_merged(plan, sources, actor, ts_event_ns),)
        case Split():
            return _parts(plan, sources[0], actor, ts_event_ns)
        case Remainder():
            return (_remainder(plan, sources[0], actor, ts_event_ns),)


def sources_of(plan: Plan) -> tuple[str, ...]:
    """The orders that the new ones grow out of."""
    return plan.source_ids if isinstance(plan, Merge) else (plan.source_id,)


def new_ids(plan: Plan) -> tuple[str, ...]:
    """The ids of the new orders."""
    return plan.order_ids if isinstance(plan, Split) else (plan.order_id,)


def first_command(plan: Plan, restructuring_id: str) -> cmd.Command:
    """What every source is told before anything else: held for a merge or a split, or carried on."""
    if isinstance(plan, Remainder):
        return cmd.CreateRemainder(order_id=plan.order_id)
    link = LinkKind.MERGED if isinstance(plan, Merge) else LinkKind.SPLIT
    return cmd.BeginRestructuring(restructuring_id=restructuring_id, link=link)


def last_command(plan: Plan, restructuring_id: str) -> cmd.Command | None:
    """What every source is told when the new orders exist; None where it was told all at the beginning."""
    if isinstance(plan, Remainder):
        return None
    return cmd.CompleteRestructuring(restructuring_id=restructuring_id, order_ids=new_ids(plan))


def check(
    plan: Plan, sources: Sequence[Order], actor: Actor, now: datetime, ts_event_ns: int
) -> tuple[Opening, ...]:
    """The new orders, or the refusal that the first source with an objection would give. Raises Refused."""
    command = first_command(plan, "RST-not-begun")
    for source in sources:
        decide(source, cmd.Instruction(command=command, actor=actor, ts_event_ns=ts_event_ns), now)
    return openings(plan, sources, actor, ts_event_ns)


def _remainder(plan: Remainder, source: Order, actor: Actor, ts_event_ns: int) -> Opening:
    link = (Link(kind=LinkKind.REMAINDER, order_id=source.order_id, source=True),)
    return _opening(source, plan.order_id, source.unfilled_quantity, link, (), actor, ts_event_ns)


_ALIKE = (
    "instrument_id",
    "direction",
    "order_type",
    "limit_price",
    "stop_price",
    "time_in_force",
    "expires_at",
    "route",
    "automation",
)


def _merged(plan: Merge, sources: Sequence[Order], actor: Actor, ts_event_ns: int) -> Opening:
    if len(set(plan.source_ids)) != len(plan.source_ids):
        raise Refused(Code.MERGE_MISMATCH, "An order is named twice.", order_ids=list(plan.source_ids))
    first = sources[0]
    for source in sources[1:]:
        for field in _ALIKE:
            ours, theirs = getattr(first, field), getattr(source, field)
            if ours != theirs:
                _mismatch(first, source, field, ours, theirs)
    portfolios = {source.portfolio_id for source in sources}
    if len(portfolios) > 1 and plan.allocation is None:
        _mismatch(
            first,
            next(s for s in sources if s.portfolio_id != first.portfolio_id),
            "portfolio_id",
            first.portfolio_id,
            " and ".join(sorted(portfolios - {first.portfolio_id})),
        )
    links = tuple(Link(kind=LinkKind.MERGED, order_id=s.order_id, source=True) for s in sources)
    shares = tuple(share for source in sources for share in _shares(source)) if plan.allocation else ()
    quantity = total(source.ordered_quantity for source in sources)
    return _opening(first, plan.order_id, quantity, links, shares, actor, ts_event_ns)


def _shares(source: Order) -> tuple[Share, ...]:
    """What of the merged order is for whom: a source that was merged itself keeps its own sources' shares."""
    return source.shares or (
        Share(
            order_id=source.order_id,
            portfolio_id=source.portfolio_id,
            account_id=source.default_account_id,
            quantity=source.ordered_quantity,
        ),
    )


def _mismatch(first: Order, other: Order, field: str, ours: object, theirs: object) -> None:
    raise Refused(
        Code.MERGE_MISMATCH,
        f"{first.order_id} and {other.order_id} differ in {field}: {ours} and {theirs}.",
        field=field,
        order_ids=[first.order_id, other.order_id],
        values=[str(ours), str(theirs)],
    )


def _parts(plan: Split, source: Order, actor: Actor, ts_event_ns: int) -> tuple[Opening, ...]:
    asked = total(plan.quantities)
    if asked != source.ordered_quantity:
        raise Refused(
            Code.SPLIT_MISMATCH,
            f"The parts add up to {plain(asked)}, the order is for {plain(source.ordered_quantity)}.",
            parts=[plain(quantity) for quantity in plan.quantities],
            sum=plain(asked),
            ordered_quantity=plain(source.ordered_quantity),
        )
    if source.shares:
        raise Refused(
            Code.SPLIT_MISMATCH,
            f"{source.order_id} was merged for several portfolios; its shares cannot be split.",
            shares=[share.portfolio_id for share in source.shares],
        )
    link = (Link(kind=LinkKind.SPLIT, order_id=source.order_id, source=True),)
    return tuple(
        _opening(source, order_id, quantity, link, (), actor, ts_event_ns)
        for order_id, quantity in zip(plan.order_ids, plan.quantities, strict=True)
    )


def _opening(
    like: Order,
    order_id: str,
    quantity: Decimal,
    links: tuple[Link, ...],
    shares: tuple[Share, ...],
    actor: Actor,
    ts_event_ns: int,
) -> Opening:
    """A new order with the terms that `like` has now."""
    changed = {
        "ordered_quantity": quantity,
        "limit_price": like.limit_price,
        "stop_price": like.stop_price,
        "time_in_force": like.time_in_force,
        "expires_at": like.expires_at,
        "counterparty_id": like.counterparty_id,
        "metadata": like.metadata,
        "basket_id": like.basket_id,
        "client_order_id": None,
    }
    request = CreateOrder.model_validate({**like.request.model_dump(), **changed})
    return Opening(
        order_id=order_id,
        request=request,
        instrument=like.instrument,
        default_account_id=like.default_account_id,
        actor=actor.model_copy(update={"roles": (*actor.roles, Role.SYSTEM)}),
        ts_event_ns=ts_event_ns,
        links=links,
        shares=shares,
    )
