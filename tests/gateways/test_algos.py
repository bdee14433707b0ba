"""Strategies as IB algorithms: names, tags, values, and their way over the wire."""

import pytest
from tests.gateways.rig import Rig, resting, status, ticket

from oms.domain.strategies import STRATEGIES
from oms.domain.terms import PlacementStatus
from oms.gateways.ibkr.algos import UnsupportedStrategy, algorithm
from oms.gateways.ibkr.orders import order_of

START, END = "2099-11-20T10:00:00-05:00", "2099-11-20T20:30:00.750Z"
TIMES = {"start": START, "end": END}
CASES: dict[str, tuple[dict[str, str], str, list[tuple[str, str]]]] = {
    "Adaptive": ({"priority": "Urgent"}, "Adaptive", [("adaptivePriority", "Urgent")]),
    "VWAP": (
        {"max_percent": "12.5", **TIMES, "allow_past_end": "true", "no_take_liquidity": "false"},
        "Vwap",
        [
            ("maxPctVol", "0.125"),
            ("noTakeLiq", "0"),
            ("startTime", "20991120-15:00:00"),
            ("endTime", "20991120-20:30:00"),
            ("allowPastEndTime", "1"),
        ],
    ),
    "TWAP": (
        {"kind": "Matching Midpoint", **TIMES, "allow_past_end": "false"},
        "Twap",
        [
            ("strategyType", "Matching Midpoint"),
            ("startTime", "20991120-15:00:00"),
            ("endTime", "20991120-20:30:00"),
            ("allowPastEndTime", "0"),
        ],
    ),
    "ArrivalPrice": (
        {
            "max_percent": "50",
            "urgency": "Get Done",
            "force_completion": "true",
            **TIMES,
            "allow_past_end": "true",
        },
        "ArrivalPx",
        [
            ("maxPctVol", "0.5"),
            ("riskAversion", "Get Done"),
            ("startTime", "20991120-15:00:00"),
            ("endTime", "20991120-20:30:00"),
            ("forceCompletion", "1"),
            ("allowPastEndTime", "1"),
        ],
    ),
    "PercentOfVolume": (
        {"percent": "1", **TIMES, "no_take_liquidity": "true"},
        "PctVol",
        [
            ("pctVol", "0.01"),
            ("startTime", "20991120-15:00:00"),
            ("endTime", "20991120-20:30:00"),
            ("noTakeLiq", "1"),
        ],
    ),
}


@pytest.mark.parametrize("strategy", CASES)
def test_names_tags_and_values(strategy: str) -> None:
    params, name, tags = CASES[strategy]
    sent, values = algorithm(strategy, params)
    assert (sent, [(one.tag, one.value) for one in values]) == (name, tags)


def test_what_is_not_given_is_not_sent() -> None:
    assert algorithm("VWAP", {}) == ("Vwap", [])
    assert [one.tag for one in algorithm("TWAP", {"end": END})[1]] == ["endTime"]


def test_every_strategy_of_the_order_book_is_known_with_every_parameter() -> None:
    assert set(STRATEGIES) == set(CASES)
    for strategy, terms in STRATEGIES.items():
        assert set(CASES[strategy][0]) == set(terms.parameters)


@pytest.mark.parametrize(
    ("strategy", "params", "said"),
    [
        ("Sniper", {}, "there are Adaptive, VWAP"),
        ("VWAP", {"speed": "1"}, "no parameter speed"),
        ("VWAP", {"max_percent": "0"}, "max_percent of VWAP: 0 is not above 0"),
        ("VWAP", {"max_percent": "50.1"}, "at most 50"),
        ("VWAP", {"max_percent": "lots"}, "not a number"),
        ("VWAP", {"max_percent": "NaN"}, "max_percent"),
        ("TWAP", {"start": "2026-11-20T10:00:00"}, "no time zone"),
        ("TWAP", {"start": "soon"}, "start of TWAP"),
        ("PercentOfVolume", {"no_take_liquidity": "yes"}, "neither true nor false"),
    ],
)
def test_what_ibkr_does_not_have_is_refused_in_a_sentence(
    strategy: str, params: dict[str, str], said: str
) -> None:
    with pytest.raises(UnsupportedStrategy, match=said):
        algorithm(strategy, params)


def test_an_order_without_a_strategy_names_none() -> None:
    order = order_of(ticket(), 1)
    assert (order.algoStrategy, order.algoParams) == ("", [])


async def test_each_strategy_arrives_as_it_was_meant(rig: Rig) -> None:
    gateway = await rig.gateway(acknowledge_seconds=3.0)
    for strategy, (params, name, tags) in CASES.items():
        order = resting(strategy=strategy, params=params)
        assert status(await gateway.place(order)) is PlacementStatus.WORKING, strategy
        sent = rig.sent(order)
        assert sent["algoStrategy"] == name
        assert [(tag, sent[tag]) for tag, _ in tags] == tags
