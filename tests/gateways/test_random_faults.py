"""Random orders, changes and cancels through random fault plans: whatever goes wrong, the books agree in the end.

    pytest tests/gateways/test_random_faults.py                                       the same plans every time
    OMS_TESTS_HYPOTHESIS=explore pytest tests/gateways/test_random_faults.py          others, and more of them

A plan that fails is printed as JSON with its orders: what it found becomes an acceptance card of its own.
"""

import asyncio
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.gateways.random_desk import RandomDesk, Work, wrong
from tests.gateways.rig import Rig

from oms.bench.doubt import measure_doubt
from oms.gateways.ibkr import IBKRSettings
from oms.paper.faults import FaultKind, FaultPlan
from oms.paper.ib_gateway import PaperIBGateway
from oms.paper.market import MarketSettings
from oms.store import Store

EXAMPLES = 40 if os.environ.get("OMS_TESTS_HYPOTHESIS") == "explore" else 6
K = FaultKind
BREAKS = [K.LOST_BEFORE_READ, K.EXECUTED_REPLIES_LOST, K.CUT_REPLIES]
LATE = [K.DELAYED, K.HOLD_BEFORE_READ, K.HOLD_REPLIES]
ODD = [
    *(K.DUPLICATE_STATUS, K.MISSING_STATUS, K.REORDERED_STATUS, K.COMMISSION_FIRST, K.COMMISSION_MISSING),
    *(K.EXECUTION_FIRST, K.INFORMATION_399, K.INFORMATION_2109, K.INFORMATION_10349),
]
SAID = [K.ERROR_INSTEAD, K.ERROR_BEFORE, K.ERROR_AFTER]
ENDS = [K.REJECTED, K.ERROR_ALONE, K.INACTIVE_ALONE, K.HELD_FOR_LOCATE, K.CORRECTED, K.BUSTED]
CODES = [110, 201, 354, 399, 2109, 10148, 10349, 77777]
"""Not 103 and 104: a broker that calls an id seen which it never saw leaves a doubt for a person, by policy. And not
202 and 10147, which end an order that lives."""


def rates(kinds: list[FaultKind], most: float) -> st.SearchStrategy[dict[str, float]]:
    """Up to five kinds, that together hit `most` of the requests at most."""
    one = st.sampled_from([0.25, 0.5, 1.0]).map(lambda share: share * most / 5)
    return st.dictionaries(st.sampled_from(kinds).map(str), one, max_size=5)


def losses() -> st.SearchStrategy[dict[str, float]]:
    """Two ways or more to lose a send, and a few others to say it oddly."""
    lost = st.dictionaries(
        st.sampled_from([*BREAKS, K.ACCEPTED_INVISIBLE]).map(str), st.just(0.12), min_size=2, max_size=4
    )
    return st.builds(lambda these, others: {**others, **these}, lost, rates([*LATE, *ODD, *SAID, *ENDS], 0.3))


MOMENTS = st.integers(1, 14)
EVENTS = st.one_of(
    st.builds(lambda n: {"do": "drop_connections", "after_placements": n}, MOMENTS),
    st.builds(lambda n: {"do": "cut_request", "after_placements": n}, MOMENTS),
    st.builds(lambda n: {"do": "silence", "after_placements": n, "seconds": 0.4}, MOMENTS),
    st.builds(lambda n: {"do": "roll_back_ids", "after_placements": n}, MOMENTS),
    st.builds(lambda n: {"do": "restart", "after_placements": n, "seconds": 0.1}, MOMENTS),
    st.builds(
        lambda n, lost: {
            "do": "connectivity_lost",
            "after_placements": n,
            "seconds": 0.3,
            "data_lost": lost,
        },
        MOMENTS,
        st.booleans(),
    ),
    st.builds(
        lambda n, what: {"do": what, "after_placements": n, "symbol": "MSFT", "quantity": "3"},
        MOMENTS,
        st.sampled_from(["hand_order", "other_client_order"]),
    ),
    st.builds(lambda n, code: {"do": "notice", "after_placements": n, "code": code}, MOMENTS, st.just(2104)),
    st.builds(
        lambda n, what: {"do": "unanswered", "after_placements": n, "request": what, "seconds": 0.3},
        MOMENTS,
        st.sampled_from(["open_orders", "completed_orders", "executions", "positions"]),
    ),
)
PLANS = st.fixed_dictionaries(
    {
        "seed": st.integers(1, 10_000),
        "rates": losses(),
        # Longer than the gateway looks: then it is the order id that keeps the order one.
        "invisible": st.just((0.1, 0.9)),
        "modify_rates": rates([*BREAKS, *LATE, *ODD, *SAID, K.SECOND_PERM_ID], 0.5),
        "cancel_rates": rates([*BREAKS, *LATE, *SAID], 0.5),
        "list_rates": rates([K.LOST_BEFORE_READ, K.PARTIAL_LIST, K.DELAYED], 0.1),
        "events": st.lists(EVENTS, max_size=3),
        "codes": st.just(CODES),
        "hold": st.just(0.5),
        "locate": st.just(0.2),
    }
)
PRICES = st.sampled_from([None, None, "5", "300"])
"""A market order, one that rests, one that the market fills."""
WORKS = st.lists(
    st.builds(
        Work,
        price=PRICES,
        quantity=st.integers(1, 9),
        changes=st.lists(st.sampled_from(["less", "6", "4.50"]), max_size=2),
        cancels=st.booleans(),
    ),
    min_size=12,
    max_size=16,
)


@pytest.mark.timeout(900)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    # A plan runs for seconds, and is told as data: it is not made smaller by running it a hundred times.
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(plan=PLANS, works=WORKS, crash_after=st.none() | st.integers(2, 8))
def test_whatever_goes_wrong_the_books_agree_in_the_end(
    migrated: Path, plan: dict[str, Any], works: list[Work], crash_after: int | None
) -> None:
    with tempfile.TemporaryDirectory(prefix="oms-random-") as folder:
        asyncio.run(_try(migrated, Path(folder), FaultPlan(**plan), works, crash_after))


async def _try(
    migrated: Path, folder: Path, plan: FaultPlan, works: list[Work], crash_after: int | None
) -> None:
    shutil.copy(migrated, folder / "oms.db")
    store = Store(f"sqlite:///{folder / 'oms.db'}")
    market = MarketSettings(step_seconds=0.02, moving=False)
    paper = PaperIBGateway(state_file=folder / "paper.db", market=market)
    await paper.start()
    rig = Rig(paper, store, _settings(paper.port))
    desk = RandomDesk(rig, works)
    told = f"plan {plan.to_json()}\ncrash after {crash_after}\n{works}"
    try:
        await desk.run(plan, crash_after)
        found = wrong(rig, works)
        assert found == [], f"{found}\n{told}\ncommitted {paper.committed}"
    except TimeoutError as error:
        raise AssertionError(f"it does not come to rest: {wrong(rig, works)}\n{told}") from error
    finally:
        await rig.close()
        await paper.stop()
        store.close()


def _settings(port: int) -> IBKRSettings:
    return IBKRSettings(
        port=port,
        messages_per_second=500,
        acknowledge_seconds=0.4,
        grace_seconds=0.25,
        heartbeat_seconds=1.0,
        reconcile_seconds=1.0,
        connect_timeout_seconds=2.0,
        request_timeout_seconds=1.0,
        backoff_seconds=0.1,
        lease_seconds=2.0,
    )


@pytest.mark.parametrize("seed", [1, 2])
async def test_with_nearly_half_of_the_sends_in_doubt_each_order_is_executed_and_booked_once(
    tmp_path: Path, seed: int
) -> None:
    """`oms bench --doubt 20` runs twenty seeds of 300 orders each."""
    found = await measure_doubt(seed, 80, tmp_path)
    assert found.is_whole, found
    assert found.faults > 20
