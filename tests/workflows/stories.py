"""Whole lives of orders; those of changed placements are in stories_of_changes.py. See telling.py for what a story is."""

import itertools
import random
from collections.abc import Iterable
from datetime import UTC, datetime

from oms.domain import commands as cmd
from oms.domain.compliance import Rule
from oms.domain.errors import Code
from oms.domain.facts import Fact, Unreadable
from oms.domain.lifecycle import MAIN_CHAIN
from oms.domain.terms import (
    ComplianceStatus,
    ExceptionCode,
    PlacementStatus,
    Role,
    SettlementStatus,
    State,
)
from oms.domain.venues import PlacementTicket
from tests.domain import orders
from tests.workflows import stories_of_changes as stories_of_changes
from tests.workflows.telling import PACED as PACED
from tests.workflows.telling import STORIES as STORIES
from tests.workflows.telling import by_hand_to_the_end, story
from tests.workflows.venue import IN_DOUBT, REJECTS, execution, fills, nothing, reports
from tests.workflows.world import Dealt, World


@story
async def by_hand(world: World, **options: object) -> Dealt:
    """Four actors move an order through all fourteen states of the main chain."""
    dealt = await world.open(script={"place": [fills("40")]}, **options)
    await dealt.sent_to_trader()
    placement_id = await dealt.place()
    await dealt.is_in(State.PARTIALLY_FILLED)
    await dealt.hear(*execution(placement_id, "60", number=2, price="11"))
    await dealt.is_in(State.FILLED)
    await dealt.do(cmd.CloseOrder(), Role.TRADER)
    await dealt.do(cmd.SendToOperations(allocation_id="ALC-1"), Role.TRADER)
    await dealt.do(cmd.RequestPostTradeCompliance(), Role.OPS)
    await dealt.is_in(State.POST_TRADE_COMPLIANCE_PASSED)
    await dealt.do(cmd.ConfirmOrder(), Role.OPS)
    await dealt.becomes(lambda o: o.settlement.status is SettlementStatus.SETTLED, "settled at the custodian")
    await dealt.do(cmd.SettleOrder(reason="the custodian settled"), Role.OPS)
    await dealt.do(cmd.ReconcileOrder(reason="the statement agrees"), Role.OPS)
    await dealt.ends(State.RECONCILED)
    events = world.store.journal.of_order(dealt.order_id)
    assert tuple(dict.fromkeys(event.state for event in events)) == MAIN_CHAIN
    people = {event.actor.role for event in events} - {Role.SYSTEM, Role.COMPLIANCE}
    assert people == {Role.PM, Role.TRADER, Role.OPS}
    assert str(dealt.order.average_price) == "10.6"
    return dealt


@story
async def straight_through(world: World, **options: object) -> Dealt:
    """Nobody touches it: the system takes every hand-off to RECONCILED."""
    dealt = await world.open(script={"place": [fills("40", "60")]}, automation="straight_through", **options)
    await dealt.ends(State.RECONCILED, 60)
    order = dealt.order
    assert world.venue.calls[dealt.order_id] == ["place"]
    assert (order.executed_quantity, order.allocated_quantity) == (100, 100)
    assert order.settlement.status is SettlementStatus.SETTLED
    assert order.settlement.instruction.net_amount == -1002
    assert not order.exceptions
    return dealt


@story
async def external_compliance(world: World, **options: object) -> Dealt:
    """The order waits for a plugin's verdict, which names the version it checked."""
    dealt = await world.open(compliance="external", **options)
    asked = await dealt.do(cmd.RequestPreTradeCompliance(), Role.PM)
    assert asked.state is State.PENDING_PRE_TRADE_COMPLIANCE
    assert "a verdict from the compliance plugin" in await dealt.details()
    stale = await dealt.refused(cmd.PassPreTradeCompliance(order_version=1), Role.COMPLIANCE)
    assert stale.code == Code.STALE_VERDICT
    passed = await dealt.do(cmd.PassPreTradeCompliance(order_version=asked.version), Role.COMPLIANCE)
    assert passed.state is State.PRE_TRADE_COMPLIANCE_PASSED
    await dealt.do(cmd.SendToTrader(), Role.PM)
    await dealt.do(cmd.CancelOrder(reason="the idea is old"), Role.TRADER)
    await dealt.ends(State.CANCELED)
    return dealt


@story
async def failed_then_overridden(world: World, **options: object) -> Dealt:
    """A failed check stops automation; two pairs of eyes let the order pass."""
    world.store.rules.put(
        Rule(
            rule_id="R-RESTRICTED",
            rule_type="restricted_list",
            name="Restricted",
            parameters={"instrument_ids": [orders.AAPL.instrument_id]},
            target_accounts=("PORT-RESTRICTED",),
            created_by="compliance",
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
    )
    dealt = await world.open(
        portfolio_id="PORT-RESTRICTED",
        automation="straight_through",
        script={"place": [reports(PlacementStatus.EXPIRED, "0")]},
        **options,
    )
    order = await dealt.is_in(State.PRE_TRADE_COMPLIANCE_FAILED)
    assert [v.rule_id for v in order.pre_trade.violations] == ["R-RESTRICTED"]
    override = cmd.OverridePreTradeCompliance(
        override_id="OVR-1", reason="approved in writing", approver_id=orders.ACTORS[Role.PM].key
    )
    assert (await dealt.refused(override, Role.COMPLIANCE)).code == Code.FOUR_EYES
    await dealt.do(override.model_copy(update={"approver_id": "head-of-risk"}), Role.COMPLIANCE)
    await dealt.ends(State.CANCELED)
    assert dealt.order.pre_trade.status is ComplianceStatus.OVERRIDDEN
    assert dealt.order.reason == "EXPIRED"
    return dealt


@story
async def in_doubt_until_evidence(world: World, **options: object) -> Dealt:
    """Sent, and nobody knows: the gateway looks for it until there is evidence; it stays one placement."""
    dealt = await world.open(
        script={"place": [IN_DOUBT, nothing, fills()]}, automation="straight_through", **options
    )
    await dealt.ends(State.RECONCILED, 60)
    assert len(dealt.order.placements) == 1
    happened = [event.kind for event in world.store.journal.of_order(dealt.order_id)]
    assert happened.index("exception_raised") < happened.index("exception_resolved")
    return dealt


@story
async def in_doubt_until_a_person_looks(world: World, **options: object) -> Dealt:
    """A named person says what became of it, and the trader places again."""
    seen: list[str] = []

    def doubts_the_first(ticket: PlacementTicket) -> Iterable[Fact]:
        seen.append(ticket.placement_id)
        return (IN_DOUBT if ticket.placement_id == seen[0] else fills())(ticket)

    dealt = await world.open(script={"place": [doubts_the_first]}, **options)
    await dealt.sent_to_trader()
    first = await dealt.place()
    await dealt.becomes(lambda o: o.has_exception(ExceptionCode.PLACEMENT_IN_DOUBT), "in doubt")
    by_hand = await dealt.refused(
        cmd.ResolveException(code=ExceptionCode.PLACEMENT_IN_DOUBT, reason="gone"), Role.OPS
    )
    assert by_hand.code == Code.INVALID_STATE
    resolved = cmd.ResolvePlacement(
        placement_id=first, status=PlacementStatus.REJECTED, reason="the broker never had it"
    )
    answer = await dealt.do(resolved, Role.TRADER)
    assert answer.state is State.ROUTED
    assert not dealt.order.exceptions
    await dealt.place()
    await dealt.is_in(State.FILLED)
    await by_hand_to_the_end(dealt)
    return dealt


@story
async def canceled_at_the_venue(world: World, **options: object) -> Dealt:
    """The venue decides: the answer comes when it has spoken."""
    dealt = await world.open(**options)
    await dealt.sent_to_trader()
    await dealt.place("60")
    await dealt.place("40")
    answer = await dealt.do(cmd.CancelOrder(reason="the idea is old"), Role.TRADER)
    assert (answer.state, answer.settled) == (State.CANCELED, True)
    await dealt.ends(State.CANCELED)
    return dealt


@story
async def a_fill_wins_over_the_cancel(world: World, **options: object) -> Dealt:
    """The venue has filled what it was asked to cancel, and the answer says so."""
    dealt = await world.open(script={"cancel": [fills()]}, **options)
    await dealt.sent_to_trader()
    await dealt.place()
    answer = await dealt.do(cmd.CancelOrder(), Role.TRADER)
    assert (answer.state, answer.settled) == (State.FILLED, True)
    await by_hand_to_the_end(dealt)
    return dealt


@story
async def the_venue_refuses_to_cancel(world: World, **options: object) -> Dealt:
    """The placement is what it was, the answer says so, and a second try is a new request."""

    def refuses(ticket: PlacementTicket) -> Iterable[Fact]:
        return (orders.cancel_refused(placement_id=ticket.placement_id),)

    dealt = await world.open(script={"cancel": [refuses, reports(PlacementStatus.CANCELED)]}, **options)
    await dealt.sent_to_trader()
    await dealt.place()
    answer = await dealt.do(cmd.CancelOrder(), Role.TRADER)
    assert (answer.state, answer.settled) == (State.ROUTED, True)
    assert dealt.order.placements[0].reason == "too late"
    answer = await dealt.do(cmd.CancelOrder(), Role.TRADER)
    assert (answer.state, answer.settled) == (State.CANCELED, True)
    await dealt.ends(State.CANCELED)
    return dealt


@story
async def the_venue_is_silent(world: World, **options: object) -> Dealt:
    """After its patience the answer says that the venue has not spoken; other commands do not wait for it."""
    dealt = await world.open(script={"cancel": [nothing]}, **options)
    await dealt.sent_to_trader()
    placement_id = await dealt.place()
    answer = await dealt.do(cmd.CancelOrder(), Role.TRADER)
    assert (answer.state, answer.settled) == (State.ROUTED, False)
    note = cmd.UpdateOrder(changes=cmd.OrderChanges(metadata={"note": "chased"}))
    assert (await dealt.do(note, Role.OPS)).settled
    await dealt.hear(orders.reported(PlacementStatus.CANCELED, "0", placement_id=placement_id))
    await dealt.ends(State.CANCELED)
    return dealt


@story
async def closed_with_a_working_rest(world: World, **options: object) -> Dealt:
    """Closing cancels what still works and waits for the venue."""
    dealt = await world.open(
        script={"place": [fills("40")], "cancel": [reports(PlacementStatus.CANCELED, "40")]}, **options
    )
    await dealt.sent_to_trader()
    await dealt.place()
    await dealt.is_in(State.PARTIALLY_FILLED)
    answer = await dealt.do(cmd.CloseOrder(), Role.TRADER)
    assert (answer.state, answer.settled) == (State.CLOSED, True)
    assert (dealt.order.executed_quantity, dealt.order.unfilled_quantity) == (40, 60)
    await dealt.do(cmd.SendToOperations(allocation_id="ALC-1"), Role.TRADER)
    await dealt.do(cmd.RequestPostTradeCompliance(), Role.OPS)
    await dealt.is_in(State.POST_TRADE_COMPLIANCE_PASSED)
    await dealt.do(cmd.ConfirmOrder(), Role.OPS)
    await dealt.do(cmd.SettleOrder(reason="by hand"), Role.OPS)
    await dealt.do(cmd.ReconcileOrder(reason="by hand"), Role.OPS)
    await dealt.ends(State.RECONCILED)
    return dealt


@story
async def rejected_by_the_venue(world: World, **options: object) -> Dealt:
    """Straight-through: the order is REJECTED with the venue's reason."""
    dealt = await world.open(script={"place": [REJECTS]}, automation="straight_through", **options)
    await dealt.ends(State.REJECTED)
    assert dealt.order.reason == "no margin"
    return dealt


@story
async def rejected_then_placed_again(world: World, **options: object) -> Dealt:
    """By hand: the order stays ROUTED with an exception until the trader places again."""
    dealt = await world.open(script={"place": [REJECTS, fills()]}, **options)
    await dealt.sent_to_trader()
    await dealt.place()
    order = await dealt.becomes(lambda o: o.exceptions, "rejected")
    assert (order.state, order.exceptions[0].code) == (State.ROUTED, ExceptionCode.PLACEMENT_REJECTED)
    await dealt.place()
    order = await dealt.is_in(State.FILLED)
    assert not order.exceptions
    await by_hand_to_the_end(dealt)
    return dealt


@story
async def expired(world: World, **options: object) -> Dealt:
    """A day order that the venue ends by itself has expired."""
    dealt = await world.open(**options)
    await dealt.sent_to_trader()
    placement_id = await dealt.place()
    await dealt.hear(orders.reported(PlacementStatus.CANCELED, "0", placement_id=placement_id))
    await dealt.ends(State.CANCELED)
    assert dealt.order.reason == "EXPIRED"
    assert dealt.order.placements[0].status is PlacementStatus.EXPIRED
    return dealt


@story
async def filled_after_its_end(world: World, **options: object) -> Dealt:
    """The workflow has ended: a fill opens it again, operations resolve the exception, and it ends again."""
    dealt = await canceled_at_the_venue(world, **options)
    late = execution(dealt.order.placements[0].placement_id, "60")
    assert await world.delivery(dealt.order_id, late)
    order = await dealt.becomes(lambda o: o.exceptions, "late fill")
    assert [e.code for e in order.exceptions] == [ExceptionCode.LATE_FILL]
    assert (order.state, order.executed_quantity) == (State.CANCELED, 60)
    dealt.first_run = (await dealt.handle.describe()).run_id or ""
    assert await world.delivery(dealt.order_id, late)
    resolved = cmd.ResolveException(code=ExceptionCode.LATE_FILL, reason="booked to the error account")
    await dealt.do(resolved, Role.OPS)
    await dealt.ends(State.CANCELED)
    return dealt


@story
async def a_break(world: World, **options: object) -> Dealt:
    """The custodian's statement differs: the order is not reconciled before operations have resolved it."""
    world.plan("BRK", differ={"commission": "0.50"})
    dealt = await world.open(
        script={"place": [fills()]}, automation="straight_through", symbol="BRK", **options
    )
    order = await dealt.becomes(lambda o: o.exceptions, "break")
    assert (order.state, order.exceptions[0].code) == (State.SETTLED, ExceptionCode.BREAK_OPEN)
    refused = await dealt.refused(cmd.ReconcileOrder(reason="looks right"), Role.OPS)
    assert refused.code == Code.BREAK_OPEN
    resolved = cmd.ResolveException(code=ExceptionCode.BREAK_OPEN, reason="claimed from the custodian")
    await dealt.do(resolved, Role.OPS)
    await dealt.ends(State.RECONCILED)
    return dealt


@story
async def settlement_failed_then_settled(world: World, **options: object) -> Dealt:
    """A failed settlement waits for the custodian, who is asked again."""
    world.plan("FAIL", fail="no securities")
    dealt = await world.open(
        script={"place": [fills()]}, automation="straight_through", symbol="FAIL", **options
    )
    order = await dealt.becomes(lambda o: o.exceptions, "failed")
    assert order.exceptions[0].code is ExceptionCode.SETTLEMENT_FAILED
    assert order.settlement.failure == "no securities"
    world.plan("FAIL")
    await dealt.ends(State.RECONCILED, 60)
    assert not dealt.order.exceptions
    return dealt


@story
async def busted_after_the_instruction(world: World, **options: object) -> Dealt:
    """The only fill is taken back when the custodian has its instruction: nothing is left to settle but by hand."""
    world.plan("BUST", fail="no securities")
    dealt = await world.open(
        script={"place": [fills("100", ends=PlacementStatus.FILLED)]},
        automation="straight_through",
        symbol="BUST",
        **options,
    )
    await dealt.becomes(lambda o: o.exceptions, "failed")
    (execution_,) = dealt.order.ledger.executions.values()
    await dealt.hear(orders.busted(execution_.exec_id, placement_id=dealt.placement_id))
    order = await dealt.becomes(lambda o: o.has_exception(ExceptionCode.FILL_BUSTED), "busted")
    assert (order.state, order.executed_quantity) == (State.CONFIRMED, 0)
    short = await dealt.refused(cmd.SettleOrder(reason="nothing to settle"), Role.OPS)
    assert short.code == Code.ALLOCATION_MISMATCH
    allocation = order.allocations[0].allocation_id
    await dealt.do(cmd.UpdateAllocation(allocation_id=allocation, quantity="0"), Role.OPS)
    for code in (ExceptionCode.FILL_BUSTED, ExceptionCode.SETTLEMENT_FAILED):
        await dealt.do(cmd.ResolveException(code=code, reason="canceled at the custodian"), Role.OPS)
    await dealt.do(cmd.SettleOrder(reason="nothing to settle"), Role.OPS)
    await dealt.do(cmd.ReconcileOrder(reason="nothing to compare"), Role.OPS)
    await dealt.ends(State.RECONCILED)
    return dealt


@story
async def misallocated(world: World, **options: object) -> Dealt:
    """Operations do not get an order whose allocations are not what was executed."""
    dealt = await world.open(script={"place": [fills()]}, **options)
    await dealt.sent_to_trader()
    await dealt.place()
    await dealt.is_in(State.FILLED)
    await dealt.do(cmd.CloseOrder(), Role.TRADER)
    given = {"account_id": "ACCT-001", "portfolio_id": "PORT-001"}
    await dealt.do(cmd.CreateAllocation(allocation_id="ALC-9", quantity="60", **given), Role.TRADER)
    short = await dealt.refused(cmd.SendToOperations(allocation_id="ALC-1"), Role.TRADER)
    assert (short.code, short.facts) == (Code.ALLOCATION_MISMATCH, {"allocated": "60", "executed": "100"})
    await dealt.do(cmd.UpdateAllocation(allocation_id="ALC-9", quantity="100"), Role.TRADER)
    await dealt.do(cmd.SendToOperations(allocation_id="ALC-1"), Role.TRADER)
    await dealt.do(cmd.RequestPostTradeCompliance(), Role.OPS)
    await dealt.is_in(State.POST_TRADE_COMPLIANCE_PASSED)
    await dealt.do(cmd.ConfirmOrder(), Role.OPS)
    await dealt.do(cmd.SettleOrder(reason="by hand"), Role.OPS)
    await dealt.do(cmd.ReconcileOrder(reason="by hand"), Role.OPS)
    await dealt.ends(State.RECONCILED)
    return dealt


@story
async def an_unreadable_fact(world: World, **options: object) -> Dealt:
    """Kept for a person, once; the order goes on."""
    dealt = await world.open(**options)
    await dealt.sent_to_trader()
    await dealt.place()
    unreadable = Unreadable(
        ts_event_ns=orders.NS, ts_init_ns=orders.NS, source="IBKR", raw="\x00\x01", reason="no such message"
    )
    await dealt.hear(unreadable)
    await dealt.hear(unreadable)
    await dealt.becomes(lambda o: o.parked, "parked")
    await dealt.do(cmd.CancelOrder(), Role.TRADER)
    await dealt.ends(State.CANCELED)
    parked = [e for e in world.store.journal.of_order(dealt.order_id) if e.kind == "fact_parked"]
    assert len(parked) == 1
    return dealt


@story
async def facts_twice_and_in_any_order(world: World, **options: object) -> Dealt:
    """Every fact comes twice, in signals of their own, in a shuffled order."""
    shuffled = random.Random(20260105)
    for _ in range(3):
        dealt = await world.open(script={"place": [nothing]}, **options)
        await dealt.sent_to_trader()
        placement_id = await dealt.place()
        facts = [
            orders.reported(
                PlacementStatus.WORKING, "0", placement_id=placement_id, ts_event_ns=orders.NS + 1
            ),
            *execution(placement_id, "30", number=1, price="10"),
            *execution(placement_id, "70", number=2, price="12"),
            orders.reported(
                PlacementStatus.FILLED, "100", placement_id=placement_id, ts_event_ns=orders.NS + 2
            ),
        ]
        twice = [*facts, *facts]
        shuffled.shuffle(twice)
        for one in twice:
            await dealt.hear(one)
        order = await dealt.becomes(
            lambda o: o.state is State.FILLED and len(o.ledger.commissions) == 2, "filled and charged"
        )
        assert (order.executed_quantity, str(order.average_price)) == (100, "11.4")
        assert not order.exceptions
        await by_hand_to_the_end(dealt)
    return dealt


@story
async def two_hundred_facts_at_once(world: World, **options: object) -> Dealt:
    """A backlog is one signal, one task and one record."""
    dealt = await world.open(**options)
    await dealt.sent_to_trader()
    placement_id = await dealt.place()
    pairs = (execution(placement_id, "1", number=number) for number in range(1, 101))
    facts = list(itertools.chain.from_iterable(pairs))
    assert len(facts) == 200
    await dealt.becomes(lambda o: o.placements[0].venue_order_ids, "working")
    before = await dealt.length()
    await dealt.hear(*facts)
    order = await dealt.is_in(State.FILLED)
    assert (order.executed_quantity, len(order.ledger.commissions)) == (100, 100)
    if not options:
        since = [event.WhichOneof("attributes") for event in (await dealt.history()).events[before:]]
        assert since.count("marker_recorded_event_attributes") == 1
    await by_hand_to_the_end(dealt)
    return dealt
