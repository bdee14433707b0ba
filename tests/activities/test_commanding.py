"""The parts of a signed command, one by one: what each answers, and what it does the second time."""

import secrets
import time
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from oms.activities.commanding import CommandActivities
from oms.activities.desk import Answer
from oms.domain.commands import Actor
from oms.domain.control import ControlKind
from oms.domain.decide import Opening
from oms.domain.errands import Refusal
from oms.domain.errors import Code, Refused
from oms.domain.programs import envelopes
from oms.domain.programs.carrying import EntryAsk, EntryOpening, EntryPlan, Judging, Settling, Verified
from oms.domain.programs.envelopes import CommandKind
from oms.domain.programs.events import RECEIVED
from oms.domain.programs.intake import SubmittedOrder
from oms.domain.programs.outcomes import CommandInput, CommandOutcome, CommandStatus, Part
from oms.domain.programs.tenants import Tenant
from oms.domain.reference import Account, Instrument, InstrumentQuestion, InstrumentTerms
from oms.domain.terms import Direction, Role
from oms.store import Store
from oms.workflows.contract import Recorded
from tests.activities.running import run
from tests.domain.orders import AAPL
from tests.store.building import straight_through

PM = Actor(key="program", roles=(Role.PM,))
SECRET = secrets.token_hex(16)
BUY = {"contract": {"secType": "STK", "symbol": "AAPL"}, "order": {"action": "BUY", "totalQuantity": 7}}
SELL = {**BUY, "order": {"action": "SELL", "totalQuantity": 7}}
BRACKET = {**BUY, "bracket": {"takeProfitPrice": "12", "stopLossPrice": "9"}}


class Door:
    """The door of an order book: it lets everything in but what `refuses` names, and knows AAPL if it is `open`."""

    def __init__(self, *, refuses: Code | None = None, is_open: bool = True) -> None:
        self.refuses, self.is_open = refuses, is_open
        self.checked: list[str] = []
        self.admitted: list[str] = []

    async def check(self, opening: Opening) -> None:
        self.checked.append(opening.order_id)
        if self.refuses is not None:
            raise Refused(self.refuses, "Not now.")

    async def admit(self, opening: Opening) -> Answer:
        await self.check(opening)
        self.admitted.append(opening.order_id)
        return Recorded(order_id=opening.order_id, version=1, state="CREATED")

    async def instrument(self, question: InstrumentQuestion, account: str, actor: Actor) -> Instrument:
        assert (question.symbol, account, actor) == ("AAPL", "DU123456", PM)
        if not self.is_open:
            raise Refused(Code.UNAVAILABLE, "AAPL is not known and cannot be looked up now.")
        return AAPL

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"nobody asks the book to {name}")


@pytest.fixture
def book(store: Store) -> Store:
    store.reference.put_account(Account(account_id="ACCT-001", name="One", broker_account="DU123456"))
    store.tenants.put(Tenant(tenant="nts", portfolio_id="PORT-001"))
    return store


def activities(store: Store, door: Door) -> CommandActivities:
    return CommandActivities(store, door, [SECRET], 300)


def asked(*orders: dict[str, Any]) -> CommandInput:
    now_ns = time.time_ns()
    key = f"oms:nts:{secrets.token_hex(8)}"
    envelope = envelopes.sign(
        CommandKind.SUBMIT,
        "nts",
        {"orders": list(orders)},
        SECRET,
        nonce=secrets.token_urlsafe(16),
        ts_ms=now_ns // 1_000_000,
        idem_key=key,
    )
    return CommandInput(
        message_id=f"{now_ns}", idem_key=key, envelope=envelopes.text(envelope), actor=PM, received_ns=now_ns
    )


def entry_of(command: CommandInput, order: dict[str, Any], index: int = 0) -> EntryAsk:
    given = SubmittedOrder.model_validate(order)
    return EntryAsk(asked=command, tenant="nts", order_index=index, order=given)


async def verified(store: Store, command: CommandInput) -> Verified:
    judging = Judging(asked=command, started_ns=time.time_ns(), at_home=True)
    answer: Verified = await run(activities(store, Door()).verify_command, judging)
    return answer


async def planned(store: Store, door: Door, order: dict[str, Any]) -> EntryPlan:
    plan: EntryPlan = await run(activities(store, door).plan_entry, entry_of(asked(order), order))
    return plan


async def test_a_command_is_verified_twice_and_announced_once(book: Store) -> None:
    command = asked(BUY)
    first, second = await verified(book, command), await verified(book, command)
    assert first == second
    assert (first.refusal, first.kind, first.tenant) == (None, CommandKind.SUBMIT, "nts")
    assert len(book.venue_events.tail(10)) == 1
    record = book.commands.get(command.idem_key)
    assert record is not None
    assert record.status is CommandStatus.WORKING


async def test_what_is_over_is_answered_and_not_announced_again(book: Store) -> None:
    command = asked(BUY)
    await verified(book, command)
    done = CommandOutcome(
        message_id=command.message_id,
        idem_key=command.idem_key,
        status=CommandStatus.DONE,
        detail="all of it",
    )
    book.commands.progress(done, time.time_ns())
    assert (await verified(book, command)).over == done


async def test_an_entry_is_checked_whole_and_nothing_is_opened(book: Store) -> None:
    door = Door()
    plan = await planned(book, door, BRACKET)
    assert plan.prepared is not None
    parts = [part for part, _ in plan.prepared.openings]
    assert parts == [Part.ENTRY, Part.TAKE_PROFIT, Part.STOP_LOSS]
    assert door.checked == [opening.order_id for _, opening in plan.prepared.openings]
    assert door.admitted == []
    assert {
        opening.request.route.account for _, opening in plan.prepared.openings if opening.request.route
    } == {"DU123456"}


async def test_a_sale_of_what_is_not_held_is_a_short_sale(book: Store) -> None:
    plan = await planned(book, Door(), SELL)
    assert plan.prepared is not None
    assert plan.prepared.openings[0][1].request.direction is Direction.SELL_SHORT


async def test_what_is_held_under_another_name_of_the_contract_is_sold_and_not_sold_short(
    book: Store,
) -> None:
    book.reference.put_instrument(InstrumentTerms(symbol="AAPL"), AAPL.instrument_id)
    twin = book.reference.put_instrument(InstrumentTerms(symbol="AAPL", exchange="NASDAQ"), "INS-TWIN")
    straight_through(instrument=twin).recorded(book)
    plan = await planned(book, Door(), SELL)
    assert plan.prepared is not None
    assert plan.prepared.openings[0][1].request.direction is Direction.SELL


@pytest.mark.parametrize(
    ("door", "code"),
    [(Door(refuses=Code.HALTED), Code.HALTED), (Door(is_open=False), Code.UNAVAILABLE)],
    ids=["halted", "not known"],
)
async def test_why_an_entry_cannot_be_opened_is_an_answer(book: Store, door: Door, code: Code) -> None:
    plan = await planned(book, door, BUY)
    assert plan.prepared is None
    assert plan.refusal is not None
    assert plan.refusal.code == code


async def opening_of(store: Store, order: dict[str, Any]) -> EntryOpening:
    plan = await planned(store, Door(), order)
    assert plan.prepared is not None
    return EntryOpening(message_id="1", tenant="nts", order_index=0, prepared=plan.prepared)


async def test_orders_are_the_commands_before_they_are_opened(book: Store) -> None:
    """Whatever the venue says of an order at once is known to be the command's, and stands behind its announcement."""
    command = asked(BRACKET).model_copy(update={"message_id": "1"})
    plan: EntryPlan = await run(activities(book, Door()).plan_entry, entry_of(command, BRACKET))
    assert plan.prepared is not None
    told = EntryOpening(message_id="1", tenant="nts", order_index=0, prepared=plan.prepared)
    first_id = told.prepared.openings[0][1].order_id

    class Looking(Door):
        async def admit(self, opening: Opening) -> Answer:
            with book.database.read() as connection:
                rows = connection.exec_driver_sql("SELECT order_id FROM command_orders").all()
            assert {row.order_id for row in rows} == {each.order_id for _, each in told.prepared.openings}
            (event,) = book.venue_events.tail(10)
            assert (event.event_type, event.order_id, event.message_id) == (RECEIVED, first_id, "1")
            return await super().admit(opening)

    door = Looking()
    for _ in range(2):
        opened = await run(activities(book, door).open_entry, told)
        assert opened.orders[0].order_id == first_id
    assert door.admitted == [opening.order_id for _, opening in told.prepared.openings] * 2


async def test_after_a_refusal_the_rest_of_an_entry_is_not_opened(book: Store) -> None:
    told = await opening_of(book, BRACKET)
    door = Door(refuses=Code.HALTED)
    opened = await run(activities(book, door).open_entry, told)
    refused, *rest = opened.orders
    assert (refused.order_id, refused.refusal.code) == (None, Code.HALTED)
    assert all((order.order_id, order.refusal) == (None, None) and order.detail for order in rest)
    assert len(door.checked) == 1


async def test_nobody_to_ask_is_asked_again(book: Store) -> None:
    """Then it is not known whether the order was opened, so nothing may be said of it."""
    told = await opening_of(book, BUY)
    with pytest.raises(ApplicationError) as raised:
        await run(activities(book, Door(refuses=Code.UNAVAILABLE)).open_entry, told)
    assert (raised.value.type, raised.value.non_retryable) == (Code.UNAVAILABLE, False)


async def test_a_refusal_is_written_down_once(book: Store) -> None:
    command = asked(BUY)
    refusal = Refusal(code=Code.BAD_SIGNATURE, message="none of ours")
    outcome = CommandOutcome(
        message_id=command.message_id,
        idem_key=command.idem_key,
        status=CommandStatus.REFUSED,
        refusal=refusal,
    )
    settling = Settling(outcome=outcome, asked=command, at_home=True)
    for _ in range(2):
        assert await run(activities(book, Door()).settle_command, settling) == outcome
    (event,) = book.control.stream(0, kinds=[ControlKind.COMMAND_REFUSED])
    assert (event.subject, event.actor, event.data["code"]) == (
        command.message_id,
        "program",
        Code.BAD_SIGNATURE,
    )
    assert command.envelope not in event.model_dump_json()
    assert book.control.count(ControlKind.COMMAND_REFUSED) == 1
