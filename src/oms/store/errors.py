"""What the store refuses. Each says what was found beside what was given."""


class StoreError(Exception):
    """The base of every refusal of the store."""


class JournalConflict(StoreError):
    """A different event is already recorded at this place in the order's journal."""


class JournalAhead(StoreError):
    """The batch is recorded, and the order's journal goes on after it."""


class JournalGap(StoreError):
    """The batch does not follow on what is recorded: an event in between is missing."""


class Taken(StoreError):
    """An id or a name that must be unique already stands for something else."""


class LeaseLost(StoreError):
    """What was written counts only while a lease is held, and it is somebody else's by now: nothing was kept."""


class BadCursor(ValueError):
    """A page cursor that this program did not hand out."""
