"""A process whose clean-up never ends: python -m tests.workers.stuck_process. Says "running" when it can be stopped."""

import asyncio
import sys
import threading

from oms.workers import stopping

stopping.OVERDUE_SECONDS = 0.3


async def work() -> None:
    try:
        sys.stdout.write("running\n")
        sys.stdout.flush()
        await stopping.forever()
    finally:
        await asyncio.to_thread(threading.Event().wait)


if __name__ == "__main__":
    asyncio.run(stopping.run_until_stopped(work()))
