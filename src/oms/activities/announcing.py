"""Telling whoever watches the tail that orders of signed commands are being opened."""

from collections.abc import Iterable

from oms.domain.decide import Opening
from oms.domain.programs.synthetic import OMS, received
from oms.store import Store


def announce(store: Store, openings: Iterable[Opening], now_ns: int) -> None:
    """Say of each entry among them that its order is about to be opened. Blocks. Twice is once."""
    events = (received(opening, now_ns) for opening in openings)
    store.venue_events.add(OMS, [event for event in events if event is not None])
