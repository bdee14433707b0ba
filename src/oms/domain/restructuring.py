"""Merging and splitting orders, and carrying on what stayed unfilled, pure: which new orders come of which sources.

Quantities are conserved exactly, and every new order is linked to its sources as they are to it.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from oms.domain import commands as cmd
from oms.domain.allocating import MAX_ACCOUNTS
from oms.domain.commands import Actor, CreateOrder
from oms.domain.decide import Opening, decide, in_the_future, opening_events
from oms.domain.errors import Code, Refused
from oms.domain.events import Link, Share
from oms.domain.handling import ungrouped
from oms.domain.identifiers import Name
from oms.domain.model import Model
from oms.domain.numbers import Quantity, plain, total
from oms.domain.order import Order
from oms.domain.terms import LinkKind, Role
from oms.domain.weighing import Node, weigh

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
    order_ids: Annotated[tuple[Name, ...], Field(min_length=2, max_length=MAX_PARTS)]

    @model_validator(mode="after")
    def _one_id_each(self) -> Self:
        if len(self.order_ids) != len(self.quantities):
            raise ValueError(f"{len(self.quantities)} parts need as many ids, not {len(self.order_ids)}")
        return self


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
    plan: Plan,
    sources: Sequence[Order],
    actor: Actor,
    now: datetime,
    ts_event_ns: int,
    expected_version: int | None = None,
    restructuring_id: str = "RST-not-begun",
) -> tuple[Opening, ...]:
    """The new orders, or the refusal that the first source with an objection would give. Raises Refused.

    A source that `restructuring_id` holds already has none: the same undertaking again goes on with it.
    """
    _named_once(plan)
    asked = cmd.Instruction(
        command=first_command(plan, restructuring_id),
        actor=actor,
        ts_event_ns=ts_event_ns,
        expected_version=expected_version,
    )
    for source in sources:
        decide(source, asked, now)
    made = openings(plan, sources, actor, ts_event_ns)
    for opening in made:
        in_the_future(opening.request.expires_at, now)
        opening_events(opening, now)
    return made


def _remainder(plan: Remainder, source: Order, actor: Actor, ts_event_ns: int) -> Opening:
    """What is unfilled, outside its bracket or group; of a merged order for its shares in proportion, in whole lots."""
    link = (Link(kind=LinkKind.REMAINDER, order_id=source.order_id, source=True),)
    unfilled = source.unfilled_quantity
    nodes = [Node(str(number), share.quantity) for number, share in enumerate(source.shares)]
    weighed = weigh(nodes, unfilled, source.instrument.lot_size, "share") if nodes else ()
    shares = tuple(
        source.shares[each.position].model_copy(update={"quantity": each.quantity})
        for each in weighed
        if each.quantity
    )
    opening = _opening(source, plan.order_id, unfilled, link, shares, actor, ts_event_ns)
    alone = opening.request.model_copy(update={"handling": ungrouped(opening.request.handling)})
    return opening.model_copy(update={"request": alone})


def _named_once(plan: Plan) -> None:
    ids = sources_of(plan)
    twice = sorted({order_id for order_id in ids if ids.count(order_id) > 1})
    if twice:
        raise Refused(
            Code.MERGE_MISMATCH, f"{', '.join(twice)} is named twice.", field="order_ids", order_ids=twice
        )


def _alike(order: Order) -> dict[str, str]:
    """What orders must have in common to become one, in words."""
    request, route = order.request, order.route
    account = f"{route.venue} {route.account}" if route else None
    how = (
        " ".join([route.strategy or "", *(f"{k}={v}" for k, v in sorted(route.params.items()))])
        if route
        else ""
    )
    values: dict[str, Any] = {
        "instrument_id": order.instrument_id,
        "direction": order.direction,
        "order_type": order.order_type,
        "limit_price": order.limit_price and plain(order.limit_price),
        "stop_price": order.stop_price and plain(order.stop_price),
        "time_in_force": order.time_in_force,
        "expires_at": order.expires_at and order.expires_at.isoformat(),
        "route": account and f"{account} {how}".strip(),
        "handling": request.handling.model_dump_json(exclude_defaults=True),
        "automation": request.automation,
        "compliance": request.compliance,
    }
    return {field: "none" if value is None else str(value) for field, value in values.items()}


def _on_its_own(order: Order, code: Code) -> None:
    """The others of a bracket or a group know this order by its name and size. Raises Refused."""
    handling = order.request.handling
    group = handling.bracket.bracket_id if handling.bracket else handling.oca_group
    if group is not None:
        what = "bracket" if handling.bracket else "one-cancels-all group"
        raise Refused(
            code,
            f"{order.order_id} belongs to the {what} {group}; its orders stay as they are.",
            field="handling",
            order_ids=[order.order_id],
            group=group,
        )


def _merged(plan: Merge, sources: Sequence[Order], actor: Actor, ts_event_ns: int) -> Opening:
    _named_once(plan)
    for source in sources:
        _on_its_own(source, Code.MERGE_MISMATCH)
    first = sources[0]
    for source in sources[1:]:
        theirs = _alike(source)
        if plan.allocation is None:
            _same_books(first, source)
        for field, ours in _alike(first).items():
            if ours != theirs[field]:
                raise _mismatch(first, source, field, ours, theirs[field])
    links = tuple(Link(kind=LinkKind.MERGED, order_id=s.order_id, source=True) for s in sources)
    shares = tuple(share for source in sources for share in _shares(source)) if plan.allocation else ()
    if len(shares) > MAX_ACCOUNTS:
        raise Refused(
            Code.MERGE_MISMATCH,
            f"The merged order would have {len(shares)} shares; at most {MAX_ACCOUNTS} are kept.",
            field="order_ids",
            limit=MAX_ACCOUNTS,
            actual=len(shares),
        )
    quantity = total(source.ordered_quantity for source in sources)
    opening = _opening(first, plan.order_id, quantity, links, shares, actor, ts_event_ns)
    agreed = opening.request.model_copy(update=_agreed(sources))
    return opening.model_copy(update={"request": agreed})


def _same_books(first: Order, other: Order) -> None:
    """Without an allocation that keeps the shares, all must be for the same portfolio and account."""
    for field in ("portfolio_id", "default_account_id"):
        ours, theirs = str(getattr(first, field)), str(getattr(other, field))
        if ours != theirs:
            raise _mismatch(first, other, field, ours, theirs)
    shared = next((order for order in (first, other) if order.shares), None)
    if shared is not None:
        raise Refused(
            Code.MERGE_MISMATCH,
            f"{shared.order_id} was merged for several portfolios; merge it with allocation by_source.",
            field="allocation",
            order_ids=[shared.order_id],
            shares=[share.portfolio_id for share in shared.shares],
        )


def _agreed(sources: Sequence[Order]) -> dict[str, Any]:
    """The booking fields of a merged order: what all of its sources say."""
    first, *others = sources
    metadata = {
        name: value
        for name, value in first.metadata.items()
        if all(name in other.metadata and other.metadata[name] == value for other in others)
    }
    fields = {
        name: getattr(first, name) if all(getattr(o, name) == getattr(first, name) for o in others) else None
        for name in ("counterparty_id", "basket_id")
    }
    return {**fields, "metadata": metadata}


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


def _mismatch(first: Order, other: Order, field: str, ours: str, theirs: str) -> Refused:
    return Refused(
        Code.MERGE_MISMATCH,
        f"{first.order_id} and {other.order_id} differ in {field}: {ours} and {theirs}.",
        field=field,
        order_ids=[first.order_id, other.order_id],
        values=[ours, theirs],
    )


def _parts(plan: Split, source: Order, actor: Actor, ts_event_ns: int) -> tuple[Opening, ...]:
    _on_its_own(source, Code.SPLIT_MISMATCH)
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
    """A new order with the terms that `like` has now. Raises Refused: VALIDATION_FAILED."""
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
    try:
        request = CreateOrder.model_validate({**like.request.model_dump(), **changed})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise Refused(Code.VALIDATION_FAILED, f"{field}: {first['msg']}.", field=field) from error
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
