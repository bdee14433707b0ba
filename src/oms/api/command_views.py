"""Signed commands as they are answered: what became of each, with its orders as they are now."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import PlainSerializer, WithJsonSchema

from oms.api.exact_json import Number
from oms.api.views import View
from oms.domain.errands import Refusal
from oms.domain.folding import instant
from oms.domain.order import Order
from oms.domain.programs.envelopes import CommandKind
from oms.domain.programs.outcomes import Commanded, CommandRecord, CommandStatus, Part
from oms.domain.terms import PlacementStatus, State
from oms.store import Store


def _rfc3339(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


Instant = Annotated[
    datetime, PlainSerializer(_rfc3339), WithJsonSchema({"type": "string", "format": "date-time"})
]


RECEIVED: Final = "RECEIVED"
ShownStatus = CommandStatus | Literal["RECEIVED"]
_NOT_ACCEPTED = (
    "It was kept, but not accepted: nothing was done, and nothing will be unless it is sent again."
)


class SubmitAck(View):
    """The command is kept, and Temporal has accepted it. What a venue says is told by the tail and by GetCommand."""

    status: str
    message_id: str
    idem_key: str

    @classmethod
    def of(cls, kept: CommandRecord) -> "SubmitAck":
        return cls.model_construct(status="enqueued", message_id=kept.message_id, idem_key=kept.idem_key)


class RefusalView(View):
    """Why something was not done: the `code` of the order book, and a sentence."""

    code: str
    detail: str

    @classmethod
    def of(cls, refusal: Refusal | None) -> "RefusalView | None":
        return None if refusal is None else cls.model_construct(code=refusal.code, detail=refusal.message)


class PlacedPartView(View):
    """A part of an order at a venue."""

    placement_id: str
    status: PlacementStatus
    reason: str | None


class CommandedView(View):
    """One order of a command, or why there is none. `order_index`: its place in `orders`, or the leg of a flatten."""

    order_index: int
    part: Part
    order_id: str | None
    symbol: str
    quantity: Number | None
    refusal: RefusalView | None
    detail: str | None

    @classmethod
    def of(cls, commanded: Commanded) -> "CommandedView":
        return cls(**_said(commanded))


class CommandedNowView(CommandedView):
    """The same, with how the order is now; null where there is no order."""

    state: State | None
    executed_quantity: Number | None
    average_price: Number | None
    placements: list[PlacedPartView] | None

    @classmethod
    def now(cls, commanded: Commanded, order: Order | None) -> "CommandedNowView":
        return cls(**_said(commanded), **(_UNSEEN if order is None else _now(order)))


def _said(commanded: Commanded) -> dict[str, Any]:
    told = {
        name: getattr(commanded, name) for name in ("order_index", "part", "order_id", "symbol", "detail")
    }
    return {
        **told,
        "quantity": commanded.quantity or None,
        "refusal": RefusalView.of(commanded.refusal),
    }


_UNSEEN: dict[str, Any] = dict.fromkeys(("state", "executed_quantity", "average_price", "placements"))


def _now(order: Order) -> dict[str, Any]:
    return {
        "state": order.state,
        "executed_quantity": order.executed_quantity,
        "average_price": order.average_price,
        "placements": [
            PlacedPartView.model_construct(placement_id=p.placement_id, status=p.status, reason=p.reason)
            for p in order.placements
        ],
    }


class _CommandView(View):
    message_id: str
    idem_key: str
    tenant: str
    kind: CommandKind
    status: ShownStatus
    by: str
    received_at: Instant
    updated_at: Instant
    refusal: RefusalView | None
    detail: str | None


class CommandView(_CommandView):
    """A signed command. `status`: ENQUEUED, WORKING, DONE, DRY_RUN, REFUSED; `by`: the key that handed it in."""

    orders: list[CommandedView]

    @classmethod
    def of(cls, kept: CommandRecord) -> "CommandView":
        return cls.model_construct(
            **_told(kept), orders=[CommandedView.of(commanded) for commanded in kept.orders]
        )


class WholeCommandView(_CommandView):
    """A command with its payload as it came, and its orders as they are now.

    Its `status` may be RECEIVED too: it was kept, Temporal has not accepted it, and nothing is done.
    """

    orders: list[CommandedNowView]
    payload: dict[str, Any]

    @classmethod
    def of(cls, kept: CommandRecord, store: Store) -> "WholeCommandView":
        """Blocks."""
        orders = [CommandedNowView.now(one, _order(store, one.order_id)) for one in kept.orders]
        return cls.model_construct(**_told(kept), orders=orders, payload=kept.payload)

    @classmethod
    def received(cls, kept: CommandRecord) -> "WholeCommandView":
        """A command that was kept and never accepted."""
        told = {**_told(kept), "status": RECEIVED, "detail": _NOT_ACCEPTED}
        return cls.model_construct(**told, orders=[], payload=kept.payload)


class CommandsView(View):
    """A page, the command that arrived last first. `next_cursor` is null on the last one."""

    items: list[CommandView]
    next_cursor: str | None


def _told(kept: CommandRecord) -> dict[str, Any]:
    return {
        **{name: getattr(kept, name) for name in ("message_id", "idem_key", "tenant", "kind", "status")},
        "by": kept.key_name,
        "received_at": instant(kept.received_ns),
        "updated_at": instant(kept.updated_ns),
        "refusal": RefusalView.of(kept.refusal),
        "detail": kept.detail,
    }


def _order(store: Store, order_id: str | None) -> Order | None:
    return None if order_id is None else store.orders.glance(order_id)
