"""What became of a signed command: kept for ever under its idem_key."""

from enum import StrEnum
from typing import Any

from oms.domain.commands import Actor
from oms.domain.decide import Opening
from oms.domain.errands import Refusal
from oms.domain.model import Open
from oms.domain.programs.envelopes import CommandKind


class CommandStatus(StrEnum):
    """ENQUEUED: accepted and durable. WORKING: verified, and being done. DONE: every part has an outcome.

    DRY_RUN: verified and validated, and by its own wish nothing else. REFUSED: it moved nothing.
    """

    ENQUEUED = "ENQUEUED"
    WORKING = "WORKING"
    DONE = "DONE"
    DRY_RUN = "DRY_RUN"
    REFUSED = "REFUSED"


class CommandInput(Open):
    """What a command's workflow starts with. message_id sorts by arrival; `actor` is the key that handed it in.

    envelope: the envelope's JSON text, whose numbers keep every digit that was signed.
    """

    message_id: str
    idem_key: str
    envelope: str
    actor: Actor
    reach: tuple[str, ...] | None = None
    """The accounts (our own ids) that the key may touch; None is all."""
    received_ns: int
    correlation_id: str | None = None


class Part(StrEnum):
    """What an order of a command is: its own entry, or one of the exits that belong to it."""

    ENTRY = "entry"
    TAKE_PROFIT = "take_profit"
    STOP_LOSS = "stop_loss"
    RUNNER = "runner"
    FLATTEN = "flatten"


class Commanded(Open):
    """One order of a command. `order_index`: its place in the request's `orders`, or the leg of a flatten."""

    order_index: int
    part: Part
    order_id: str | None = None
    symbol: str
    quantity: str = ""
    refusal: Refusal | None = None
    detail: str | None = None


class Prepared(Open):
    """One entry as orders that could be opened, parents before children; nothing of it exists yet."""

    openings: tuple[tuple[Part, Opening], ...]
    detail: str | None = None
    """What was asked for and has no effect, in words."""


class CommandOutcome(Open):
    """What a command's workflow reports when it ends, and on its way there."""

    message_id: str
    idem_key: str
    status: CommandStatus
    orders: tuple[Commanded, ...] = ()
    refusal: Refusal | None = None
    detail: str | None = None


class CommandRecord(Open):
    """A command as it is kept. `digest`: of tenant, kind and payload, to tell a repetition from another command."""

    idem_key: str
    message_id: str
    tenant: str
    kind: CommandKind
    digest: str
    key_name: str
    status: CommandStatus
    payload: dict[str, Any]
    received_ns: int
    updated_ns: int
    orders: tuple[Commanded, ...] = ()
    refusal: Refusal | None = None
    detail: str | None = None
