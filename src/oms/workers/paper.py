"""The process of the paper venues: an IB Gateway, its Flex Web Service and a custodian on real sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from oms.paper.custodian import CustodianBook, create_custodian
from oms.paper.fault_file import FaultFile
from oms.paper.flex import FlexService, create_flex
from oms.paper.ib_gateway import PaperIBGateway
from oms.workers.serving import serving
from oms.workers.settings import Settings
from oms.workers.stopping import forever


async def paper_process(settings: Settings, ready: Callable[[int, int], None]) -> None:
    """A custodian, and unless a real IB Gateway is used one of those: `ready(ib_port or 0, custodian_port)`."""
    async with contextlib.AsyncExitStack() as stack:
        ib_port = 0
        if settings.paper:
            gateway = PaperIBGateway(
                port=settings.paper_ibkr_port,
                accounts=settings.accounts,
                seed=settings.paper_seed,
                state_file=settings.data_dir / "paper-ib.db",
            )
            await gateway.start()
            stack.push_async_callback(gateway.stop)
            ib_port = gateway.port
            if settings.paper_faults:
                await stack.enter_async_context(_faults(Path(settings.paper_faults), gateway))
            flex = create_flex(FlexService(settings.data_dir / "paper-ib.db", settings.accounts))
            await stack.enter_async_context(serving(flex, "127.0.0.1", settings.paper_flex_port))
        book = CustodianBook(settings.data_dir / "paper-custodian.db")
        stack.callback(book.close)
        custodian = serving(create_custodian(book), "127.0.0.1", settings.paper_custodian_port)
        ready(ib_port, await stack.enter_async_context(custodian))
        await forever()


@asynccontextmanager
async def _faults(plan_file: Path, gateway: PaperIBGateway) -> AsyncIterator[None]:
    """Let a file say what goes wrong, while the block runs."""
    watching = asyncio.create_task(FaultFile(plan_file, gateway).watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
