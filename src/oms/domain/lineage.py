"""Commands that tie orders to each other: baskets, merges, splits, and the unfilled part that goes on."""

from oms.domain import commands as cmd
from oms.domain import events as ev
from oms.domain.drafting import Draft
from oms.domain.errors import Code, Refused
from oms.domain.numbers import plain
from oms.domain.order import Order, Restructuring
from oms.domain.terms import LinkKind

_OF_A_RESTRUCTURING = (cmd.BeginRestructuring, cmd.CompleteRestructuring, cmd.AbandonRestructuring)


def require_free(order: Order, command: cmd.Command) -> None:
    """Raises Refused: RESTRUCTURING while a merge or a split holds the order, for all but its own commands."""
    if order.restructuring is not None and not isinstance(command, _OF_A_RESTRUCTURING):
        _held(order, order.restructuring)


def begin_restructuring(draft: Draft, command: cmd.BeginRestructuring) -> None:
    held = draft.order.restructuring
    if held is not None and held.restructuring_id != command.restructuring_id:
        _held(draft.order, held)
    if held is None:
        draft.add(ev.RestructuringBegun(restructuring_id=command.restructuring_id, link=command.link))


def complete_restructuring(draft: Draft, command: cmd.CompleteRestructuring) -> None:
    held = _held_by(draft.order, command.restructuring_id)
    draft.add(
        ev.RestructuringCompleted(
            restructuring_id=held.restructuring_id, link=held.link, order_ids=command.order_ids
        )
    )


def abandon_restructuring(draft: Draft, command: cmd.AbandonRestructuring) -> None:
    held = draft.order.restructuring
    if held is not None and held.restructuring_id == command.restructuring_id:
        draft.add(ev.RestructuringAbandoned(restructuring_id=held.restructuring_id, reason=command.reason))


def create_remainder(draft: Draft, command: cmd.CreateRemainder) -> None:
    order = draft.order
    carried = [link.order_id for link in order.links if link.kind is LinkKind.REMAINDER and not link.source]
    if carried == [command.order_id]:
        return
    if carried or order.unfilled_quantity <= 0:
        raise Refused(
            Code.NO_REMAINDER,
            f"The unfilled part goes on in {carried[0]}."
            if carried
            else f"All {plain(order.ordered_quantity)} are executed.",
            unfilled_quantity=plain(order.unfilled_quantity),
            order_ids=carried,
        )
    draft.add(ev.RemainderCreated(order_id=command.order_id, quantity=order.unfilled_quantity))


def join_basket(draft: Draft, command: cmd.JoinBasket) -> None:
    standing = draft.order.basket_id
    if standing not in (None, command.basket_id):
        raise Refused(
            Code.ALREADY_IN_BASKET,
            f"{draft.order.order_id} belongs to basket {standing}.",
            order_id=draft.order.order_id,
            basket_id=standing,
        )
    if standing is None:
        draft.add(ev.BasketJoined(basket_id=command.basket_id))


def _held_by(order: Order, restructuring_id: str) -> Restructuring:
    held = order.restructuring
    if held is None or held.restructuring_id != restructuring_id:
        raise Refused(
            Code.INVALID_STATE,
            f"{order.order_id} is not held by {restructuring_id}.",
            state=order.state,
            restructuring_id=held.restructuring_id if held else None,
        )
    return held


def _held(order: Order, held: Restructuring) -> None:
    raise Refused(
        Code.RESTRUCTURING,
        f"{order.order_id} is being {held.link.lower()} ({held.restructuring_id}) since {held.since.isoformat()}.",
        order_id=order.order_id,
        restructuring_id=held.restructuring_id,
        since=held.since.isoformat(),
    )
