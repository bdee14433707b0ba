"""The gate: closed for as long as any reason stands, and past the end of the lease whoever noticed it."""

import asyncio

import pytest

from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr.gate import Gate, elapsed


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> Gate:
    """Open, with ten seconds of lease."""
    gate = Gate("not connected", clock)
    gate.holds_until(clock.now + 10)
    gate.lift("connection")
    return gate


def test_it_starts_closed_and_needs_a_lease(clock: Clock) -> None:
    gate = Gate("not connected", clock)
    gate.lift("connection", "lease")
    assert not gate.is_open
    gate.holds_until(clock.now + 1)
    assert gate.is_open


def test_a_lease_that_ran_out_closes_it_though_nobody_said_so(gate: Gate, clock: Clock) -> None:
    gate.require_open()
    clock.now += 9.9
    gate.require_open()
    gate.require_lease()
    clock.now += 0.1
    for ask in (gate.require_open, gate.require_lease):
        with pytest.raises(GatewayNotReady, match="has run out"):
            ask()
    gate.holds_until(clock.now + 10)
    gate.require_open()


def test_what_may_pass_a_closed_gate_still_needs_the_lease(gate: Gate) -> None:
    gate.close("broker", "1100: away")
    gate.require_lease()
    with pytest.raises(GatewayNotReady, match="1100"):
        gate.require_open()


def test_of_several_reasons_the_first_to_mend_is_named(gate: Gate) -> None:
    gate.close("reconcile", "the lists are being read")
    gate.close("connection", "not connected")
    assert gate.reason == "not connected"
    gate.close("lease", "another process")
    assert gate.reason == "another process"
    gate.lift("lease", "connection")
    assert gate.reason == "the lists are being read"
    assert gate.is_closed_for("reconcile")
    gate.lift("reconcile")
    assert gate.reason is None


async def test_who_waits_for_it_is_told(gate: Gate) -> None:
    gate.close("broker", "away")
    waiting = asyncio.create_task(gate.opened())
    await asyncio.sleep(0)
    assert not waiting.done()
    gate.lift("broker")
    await asyncio.wait_for(waiting, 1)
    await asyncio.wait_for(gate.changed(5), 1)


def test_the_clock_runs_on() -> None:
    before = elapsed()
    assert elapsed() >= before > 0
