"""The real things that tests run on: a Temporal dev server, a client, an order worker."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from oms.activities.book import BookActivities
from oms.activities.calendar import CalendarActivities
from oms.activities.compliance import ComplianceActivities
from oms.store import Store
from oms.workflows.contract import ORDER_QUEUE, SEARCH_ATTRIBUTES
from oms.workflows.order import OrderWorkflow

START_PATIENCE_SECONDS = 60
FAST_POLLS = (
    "history.transferProcessorMaxPollRPS=2000",
    "history.timerProcessorMaxPollRPS=2000",
    "history.visibilityProcessorMaxPollRPS=200",
)


@dataclass(frozen=True)
class TemporalServer:
    """A running dev server, in memory."""

    host: str
    port: int

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    async def client(self, namespace: str = "default") -> Client:
        """A client as every process of the project makes it."""
        return await Client.connect(self.address, namespace=namespace, data_converter=pydantic_data_converter)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on right now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@asynccontextmanager
async def temporal_server() -> AsyncIterator[TemporalServer]:
    """A Temporal dev server of its own, with our search attributes; one for each test session is enough."""
    port, http_port, metrics_port = free_ports(3)
    command = [str(Path(sys.executable).parent / "temporal"), "server", "start-dev", "--headless"]
    command += ["--ip", "127.0.0.1", "--port", str(port), "--http-port", str(http_port)]
    command += ["--metrics-port", str(metrics_port), "--log-level", "error"]
    for value in FAST_POLLS:
        command += ["--dynamic-config-value", value]
    for attribute in SEARCH_ATTRIBUTES:
        command += ["--search-attribute", f"{attribute.name}=Keyword"]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "DO_NOT_TRACK": "1"},
    )
    server = TemporalServer("127.0.0.1", port)
    try:
        await _serving(server, process)
        yield server
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _serving(server: TemporalServer, process: asyncio.subprocess.Process) -> None:
    """Wait until the server takes a client and knows the search attributes."""
    deadline = asyncio.get_running_loop().time() + START_PATIENCE_SECONDS
    while True:
        if process.returncode is not None:
            raise RuntimeError(f"the Temporal server ended with {process.returncode}")
        try:
            client = await server.client()
            await client.count_workflows(f"{SEARCH_ATTRIBUTES[0].name} = 'none'")
        except (RPCError, RuntimeError):
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.05)
        else:
            return


@asynccontextmanager
async def order_worker(
    client: Client,
    store: Store,
    *,
    activities: Sequence[Callable[..., Any]] = (),
    **options: Any,
) -> AsyncIterator[Worker]:
    """A worker of orders over `store`: sandboxed, with the real activities on the book, and any others."""
    book, compliance = BookActivities(store), ComplianceActivities(store)
    with ThreadPoolExecutor(8) as executor:
        worker = Worker(
            client,
            task_queue=ORDER_QUEUE,
            workflows=[OrderWorkflow],
            activities=[
                book.record,
                compliance.evaluate_pre_trade,
                compliance.evaluate_post_trade,
                CalendarActivities().settlement_date,
                *activities,
            ],
            activity_executor=executor,
            workflow_runner=SandboxedWorkflowRunner(
                restrictions=SandboxRestrictions.default.with_passthrough_modules("oms")
            ),
            **options,
        )
        async with worker:
            yield worker


async def until(met: Callable[[], Any], what: str, seconds: float = 15) -> Any:
    """Wait for `met()` to answer something true and answer it; AssertionError says `what` never came."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        found = met()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        await asyncio.sleep(0.02)
