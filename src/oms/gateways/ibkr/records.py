"""What is known of a placement, kept as text beside its intent so that a repeated call gets the same answer."""

from enum import StrEnum
from functools import lru_cache

from oms.domain.facts import Rounding
from oms.domain.model import Open
from oms.domain.numbers import Holding
from oms.domain.terms import PlacementStatus
from oms.domain.venues import PlacementTicket
from oms.store import Intent


class ChangeState(StrEnum):
    """SENDING: the wire call may have happened. IN_DOUBT: it has, and nobody knows. The others are the end."""

    SENDING = "SENDING"
    IN_DOUBT = "IN_DOUBT"
    CHANGED = "CHANGED"
    REFUSED = "REFUSED"


class Revision(Open):
    """The last change of a placement, by its `number`; written before the wire call.

    ticket: the terms as they are sent, every time they are. before: those that it replaces. error: what the venue
    said against it.
    standing_ns: when the venue last showed the order with its old terms. doubled: the venue made a second
    order of it, so it is never sent again. sent: whether it ever left. at_ns: when `state` was reached.
    """

    number: int
    ticket: PlacementTicket
    before: PlacementTicket
    roundings: tuple[Rounding, ...] = ()
    state: ChangeState = ChangeState.SENDING
    reason: str | None = None
    error: str | None = None
    standing_ns: int = 0
    doubled: bool = False
    sent: bool = True
    at_ns: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it may still be at the venue, unseen."""
        return self.state in (ChangeState.SENDING, ChangeState.IN_DOUBT)


class Record(Open):
    """What is known of a placement.

    doubts: how often nobody knew; it makes a report after a doubt news, even of a status told before.
    seen: the venue once showed the order or said that it knows its id, so it is never sent again. disputed: the order at the
    venue is not the one of the ticket; a person decides.

    conid: of the contract that was sent. roundings: what was rounded for the first send. parent_id: the broker
    order id of its bracket's parent. family: the placements of its bracket, parent first, as they were sent.
    reduced: the smaller quantity to which the venue set it because another of its group was filled. ended: of
    several orders behind our reference, the permanent ids of those that are over. revision: the last change.

    ends: how often it was over; it makes a report after a revival news. sent_ns: when it was first sent, where that is
    not when its intent was written. doomed: why the gateway itself cancels what is left of it. unwritten: the process
    that was to send it knows that it wrote nothing; gone before the next attempt.
    """

    status: PlacementStatus = PlacementStatus.SENT
    filled: Holding | None = None
    reason: str | None = None
    doubts: int = 0
    seen: bool = False
    disputed: bool = False
    conid: int = 0
    roundings: tuple[Rounding, ...] = ()
    parent_id: int = 0
    family: tuple[str, ...] = ()
    reduced: Holding | None = None
    ended: tuple[int, ...] = ()
    revision: Revision | None = None
    ends: int = 0
    sent_ns: int = 0
    doomed: str | None = None
    unwritten: bool = False

    @property
    def is_unwritten(self) -> bool:
        """Whether nothing of it can be at the venue."""
        return self.unwritten and not self.seen

    @property
    def open_revision(self) -> Revision | None:
        """The change whose outcome is not known."""
        return self.revision if self.revision is not None and self.revision.is_open else None

    def revised(self, **update: object) -> "Record":
        """The record with its last change updated."""
        revision = self.revision and self.revision.model_copy(update=update)
        return self.model_copy(update={"revision": revision})


def record_of(intent: Intent) -> Record:
    """What is known of the placement behind `intent`."""
    return _record(intent.detail) if intent.detail else Record()


@lru_cache(maxsize=4096)
def _record(text: str) -> Record:
    """A record is frozen and asked for several times with every message about its order."""
    return Record.model_validate_json(text)
