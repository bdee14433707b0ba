"""A venue that does as the test says, behind the real activities of a gateway."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from oms.domain.facts import Fact
from oms.domain.numbers import plain
from oms.domain.programs.targets import AccountRead
from oms.domain.terms import PlacementStatus
from oms.domain.venues import PlacementTicket, Resynced, VenueAnswer
from tests.domain import orders

ACCOUNT = "DU123456"
Speech = Callable[[PlacementTicket], Iterable[Fact]]
Said = Speech | Exception


def nothing(_: PlacementTicket) -> Iterable[Fact]:
    """The venue has heard and says nothing yet."""
    return ()


def reports(status: PlacementStatus, filled: str | None = None, reason: str | None = None) -> Speech:
    """The venue reports a status; `filled` is the quantity that it claims."""

    def said(ticket: PlacementTicket) -> Iterable[Fact]:
        return (
            orders.reported(
                status,
                filled,
                placement_id=ticket.placement_id,
                reason=reason,
                venue_order_ids=(f"V-{ticket.placement_id[-4:]}",),
            ),
        )

    return said


def fills(*quantities: str, ends: PlacementStatus | None = None) -> Speech:
    """The venue executes each quantity at 10 and charges 1 for it; `ends` says how the placement is over."""

    def said(ticket: PlacementTicket) -> Iterable[Fact]:
        yield from reports(PlacementStatus.WORKING)(ticket)
        for number, quantity in enumerate(quantities or (plain(ticket.quantity),), start=1):
            yield from execution(ticket.placement_id, quantity, number=number)
        if ends is not None:
            total = sum(int(quantity) for quantity in quantities)
            yield from reports(ends, str(total))(ticket)

    return said


def execution(placement_id: str, quantity: str, *, number: int = 1, price: str = "10") -> list[Fact]:
    """One execution and its commission; the same `number` is the same execution."""
    exec_id = f"{placement_id}.{number:04}.01"
    return [
        orders.executed(exec_id, quantity, price, placement_id=placement_id),
        orders.charged(exec_id),
    ]


WORKS = reports(PlacementStatus.WORKING)
IN_DOUBT = reports(PlacementStatus.IN_DOUBT, reason="sent, and the session fell before an answer")
REJECTS = reports(PlacementStatus.REJECTED, "0", reason="no margin")
CANCELS = reports(PlacementStatus.CANCELED)


def changes(ticket: PlacementTicket) -> Iterable[Fact]:
    """The venue works the new terms."""
    return (orders.changed(ticket.revision, placement_id=ticket.placement_id),)


def refuses_the_change(ticket: PlacementTicket) -> Iterable[Fact]:
    return (orders.change_refused(ticket.revision, "no such price", placement_id=ticket.placement_id),)


def doubts_the_change(ticket: PlacementTicket) -> Iterable[Fact]:
    """It was sent, and the session fell."""
    return (orders.change_in_doubt(ticket.revision, "no answer", placement_id=ticket.placement_id),)


_BY_ITSELF: dict[str, Said] = {"place": WORKS, "modify": changes, "cancel": CANCELS, "ask": nothing}


class ScriptedVenue:
    """Answers each call for an order with the next thing that the test has it say; the last one stands.

    Unless told otherwise it lets a placement work, changes and cancels it when asked, and says nothing when it is asked
    about one.
    """

    def __init__(self) -> None:
        self._scripts: dict[tuple[str, str], list[Said]] = {}
        self.calls: dict[str, list[str]] = defaultdict(list)
        self.tickets: dict[str, list[PlacementTicket]] = defaultdict(list)
        self.resyncs = 0
        self.accounts: dict[str, AccountRead | Exception] = {}

    def will(self, order_id: str, verb: str, *said: Said) -> None:
        """What the venue says to the coming `place`, `modify`, `cancel` and `ask` calls for the order."""
        self._scripts[order_id, verb] = list(said)

    async def place(self, ticket: PlacementTicket) -> VenueAnswer:
        return self._answer("place", ticket)

    async def cancel(self, ticket: PlacementTicket) -> VenueAnswer:
        return self._answer("cancel", ticket)

    async def modify(self, ticket: PlacementTicket) -> VenueAnswer:
        return self._answer("modify", ticket)

    async def ask(self, ticket: PlacementTicket) -> VenueAnswer:
        return self._answer("ask", ticket)

    async def resync(self) -> Resynced:
        self.resyncs += 1
        return Resynced(name="the venue", reconciled_ns=orders.NS)

    async def read_account(self, account: str) -> AccountRead:
        """What the test has put into `accounts`, read now unless it says when; of no other is anything held."""
        read = self.accounts.get(account, AccountRead(account=account))
        if isinstance(read, Exception):
            raise read
        return read if read.read_ns else read.model_copy(update={"read_ns": time.time_ns()})

    def _answer(self, verb: str, ticket: PlacementTicket) -> VenueAnswer:
        self.calls[ticket.order_id].append(verb)
        self.tickets[ticket.order_id].append(ticket)
        script: Sequence[Said] = self._scripts.get((ticket.order_id, verb)) or [_BY_ITSELF[verb]]
        said = script[0] if len(script) == 1 else self._scripts[ticket.order_id, verb].pop(0)
        if isinstance(said, Exception):
            raise said
        return VenueAnswer(facts=tuple(said(ticket)))
