"""The journal: every kind of event survives its JSON, a later version's fields are ignored, and folding is quick."""

import json
import time
from decimal import Decimal
from typing import get_args

from oms.domain import commands as cmd
from oms.domain import events as ev
from oms.domain.apply import fold, instant
from oms.domain.drafting import nanoseconds
from oms.domain.order import Order
from oms.domain.terms import PlacementStatus, Role, State
from tests.domain.orders import (
    NOW,
    NS,
    Desk,
    busted,
    cancel_refused,
    change_refused,
    changed,
    charged,
    executed,
    in_state,
    reported,
    rounded,
    straight_through,
)

P = PlacementStatus
FOLDING_LIMIT_S = 5.0
COMMAND_LIMIT_S = 0.001


def everything_that_can_happen() -> list[Desk]:
    """Orders whose journals hold every kind of event between them."""
    doubtful = Desk().place("60").place("40")
    doubtful.observe(reported(P.IN_DOUBT), executed("Z.1", placement_id="PLC-9"))
    doubtful.command(cmd.ResolvePlacement(placement_id="PLC-1", status=P.WORKING, reason="seen"), Role.TRADER)
    doubtful.command(cmd.CancelOrder(reason="halt"), Role.TRADER)
    doubtful.observe(cancel_refused(), executed("A.1", "20"), executed("A.2", "19"), busted("A.2"))
    altered = Desk().place().works()
    altered.observe(rounded())
    for revision, answer in ((1, change_refused(1)), (2, changed(2))):
        altered.modify(quantity=str(90 - revision))
        altered.observe(answer)
    booked = in_state(State.CLOSED)
    booked.command(
        cmd.CreateAllocation(allocation_id="ALC-9", account_id="A", portfolio_id="P", quantity=1), Role.OPS
    )
    booked.command(cmd.UpdateAllocation(allocation_id="ALC-9", quantity=2), Role.OPS)
    edited = Desk(metadata={"a": [1, None, {"b": 1.5}]})
    edited.command(cmd.UpdateOrder(changes=cmd.OrderChanges(ordered_quantity=Decimal("1.50"))), Role.PM)
    overridden = [in_state(State.PRE_TRADE_COMPLIANCE_FAILED), in_state(State.POST_TRADE_COMPLIANCE_FAILED)]
    for desk, command in zip(
        overridden, (cmd.OverridePreTradeCompliance, cmd.OverridePostTradeCompliance), strict=True
    ):
        desk.command(command(override_id="OVR-1", reason="CIO", approver_id="USER-0042"), Role.COMPLIANCE)
    basket = cmd.JoinBasket(basket_id="BSK-1")
    held = cmd.BeginRestructuring(restructuring_id="RST-1", link="SPLIT")
    freed = cmd.AbandonRestructuring(restructuring_id="RST-1", reason="the parts did not add up")
    became = cmd.CompleteRestructuring(restructuring_id="RST-1", order_ids=("ORD-8", "ORD-9"))
    split = Desk()
    for command, role in ((basket, Role.PM), (held, Role.PM), (freed, Role.SYSTEM)):
        split.command(command, role)
    split.command(held, Role.PM)
    split.command(became, Role.SYSTEM)
    partly = Desk().place("60").fill("60")
    partly.command(cmd.CloseOrder(), Role.TRADER)
    partly.command(cmd.CreateRemainder(order_id="ORD-9"), Role.TRADER)
    settled = straight_through().drive()
    name = settled.order.placements[0].placement_id
    settled.observe(executed("A.1", placement_id=name), charged("A.1"))
    settled.drive()
    orders = [doubtful, altered, booked, edited, *overridden, split, partly, settled]
    return [*orders, in_state(State.CANCELED), in_state(State.REJECTED), in_state(State.RECONCILED)]


def test_every_kind_of_event_survives_its_json() -> None:
    desks = everything_that_can_happen()
    events = [event for desk in desks for event in desk.journal]
    (union, *_) = get_args(ev.Happening)
    every_kind = {kind.model_fields["kind"].default for kind in get_args(union)}
    assert {event.kind for event in events} == every_kind
    for event in events:
        assert ev.Event.model_validate_json(event.model_dump_json()) == event
    for desk in desks:
        text = desk.order.model_dump_json()
        assert Order.model_validate_json(text) == desk.order
        again = [ev.Event.model_validate_json(event.model_dump_json()) for event in desk.journal]
        assert fold(None, again) == desk.order


def test_a_field_that_a_later_version_added_is_ignored() -> None:
    event = Desk().place().journal[-1]
    data = json.loads(event.model_dump_json())
    data["happening"]["colour"] = data["colour"] = "green"
    assert ev.Event.model_validate_json(json.dumps(data)) == event


def test_an_event_says_who_when_and_on_which_request() -> None:
    desk = Desk()
    (asked,) = desk.command(cmd.RequestPreTradeCompliance(), Role.PM)
    assert (asked.actor.key, asked.actor.role, asked.correlation_id) == ("pm-key", Role.PM, "REQ-2")
    assert asked.ts_event_ns == asked.ts_init_ns - 1_000
    assert desk.order.updated_at == desk.now
    (told, *_) = Desk().place().observe(executed("A.1", ts_event_ns=NS + 7), source="IBKR")
    assert (told.actor.key, told.actor.role, told.ts_event_ns) == ("IBKR", Role.SYSTEM, NS + 7)


def test_what_the_book_concludes_by_itself_is_the_systems() -> None:
    desk = Desk().place()
    *_, canceled = desk.observe(reported(P.EXPIRED, "0"))
    assert (canceled.kind, canceled.actor.key) == ("order_canceled", "system")


def test_instants_and_nanoseconds_agree_to_the_microsecond() -> None:
    odd = NOW.replace(microsecond=123_457)
    assert nanoseconds(odd) == NS + 123_457_000
    assert instant(nanoseconds(odd) + 999) == odd


def test_ten_thousand_fills_fold_in_seconds() -> None:
    desk = Desk(ordered_quantity="100000", order_type="Market", limit_price=None).place("100000")
    fills = [executed(f"E{number}.1", "10", "1.5", ts_event_ns=NS + number) for number in range(10_000)]
    desk.observe(*fills)
    began = time.perf_counter()
    assert fold(None, desk.journal) == desk.order
    assert time.perf_counter() - began < FOLDING_LIMIT_S
    assert desk.state is State.FILLED


def test_a_command_on_an_order_with_many_fills_is_decided_within_a_millisecond() -> None:
    desk = Desk(ordered_quantity="100000", order_type="Market", limit_price=None).place("100000")
    desk.observe(*(executed(f"E{number}.1", "1", "1.5") for number in range(2_000)))
    best = COMMAND_LIMIT_S
    for number in range(20):
        change = cmd.UpdateOrder(changes=cmd.OrderChanges(metadata={"number": number}))
        began = time.perf_counter()
        desk.command(change, Role.OPS)
        best = min(best, time.perf_counter() - began)
    assert best < COMMAND_LIMIT_S
