"""A fault plan in a file: a gateway in a process of its own is told what goes wrong, and says what did."""

import asyncio
import json
from pathlib import Path
from typing import Any

import ib_async as iba
from tests.paper.clients import Desk, until
from tests.paper.test_fault_kinds import opened, told

from oms.paper.fault_file import FaultFile, journal_of


def write(path: Path, **plan: Any) -> None:
    """Replace the plan as a careful writer does: beside it, then renamed."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(plan))
    beside.rename(path)


def journal(path: Path) -> list[dict[str, Any]]:
    lines = journal_of(path)
    return [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []


async def test_a_file_switches_faults_on_and_off(desk: Desk) -> None:
    gateway, client = await opened(desk)
    path = desk.folder / "faults.json"
    watching = asyncio.create_task(FaultFile(path, gateway).watch())
    write(path, name="hold", rules=[{"kind": "hold_replies"}])
    await until(lambda: {"plan": "hold"} in journal(path))
    trade = client.place(iba.MarketOrder("BUY", 1, orderRef="r"))
    await until(lambda: [line.get("order_ref") for line in journal(path)][-1] == "r")
    assert trade.orderStatus.status == "PendingSubmit"
    write(path, name="go on", events=[{"do": "release"}])
    await client.status(trade, "Filled")
    write(path, name="hand", events=[{"do": "hand_order", "symbol": "AAPL", "quantity": "5"}])
    await until(lambda: len(gateway.executions()) == 2)
    path.unlink()
    await until(lambda: {"plan": ""} in journal(path))
    await client.status(client.place(iba.MarketOrder("BUY", 1)), "Filled")
    watching.cancel()
    said = [line.get("plan", line.get("kind")) for line in journal(path)]
    assert said == ["hold", "hold_replies", "go on", "release", "hand", "hand_order", ""]


async def test_a_file_that_cannot_be_read_leaves_the_plan_in_force(desk: Desk) -> None:
    gateway, client = await opened(desk)
    path = desk.folder / "faults.json"
    file = FaultFile(path, gateway)
    file.look()
    assert journal(path) == []
    write(path, rules=[{"kind": "error_instead", "times": 0}])
    file.look()
    path.write_text('{"rules": [')
    file.look()
    assert "cannot be read" in journal(path)[-1]["problem"]
    client.place(iba.MarketOrder("BUY", 1))
    await client.echo()
    assert told(client) == ["4:201"]
