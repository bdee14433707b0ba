"""Runs a paper gateway in a process of its own; prints its port. Argument: the state file."""

import asyncio
import sys
from pathlib import Path

from oms.paper.ib_gateway import PaperIBGateway
from oms.paper.market import MarketSettings


async def main() -> None:
    market = MarketSettings(step_seconds=0.02, moving=False)
    gateway = PaperIBGateway(state_file=Path(sys.argv[1]), market=market)
    await gateway.start()
    sys.stdout.write(f"{gateway.port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


asyncio.run(main())
