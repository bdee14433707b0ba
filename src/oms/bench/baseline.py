"""Bare Temporal workflows: what the same server and worker do without any order book on top."""

import asyncio
from datetime import timedelta

from temporalio import activity, workflow

QUEUE = "oms-bench-baseline"


@activity.defn(name="bare_activity")
async def bare_activity(text: str) -> str:
    return text


@activity.defn(name="bare_local_activity")
async def bare_local_activity(text: str) -> str:
    return text


@workflow.defn(name="BareLifecycle")
class BareLifecycle:
    """One activity, two signals, two local activities, no domain logic."""

    @workflow.init
    def __init__(self, _text: str) -> None:
        self.signals = 0

    @workflow.signal
    def poke(self) -> None:
        self.signals += 1

    @workflow.run
    async def run(self, text: str) -> str:
        await self.local(text)
        await workflow.execute_activity("bare_activity", text, start_to_close_timeout=timedelta(seconds=10))
        await workflow.wait_condition(lambda: self.signals >= 1)
        await self.local(text)
        await workflow.wait_condition(lambda: self.signals >= 2)
        return text

    async def local(self, text: str) -> None:
        await workflow.execute_local_activity(
            "bare_local_activity", text, start_to_close_timeout=timedelta(seconds=10)
        )


@workflow.defn(name="BareStart")
class BareStart:
    """Is started, and does nothing."""

    @workflow.run
    async def run(self, text: str) -> str:
        return text


@workflow.defn(name="BareUpdates")
class BareUpdates:
    """Answers updates and does nothing else."""

    def __init__(self) -> None:
        self.ended = False

    @workflow.update
    async def touch(self, text: str) -> str:
        await asyncio.sleep(0)
        return text

    @workflow.signal
    def end(self) -> None:
        self.ended = True

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: self.ended)
