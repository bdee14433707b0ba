"""How many requests a key may send: a moving window, counted in this process alone."""

import math
import time

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from oms.domain.errors import Code, Refused


class RateLimit:
    """`per_second` requests on average, and those of `burst_seconds` at once; 0 requests a second is no limit."""

    def __init__(self, per_second: int, burst_seconds: int) -> None:
        self._per_second = per_second
        self._burst_seconds = burst_seconds
        self._window = (
            RateLimitItemPerSecond(per_second * burst_seconds, burst_seconds) if per_second else None
        )
        self._counts = MovingWindowRateLimiter(MemoryStorage()) if per_second else None

    def take(self, key: str) -> None:
        """Count one request of `key`. One that is refused is not counted.

        Raises Refused: RATE_LIMITED with `retry_after`, the whole seconds after which one would be taken.
        """
        if self._window is None or self._counts is None or self._counts.hit(self._window, key):
            return
        free_at = self._counts.get_window_stats(self._window, key).reset_time
        raise Refused(
            Code.RATE_LIMITED,
            f"Key {key!r} has sent {self._window.amount} requests in {self._burst_seconds} s; "
            f"it may send {self._per_second} a second.",
            limit=self._per_second,
            burst=self._window.amount,
            retry_after=max(1, math.ceil(free_at - time.time())),
        )
