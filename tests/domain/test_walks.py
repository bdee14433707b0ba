"""Random walks: people, venues and custodians do anything in any state, and the promises hold after each step."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from oms.domain import commands as cmd
from oms.domain import facts as fact
from oms.domain.drafting import nanoseconds
from oms.domain.duties import DutyKind, duties
from oms.domain.errors import MEANING, Refused
from oms.domain.lifecycle import GATES
from oms.domain.terms import (
    Automation,
    ComplianceMode,
    ExceptionCode,
    PlacementStatus,
    Role,
    State,
)
from tests.domain.invariants import check, check_events
from tests.domain.orders import (
    ACTORS,
    RULE,
    Desk,
    busted,
    cancel_refused,
    change_in_doubt,
    change_refused,
    changed,
    charged,
    executed,
    reported,
    rounded,
)

P = PlacementStatus
NAMES = st.sampled_from(["PLC-1", "PLC-1", "PLC-1", "PLC-2", "PLC-2", "PLC-9"])
QUANTITIES = st.sampled_from(["1", "20", "50", "100", "0.5"])
EXEC_IDS = st.sampled_from([f"{base}.{number}" for base in "ABCD" for number in (1, 2)])
VERSIONS = st.none() | st.none() | st.none() | st.integers(1, 12)
WHY = "because"

COMMANDS: st.SearchStrategy[cmd.Command] = st.one_of(
    st.builds(
        lambda quantity, price: cmd.UpdateOrder(
            changes=cmd.OrderChanges(ordered_quantity=quantity, limit_price=price)
        ),
        QUANTITIES,
        st.sampled_from(["10", "11"]),
    ),
    st.just(cmd.UpdateOrder(changes=cmd.OrderChanges(counterparty_id="BRK-GS", metadata=None))),
    st.just(cmd.RequestPreTradeCompliance()),
    st.builds(cmd.PassPreTradeCompliance, order_version=VERSIONS),
    st.builds(cmd.FailPreTradeCompliance, order_version=VERSIONS, violations=st.just((RULE,))),
    st.just(cmd.OverridePreTradeCompliance(override_id="OVR-1", reason=WHY, approver_id="USER-0042")),
    st.just(cmd.SendToTrader()),
    st.builds(cmd.CreatePlacement, placement_id=NAMES, venue=st.just("IBKR"), quantity=QUANTITIES),
    st.builds(cmd.ModifyPlacement, placement_id=NAMES, quantity=QUANTITIES),
    st.builds(cmd.ModifyPlacement, placement_id=NAMES, limit_price=st.sampled_from(["9", "9.5", "11"])),
    st.builds(cmd.CancelPlacement, placement_id=NAMES),
    st.builds(
        cmd.ResolvePlacement,
        placement_id=NAMES,
        status=st.sampled_from([P.WORKING, P.REJECTED, P.CANCELED, P.EXPIRED]),
        reason=st.just(WHY),
    ),
    st.just(cmd.CancelOrder()),
    st.just(cmd.CloseOrder()),
    st.builds(
        cmd.CreateAllocation,
        allocation_id=st.sampled_from(["ALC-1", "ALC-2"]),
        account_id=st.just("ACCT-001"),
        portfolio_id=st.just("PORT-001"),
        quantity=QUANTITIES,
    ),
    st.builds(
        cmd.UpdateAllocation,
        allocation_id=st.sampled_from(["ALC-1", "ALC-2"]),
        quantity=QUANTITIES | st.just("0"),
    ),
    st.just(cmd.SendToOperations(allocation_id="ALC-1")),
    st.just(cmd.RequestPostTradeCompliance()),
    st.builds(cmd.PassPostTradeCompliance, order_version=VERSIONS),
    st.builds(cmd.FailPostTradeCompliance, order_version=VERSIONS, violations=st.just((RULE,))),
    st.just(cmd.OverridePostTradeCompliance(override_id="OVR-2", reason=WHY, approver_id="USER-0042")),
    st.just(cmd.ConfirmOrder()),
    st.just(cmd.SettleOrder(reason=WHY)),
    st.just(cmd.ReconcileOrder(reason=WHY)),
    st.just(cmd.RejectOrder(reason=WHY)),
    st.builds(cmd.ResolveException, code=st.sampled_from(ExceptionCode), reason=st.just(WHY)),
)

FACTS: st.SearchStrategy[Callable[[int], fact.VenueFact]] = st.one_of(
    st.builds(
        lambda status, filled, name: lambda ns: reported(status, filled, placement_id=name, ts_event_ns=ns),
        st.sampled_from(PlacementStatus),
        st.none() | st.sampled_from(["0", "20", "50", "100"]),
        NAMES,
    ),
    st.builds(
        lambda exec_id, quantity, name: (
            lambda ns: executed(exec_id, quantity, placement_id=name, ts_event_ns=ns)
        ),
        EXEC_IDS,
        QUANTITIES,
        NAMES,
    ),
    st.builds(
        lambda exec_id, name: lambda ns: busted(exec_id, placement_id=name, ts_event_ns=ns), EXEC_IDS, NAMES
    ),
    st.builds(lambda exec_id: lambda ns: charged(exec_id, ts_event_ns=ns), EXEC_IDS),
    st.builds(lambda name: lambda ns: cancel_refused(placement_id=name, ts_event_ns=ns), NAMES),
    st.builds(
        lambda say, revision, name: lambda ns: say(revision, placement_id=name, ts_event_ns=ns),
        st.sampled_from([rounded, changed, change_refused, change_in_doubt]),
        st.integers(0, 4),
        NAMES,
    ),
    st.builds(
        lambda raw: (
            lambda ns: fact.Unreadable(source="IBKR", raw=raw, reason=WHY, ts_event_ns=ns, ts_init_ns=ns)
        ),
        st.sampled_from(["?", "??"]),
    ),
)

NEXT: dict[State, tuple[cmd.Command, Role]] = {
    State.CREATED: (cmd.RequestPreTradeCompliance(), Role.PM),
    State.PENDING_PRE_TRADE_COMPLIANCE: (cmd.PassPreTradeCompliance(), Role.COMPLIANCE),
    State.PRE_TRADE_COMPLIANCE_PASSED: (cmd.SendToTrader(), Role.PM),
    State.SENT_TO_TRADER: (
        cmd.CreatePlacement(placement_id="PLC-1", venue="IBKR", quantity=Decimal(50)),
        Role.TRADER,
    ),
    State.FILLED: (cmd.CloseOrder(), Role.TRADER),
    State.PARTIALLY_FILLED: (cmd.CloseOrder(), Role.TRADER),
    State.CLOSED: (cmd.SendToOperations(allocation_id="ALC-1"), Role.TRADER),
    State.SENT_TO_OPERATIONS: (cmd.RequestPostTradeCompliance(), Role.OPS),
    State.PENDING_POST_TRADE_COMPLIANCE: (cmd.PassPostTradeCompliance(), Role.COMPLIANCE),
    State.POST_TRADE_COMPLIANCE_PASSED: (cmd.ConfirmOrder(), Role.OPS),
    State.CONFIRMED: (cmd.SettleOrder(reason=WHY), Role.OPS),
    State.SETTLED: (cmd.ReconcileOrder(reason=WHY), Role.OPS),
}


class OrderWalk(RuleBasedStateMachine):
    """One order and everybody who may touch it."""

    desk: Desk

    @initialize(
        automation=st.sampled_from(Automation),
        compliance=st.sampled_from(ComplianceMode),
        steps=st.integers(0, 8),
    )
    def open(self, automation: Automation, compliance: ComplianceMode, steps: int) -> None:
        self.desk = Desk(automation=automation, compliance=compliance)
        for _ in range(steps):
            self.the_next_person_acts()

    @rule(command=COMMANDS, role=st.none() | st.sampled_from(Role))
    def somebody_asks(self, command: cmd.Command, role: Role | None) -> None:
        """In a role that may, or in any role at all."""
        may = GATES[command.kind].roles.get(self.desk.state, frozenset())
        chosen = role or next(iter(sorted(may)), Role.PM)
        self._give(command, ACTORS[chosen])

    @rule()
    def the_next_person_acts(self) -> None:
        """Along the main chain, so that walks come far."""
        if self.desk.state in NEXT:
            command, role = NEXT[self.desk.state]
            self._give(command, ACTORS[role])
        elif self.desk.state is State.ROUTED:
            self._observe(executed("A.1", "50", ts_event_ns=self._ns()))

    @rule(batch=st.lists(FACTS, min_size=1, max_size=3), late=st.integers(0, 3))
    def the_venue_speaks(self, batch: list[Callable[[int], fact.VenueFact]], late: int) -> None:
        self._observe(*(one(self._ns() - late * 1_000_000_000) for one in batch))

    @precondition(lambda self: any(d.kind is DutyKind.TAKE_STEP for d in duties(self.desk.order)))
    @rule()
    def automation_takes_its_step(self) -> None:
        step = next(d for d in duties(self.desk.order) if d.kind is DutyKind.TAKE_STEP)
        self._do(lambda: self.desk._do(step))

    @precondition(
        lambda self: any("custodian" in d.kind or "date" in d.kind for d in duties(self.desk.order))
    )
    @rule()
    def settlement_goes_on(self) -> None:
        duty = next(d for d in duties(self.desk.order) if "custodian" in d.kind or "date" in d.kind)
        self._do(lambda: self.desk._do(duty))

    @precondition(lambda self: self.desk.order.settlement.instruction_id is not None)
    @rule(settled=st.booleans(), quantity=st.sampled_from(["50", "100"]))
    def the_custodian_speaks(self, settled: bool, quantity: str) -> None:
        one = fact.SettlementReported(
            instruction_id=self.desk.order.settlement.instruction_id or "",
            settled=settled,
            reason=None if settled else "no shares",
            statement=self._statement(quantity) if settled else None,
            ts_event_ns=self._ns(),
            ts_init_ns=self._ns(),
        )
        self._do(lambda: self.desk.observe(one, source="PAPER"))

    @invariant()
    def every_promise_holds(self) -> None:
        check(self.desk)

    def _statement(self, quantity: str) -> fact.CustodianStatement:
        settlement = self.desk.order.settlement
        told = settlement.instruction
        return fact.CustodianStatement(
            quantity=Decimal(quantity),
            average_price=told.average_price if told else Decimal(0),
            commission=told.commission if told else Decimal(0),
            net_amount=told.net_amount if told else Decimal(0),
            currency="USD",
            settled_on=settlement.settlement_date or self.desk.now.date(),
        )

    def _give(self, command: cmd.Command, actor: cmd.Actor) -> None:
        before = self.desk.order
        refused = self._refusal(command, actor)
        if refused is not None:
            assert refused.code in MEANING
            assert refused.message
            assert self.desk.order is before
            return
        after = self.desk.order
        if command.kind in ("create_allocation", "update_allocation"):
            lowered = after.allocated_quantity < before.allocated_quantity
            fits = after.allocated_quantity <= after.executed_quantity
            assert fits or lowered or after is before

    def _refusal(self, command: cmd.Command, actor: cmd.Actor) -> Refused | None:
        try:
            self._do(lambda: self.desk.command(command, actor))
        except Refused as refused:
            return refused
        return None

    def _observe(self, *facts: fact.VenueFact) -> None:
        self._do(lambda: self.desk.observe(*facts))

    def _do(self, what: Callable[[], Any]) -> None:
        before, count = self.desk.order, len(self.desk.journal)
        what()
        check_events(before, self.desk.journal[count:])

    def _ns(self) -> int:
        return nanoseconds(self.desk.now)


TestOrderWalk = OrderWalk.TestCase
TestOrderWalk.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
