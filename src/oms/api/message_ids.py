"""The ids of signed commands: they sort by arrival, as text and as numbers."""

import re
import secrets
import time

_MILLISECOND = 1_000_000
_SHAPE = re.compile(r"[0-9]{13}-[0-9]{10}", re.ASCII)


def is_message_id(text: str) -> bool:
    """Whether `text` has the shape of an id from here."""
    return _SHAPE.fullmatch(text) is not None


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
