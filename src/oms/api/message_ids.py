"""The ids of signed commands: they sort by arrival, as text and as numbers."""

import secrets
import time

_MILLISECOND = 1_000_000


class MessageIds:
    """Ids such as `1764230400123-0450931734`: milliseconds since 1970, the rest of the nanoseconds, four digits.

    Within a process each is greater than the one before, also where the clock stands still or goes back; the last
    four digits are the process's own, so that two processes do not make the same one.
    """

    def __init__(self) -> None:
        self._last_ns = 0
        self._own = secrets.randbelow(10_000)

    def next(self) -> str:
        """A new id, of now."""
        self._last_ns = max(time.time_ns(), self._last_ns + 1)
        milliseconds, rest = divmod(self._last_ns, _MILLISECOND)
        return f"{milliseconds:013d}-{rest:06d}{self._own:04d}"
