"""A paper gateway and unmodified ib_async clients, connected over TCP."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ib_async as iba
import pytest

from oms.paper.ib_gateway import PaperIBGateway
from oms.paper.market import MarketSettings

STILL = MarketSettings(step_seconds=None, moving=False)


async def until(condition: Callable[[], Any], seconds: float = 5.0) -> None:
    """Wait for a condition with a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail("the condition did not come true in time")
        await asyncio.sleep(0.001)


class HandClock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_time(self, **amount: float) -> None:
        self.now += timedelta(**amount)


class Desk:
    """Starts gateways and clients for one test, and stops them after it."""

    def __init__(self, stack: AsyncExitStack, folder: Path, version: int) -> None:
        self._stack = stack
        self.folder = folder
        self.version = version
        self.clock = HandClock()

    async def gateway(self, **arguments: Any) -> PaperIBGateway:
        settings: dict[str, Any] = {
            "server_version": self.version,
            "market": STILL,
            "state_file": self.folder / "paper.db",
            "clock": self.clock,
        } | arguments
        gateway = PaperIBGateway(**settings)
        await gateway.start()
        self._stack.push_async_callback(gateway.stop)
        return gateway

    async def client(self, gateway: PaperIBGateway | int, client_id: int = 7, **arguments: Any) -> "Client":
        client = Client()
        self._stack.callback(client.ib.disconnect)
        port = gateway if isinstance(gateway, int) else gateway.port
        arguments = {"timeout": 3, "raiseSyncErrors": True} | arguments
        await client.ib.connectAsync("127.0.0.1", port, clientId=client_id, **arguments)
        return client


class Client:
    """An unmodified IB with a recording of what it received: decoded fields and error events."""

    def __init__(self) -> None:
        self.ib = iba.IB()
        self.ib.client.MaxRequests = 0
        self.received: list[list[str]] = []
        self.errors: list[tuple[int, int, str]] = []
        self.ib.errorEvent += lambda *told: self.errors.append(told[:3])
        interpret = self.ib.client.decoder.interpret

        def record(fields: list[str]) -> None:
            self.received.append(list(fields))
            interpret(fields)

        self.ib.client.decoder.interpret = record  # type: ignore[method-assign]

    def codes(self) -> list[int]:
        return [code for _, code, _ in self.errors if code < 2100 or code > 2200]

    async def error(self, code: int) -> tuple[int, int, str]:
        """The first error event with a code."""
        await until(lambda: code in self.codes())
        return next(e for e in self.errors if e[1] == code)

    def place(self, order: iba.Order, symbol: str = "AAPL") -> iba.Trade:
        return self.ib.placeOrder(iba.Stock(symbol, "SMART", "USD"), order)

    async def status(self, trade: iba.Trade, status: str) -> None:
        await until(lambda: trade.orderStatus.status == status)

    async def echo(self) -> None:
        """A round trip: everything sent before is answered when it returns."""
        await self.ib.reqCurrentTimeAsync()
