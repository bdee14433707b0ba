"""The gateway is killed with SIGKILL and started again on the same state file."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import ib_async as iba
import pytest
from tests.paper.clients import Desk, until

from oms.paper.ib_book import read_executions, read_orders

pytestmark = pytest.mark.fault

SERVER = Path(__file__).with_name("serve_paper_gateway.py")


class Process:
    """A gateway process that can be killed and started again."""

    def __init__(self, state_file: Path) -> None:
        self.state_file = state_file
        self.port = 0
        self._running: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._running = await asyncio.create_subprocess_exec(
            sys.executable, str(SERVER), str(self.state_file), stdout=asyncio.subprocess.PIPE
        )
        assert self._running.stdout is not None
        async with asyncio.timeout(10):
            self.port = int(await self._running.stdout.readline())

    async def kill(self) -> None:
        if self._running is not None and self._running.returncode is None:
            self._running.send_signal(signal.SIGKILL)
            await self._running.wait()


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    process = Process(tmp_path / "paper.db")
    await process.start()
    yield process
    await process.kill()


async def test_everything_told_is_there_after_kill(desk: Desk, process: Process) -> None:
    client = await desk.client(process.port)
    filled = client.place(iba.MarketOrder("BUY", 10, orderRef="filled"))
    resting = client.place(iba.LimitOrder("SELL", 10, 500, orderRef="resting"))
    stop = client.place(iba.StopOrder("SELL", 10, 5, orderRef="stop"))
    part = client.place(iba.LimitOrder("BUY", 150, 12.10, orderRef="part"), "THIN")
    gone = client.place(iba.LimitOrder("BUY", 10, 1, orderRef="gone"))
    rejected = client.place(iba.MarketOrder("BUY", 1, orderRef="rejected"), "HALTD")
    await until(lambda: part.orderStatus.filled == 100 and filled.isDone() and rejected.isDone())
    client.ib.cancelOrder(gone.order)
    await client.status(gone, "Cancelled")
    await client.status(resting, "Submitted")
    seen = {f.execution.execId for t in (filled, part) for f in t.fills}
    await process.kill()
    await until(lambda: not client.ib.isConnected())
    assert {e.exec_id for e in read_executions(process.state_file)} == seen
    assert {o.order_ref: o.status for o in read_orders(process.state_file)}["part"] == "Submitted"

    await process.start()
    again = await desk.client(process.port)
    open_trades = {t.order.orderRef: t for t in again.ib.openTrades()}
    assert open_trades.keys() == {"resting", "stop", "part"}
    assert open_trades["stop"].order.permId == stop.order.permId
    assert open_trades["part"].orderStatus.filled == 100
    assert {f.execution.execId for f in again.ib.fills()} == seen
    completed = {
        t.order.orderRef: t.orderStatus.status for t in await again.ib.reqCompletedOrdersAsync(False)
    }
    assert completed == {"filled": "Filled", "gone": "Cancelled", "rejected": "Inactive"}
    assert {p.contract.symbol: p.position for p in again.ib.positions()} == {"AAPL": 10, "THIN": 100}
    cash = {v.tag: v.value for v in again.ib.accountValues() if not v.modelCode}["TotalCashValue"]
    assert cash == f"{1_000_000 - 2285.20 - 1 - 1201 - 1:.2f}"
    assert open_trades["stop"].orderStatus.whyHeld == "trigger"
    # What was bought from THIN's offer is gone for good.
    late = again.place(iba.LimitOrder("BUY", 1, 12.10, tif="IOC"), "THIN")
    await again.status(late, "Cancelled")
    assert (late.orderStatus.filled, open_trades["part"].orderStatus.filled) == (0, 100)
    # Numbers go on upwards, and an old id is still used.
    fresh = again.place(iba.MarketOrder("BUY", 1, orderRef="fresh"))
    await again.status(fresh, "Filled")
    assert fresh.order.orderId > rejected.order.orderId
    assert fresh.order.permId > max(t.order.permId for t in (filled, resting, stop, part, gone))
    assert fresh.fills[0].execution.execId not in seen
    again.ib.client.placeOrder(filled.order.orderId, fresh.contract, iba.MarketOrder("BUY", 1))
    await again.error(103)
    # Open orders go on working.
    again.ib.cancelOrder(open_trades["resting"].order)
    await again.status(open_trades["resting"], "Cancelled")


async def test_killed_in_the_middle_of_a_burst(desk: Desk, process: Process) -> None:
    for _ in range(3):
        client = await desk.client(process.port)
        trades = [client.place(iba.MarketOrder("BUY", 1)) for _ in range(300)]
        await until(lambda ts=trades: any(t.fills for t in ts))  # type: ignore[misc]
        await process.kill()
        await until(lambda c=client: not c.ib.isConnected())  # type: ignore[misc]
        told = {f.execution.execId for t in trades for f in t.fills}
        kept = read_executions(process.state_file)
        assert told <= {e.exec_id for e in kept}
        assert len({e.order_id for e in kept}) == len(kept)
        await process.start()
    again = await desk.client(process.port)
    assert {f.execution.execId for f in again.ib.fills()} == {e.exec_id for e in kept}
    assert again.ib.positions()[0].position == len(kept)
