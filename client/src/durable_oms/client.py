"""The two clients: one blocks, one is awaited; their operations are the same."""

from types import TracebackType
from typing import Self

import httpx

from durable_oms.awaiting import Awaiting
from durable_oms.blocking import Blocking
from durable_oms.operation import AwaitingRoom, BlockingRoom
from durable_oms.retries import Retries, Service
from durable_oms.surface.allocations import Allocations
from durable_oms.surface.baskets import Baskets
from durable_oms.surface.compliance import Compliance
from durable_oms.surface.control import Control
from durable_oms.surface.imports import Imports
from durable_oms.surface.lifecycle import Lifecycle, Verdicts
from durable_oms.surface.orders import Orders
from durable_oms.surface.placements import Placements
from durable_oms.surface.reference import Reference
from durable_oms.surface.restructuring import Restructuring
from durable_oms.surface.tenants import Tenants
from durable_oms.surface.venues import Venues

BASE_URL = "http://localhost:9191"
TIMEOUT_SECONDS = 30.0
RETRIES = Retries()


class _OrderBook(
    Orders,
    Lifecycle,
    Verdicts,
    Restructuring,
    Baskets,
    Allocations,
    Compliance,
    Control,
    Reference,
    Imports,
    Venues,
    Tenants,
):
    """Every operation of the order book."""


class OMS(_OrderBook, BlockingRoom):
    """The order book."""


class EMS(Placements, BlockingRoom):
    """The trading desk's placements."""


class AsyncOMS(_OrderBook, AwaitingRoom):
    """The order book, awaited."""


class AsyncEMS(Placements, AwaitingRoom):
    """The trading desk's placements, awaited."""


class Client:
    """One key at one order book. Safe to share between threads; `close` it, or use it in `with`.

    `timeout`: seconds for each attempt, and a cancel or a close waits for its venue for up to 20. `retries`: how
    often a call that is safe to repeat is made again. `http`: your own httpx client, for proxies and certificates,
    with its own timeout; it stays open. Calls raise OMSError.
    """

    def __init__(
        self,
        base_url: str = BASE_URL,
        *,
        api_key: str,
        timeout: float = TIMEOUT_SECONDS,
        retries: int | Retries = RETRIES,
        http: httpx.Client | None = None,
    ) -> None:
        self._http = http or httpx.Client(timeout=timeout)
        self._is_ours = http is None
        transport = Blocking(self._http, _service(base_url, api_key, retries))
        self.oms = OMS(transport)
        self.ems = EMS(transport)

    def close(self) -> None:
        """Close the connections; a client of yours stays open."""
        if self._is_ours:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """As `Client`, with operations that are awaited; `aclose` it, or use it in `async with`."""

    def __init__(
        self,
        base_url: str = BASE_URL,
        *,
        api_key: str,
        timeout: float = TIMEOUT_SECONDS,
        retries: int | Retries = RETRIES,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._http = http or httpx.AsyncClient(timeout=timeout)
        self._is_ours = http is None
        transport = Awaiting(self._http, _service(base_url, api_key, retries))
        self.oms = AsyncOMS(transport)
        self.ems = AsyncEMS(transport)

    async def aclose(self) -> None:
        """Close the connections; a client of yours stays open."""
        if self._is_ours:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _service(base_url: str, api_key: str, retries: int | Retries) -> Service:
    return Service(base_url, api_key, Retries(again=retries) if isinstance(retries, int) else retries)
