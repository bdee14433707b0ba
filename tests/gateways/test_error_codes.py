"""The code table: what a code means is data, and what is not in it is never a rejection."""

import asyncio
from decimal import Decimal

import pytest
from tests.gateways.rig import Rig, eventually, reason, resting, status, ticket

from oms.domain.terms import PlacementStatus
from oms.gateways.ibkr.error_codes import Meaning, ends_a_wait_for_text, meaning
from oms.paper.faults import FaultKind
from oms.store import IntentState


@pytest.mark.parametrize(
    ("code", "means"),
    [
        (103, Meaning.DUPLICATE),
        (104, Meaning.DUPLICATE),
        (105, Meaning.DUPLICATE),
        (354, Meaning.INFORMATIONAL),
        (10089, Meaning.INFORMATIONAL),
        (10197, Meaning.INFORMATIONAL),
        (110, Meaning.REJECTED),
        (200, Meaning.REJECTED),
        (201, Meaning.REJECTED),
        (203, Meaning.REJECTED),
        (320, Meaning.REJECTED),
        (321, Meaning.REJECTED),
        (435, Meaning.REJECTED),
        (10289, Meaning.REJECTED),
        (202, Meaning.CANCELED),
        (161, Meaning.NOT_CANCELABLE),
        (10148, Meaning.NOT_CANCELABLE),
        (10147, Meaning.NOT_FOUND),
        (135, Meaning.NOT_FOUND),
        (399, Meaning.INFORMATIONAL),
        (404, Meaning.INFORMATIONAL),
        (2109, Meaning.INFORMATIONAL),
        (10349, Meaning.INFORMATIONAL),
        (326, Meaning.CLIENT_ID_TAKEN),
        (1100, Meaning.CONNECTION_LOST),
        (1101, Meaning.CONNECTION_RESTORED),
        (1102, Meaning.CONNECTION_RESTORED),
        (1300, Meaning.SOCKET_RESET),
        (99999, Meaning.SURFACED),
    ],
)
def test_meanings(code: int, means: Meaning) -> None:
    assert meaning(code) is means


def test_all_of_2100_to_2199_only_inform() -> None:
    assert {meaning(code) for code in range(2100, 2200)} == {Meaning.INFORMATIONAL}


def test_only_what_ends_an_order_explains_its_end() -> None:
    assert [code for code in (103, 110, 201, 202, 399, 10147, 99999) if ends_a_wait_for_text(code)] == [
        110,
        201,
        202,
    ]


SAYS_NOTHING = [354, 399, 2109, 10089, 10167, 10349]
SESSION_ONLY = [2103, 2104, 2105, 2106, 2107, 2108, 2110]


@pytest.mark.parametrize("code", [*SAYS_NOTHING, *SESSION_ONLY])
async def test_what_only_informs_changes_nothing_about_a_live_a_new_or_a_filled_order(
    rig: Rig, code: int
) -> None:
    gateway = await rig.gateway(acknowledge_seconds=3.0)
    live, filled, new = resting(), ticket(), resting()
    await gateway.place(live)
    await gateway.place(filled)
    await rig.fills(filled)
    rig.paper.fail_next(
        "place", FaultKind.ERROR_BEFORE, order_ref=new.order_ref, code=code, text="by the way"
    )
    assert status(await gateway.place(new)) is PlacementStatus.WORKING
    for order in (live, filled, new):
        rig.error(rig.intent(order).broker_order_id, code, "by the way")
    rig.error(-1, code, "by the way")
    await rig.reconciled(gateway)
    assert [rig.state(order) for order in (live, new)] == [IntentState.ACKNOWLEDGED] * 2
    assert rig.state(filled) is IntentState.DONE
    assert rig.orders.statuses(filled)[-1] is PlacementStatus.FILLED
    assert [rig.orders.unreadable(order) for order in (live, filled, new)] == [[], [], []]


@pytest.mark.parametrize("code", [202, 10148, 10147, 104, 105, 103, 201, 110, 200, 99999])
async def test_no_word_against_a_live_order_ends_it_but_the_one_that_says_so(rig: Rig, code: int) -> None:
    gateway = await rig.gateway()
    order = resting()
    await gateway.place(order)
    rig.error(rig.intent(order).broker_order_id, code, "no")
    await rig.reconciled(gateway)
    ended = code == 202
    assert rig.state(order) is (IntentState.DONE if ended else IntentState.ACKNOWLEDGED)
    statuses = rig.orders.statuses(order)
    assert statuses[-1] is (PlacementStatus.CANCELED if ended else PlacementStatus.WORKING)
    assert len(rig.wired(order)) == 1


async def test_an_unknown_code_is_shown_and_the_order_is_looked_at_at_once(rig: Rig) -> None:
    """The end that the broker told nobody is found by the look that the code sets off, not by a timer."""
    gateway = await rig.gateway()
    order = resting()
    rig.paper.fail_next_place(FaultKind.MISSING_STATUS, order.order_ref)
    await gateway.place(order)
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"))
    await eventually(lambda: rig.orders.executions(order))
    assert rig.state(order) is IntentState.ACKNOWLEDGED
    for _ in range(2):
        rig.error(rig.intent(order).broker_order_id, 77777, "something new")
    await rig.fills(order)
    (shown,) = await eventually(lambda: rig.orders.unreadable(order))
    assert shown.raw == "77777: something new"
    assert rig.state(order) is IntentState.DONE


async def test_an_unknown_code_about_a_new_order_is_no_rejection_and_no_wait(rig: Rig) -> None:
    gateway = await rig.gateway(acknowledge_seconds=3.0)
    order = resting()
    rig.paper.fail_next("place", FaultKind.ERROR_BEFORE, order_ref=order.order_ref, code=77777, text="what")
    async with asyncio.timeout(2):
        await gateway.place(order)
    await eventually(lambda: rig.state(order) is IntentState.ACKNOWLEDGED)
    assert PlacementStatus.REJECTED not in rig.orders.statuses(order)


async def test_an_unknown_code_instead_of_an_answer_is_in_doubt_with_its_text_at_once(rig: Rig) -> None:
    gateway = await rig.gateway(acknowledge_seconds=30.0)
    order = resting()
    rig.paper.fail_next("place", FaultKind.ERROR_INSTEAD, order_ref=order.order_ref, code=77777, text="what")
    async with asyncio.timeout(5):
        answer = await gateway.place(order)
    assert (status(answer), reason(answer)) == (PlacementStatus.IN_DOUBT, "77777: what")


@pytest.mark.parametrize("code", [104, 105])
async def test_what_is_said_of_a_change_says_of_a_new_order_that_its_id_was_seen(rig: Rig, code: int) -> None:
    gateway = await rig.gateway()
    order = resting()
    rig.paper.fail_next("place", FaultKind.ERROR_INSTEAD, order_ref=order.order_ref, code=code, text="seen")
    for _ in range(2):
        assert status(await gateway.place(order)) is PlacementStatus.IN_DOUBT
    assert len(rig.wired(order)) == 1
    assert PlacementStatus.REJECTED not in rig.orders.statuses(order)
