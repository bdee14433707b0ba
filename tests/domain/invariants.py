"""What holds for every order after every step, whatever happened."""

from collections.abc import Sequence
from uuid import UUID

from oms.domain import commands as cmd
from oms.domain.apply import apply, fold
from oms.domain.decide import decide
from oms.domain.drafting import nanoseconds
from oms.domain.duties import DutyKind, duties, system_command, waiting_on
from oms.domain.events import Event
from oms.domain.lifecycle import MAIN_CHAIN
from oms.domain.numbers import total
from oms.domain.order import Order
from oms.domain.terms import ComplianceStatus, Role, State
from tests.domain.orders import Desk

CLEARED = {ComplianceStatus.PASSED, ComplianceStatus.OVERRIDDEN}
BEYOND_PRE_TRADE = {
    *MAIN_CHAIN[MAIN_CHAIN.index(State.SENT_TO_TRADER) :],
    State.POST_TRADE_COMPLIANCE_FAILED,
}
BEYOND_POST_TRADE = set(MAIN_CHAIN[MAIN_CHAIN.index(State.CONFIRMED) :])
SOMEBODY = {*Role, "venue", "custodian"}


def check(desk: Desk) -> None:
    """Everything that holds for an order and its journal."""
    assert [event.seq for event in desk.journal] == list(range(1, desk.order.version + 1))
    assert fold(None, desk.journal) == desk.order
    assert Order.model_validate_json(desk.order.model_dump_json()) == desk.order
    somebody_is_named(desk.order)
    numbers_conserve(desk.order)
    automation_owes_nothing_impossible(desk)


def check_events(before: Order | None, events: Sequence[Event]) -> None:
    """Everything that holds for each new event on top of `before`."""
    order = before
    for event in events:
        order = apply(order, event)
        assert event.state is order.state
        assert event.ts_init_ns >= event.ts_event_ns
        assert Event.model_validate_json(event.model_dump_json()) == event
        no_gate_was_skipped(order)


def no_gate_was_skipped(order: Order) -> None:
    if order.state in BEYOND_PRE_TRADE:
        assert order.pre_trade.status in CLEARED
    if order.state in BEYOND_POST_TRADE:
        assert order.post_trade.status in CLEARED


def somebody_is_named(order: Order) -> None:
    waiting = waiting_on(order)
    assert waiting.what
    assert waiting.on in SOMEBODY or (waiting.on == "nobody" and order.is_over)


def numbers_conserve(order: Order) -> None:
    executions = order.ledger.executions.values()
    assert order.executed_quantity == total(e.quantity for e in executions)
    assert order.executed_quantity == total(p.executed_quantity for p in order.placements)
    for placement in order.placements:
        of_it = [e for e in executions if e.placement_id == placement.placement_id]
        assert placement.executed_quantity == total(e.quantity for e in of_it)
        assert placement.working_quantity >= 0
    if order.executed_quantity <= order.ordered_quantity:
        assert order.unfilled_quantity + order.executed_quantity == order.ordered_quantity
    assert not set(order.ledger.busted) & order.ledger.executions.keys()
    uncharged = order.ledger.executions.keys() - order.ledger.commissions.keys()
    assert order.ledger.uncharged == len(uncharged)


def automation_owes_nothing_impossible(desk: Desk) -> None:
    """A step that the system owes is one that `decide` takes, and it leads on."""
    for duty in duties(desk.order):
        if duty.kind is DutyKind.TAKE_STEP:
            asked = cmd.Instruction(
                command=system_command(desk.order, duty.subject, UUID(int=7)),
                actor=cmd.SYSTEM,
                ts_event_ns=nanoseconds(desk.now),
            )
            assert decide(desk.order, asked, desk.now)
