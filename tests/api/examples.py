"""A shell's curl on a real `oms dev`, and what the examples of both program surfaces ask of an answer.

The contract of each answer is its keys, words and types; what the orders became is looked up in the order book, in the
journal, in Temporal, and at the broker's own count.
"""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from oms.paper.fault_file import journal_of
from oms.paper.ib_book import read_executions
from tests.faults.desk import Desk, until
from tests.stack import TemporalServer

BATCHES = "/api/v1/orders"
NUMBER = (int, Decimal)


class Broker:
    """What goes wrong at the paper broker, as the file of its fault plan says."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._plans = 0

    def does(self, **plan: Any) -> None:
        """Put a plan in force, and wait until it is."""
        self._plans += 1
        name = f"plan {self._plans}"
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps({"name": name, **plan}))
        fresh.replace(self.file)
        journal = journal_of(self.file)
        until(f"{name} in force", lambda: journal.exists() and f'"{name}"' in journal.read_text(), 10)


class Curl:
    """A shell's curl on a running order book."""

    def __init__(self, desk: Desk, broker: Broker) -> None:
        self.desk = desk
        self.broker = broker
        self.key = desk.http["pm"].headers["X-API-Key"]

    def __call__(self, *arguments: str, data: str | None = None) -> "Answer":
        """`curl` with these arguments; the path is the last of them."""
        *options, path = arguments
        command = ["curl", "-sS", "-i", "--noproxy", "*", "--max-time", "30", *options]
        if data is not None:
            command += ["-H", "Content-Type: application/json", "-d", data]
        done = subprocess.run([*command, self.desk.api + path], capture_output=True, text=True, check=True)
        return Answer(done.stdout)

    def targets(self, *arguments: str, data: str | None = None) -> "Answer":
        """As a client of target positions."""
        return self("-H", f"X-API-Key: {self.key}", *arguments, data=data)

    def command(self, *arguments: str, data: str | None = None) -> "Answer":
        """As a client that signs commands."""
        return self("-H", f"x-api-token: {self.key}", *arguments, data=data)

    def aim(self, *options: str, **quantities: Any) -> dict[str, Any]:
        """Post a target for each symbol: a quantity, or the whole row. The batch, its rows by symbol."""
        rows = [
            {"symbol": symbol, **(asked if isinstance(asked, dict) else {"quantity": asked})}
            for symbol, asked in quantities.items()
        ]
        answer = self.targets("-X", "POST", *options, BATCHES, data=json.dumps({"orders": rows}))
        assert answer.status == 201, answer.text
        return {**answer.json, "rows": {row["symbol"]: row for row in answer.json["results"]}}

    def rows(self, batch_id: str) -> dict[str, dict[str, Any]]:
        """The rows of a batch by symbol, after a look at the broker."""
        answer = self.targets(f"{BATCHES}/{batch_id}")
        assert answer.status == 200, answer.text
        return {row["symbol"]: row for row in answer.json["orders"]}

    def until_row(self, batch_id: str, symbol: str, met: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            row = self.rows(batch_id)[symbol]
            return row if met(row) else None

        found: dict[str, Any] = until(f"{symbol} of {batch_id}", there, 20)
        return found

    def executed(self, symbol: str) -> Decimal:
        """What the broker itself counts: signed, all executions."""
        found = read_executions(self.desk.folder / "paper-ib.db")
        signed = (e.quantity if e.side == "BUY" else -e.quantity for e in found if e.symbol == symbol)
        return sum(signed, Decimal(0))


class Answer:
    """An answer as curl wrote it, its numbers exact."""

    def __init__(self, text: str) -> None:
        self.text = text
        head, _, self.body = text.partition("\n\n") if "\r\n\r\n" not in text else text.partition("\r\n\r\n")
        first, *lines = head.splitlines()
        self.status = int(first.split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def json(self) -> Any:
        return json.loads(self.body, parse_float=Decimal)


@pytest.fixture(scope="module")
def curl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Curl]:
    folder = tmp_path_factory.mktemp("examples")
    broker = Broker(folder / "faults.json")
    desk = Desk(folder / "oms", OMS_PAPER_FAULTS=str(broker.file))
    desk.start()
    try:
        yield Curl(desk, broker)
    finally:
        desk.stop()


def is_like(value: Any, shape: Any) -> bool:
    """Whether a value has this shape: types, and dictionaries with these keys and no other."""
    if isinstance(shape, dict):
        return (
            isinstance(value, dict)
            and value.keys() == shape.keys()
            and all(is_like(value[key], shape[key]) for key in shape)
        )
    if isinstance(shape, list):
        return isinstance(value, list) and all(is_like(item, shape[0]) for item in value)
    if isinstance(shape, re.Pattern):
        return isinstance(value, str) and shape.fullmatch(value) is not None
    return isinstance(value, shape) and (bool in _kinds(shape) or not isinstance(value, bool))


def _kinds(shape: Any) -> tuple[Any, ...]:
    return shape if isinstance(shape, tuple) else (shape,)


def is_journaled(curl: Curl, order_id: str) -> None:
    kinds = [
        event["kind"] for event in curl.desk.call("viewer", "GET", f"/v1/orders/{order_id}/journal")["items"]
    ]
    assert kinds[0] == "order_created"
    assert "fill_booked" in kinds


async def is_in_temporal(curl: Curl, name: str, *, ended: bool) -> None:
    """Whatever the Web UI lists: the workflow, well."""
    address = re.search(r"temporal=(\S+):(\d+) ", (curl.desk.folder.parent / "oms.out").read_text())
    assert address is not None
    client = await TemporalServer(address[1], int(address[2])).client()
    status = (await client.get_workflow_handle(name).describe()).status
    well = (
        {WorkflowExecutionStatus.COMPLETED}
        if ended
        else {
            WorkflowExecutionStatus.COMPLETED,
            WorkflowExecutionStatus.RUNNING,
        }
    )
    assert status in well, name
