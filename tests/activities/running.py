"""Running an activity as a worker would, whether it is a coroutine or runs in a thread."""

import inspect
from collections.abc import Callable
from typing import Any

from temporalio.testing import ActivityEnvironment


async def run(activity: Callable[..., Any], argument: Any) -> Any:
    answer = ActivityEnvironment().run(activity, argument)
    return await answer if inspect.isawaitable(answer) else answer
