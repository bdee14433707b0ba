"""The embedded stack: everything on a laptop, in one command.

This process runs the API and the order worker; the Temporal server, the paper venues and the gateway are
children of it. What lasts is in the data folder, so the same folder goes on where it stopped, however it stopped.
"""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from temporalio.client import Client
from temporalio.worker import Worker

from oms.activities.calendar import DEFAULT_MIC, exchange_calendar
from oms.paper.flex_contract import PAPER_QUERY, PAPER_TOKEN, PATH
from oms.store import Store
from oms.workers.collecting import calm_the_collector
from oms.workers.errors import CannotStart, NoTemporalBinary, Unreachable
from oms.workers.folder import DataFolder, free_port, is_free, seed
from oms.workers.serving import serving
from oms.workers.settings import PREFIX, Settings
from oms.workers.supervisor import Child, end_leftovers, remember
from oms.workers.temporal import connect, find_binary, server_command

LOG = structlog.get_logger()
START_PATIENCE = 60.0
_CHILD_PATIENCE = 3.0
SECRET_SETTINGS = frozenset({"database_url"}).union(
    name for name, field in Settings.model_fields.items() if not field.repr
)
SECRET_VARIABLES = frozenset({"ENVELOPE_SECRET", "API_TOKENS", "OMS_API_KEY"})
"""Secrets by names of their own, which no child reads: the API and the workers run in this process."""
NEEDED_SECRETS: Mapping[str, frozenset[str]] = {
    "gateway-ibkr": frozenset({"database_url", "temporal_api_key"})
}
"""What a child cannot do without; every other secret stays here."""


@dataclass(frozen=True)
class Stack:
    """A running stack, as its users see it."""

    api: str
    temporal: str
    ui: str
    keys_file: Path
    keys: Mapping[str, str]
    settings: Settings
    store: Store
    client: Client
    children: Mapping[str, Child]

    @property
    def ready_line(self) -> str:
        return f"ready api={self.api} temporal={self.temporal} ui={self.ui} keys={self.keys_file}"


@asynccontextmanager
async def embedded_stack(settings: Settings) -> AsyncIterator[Stack]:
    """Start everything; the stack is ready inside the block and stopped after it. Raises CannotStart."""
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(DataFolder(settings.data_dir.resolve()))
        end_leftovers(folder.children_file)
        settings = _with_secret(_with_ports(settings, folder), folder)
        children = await _children(stack, settings, folder)
        await children["temporal"].start()
        await children["paper"].start()
        store = Store(settings.store_url)
        stack.callback(store.close)
        store.migrate()
        seed(store, settings.accounts[0])
        keys = folder.keys(store)
        since_ns = time.time_ns()
        await children["gateway-ibkr"].start()
        client, port = await _serve_orders(stack, settings, store)
        await _until_in_sync(store, since_ns)
        calm_the_collector()
        warming = asyncio.create_task(asyncio.to_thread(exchange_calendar, DEFAULT_MIC))
        stack.callback(warming.cancel)
        yield Stack(
            api=f"http://{settings.host}:{port}",
            temporal=settings.temporal_address,
            ui=f"http://127.0.0.1:{settings.ui_port}",
            keys_file=folder.keys_file,
            keys=keys,
            settings=settings,
            store=store,
            client=client,
            children=children,
        )
        LOG.info("stack.stopping")


def _with_ports(settings: Settings, folder: DataFolder) -> Settings:
    """The settings with every port decided. Raises CannotStart where a port asked for is in use."""
    for name, port in (
        ("--port", settings.port),
        ("--temporal-port", settings.temporal_port),
        ("--ui-port", settings.ui_port),
    ):
        if port and not is_free(settings.host if name == "--port" else "127.0.0.1", port):
            raise CannotStart(f"port {port} ({name}) is in use; name another one, or 0 for any free one")
    taken = {settings.port, settings.temporal_port, settings.ui_port}
    temporal = settings.temporal_port or free_port(taken)
    ui = settings.ui_port or free_port({*taken, temporal})
    lasting = folder.lasting_ports(("paper-ibkr", "paper-custodian", "paper-flex"))
    paper_ib = settings.paper_ibkr_port or lasting["paper-ibkr"]
    custodian = settings.paper_custodian_port or lasting["paper-custodian"]
    decided: dict[str, object] = {
        "data_dir": folder.path,
        "temporal_port": temporal,
        "ui_port": ui,
        "temporal_address": f"127.0.0.1:{temporal}",
        "paper_custodian_port": custodian,
        "custodian_url": f"http://127.0.0.1:{custodian}",
        "ibkr_lease_seconds": min(settings.ibkr_lease_seconds, 2.0),
    }
    if settings.paper:
        decided |= {"paper_ibkr_port": paper_ib, "ibkr_host": "127.0.0.1", "ibkr_port": paper_ib}
        decided |= _paper_flex(settings, settings.paper_flex_port or lasting["paper-flex"])
    return settings.model_copy(update=decided)


def _with_secret(settings: Settings, folder: DataFolder) -> Settings:
    """The settings with a secret that signs commands: the one that was given, else the folder's own."""
    if settings.envelope_secrets:
        return settings
    return settings.model_copy(update={"envelope_secret": folder.envelope_secret()})


def _paper_flex(settings: Settings, port: int) -> dict[str, object]:
    """Where the paper broker's statements are, unless somebody has a token for real ones."""
    if settings.flex_token:
        return {"paper_flex_port": port}
    told = {"flex_url": f"http://127.0.0.1:{port}{PATH}", "flex_token": PAPER_TOKEN}
    return {"paper_flex_port": port, "flex_query_id": PAPER_QUERY, **told}


async def _children(
    stack: contextlib.AsyncExitStack, settings: Settings, folder: DataFolder
) -> dict[str, Child]:
    """The Temporal server, the paper venues and the gateway: not started yet, stopped in reverse when `stack` ends."""
    try:
        binary = await find_binary(settings, folder.path / "bin")
    except NoTemporalBinary as missing:
        raise CannotStart(str(missing)) from missing
    server = server_command(
        binary, settings, folder.path / "temporal.db", settings.temporal_port, settings.ui_port
    )
    python = [sys.executable, "-m", "oms.cli.main"]
    commands = {"temporal": server, "paper": [*python, "paper"], "gateway-ibkr": [*python, "gateway", "ibkr"]}
    children: dict[str, Child] = {}
    for name, command in commands.items():
        children[name] = Child(
            name,
            command,
            environment_for(name, settings),
            folder.logs / f"{name}.log",
            lambda: remember(folder.children_file, list(children.values())),
        )
        stack.push_async_callback(children[name].stop, _CHILD_PATIENCE)
    return children


async def _serve_orders(
    stack: contextlib.AsyncExitStack, settings: Settings, store: Store
) -> tuple[Client, int]:
    """Run the order worker and the API in this process; gives the client and the API's port."""
    # Here and not above: the children start while this process reads its largest modules.
    from oms.workers.api import api_application
    from oms.workers.flex import flex_worker
    from oms.workers.order_worker import (
        build_command_worker,
        build_desk_worker,
        build_order_worker,
        start_watchers,
    )
    from oms.workers.target_worker import build_target_worker

    try:
        client = await connect(settings, START_PATIENCE)
    except Unreachable as error:
        raise CannotStart(f"{error}; see the logs folder") from error
    for build in (build_order_worker, build_desk_worker, build_command_worker, build_target_worker):
        await stack.enter_async_context(_running(build(client, store, settings)))
    await start_watchers(client)
    await stack.enter_async_context(flex_worker(client, store, settings))
    application = api_application(settings, store, client)
    return client, await stack.enter_async_context(serving(application, settings.host, settings.port))


def environment_for(child: str, settings: Settings) -> dict[str, str]:
    """This process's environment and the settings for a child, with the secrets that it needs and no other."""
    hidden = {f"{PREFIX}{name.upper()}" for name in SECRET_SETTINGS - NEEDED_SECRETS.get(child, frozenset())}
    everything = {**os.environ, **environment_of(settings)}
    return {name: value for name, value in everything.items() if name not in SECRET_VARIABLES | hidden}


def environment_of(settings: Settings) -> dict[str, str]:
    """The settings as OMS_* variables, for a child process."""
    values = settings.model_dump(mode="json")
    return {
        f"{PREFIX}{name.upper()}": json.dumps(v) if isinstance(v, bool) else str(v)
        for name, v in values.items()
    }


@asynccontextmanager
async def _running(worker: Worker) -> AsyncIterator[None]:
    """Run the order worker; if it dies the whole stack must, or orders would stand still behind a healthy API."""
    running = asyncio.create_task(worker.run())
    owner = asyncio.current_task()

    def died(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None and owner is not None:
            LOG.error("worker.died", error=repr(task.exception()))
            owner.cancel()

    running.add_done_callback(died)
    try:
        yield
    finally:
        await worker.shutdown()
        await asyncio.gather(running, return_exceptions=True)


async def _until_in_sync(store: Store, since_ns: int) -> None:
    """Wait until a gateway has opened its gate. Raises CannotStart when that takes longer than START_PATIENCE."""
    deadline = time.monotonic() + START_PATIENCE
    while time.monotonic() < deadline:
        reports = await asyncio.to_thread(store.gateways.all)
        if any(report.gate_open and report.updated_ns >= since_ns for report in reports):
            return
        await asyncio.sleep(0.05)
    raise CannotStart(f"no gateway was in sync within {START_PATIENCE:g} s; see the logs folder")
