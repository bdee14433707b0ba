"""One process for a session and one gateway for an account: standbys, take-overs, and the fence behind a long pause."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.gateways.rig import ACCOUNT, Rig, eventually, resting, status, ticket

from oms.domain.terms import PlacementStatus
from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr import IBKRGateway, IBKRSettings
from oms.gateways.ibkr.books import Books
from oms.gateways.ibkr.owners import Owners
from oms.paper.ib_gateway import PaperIBGateway
from oms.paper.market import MarketSettings
from oms.store import GatewayState, IntentState, tables


@pytest.fixture
def settings(settings: IBKRSettings) -> IBKRSettings:
    """A lease that a test can wait out."""
    return replace(settings, lease_seconds=1.5)


LIFE = Path(__file__).parent / "life.py"


async def standing_by(gateway: IBKRGateway) -> None:
    await eventually(lambda: "another process" in (gateway._gate.reason or ""))


async def test_a_standby_connects_to_nothing_and_says_nothing_of_the_leader(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    first = await rig.gateway()
    await eventually(lambda: [report for report in rig.store.gateways.all() if report.gate_open])
    second = await rig.started()
    await standing_by(second)
    assert (await second.status()).state is GatewayState.STANDBY
    assert second.served == frozenset()
    assert not second._wire.is_connected
    with pytest.raises(GatewayNotReady, match="another process"):
        await second.place(ticket())
    updated = rig.store.gateways.all()[0].updated_ns
    await eventually(lambda: rig.store.gateways.all()[0].updated_ns > updated)
    (report,) = rig.store.gateways.all()
    assert (report.gate_open, report.state) == (True, GatewayState.OPEN)
    assert len(rig.paper._desk.sessions) == 1
    assert first.served == {ACCOUNT}
    out = capsys.readouterr().out
    assert out.count("ibkr.standby") == 1
    assert "ibkr.alarm" not in out


async def test_it_takes_over_at_once_from_one_that_stops(rig: Rig) -> None:
    first = await rig.gateway(lease_seconds=30)
    second = await rig.started(lease_seconds=30)
    await standing_by(second)
    await first.stop()
    await asyncio.wait_for(second.ready(), 2)
    assert second.served == {ACCOUNT}
    (report,) = await eventually(lambda: [one for one in rig.store.gateways.all() if one.gate_open])
    assert report.state is GatewayState.OPEN


async def test_it_takes_over_the_orders_of_one_that_died(rig: Rig) -> None:
    first = await rig.gateway()
    order = resting()
    await first.place(order)
    second = await rig.started()
    await standing_by(second)
    await rig.crash(first)
    await asyncio.wait_for(second.ready(), rig.settings.lease_seconds + 2)
    assert status(await second.cancel(order)) is PlacementStatus.CANCELED


async def test_a_process_that_comes_back_after_its_lease_sends_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the last look at the intent and the bytes lies a pause that nobody in the process has noticed."""
    gateway = await rig.gateway()
    order, working = ticket(), resting()
    await gateway.place(working)
    before = len(rig.paper.orders())
    opening = Books.open

    async def stopped_after(*args: Any, **more: Any) -> Any:
        answer = await opening(*args, **more)
        gateway._gate._until = 0.0
        return answer

    monkeypatch.setattr(Books, "open", stopped_after)
    with pytest.raises(GatewayNotReady, match="lease has run out"):
        await gateway.place(order)
    with pytest.raises(GatewayNotReady, match="lease"):
        gateway._wire.cancel(rig.intent(working).broker_order_id)
    assert len(rig.paper.orders()) == before
    assert rig.state(order) is IntentState.SENDING


@pytest.mark.parametrize("gone", [False, True])
async def test_a_process_that_comes_back_after_its_lease_writes_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, *, gone: bool
) -> None:
    """It stands still between reading an intent and writing it; meanwhile another process leads, or has led."""
    gateway = await rig.gateway()
    order = resting()
    await gateway.place(order)
    connected = gateway._session.connected_ns
    read = Owners.__init__

    def meanwhile() -> None:
        first, *_ = rig.settings.lease_keys
        _taken(rig, first)
        if gone:
            rig.store.leases.release(first, "another")
            asyncio.run_coroutine_threadsafe(gateway._tenure.renew(), loop).result(5)

    def taken_over(self: Owners, *args: Any) -> None:
        read(self, *args)
        monkeypatch.setattr(Owners, "__init__", read)
        Context().run(meanwhile)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(Owners, "__init__", taken_over)
    rig.say(3, rig.intent(order).broker_order_id, "Submitted", 4, 6, 5, 99, 0, 0, 1, "", 0)
    if not gone:
        await eventually(lambda: "another" in (gateway._gate.reason or ""))
        await eventually(lambda: not gateway._wire.is_connected)
        assert gateway._inbound.waiting == 0
    else:
        await eventually(lambda: gateway._session.connected_ns not in (None, connected))
    assert 99 not in rig.intent(order).perm_ids
    assert '"filled":"4"' not in rig.intent(order).detail


def _taken(rig: Rig, name: str) -> None:
    """Another process takes a lease that has run out."""
    with rig.store.database.write() as connection:
        past = datetime.now(UTC) - timedelta(seconds=1)
        connection.execute(tables.leases.update().where(tables.leases.c.name == name).values(expires_at=past))
    assert rig.store.leases.acquire(name, "another", 30)


async def test_a_lease_that_the_store_will_not_renew_ends_in_time(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await rig.gateway(lease_seconds=0.8)

    def away(*_: Any) -> bool:
        raise ConnectionError("the store is away")

    monkeypatch.setattr(rig.store.leases, "acquire", away)
    await eventually(lambda: not gateway._wire.is_connected)
    assert "lease" in (gateway._gate.reason or "")
    assert gateway.served == frozenset()
    monkeypatch.undo()
    await asyncio.wait_for(gateway.ready(), 10)


async def test_the_old_connection_keeps_the_client_id_until_it_ends(rig: Rig) -> None:
    """A host that died without a word: its lease is over, its connection is not yet."""
    old = await _as_client(rig, rig.settings.client_id)
    gateway = await rig.started()
    await eventually(lambda: "326: client id 1 is in use" in (gateway._gate.reason or ""))
    assert (await gateway.status()).state is GatewayState.CONNECTING
    old.close()
    await asyncio.wait_for(gateway.ready(), 5)


async def _as_client(rig: Rig, client_id: int) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection("127.0.0.1", rig.paper.port)
    for frame in (b"v157..178", b"71\x002\x00%d\x00\x00" % client_id):
        prefix = b"API\x00" if frame.startswith(b"v") else b""
        writer.write(prefix + len(frame).to_bytes(4, "big") + frame)
    await eventually(lambda: client_id in rig.paper._desk.sessions)
    return writer


@pytest.fixture
async def wide(rig: Rig, tmp_path: Path) -> AsyncIterator[Rig]:
    """A broker with two accounts."""
    market = MarketSettings(step_seconds=0.02, moving=False)
    paper = PaperIBGateway(accounts=("DU1", "DU2"), state_file=tmp_path / "wide.db", market=market)
    await paper.start()
    other = Rig(paper, rig.store, replace(rig.settings, port=paper.port, accounts=("DU1",)))
    yield other
    await other.close()
    await paper.stop()


async def test_an_account_is_served_by_one_gateway_whatever_the_client_id(wide: Rig) -> None:
    first = await wide.gateway()
    second = await wide.gateway(name="other", client_id=2, accounts=("DU1", "DU2"))
    assert (first.served, second.served) == ({"DU1"}, {"DU2"})
    health = {one.account: one for one in (await second.status()).per_account}
    assert (health["DU1"].served, health["DU2"].served) == (False, True)
    assert "served by ibkr on" in (health["DU1"].detail or "")
    assert (await second.status()).accounts == ("DU2", "DU1")
    await first.stop()
    await asyncio.wait_for(second.served_changed(), 5)
    await eventually(lambda: second.served == {"DU1", "DU2"})


async def test_another_sessions_placement_is_left_alone(wide: Rig) -> None:
    """Order ids are a session's own: ours with that number would be another order."""
    first = await wide.gateway()
    order = resting(account="DU1")
    await first.place(order)
    await first.stop()
    second = await wide.gateway(name="other", client_id=2, accounts=("DU1",))
    mine = resting(account="DU1")
    await second.place(mine)
    for call in (second.place, second.cancel, second.ask):
        with pytest.raises(GatewayNotReady, match="was sent by gateway ibkr"):
            await call(order)
    assert [line.status for line in wide.paper.orders()] == ["Submitted", "Submitted"]


# Real processes


@asynccontextmanager
async def life(rig: Rig, tmp_path: Path, name: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A gateway in a process of its own, which places an order whenever it reads a line, and tells what came of it."""
    url = str(rig.store.database.engine.url)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(LIFE),
        url,
        str(rig.paper.port),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=(tmp_path / f"{name}.log").open("wb"),
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        await process.wait()


async def said(process: asyncio.subprocess.Process, seconds: float = 20) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), seconds)).decode().strip()


async def test_a_stopped_process_does_not_place_when_it_wakes(rig: Rig, tmp_path: Path) -> None:
    async with life(rig, tmp_path, "first") as first:
        assert await said(first) == "ready"
        heir = await rig.started()
        await standing_by(heir)
        assert first.stdin is not None
        os.kill(first.pid, signal.SIGSTOP)
        first.stdin.write(b"place\n")
        await eventually(heir._tenure.held.is_set, rig.settings.lease_seconds + 2)
        os.kill(first.pid, signal.SIGCONT)
        # Its gate closed by the clock; which of the two it says depends on what it asked first.
        answer = await said(first)
        assert "lease has run out" in answer or "another process" in answer
        await asyncio.wait_for(heir.ready(), 10)
        assert rig.paper.orders() == []


async def test_a_killed_process_is_followed_by_the_standby(rig: Rig, tmp_path: Path) -> None:
    async with life(rig, tmp_path, "first") as first:
        assert await said(first) == "ready"
        assert first.stdin is not None
        first.stdin.write(b"place\n")
        assert await said(first) == "WORKING"
        heir = await rig.started()
        await standing_by(heir)
        first.kill()
        await asyncio.wait_for(heir.ready(), rig.settings.lease_seconds + 2)
        (line,) = rig.paper.orders()
        assert line.status == "Submitted"
        assert socket.gethostname() in heir._tenure._holder
