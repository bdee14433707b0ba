"""Orders that belong together: a parent with its children, and the groups that cancel one another.

- A family is held until a child with transmit 1 arrives; then the parent and all its held children go out.
  Nothing of it is listed or told before. Held orders are in the state file here, so they survive a restart
  of this gateway; a real TWS keeps them in its own memory.
- Children wait (PreSubmitted, "child") until their parent is filled, and die with it.
- Children of one parent are an OCA group of type 3 named by its permId, unless they name one themselves.
- OCA types: 1 any fill cancels the others; 2 and 3 a fill reduces the others in proportion. In all of them
  an order that is filled cancels the others. Source: TWS API, "One Cancels All", "Bracket Orders".
"""

from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

from oms.paper.instructions import TRAILING_TYPES, adjustment_of
from oms.paper.live_orders import LiveOrders
from oms.paper.orders import HELD, OrderTerms, PaperOrder
from oms.paper.trailing import adjusted_terms

CANCEL_ALL = 1
REDUCE = 3
_KNOWN = frozenset({1, 2, 3})
_UNIT = Decimal(1)


def released_by(order: PaperOrder, live: LiveOrders) -> list[PaperOrder]:
    """What goes out with an order that is transmitted, the parent first and the order itself last."""
    ancestors: list[PaperOrder] = []
    above = _parent(order, live)
    while above is not None and above.status == HELD:
        ancestors.insert(0, above)
        above = _parent(above, live)
    siblings = live.children(order.terms.parent_key) if order.terms.parent_key else []
    return [*ancestors, *(o for o in siblings if o.status == HELD and o.key != order.key), order]


def in_family(order: PaperOrder, live: LiveOrders) -> PaperOrder:
    """The order in the OCA group of its brothers."""
    parent = _parent(order, live)
    if parent is None or order.terms.oca_group:
        return order
    return replace(order, terms=replace(order.terms, oca_group=str(parent.perm_id), oca_type=REDUCE))


def changed_terms(old: OrderTerms, new: OrderTerms) -> OrderTerms:
    """New terms of an order with what its family and its group made of the old ones.

    A quantity that is sent as it was before is no change, even where the group has made it smaller. A stop that was
    adjusted stays so when it is sent as it was before.
    """
    adjustment = new.instructions.adjustment
    if old.order_type in TRAILING_TYPES and adjustment_of(old.attributes) == adjustment is not None:
        new = adjusted_terms(new)
    new = replace(new, parent_id=new.parent_id or old.parent_id)
    if new.sent_quantity == old.sent_quantity:
        new = replace(new, quantity=old.quantity)
    return new if new.oca_group else replace(new, oca_group=old.oca_group, oca_type=old.oca_type)


def oca_type(order: PaperOrder) -> int:
    """The type of an order's OCA group; one that was not given counts as 3, as TWS shows it."""
    return order.terms.oca_type if order.terms.oca_type in _KNOWN else REDUCE


def reduced(other: PaperOrder, order: PaperOrder, executed: Decimal) -> PaperOrder:
    """Another order of the group after ``order`` executed some of its quantity: smaller by the same share."""
    cut = _share(other, order, order.filled) - _share(other, order, order.filled - executed)
    quantity = max(other.terms.quantity - cut, other.filled)
    return replace(other, terms=replace(other.terms, quantity=quantity))


def _share(other: PaperOrder, order: PaperOrder, filled: Decimal) -> Decimal:
    """The share of ``other`` that a filled quantity of ``order`` stands for, in whole units where it was sent so."""
    sent = other.terms.sent_quantity
    share = sent * filled / order.terms.sent_quantity
    return share if sent % 1 else share.quantize(_UNIT, ROUND_HALF_UP)


def _parent(order: PaperOrder, live: LiveOrders) -> PaperOrder | None:
    key = order.terms.parent_key
    return None if key is None else live.get(key)
