"""Ending orders, and what counts as an outcome: against a real store, with an order book that says what it is asked."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.testing import ActivityEnvironment

from oms.activities.targeting import TargetActivities
from oms.domain import commands as cmd
from oms.domain.errands import Refusal
from oms.domain.errors import Code, Refused
from oms.domain.programs.aiming import (
    Ended,
    Ending,
    has_passed,
    is_past_check,
    is_settled,
    position_of,
    why_not_sent,
)
from oms.domain.programs.targets import AccountRead, Aimed, BrokerPosition, Leg, Plan
from oms.domain.terms import Automation, Role, State
from oms.store import Store
from tests.domain.orders import AAPL, ACTORS, RULE, Desk

PM = ACTORS[Role.PM]


class Asked:
    """An order book that refuses each command with the next code, or takes it."""

    def __init__(self, *codes: Code) -> None:
        self.codes = list(codes)
        self.asked: list[str] = []

    async def instruct(self, order_id: str, command: cmd.Command, actor: cmd.Actor, **rest: Any) -> None:  # noqa: ARG002 - the book's signature
        self.asked.append(rest["update_id"])
        if self.codes:
            code = self.codes.pop(0)
            raise Refused(code, f"it is {code}")


def on_its_way(**terms: Any) -> Desk:
    """A straight-through order that will be placed by itself."""
    return Desk(automation=Automation.STRAIGHT_THROUGH, **terms)


async def ended(store: Store, book: Any, desk: Desk, seconds: float = 0.4) -> Ended:
    store.journal.record(desk.order, desk.journal)
    asked = Ending(
        order_ids=(desk.order.order_id, "ORD-nobody"),
        prefix="aim/0",
        actor=PM,
        ts_event_ns=time.time_ns(),
        until=datetime.now(UTC) + timedelta(seconds=seconds),
    )
    found: Ended = await ActivityEnvironment().run(TargetActivities(store, book).end_orders, asked)
    return found


async def test_what_is_over_is_not_asked(store: Store) -> None:
    desk = on_its_way()
    desk.command(cmd.CancelOrder(), PM)
    book = Asked()
    assert await ended(store, book, desk) == Ended()
    assert book.asked == []


async def test_a_refusal_is_told_and_not_asked_for_again(store: Store) -> None:
    desk, book = on_its_way(), Asked(Code.CANCEL_NOT_AUTHORIZED)
    [left] = (await ended(store, book, desk)).left
    assert (left.order_id, left.why) == (desk.order.order_id, "it is CANCEL_NOT_AUTHORIZED")
    assert book.asked == [f"aim/0/cancel/{desk.order.order_id}"]


async def test_who_could_not_be_asked_is_asked_again_under_the_same_id(store: Store) -> None:
    desk, book = on_its_way(), Asked(Code.UNAVAILABLE)
    [left] = (await ended(store, book, desk)).left
    assert left.why == "it was asked to end, and still works"
    assert len(book.asked) > 1
    assert set(book.asked) == {f"aim/0/cancel/{desk.order.order_id}"}


async def test_who_does_not_want_to_wait_has_asked_all_the_same(store: Store) -> None:
    desk, book = on_its_way(), Asked()
    [left] = (await ended(store, book, desk, seconds=-1)).left
    assert left.order_id == desk.order.order_id
    assert len(book.asked) == 1


def test_an_order_is_past_its_check_or_says_why_it_never_goes_out() -> None:
    desk = on_its_way()
    assert (has_passed(desk.order), why_not_sent(desk.order)) == (False, None)
    desk.command(cmd.RequestPreTradeCompliance(), PM)
    failed = cmd.FailPreTradeCompliance(violations=(RULE,), order_version=desk.order.version)
    desk.command(failed, Role.COMPLIANCE)
    assert why_not_sent(desk.order) == "it failed its pre-trade check: Would exceed 5 %"
    desk.command(cmd.CancelOrder(), PM)
    assert why_not_sent(desk.order) == "it failed its pre-trade check: Would exceed 5 %"
    ended_early = on_its_way()
    ended_early.command(cmd.CancelOrder(reason="changed my mind"), PM)
    assert why_not_sent(ended_early.order) == "changed my mind"
    assert is_past_check(State.ROUTED)
    assert not is_past_check(State.PRE_TRADE_COMPLIANCE_FAILED)


def test_an_aim_is_settled_when_it_is_refused_or_every_leg_is_past_its_check() -> None:
    leg = Leg(order_id="ORD-1", direction="Buy", quantity=1, order_type="Market")
    plan = Plan(aim_id="a", held=0, working=0, delta=1, legs=(leg,))
    passed = on_its_way()
    passed.command(cmd.RequestPreTradeCompliance(), PM)
    waiting = passed.order
    passed.command(cmd.PassPreTradeCompliance(order_version=waiting.version), Role.COMPLIANCE)
    refusal = Refusal(code=Code.HALTED, message="halted")
    assert not is_settled(None, [])
    assert not is_settled(Aimed(), [])
    assert not is_settled(Aimed(plan=plan), [None])
    assert not is_settled(Aimed(plan=plan), [waiting])
    assert is_settled(Aimed(plan=plan), [passed.order])
    assert is_settled(Aimed(plan=plan, refusal=refusal), [None])
    assert is_settled(Aimed(plan=plan.model_copy(update={"legs": ()})), [])


def test_a_position_is_found_by_our_id_then_by_number_then_by_name() -> None:
    def held(**given: Any) -> BrokerPosition:
        terms = {
            "conid": 1,
            "symbol": "AAPL",
            "sec_type": "STK",
            "currency": "USD",
            "quantity": 1,
            "unbooked": 1,
        }
        return BrokerPosition.model_validate({**terms, **given})

    ours, numbered = held(instrument_id=AAPL.instrument_id, symbol="X"), held(conid=265598, symbol="Y")
    euros, named = held(currency="EUR"), held()
    with_number = AAPL.model_copy(update={"conid": 265598})
    assert position_of(_read(named, numbered, ours), with_number) == ours
    assert position_of(_read(named, numbered), with_number) == numbered
    assert position_of(_read(euros, named), AAPL) == named
    assert position_of(_read(euros, named), with_number) is None


def _read(*positions: BrokerPosition) -> AccountRead:
    return AccountRead(account="DU123456", positions=positions)
