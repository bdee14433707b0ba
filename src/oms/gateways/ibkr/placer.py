"""What placing takes, one order by itself or a family together."""

from dataclasses import dataclass

from oms.gateways.ibkr.books import Books
from oms.gateways.ibkr.checking import Checking
from oms.gateways.ibkr.flights import Flights
from oms.gateways.ibkr.gate import Gate
from oms.gateways.ibkr.inbound import Inbound
from oms.gateways.ibkr.locks import Locks
from oms.gateways.ibkr.looking import Looking
from oms.gateways.ibkr.sending import Sending
from oms.gateways.ibkr.wire import Wire


@dataclass(frozen=True, slots=True)
class Means:
    """The parts of a session that both share."""

    wire: Wire
    gate: Gate
    books: Books
    inbound: Inbound
    looking: Looking
    checking: Checking
    sending: Sending
    locks: Locks


class Placer:
    """`flights` are those on their way right now."""

    def __init__(self, means: Means) -> None:
        self._wire = means.wire
        self._gate = means.gate
        self._books = means.books
        self._inbound = means.inbound
        self._looking = means.looking
        self._checking = means.checking
        self._sending = means.sending
        self._locks = means.locks
        self.flights = Flights()
