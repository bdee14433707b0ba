"""Python's garbage collector in a long-lived process."""

import gc

_YOUNG_OBJECTS = 20_000


def calm_the_collector() -> None:
    """Set aside what starting up has made, and look for cycles less often.

    A full collection walks every cached order and stops the process for about 200 ms; with the interpreter's own
    thresholds one came every few dozen orders (measured with 300 orders in the cache).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 50)
