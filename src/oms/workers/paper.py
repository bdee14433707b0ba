"""The process of the paper venues: an IB Gateway and a custodian on real sockets."""

import contextlib
from collections.abc import Callable

from oms.paper.custodian import CustodianBook, create_custodian
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
        book = CustodianBook(settings.data_dir / "paper-custodian.db")
        stack.callback(book.close)
        custodian = serving(create_custodian(book), "127.0.0.1", settings.paper_custodian_port)
        ready(ib_port, await stack.enter_async_context(custodian))
        await forever()
