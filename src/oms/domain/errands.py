"""Commands that the order book itself carries to orders: for a merge, a split, a basket, the cancels of a halt."""

from typing import Any

from oms.domain.commands import Actor, Command, Instruction
from oms.domain.errors import Code, Refused
from oms.domain.model import Open
from oms.domain.terms import State


class Refusal(Open):
    """A refusal on its way through Temporal."""

    code: str
    message: str
    facts: dict[str, Any] = {}

    @classmethod
    def of(cls, refused: Refused) -> "Refusal":
        return cls(code=refused.code, message=refused.message, facts=refused.facts)

    def refused(self) -> Refused:
        """The refusal as it was raised."""
        return Refused(Code(self.code), self.message, **self.facts)


class Errand(Open):
    """A command for one order. The same `update_id` again is the same command."""

    order_id: str
    update_id: str
    instruction: Instruction


class Reply(Open):
    """What one order said to a command: where it is now, or why it refused.

    `settled` is False where the answer depends on a venue that has not spoken yet.
    """

    order_id: str
    version: int | None = None
    state: State | None = None
    settled: bool = True
    refusal: Refusal | None = None


class Step(Open):
    """One order of a batch and what it is told."""

    order_id: str
    command: Command


def errand(
    order_id: str,
    update_id: str,
    command: Command,
    actor: Actor,
    ts_event_ns: int,
    correlation_id: str | None = None,
    expected_version: int | None = None,
) -> Errand:
    """An errand from its parts."""
    asked = Instruction(
        command=command,
        actor=actor,
        ts_event_ns=ts_event_ns,
        correlation_id=correlation_id,
        expected_version=expected_version,
    )
    return Errand(order_id=order_id, update_id=update_id, instruction=asked)
