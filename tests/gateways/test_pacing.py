"""The pace: cancels first, never above the rate in any window of one second."""

import asyncio
import random

import pytest

from oms.gateways.ibkr.pacing import Pacer, Turns, Urgency


def taken(turns: Turns, until: float, step: float = 0.05) -> list[tuple[float, int]]:
    """(time, turn) of every turn taken up to `until`, looking every `step` seconds."""
    given, now = [], 0.0
    while now <= until:
        given += [(now, turn) for turn in turns.due(now)]
        now = round(now + step, 6)
    return given


def test_cancels_go_first_then_questions_then_placements_each_in_order() -> None:
    turns = Turns(2)
    places = [turns.ask(Urgency.PLACE) for _ in range(3)]
    question = turns.ask(Urgency.QUERY)
    cancels = [turns.ask(Urgency.CANCEL) for _ in range(2)]
    assert [turn for _, turn in taken(turns, 3)] == [*cancels, question, *places]


@pytest.mark.parametrize("seed", range(5))
def test_no_window_of_a_second_has_more_than_the_rate(seed: int) -> None:
    chance = random.Random(seed)
    turns, rate, now, given = Turns(7), 7, 0.0, []
    for _ in range(2000):
        now += chance.expovariate(30)
        if chance.random() < 0.7:
            turns.ask(chance.choice(list(Urgency)))
        given += [now] * len(turns.due(now))
    assert len(given) > 200
    for first, later in zip(given, given[rate:], strict=False):
        assert later - first >= 1.0


def test_the_whole_rate_is_used() -> None:
    turns = Turns(10)
    for _ in range(30):
        turns.ask(Urgency.PLACE)
    given = taken(turns, 2.0)
    assert [sum(1 for at, _ in given if at == second) for second in (0.0, 1.0, 2.0)] == [10, 10, 10]


def test_who_leaves_the_queue_takes_no_turn() -> None:
    turns = Turns(1)
    first, second, third = (turns.ask(Urgency.PLACE) for _ in range(3))
    turns.drop(second)
    assert turns.waiting == 2
    assert taken(turns, 3) == [(0.0, first), (1.0, third)]


def test_messages_the_library_sent_by_itself_count() -> None:
    turns = Turns(3)
    turns.spend(3, 0.0)
    turn = turns.ask(Urgency.CANCEL)
    assert turns.due(0.5) == []
    assert turns.next_at() == 1.0
    assert turns.due(1.0) == [turn]
    assert turns.next_at() is None


async def test_on_the_loop_a_cancel_overtakes_what_waits() -> None:
    pacer = Pacer(5)
    order: list[str] = []

    async def go(name: str, urgency: Urgency) -> None:
        await pacer.turn(urgency)
        order.append(name)

    pacer.spend(5)
    waiting = [asyncio.create_task(go(f"place {n}", Urgency.PLACE)) for n in range(3)]
    given_up = asyncio.create_task(go("nobody", Urgency.CANCEL))
    await asyncio.sleep(0)
    given_up.cancel()
    cancel = asyncio.create_task(go("cancel", Urgency.CANCEL))
    await asyncio.wait_for(asyncio.gather(*waiting, cancel), 5)
    assert order == ["cancel", "place 0", "place 1", "place 2"]
    assert pacer.waiting == 0
