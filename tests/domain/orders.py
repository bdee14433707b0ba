"""Orders for tests, built by the real commands and facts: `Desk` holds one order and everybody around it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from oms.domain import commands as cmd
from oms.domain import facts as fact
from oms.domain.apply import fold
from oms.domain.decide import Opening, decide, opening_events
from oms.domain.drafting import nanoseconds
from oms.domain.duties import AT_VENUE, Duty, DutyKind, duties, system_command
from oms.domain.errors import Code, Refused
from oms.domain.events import Event
from oms.domain.observe import instructed, observe, schedule
from oms.domain.order import Order, Placement
from oms.domain.reference import Instrument
from oms.domain.settlement import SettlementDate, instruction
from oms.domain.terms import Automation, PlacementStatus, Role, State

NOW = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
NS = nanoseconds(NOW)
ORDER_ID = "ORD-01936d8a-7c1e-7b2a-8f3d-4e5a6b7c8d9e"
AAPL = Instrument(instrument_id="INS-AAPL", symbol="AAPL", issuer="Apple Inc.")
ACTORS = {role: cmd.Actor(key=f"{role}-key", roles=(role,)) for role in Role}
SETTLES = SettlementDate(
    trade_date=date(2026, 1, 5),
    settlement_date=date(2026, 1, 6),
    settles_at=NOW + timedelta(days=1),
    reasons=("T+1",),
)
RULE = cmd.Violation(rule_id="R-001", rule_name="Max Position Size", description="Would exceed 5 %")


def request(**terms: Any) -> cmd.CreateOrder:
    """A buy of 100 AAPL at 10 for the day, routed to IBKR; `terms` replace or add."""
    given: dict[str, Any] = {
        "portfolio_id": "PORT-001",
        "instrument_id": AAPL.instrument_id,
        "direction": "Buy",
        "ordered_quantity": "100",
        "order_type": "Limit",
        "limit_price": "10",
        "time_in_force": "Day",
        "route": {"venue": "IBKR", "account": "DU123456"},
    }
    given.update(terms)
    return cmd.CreateOrder.model_validate({name: value for name, value in given.items() if value is not None})


def opening(*, actor: cmd.Actor = ACTORS[Role.PM], instrument: Instrument = AAPL, **terms: Any) -> Opening:
    return Opening(
        order_id=ORDER_ID,
        request=request(**terms),
        instrument=instrument,
        default_account_id="ACCT-001",
        actor=actor,
        ts_event_ns=NS,
        correlation_id="REQ-1",
    )


def executed(
    exec_id: str, quantity: str | Decimal = "100", price: str | Decimal = "10", **rest: Any
) -> fact.Executed:
    """An execution of the first placement, unless `placement_id` says otherwise."""
    given = {"placement_id": "PLC-1", "currency": "USD", "venue": "IBKR", **_times(rest), **rest}
    return fact.Executed(exec_id=exec_id, quantity=Decimal(quantity), price=Decimal(price), **given)


def busted(exec_id: str, **rest: Any) -> fact.Busted:
    return fact.Busted(exec_id=exec_id, **{"placement_id": "PLC-1", **_times(rest), **rest})


def charged(exec_id: str, commission: str = "1", **rest: Any) -> fact.Charged:
    given = {"currency": "USD", **_times(rest), **rest}
    return fact.Charged(exec_id=exec_id, commission=Decimal(commission), **given)


def reported(status: PlacementStatus, filled: str | None = None, **rest: Any) -> fact.PlacementReported:
    claimed = None if filled is None else Decimal(filled)
    given = {"placement_id": "PLC-1", **_times(rest), **rest}
    return fact.PlacementReported(status=status, filled_quantity=claimed, **given)


def cancel_refused(**rest: Any) -> fact.CancelRefused:
    return fact.CancelRefused(**{"placement_id": "PLC-1", "reason": "too late", **_times(rest), **rest})


def rounded(revision: int = 0, **rest: Any) -> fact.TermsRounded:
    """The limit was asked at 10.004 and sent at 10."""
    sent = fact.Rounding(field="limit_price", asked="10.004", sent="10", tick="0.01")
    given = {"placement_id": "PLC-1", "roundings": (sent,), **_times(rest), **rest}
    return fact.TermsRounded(revision=revision, **given)


def changed(revision: int = 1, **rest: Any) -> fact.PlacementChanged:
    return fact.PlacementChanged(revision=revision, **{"placement_id": "PLC-1", **_times(rest), **rest})


def change_refused(revision: int = 1, reason: str = "too late", **rest: Any) -> fact.ChangeRefused:
    given = {"placement_id": "PLC-1", **_times(rest), **rest}
    return fact.ChangeRefused(revision=revision, reason=reason, **given)


def change_in_doubt(revision: int = 1, reason: str = "no answer", **rest: Any) -> fact.ChangeInDoubt:
    given = {"placement_id": "PLC-1", **_times(rest), **rest}
    return fact.ChangeInDoubt(revision=revision, reason=reason, **given)


def _times(given: dict[str, Any]) -> dict[str, int]:
    at = given.get("ts_event_ns", NS)
    return {"ts_event_ns": at, "ts_init_ns": given.get("ts_init_ns", at)}


class Desk:
    """One order, its journal, and a clock that moves one second with every command and every batch of facts."""

    def __init__(self, **terms: Any) -> None:
        self.now = NOW
        self.journal: list[Event] = opening_events(opening(**terms), NOW)
        self.order: Order = fold(None, self.journal)
        self._numbers = itertools.count(1)

    # -- what people and the world do ------------------------------------------------------------

    def command(
        self,
        command: cmd.Command,
        role: Role | cmd.Actor,
        *,
        expected_version: int | None = None,
        key: str | None = None,
    ) -> list[Event]:
        """Give `command` as `role`. Raises Refused."""
        actor = role if isinstance(role, cmd.Actor) else ACTORS[role]
        if key is not None:
            actor = actor.model_copy(update={"key": key})
        self._tick()
        asked = cmd.Instruction(
            command=command,
            actor=actor,
            ts_event_ns=nanoseconds(self.now) - 1_000,
            correlation_id="REQ-2",
            expected_version=expected_version,
        )
        return self._take(decide(self.order, asked, self.now))

    def observe(self, *facts: fact.Fact, source: str = "IBKR") -> list[Event]:
        self._tick()
        return self._take(observe(self.order, facts, self.now, source))

    def refusal(self, command: cmd.Command, role: Role | cmd.Actor, **rest: Any) -> Refused:
        """The refusal of `command`; fails when it is taken, and when a refusal changed anything."""
        before = self.order
        try:
            self.command(command, role, **rest)
        except Refused as refused:
            assert self.order is before
            return refused
        raise AssertionError(f"{command.kind} was taken in {before.state}")

    def refused(self, command: cmd.Command, role: Role | cmd.Actor, **rest: Any) -> Code:
        return self.refusal(command, role, **rest).code

    # -- the steps of the main chain ----------------------------------------------------------------

    def request_pre_trade(self) -> Desk:
        self.command(cmd.RequestPreTradeCompliance(), Role.PM)
        return self

    def pass_pre_trade(self) -> Desk:
        self.request_pre_trade().command(cmd.PassPreTradeCompliance(), Role.COMPLIANCE)
        return self

    def fail_pre_trade(self) -> Desk:
        self.request_pre_trade().command(cmd.FailPreTradeCompliance(violations=(RULE,)), Role.COMPLIANCE)
        return self

    def send_to_trader(self) -> Desk:
        self.pass_pre_trade().command(cmd.SendToTrader(), Role.PM)
        return self

    def place(self, quantity: str = "100", placement_id: str | None = None, **terms: Any) -> Desk:
        """A placement PLC-1, PLC-2, ... at IBKR, by the trader."""
        if self.order.state is State.CREATED:
            self.send_to_trader()
        name = placement_id or f"PLC-{len(self.order.placements) + 1}"
        given = {"venue": "IBKR", "quantity": Decimal(quantity), **terms}
        self.command(cmd.CreatePlacement(placement_id=name, **given), Role.TRADER)
        return self

    def works(self, placement_id: str = "PLC-1") -> Desk:
        """The venue has acknowledged the placement."""
        self.observe(reported(PlacementStatus.WORKING, "0", placement_id=placement_id))
        return self

    def modify(self, placement_id: str = "PLC-1", **terms: Any) -> list[Event]:
        """A change of a placement, by the trader."""
        return self.command(cmd.ModifyPlacement(placement_id=placement_id, **terms), Role.TRADER)

    def fill(self, quantity: str = "100", exec_id: str | None = None, **rest: Any) -> Desk:
        """An execution of the first placement, placed now if there is none."""
        if not self.order.placements:
            self.place()
        self.observe(executed(exec_id or f"0001.{next(self._numbers)}.01", quantity, **rest))
        return self

    def close(self, quantity: str = "100") -> Desk:
        """Filled by `quantity` and closed; what still works is canceled by the venue."""
        self.fill(quantity).command(cmd.CloseOrder(), Role.TRADER)
        for placement in self.order.live_placements:
            self.observe(
                reported(
                    PlacementStatus.CANCELED,
                    str(placement.executed_quantity),
                    placement_id=placement.placement_id,
                )
            )
        return self

    def send_to_operations(self, quantity: str = "100") -> Desk:
        self.close(quantity).command(cmd.SendToOperations(allocation_id="ALC-1"), Role.TRADER)
        return self

    def request_post_trade(self, quantity: str = "100") -> Desk:
        self.send_to_operations(quantity).command(cmd.RequestPostTradeCompliance(), Role.OPS)
        return self

    def pass_post_trade(self, quantity: str = "100") -> Desk:
        self.request_post_trade(quantity).command(cmd.PassPostTradeCompliance(), Role.COMPLIANCE)
        return self

    def fail_post_trade(self) -> Desk:
        self.request_post_trade().command(cmd.FailPostTradeCompliance(violations=(RULE,)), Role.COMPLIANCE)
        return self

    def confirm(self, quantity: str = "100") -> Desk:
        self.pass_post_trade(quantity).command(cmd.ConfirmOrder(), Role.OPS)
        return self

    def instruct(self) -> Desk:
        """A settlement date and the custodian's receipt of the instruction."""
        self._take(schedule(self.order, SETTLES, self.now))
        self._take(instructed(self.order, instruction(self.order), self.now))
        return self

    def settle(self, quantity: str = "100") -> Desk:
        self.confirm(quantity).command(cmd.SettleOrder(reason="settled by hand"), Role.OPS)
        return self

    def reconcile(self) -> Desk:
        self.settle().command(cmd.ReconcileOrder(reason="compared by hand"), Role.OPS)
        return self

    def cancel(self) -> Desk:
        self.command(cmd.CancelOrder(reason="no longer wanted"), Role.PM)
        return self

    def reject(self) -> Desk:
        self.command(cmd.RejectOrder(reason="cannot be traded"), Role.SYSTEM)
        return self

    # -- the custodian -----------------------------------------------------------------------------

    def statement(self, **wrong: Any) -> fact.CustodianStatement:
        """The statement that agrees with our book, but for `wrong`."""
        ours = self.order.settlement.instruction or instruction(self.order)
        right = {
            name: getattr(ours, name)
            for name in fact.CustodianStatement.model_fields
            if name in type(ours).model_fields
        }
        return fact.CustodianStatement.model_validate(
            {**right, "settled_on": SETTLES.settlement_date, **wrong}
        )

    def custodian_says(self, *, settled: bool = True, reason: str | None = None, **wrong: Any) -> list[Event]:
        return self.observe(
            fact.SettlementReported(
                instruction_id=self.order.settlement.instruction_id or "",
                settled=settled,
                reason=reason,
                statement=self.statement(**wrong) if settled else None,
                ts_event_ns=nanoseconds(self.now),
                ts_init_ns=nanoseconds(self.now),
            ),
            source="PAPER",
        )

    # -- straight-through automation -------------------------------------------------------------------

    def drive(self, *, settle: bool = True, limit: int = 50) -> Desk:
        """Do what the system owes until it owes nothing, waits for a venue, or has to wait for an instant.

        The rule engine passes every check; each instant that a duty waits for is reached at once.
        """
        for _ in range(limit):
            owed = [duty for duty in duties(self.order) if self._can_do(duty, settle=settle)]
            if not owed:
                return self
            self._do(owed[0])
        raise AssertionError(f"still driving: {duties(self.order)}")

    def _can_do(self, duty: Duty, *, settle: bool) -> bool:
        return duty.kind not in AT_VENUE and (settle or duty.kind is not DutyKind.ASK_CUSTODIAN)

    def _do(self, duty: Duty) -> None:
        self.now = max(self.now, duty.due or self.now)
        match duty.kind:
            case DutyKind.TAKE_STEP:
                uuid = UUID(int=next(self._numbers))
                self.command(system_command(self.order, duty.subject, uuid), cmd.SYSTEM)
            case DutyKind.EVALUATE_PRE_TRADE:
                self.command(cmd.PassPreTradeCompliance(order_version=int(duty.subject)), cmd.RULE_ENGINE)
            case DutyKind.EVALUATE_POST_TRADE:
                self.command(cmd.PassPostTradeCompliance(order_version=int(duty.subject)), cmd.RULE_ENGINE)
            case DutyKind.SET_SETTLEMENT_DATE:
                self._take(schedule(self.order, SETTLES, self.now))
            case DutyKind.INSTRUCT_CUSTODIAN:
                self._take(instructed(self.order, instruction(self.order), self.now))
            case DutyKind.ASK_CUSTODIAN:
                self.custodian_says()
            case _:
                raise AssertionError(f"nobody does {duty.kind} here")

    # -- reading ---------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self.order.state

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.journal]

    @property
    def states(self) -> list[State]:
        """The states in the order in which the order came into them."""
        return [state for state, _ in itertools.groupby(event.state for event in self.journal)]

    @property
    def open_exceptions(self) -> list[str]:
        return [exception.code for exception in self.order.exceptions]

    def placement(self, placement_id: str = "PLC-1") -> Placement:
        found = self.order.placement(placement_id)
        assert found is not None
        return found

    def _tick(self) -> None:
        self.now += timedelta(seconds=1)

    def _take(self, events: Sequence[Event]) -> list[Event]:
        if events:
            self.order = fold(self.order, events)
            self.journal.extend(events)
        return list(events)


def straight_through(**terms: Any) -> Desk:
    return Desk(automation=Automation.STRAIGHT_THROUGH, **terms)


IN_STATE = {
    State.CREATED: Desk,
    State.PENDING_PRE_TRADE_COMPLIANCE: lambda: Desk().request_pre_trade(),
    State.PRE_TRADE_COMPLIANCE_PASSED: lambda: Desk().pass_pre_trade(),
    State.PRE_TRADE_COMPLIANCE_FAILED: lambda: Desk().fail_pre_trade(),
    State.SENT_TO_TRADER: lambda: Desk().send_to_trader(),
    State.ROUTED: lambda: Desk().place(),
    State.PARTIALLY_FILLED: lambda: Desk().fill("40"),
    State.FILLED: lambda: Desk().fill(),
    State.CLOSED: lambda: Desk().close(),
    State.SENT_TO_OPERATIONS: lambda: Desk().send_to_operations(),
    State.PENDING_POST_TRADE_COMPLIANCE: lambda: Desk().request_post_trade(),
    State.POST_TRADE_COMPLIANCE_PASSED: lambda: Desk().pass_post_trade(),
    State.POST_TRADE_COMPLIANCE_FAILED: lambda: Desk().fail_post_trade(),
    State.CONFIRMED: lambda: Desk().confirm(),
    State.SETTLED: lambda: Desk().settle(),
    State.RECONCILED: lambda: Desk().reconcile(),
    State.CANCELED: lambda: Desk().cancel(),
    State.REJECTED: lambda: Desk().reject(),
}
"""How an order comes into each of the 18 states, by real commands and facts."""


def in_state(state: State) -> Desk:
    desk = IN_STATE[state]()
    assert desk.state is state
    return desk
