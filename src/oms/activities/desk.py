"""What the order book does to orders by itself: instruct one, read one, open one. Asked through Temporal, as all are."""

from typing import Protocol

from temporalio import activity
from temporalio.exceptions import ApplicationError

from oms.activities.alive import alive
from oms.domain.commands import Actor, Command
from oms.domain.decide import Opening
from oms.domain.errands import Errand, Refusal, Reply
from oms.domain.errors import Code, Refused
from oms.domain.order import Order
from oms.domain.reference import Instrument, InstrumentQuestion
from oms.domain.terms import State


class Answer(Protocol):
    """Where the order is after a command."""

    @property
    def order_id(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def state(self) -> State: ...
    @property
    def settled(self) -> bool: ...


class Book(Protocol):
    """The order book as this module needs it; every method raises Refused."""

    async def instruct(
        self,
        order_id: str,
        command: Command,
        actor: Actor,
        *,
        ts_event_ns: int | None = None,
        correlation_id: str | None = None,
        expected_version: int | None = None,
        update_id: str | None = None,
    ) -> Answer: ...

    async def open(self, opening: Opening) -> Answer: ...

    async def check(self, opening: Opening) -> None: ...

    async def admit(self, opening: Opening) -> Answer: ...

    async def instrument(self, question: InstrumentQuestion, account: str, actor: Actor) -> Instrument: ...

    async def left_by(self, order_id: str, update_id: str) -> Order: ...


class DeskActivities:
    """Activities on orders other than the one that asks. A refusal is an answer; what is away is asked again."""

    def __init__(self, book: Book) -> None:
        self._book = book

    @activity.defn(name="instruct_order")
    async def instruct_order(self, asked: Errand) -> Reply:
        """Give one command. Twice: the update id is the same, so the second is the first one's answer."""
        told = asked.instruction
        try:
            async with alive():
                answer = await self._book.instruct(
                    asked.order_id,
                    told.command,
                    told.actor,
                    ts_event_ns=told.ts_event_ns,
                    correlation_id=told.correlation_id,
                    expected_version=told.expected_version,
                    update_id=asked.update_id,
                )
        except Refused as refused:
            return _refusal(asked.order_id, refused)
        return _reply(answer)

    @activity.defn(name="read_order")
    async def read_order(self, asked: Errand) -> Order:
        """The order as the command left it. Reads only, and answers the same however late it is asked again."""
        async with alive():
            return await self._book.left_by(asked.order_id, asked.update_id)

    @activity.defn(name="open_order")
    async def open_order(self, opening: Opening) -> Reply:
        """Open an order. Twice: the order id is the same, so the second finds the first one's order."""
        try:
            async with alive():
                return _reply(await self._book.open(opening))
        except Refused as refused:
            return _refusal(opening.order_id, refused)


def _reply(answer: Answer) -> Reply:
    return Reply(order_id=answer.order_id, version=answer.version, state=answer.state, settled=answer.settled)


def _refusal(order_id: str, refused: Refused) -> Reply:
    """Raises ApplicationError, to be asked again, where nobody could be asked."""
    if refused.code is Code.UNAVAILABLE:
        raise ApplicationError(refused.message, type=refused.code) from refused
    return Reply(order_id=order_id, refusal=Refusal.of(refused))
