"""What an order asks of the world, one function for each duty: it asks once, through a port, and hands over the answer.

Who asks is the order's workflow, of which this needs no more than `Asker` says.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from temporalio import workflow

from oms.domain.commands import RULE_ENGINE, Actor, Command
from oms.domain.compliance import Verdict, post_trade_command, pre_trade_command
from oms.domain.duties import Duty, DutyKind
from oms.domain.events import Event
from oms.domain.facts import Fact
from oms.domain.observe import instructed, schedule
from oms.domain.order import Order, Placement
from oms.domain.settlement import instruction
from oms.domain.tickets import change_ticket, ticket
from oms.domain.venues import PlacementTicket, VenueAnswer
from oms.workflows import ports
from oms.workflows.contract import gateway_queue

CUSTODIAN = "custodian"


class Asker(Protocol):
    """The order as it is at each moment, and the two ways in which an answer changes it."""

    @property
    def order(self) -> Order: ...
    @property
    def inbox(self) -> deque[tuple[str, Sequence[Fact]]]: ...
    def fold(self, events: Sequence[Event]) -> None: ...
    def command(self, command: Command, actor: Actor) -> None: ...


async def _evaluate_pre_trade(asker: Asker, _duty: Duty) -> None:
    verdict: Verdict = await ports.EVALUATE_PRE_TRADE(asker.order)
    asker.command(pre_trade_command(verdict), RULE_ENGINE)


async def _evaluate_post_trade(asker: Asker, _duty: Duty) -> None:
    verdict: Verdict = await ports.EVALUATE_POST_TRADE(asker.order)
    asker.command(post_trade_command(verdict), RULE_ENGINE)


async def _place(asker: Asker, duty: Duty) -> None:
    await _at_venue(asker, ports.PLACE, duty, "place")


async def _modify_at_venue(asker: Asker, duty: Duty) -> None:
    await _at_venue(asker, ports.MODIFY, duty, "change to", change_ticket)


async def _cancel_at_venue(asker: Asker, duty: Duty) -> None:
    await _at_venue(asker, ports.CANCEL, duty, "cancel")


async def _settle_doubt(asker: Asker, duty: Duty) -> None:
    await _at_venue(asker, ports.PLACE, duty, "settle the doubt about")


async def _ask_venue(asker: Asker, duty: Duty) -> None:
    await _at_venue(asker, ports.ASK, duty, "ask about")


async def _at_venue(
    asker: Asker,
    port: ports.Port[PlacementTicket, VenueAnswer],
    duty: Duty,
    verb: str,
    told: Callable[[Order, Placement], PlacementTicket] = ticket,
) -> None:
    placement = asker.order.placement(duty.subject)
    if placement is None:
        return
    asked = told(asker.order, placement)
    answer = await port(
        asked,
        summary=f"{verb} {asked.direction} {asked.quantity} {asked.instrument.symbol} at {asked.venue}",
        queue=gateway_queue(asked.venue, asked.account),
    )
    if answer.facts:
        asker.inbox.append((asked.venue, answer.facts))


async def _set_settlement_date(asker: Asker, _duty: Duty) -> None:
    asker.fold(schedule(asker.order, await ports.SETTLEMENT_DATE(asker.order), workflow.now()))


async def _instruct_custodian(asker: Asker, _duty: Duty) -> None:
    told = instruction(asker.order)
    answer = await ports.INSTRUCT_CUSTODIAN(
        told, summary=f"{told.direction} {told.quantity} {told.symbol} for {told.settlement_date}"
    )
    asker.fold(instructed(asker.order, told, workflow.now()))
    if answer.word is not None:
        asker.inbox.append((CUSTODIAN, (answer.word,)))


async def _ask_custodian(asker: Asker, _duty: Duty) -> None:
    told = asker.order.settlement.instruction or instruction(asker.order)
    said = await ports.ASK_CUSTODIAN(told, summary=f"has {told.instruction_id} settled?")
    asker.inbox.append((CUSTODIAN, (said,)))


DO: Mapping[DutyKind, Callable[[Asker, Duty], Awaitable[None]]] = {
    DutyKind.EVALUATE_PRE_TRADE: _evaluate_pre_trade,
    DutyKind.EVALUATE_POST_TRADE: _evaluate_post_trade,
    DutyKind.PLACE: _place,
    DutyKind.MODIFY_AT_VENUE: _modify_at_venue,
    DutyKind.CANCEL_AT_VENUE: _cancel_at_venue,
    DutyKind.SETTLE_DOUBT: _settle_doubt,
    DutyKind.ASK_VENUE: _ask_venue,
    DutyKind.SET_SETTLEMENT_DATE: _set_settlement_date,
    DutyKind.INSTRUCT_CUSTODIAN: _instruct_custodian,
    DutyKind.ASK_CUSTODIAN: _ask_custodian,
}
"""Every duty but the hand-offs, which the order takes by itself."""
