"""A gateway in a process of its own: `python life.py <store> <port>`. It says `ready`, and for each line that it
reads it places an order and says what came of it."""

import asyncio
import sys
from decimal import Decimal
from pathlib import Path

import structlog

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.gateways.rig import Orders, resting, status

from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr import IBKRGateway, IBKRSettings
from oms.store import Store


async def main(url: str, port: int) -> None:
    """Live until standard input ends."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    settings = IBKRSettings(port=port, acknowledge_seconds=2.0, lease_seconds=1.5, grace_seconds=0.3)
    gateway = IBKRGateway(settings, Store(url), Orders().deliver)
    await gateway.start()
    await gateway.ready()
    tell("ready")
    while await asyncio.to_thread(sys.stdin.readline):
        try:
            tell(status(await gateway.place(resting(limit_price=Decimal(5)))))
        except GatewayNotReady as closed:
            tell(closed.reason)
    await gateway.stop()


def tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
