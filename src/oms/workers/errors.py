"""Why a process cannot start. Each message is one line for the person who started it."""


class CannotStart(Exception):
    """The embedded stack cannot start."""


class Unreachable(Exception):
    """Temporal does not answer; the message says where it was looked for."""


class NoTemporalBinary(Exception):
    """The `temporal` binary cannot be found; the message says where it was looked for."""
