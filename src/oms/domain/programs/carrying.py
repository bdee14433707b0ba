"""Carrying a signed command out: what its workflow and the activities of it say to each other."""

from collections.abc import Iterable
from datetime import datetime

from oms.domain.errands import Refusal
from oms.domain.model import Open
from oms.domain.numbers import plain
from oms.domain.order import Order
from oms.domain.programs.aiming import has_passed, why_not_sent
from oms.domain.programs.envelopes import CommandKind
from oms.domain.programs.intake import Flatten, SubmitOrders, SubmittedOrder
from oms.domain.programs.outcomes import Commanded, CommandInput, CommandOutcome, Part, Prepared

NOT_REACHED = "not opened: another order of the entry was refused"
ENTRIES = (Part.ENTRY, Part.FLATTEN)
"""The parts that stand for an entry of a command; exits belong to one."""


class Judging(Open):
    """A command to be judged by the worker that acts on it.

    started_ns: when Temporal took it, which nobody who hands a command in decides. at_home: it runs under the
    workflow id that its idem_key stands for, which Temporal gives once.
    """

    asked: CommandInput
    started_ns: int
    at_home: bool


class Verified(Open):
    """What a good envelope asks for; or `refusal`: why nothing is done; or `over`: what became of it before."""

    kind: CommandKind | None = None
    tenant: str = ""
    submit: SubmitOrders | None = None
    flatten: Flatten | None = None
    refusal: Refusal | None = None
    over: CommandOutcome | None = None


class EntryAsk(Open):
    """One entry of a verified command. Its envelope is left out: every entry would carry all of them."""

    asked: CommandInput
    tenant: str
    order_index: int
    order: SubmittedOrder
    asof: datetime | None = None


class EntryPlan(Open):
    """An entry as orders that may be opened, kept in the command's history before any of them is; or why not."""

    prepared: Prepared | None = None
    refusal: Refusal | None = None


class EntryOpening(Open):
    """The orders of an entry, to be opened one after the other, parents first."""

    message_id: str
    tenant: str
    order_index: int
    prepared: Prepared


class EntryOpened(Open):
    """What became of each order of an entry: opened, refused, or (without an order_id) not reached."""

    orders: tuple[Commanded, ...]


class EntryLook(Open):
    """The orders of an entry that go together or not at all."""

    order_ids: tuple[str, ...]


class Failing(Open):
    """An order that keeps its entry from the venue, at this version; `is_over`: it never passes any more."""

    order_id: str
    version: int
    why: str
    is_over: bool


class EntrySeen(Open):
    """Which orders of an entry keep all of it from the venue; `waits`: some are not judged yet."""

    failing: tuple[Failing, ...] = ()
    waits: bool = False


class Settling(Open):
    """The outcome of a command, to be kept and, where it was refused, told of. at_home: as in `Judging`."""

    outcome: CommandOutcome
    asked: CommandInput
    at_home: bool


def commanded(order_index: int, prepared: Prepared) -> tuple[Commanded, ...]:
    """The orders of an entry by their ids, parents first."""
    return tuple(
        Commanded(
            order_index=order_index,
            part=part,
            order_id=opening.order_id,
            symbol=opening.instrument.symbol,
            quantity=plain(opening.request.ordered_quantity),
        )
        for part, opening in prepared.openings
    )


def at_its_place(ask: EntryAsk) -> SubmitOrders:
    """The command's orders as far as the entry is concerned: it stands at its own place among them."""
    return SubmitOrders(asof=ask.asof, orders=(ask.order,) * (ask.order_index + 1), tenant=ask.tenant)


def not_prepared(order_index: int, order: SubmittedOrder, refusal: Refusal) -> Commanded:
    """An entry that was refused before there were orders of it."""
    return Commanded(
        order_index=order_index,
        part=Part.ENTRY,
        symbol=order.contract.symbol,
        quantity=str(order.order.total_quantity),
        refusal=refusal,
    )


def seen(orders: Iterable[Order]) -> EntrySeen:
    """How far orders are that only go out together: one that fails its check keeps all of them from the venue.

    From the moment on when all have passed they are the venue's, and what happens to one there is not looked at.
    """
    waiting = [order for order in orders if not has_passed(order)]
    failing = tuple(
        Failing(order_id=order.order_id, version=order.version, why=why, is_over=order.is_terminal)
        for order in waiting
        if (why := why_not_sent(order)) is not None
    )
    return EntrySeen(failing=failing, waits=bool(waiting) and not failing)
