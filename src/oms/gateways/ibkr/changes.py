"""What the broker's messages say about a change that is on its way: pure, given the intent behind the message."""

from oms.domain.facts import ChangeInDoubt, ChangeRefused, PlacementChanged
from oms.domain.venues import PlacementTicket
from oms.gateways.ibkr import reading
from oms.gateways.ibkr.heard import FollowUp, Heard, Next
from oms.gateways.ibkr.messages import OrderShown
from oms.gateways.ibkr.records import ChangeState, Record, Revision, record_of
from oms.store import Intent

ChangeFact = PlacementChanged | ChangeRefused | ChangeInDoubt


def key(placement_id: str, fact: ChangeFact) -> str:
    """The natural key of the word on a change: each outcome is told once."""
    return f"change/{placement_id}/{fact.revision}/{fact.kind}"


def fact_of(placement_id: str, revision: Revision) -> ChangeFact:
    """How a change stands, as a fact."""
    told = {"placement_id": placement_id, "revision": revision.number}
    stamped = {**told, "ts_event_ns": revision.at_ns, "ts_init_ns": revision.at_ns}
    if revision.state is ChangeState.CHANGED:
        return PlacementChanged.model_validate(stamped)
    reason = revision.reason or "it is being sent"
    kind = ChangeRefused if revision.state is ChangeState.REFUSED else ChangeInDoubt
    return kind.model_validate({**stamped, "reason": reason})


def quantities(record: Record) -> tuple[PlacementTicket, ...]:
    """The tickets whose quantity the order may have beside that of the intent's own."""
    revision = record.revision
    return () if revision is None else (revision.ticket, revision.before)


def compared(intent: Intent, message: OrderShown, heard: Heard) -> Intent:
    """The intent after an open order was compared with what is on its way: the new terms, or still the old.

    Of two orders behind our reference the first is the one that was to be changed: what the second shows is
    no change, and nothing is sent again while there are two.
    """
    intent = _noting_what_is_left(intent, message, heard)
    record = record_of(intent)
    revision = record.revision
    if revision is None or not revision.sent or revision.state is ChangeState.CHANGED:
        return intent
    if intent.perm_ids and message.perm_id != intent.perm_ids[0]:
        doubled = revision.is_open and not revision.doubled
        return heard.move(intent, intent.state, record.revised(doubled=True)) if doubled else intent
    if reading.shows(message, revision.ticket):
        return _changed(intent, record, revision, message.received_ns, heard)
    if revision.is_open and reading.shows(message, intent.ticket):
        return heard.move(intent, intent.state, record.revised(standing_ns=message.received_ns))
    return intent


def spoken_against(intent: Intent, text: str, heard: Heard) -> bool:
    """Keep what the venue said against the change under way, and have it looked at. False where there is none."""
    record = record_of(intent)
    if record.open_revision is None:
        return False
    heard.move(intent, intent.state, record.revised(error=text))
    heard.follow_ups.append(FollowUp(Next.SETTLE_CHANGE, intent.placement_id, text))
    return True


def _changed(intent: Intent, record: Record, revision: Revision, at_ns: int, heard: Heard) -> Intent:
    if not revision.is_open:
        reason = f"change {revision.number} was refused, and the broker works with its terms all the same"
        heard.surface(intent, f"late-change/{revision.number}", repr(revision.ticket), reason, at_ns)
    record = record.revised(state=ChangeState.CHANGED, reason=None, at_ns=at_ns)
    intent = intent.model_copy(update={"ticket": revision.ticket})
    heard.retermed.add(intent.placement_id)
    fact = fact_of(
        intent.placement_id, revision.model_copy(update={"state": ChangeState.CHANGED, "at_ns": at_ns})
    )
    heard.add(intent, key(intent.placement_id, fact), fact)
    return heard.move(intent, intent.state, record)


def _noting_what_is_left(intent: Intent, message: OrderShown, heard: Heard) -> Intent:
    """Where another of its group was filled, the venue made the order smaller: a change must not undo that."""
    record = record_of(intent)
    grouped = reading.is_grouped(intent.ticket)
    if not grouped or message.quantity >= intent.ticket.quantity or message.quantity == record.reduced:
        return intent
    return heard.move(intent, intent.state, record.model_copy(update={"reduced": message.quantity}))
