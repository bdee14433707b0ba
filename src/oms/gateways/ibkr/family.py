"""What a bracket's members are to each other: pure, given their intents."""

from collections.abc import Sequence
from typing import NamedTuple

from oms.domain.handling import Bracket, BracketRole
from oms.domain.terms import PlacementStatus
from oms.domain.venues import PlacementTicket
from oms.gateways.ibkr.records import record_of
from oms.store import Intent, IntentState


class Sent(NamedTuple):
    """One member as it is written to the wire."""

    intent: Intent
    transmit: bool


def bracket_of(ticket: PlacementTicket) -> Bracket:
    """The ticket's place in its bracket. Raises ValueError for one without."""
    if ticket.handling.bracket is None:
        raise ValueError(f"{ticket.placement_id} is in no bracket")
    return ticket.handling.bracket


def family_key(ticket: PlacementTicket) -> str:
    """What the members of one bracket have in common: a bracket's name is the client's own, unique for a portfolio."""
    return f"{ticket.portfolio_id}/{ticket.account}/{bracket_of(ticket).bracket_id}"


def misfit(ticket: PlacementTicket, members: Sequence[Intent]) -> str | None:
    """Why `ticket` cannot join `members`, in a sentence, or None where it can."""
    bracket = bracket_of(ticket)
    theirs = [bracket_of(member.ticket) for member in members]
    name = f"bracket {bracket.bracket_id}"
    if any(other.size != bracket.size for other in theirs):
        return f"the orders of {name} do not agree how many they are"
    roles = [*(other.role for other in theirs), bracket.role]
    if roles.count(BracketRole.PARENT) > 1:
        return f"{name} has a parent already"
    if len(roles) == bracket.size and BracketRole.PARENT not in roles:
        return f"{name} has no parent"
    contracts = {member.ticket.instrument.instrument_id for member in members}
    return (
        f"the orders of {name} are for several instruments"
        if contracts - {ticket.instrument.instrument_id}
        else None
    )


def completes(members: Sequence[Intent]) -> bool:
    """Whether these are all of their bracket."""
    return bool(members) and len(members) == bracket_of(members[0].ticket).size


def in_order(members: Sequence[Intent]) -> list[Intent]:
    """The members as they are sent: the parent, then its children as they came."""
    return sorted(members, key=lambda member: bracket_of(member.ticket).role is not BracketRole.PARENT)


def to_send_again(family: Sequence[Intent], absent: Sequence[Intent]) -> list[Sent] | str:
    """What of a family in doubt is sent again after a look, in order; or why nothing is, in a sentence.

    `family`: parent first, as it was sent; `absent`: those in doubt that the broker does not list.
    """
    missing = {member.placement_id for member in absent}
    for member in family:
        if (doomed := record_of(member).doomed) is not None:
            return doomed
    if any(record_of(member).seen for member in absent):
        return "the broker has seen one of the bracket's order ids"
    parent, *_ = family
    if missing == {member.placement_id for member in family}:
        return [Sent(member, member is family[-1]) for member in family]
    if parent.placement_id in missing:
        return "the broker lists a part of the bracket without its parent"
    if parent.state is IntentState.ACKNOWLEDGED or record_of(parent).status is PlacementStatus.FILLED:
        # The parent is out, so the family was transmitted: each child stands for itself.
        return [Sent(member, True) for member in family if member.placement_id in missing]
    return f"the bracket's parent is {record_of(parent).status}"
