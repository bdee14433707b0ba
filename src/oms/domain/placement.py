"""A part of an order at a venue: what was asked, what the venue says of it, and a change that is on its way."""

from datetime import datetime
from decimal import Decimal

from oms.domain.facts import Rounding
from oms.domain.handling import PLAIN, Handling
from oms.domain.model import Open
from oms.domain.numbers import ZERO, Exact, Holding, Price, Quantity, subtract
from oms.domain.terms import OrderType, PlacementStatus, TimeInForce

P = PlacementStatus
VENUE_FINAL = frozenset({P.FILLED, P.CANCELED, P.EXPIRED, P.REJECTED})
_OF_HANDLING = ("trail_amount", "trail_percent")


class Change(Open):
    """A change that the desk asked for. `revision` counts them from 1, `terms` are those that it names.

    `refused` is why the venue does not do it. It is kept, because the venue's later word may still be that it has.
    """

    revision: int
    terms: dict[str, Exact]
    refused: str | None = None


class RoundedTerms(Open):
    """What was sent for one revision (0: as it was placed), where that differs from what was asked."""

    revision: int
    roundings: tuple[Rounding, ...]


class Placement(Open):
    """A part of the order at a venue. `venue_status` is the venue's word; `status` adds what we know better.

    `venue_filled` is the venue's newest counter, from a report of `venue_filled_as_of_ns`; `amended_ns` is when
    we last learned of a correction or a bust, `resolved_by_hand` that a person and not the venue gave the status.
    `heard_ns` and `doubted_ns`: when the venue last showed that it has the placement, and when nobody knew.
    The terms are those of `revision`, the last change that the venue confirmed (0: as it was placed).
    """

    placement_id: str
    venue: str
    account: str | None
    quantity: Quantity
    order_type: OrderType
    limit_price: Price | None = None
    stop_price: Price | None = None
    time_in_force: TimeInForce
    expires_at: datetime | None = None
    strategy: str | None = None
    params: dict[str, str] = {}
    handling: Handling = PLAIN
    revision: int = 0
    last_change: Change | None = None
    rounded: tuple[RoundedTerms, ...] = ()
    venue_status: PlacementStatus = P.PENDING
    venue_filled: Holding = ZERO
    venue_filled_as_of_ns: int = 0
    amended_ns: int = 0
    heard_ns: int = 0
    doubted_ns: int = 0
    resolved_by_hand: bool = False
    venue_order_ids: tuple[str, ...] = ()
    cancel_requested: bool = False
    executed_quantity: Holding = ZERO
    average_price: Exact | None = None
    reason: str | None = None
    created_at: datetime
    since: datetime

    @property
    def status(self) -> PlacementStatus:
        if self.executed_quantity >= self.quantity:
            return P.FILLED
        if self.has_ended and (self.is_over or self.venue_status is not P.FILLED):
            return self.venue_status
        if self.venue_status is P.IN_DOUBT:
            return P.IN_DOUBT
        if self.cancel_requested:
            return P.CANCEL_PENDING
        if self.executed_quantity > 0:
            return P.PARTIALLY_FILLED
        return P.WORKING if self.venue_status is P.FILLED else self.venue_status

    @property
    def has_ended(self) -> bool:
        """The venue (or a person, for one in doubt) says that it is over; executions may still be on their way."""
        return self.venue_status in VENUE_FINAL

    @property
    def is_over(self) -> bool:
        """Nothing more is expected: full, or ended at the venue with every execution it claims in our book.

        A counter older than a correction or a bust counts what is no longer there: then the executions stand alone.
        """
        return self.executed_quantity >= self.quantity or (
            self.has_ended
            and (self.executed_quantity >= self.venue_filled or self.amended_ns >= self.venue_filled_as_of_ns)
        )

    @property
    def working_quantity(self) -> Decimal:
        return ZERO if self.is_over else subtract(self.quantity, self.executed_quantity)

    @property
    def change(self) -> Change | None:
        """The change that the venue has not answered yet; until it does the old terms count."""
        asked = self.last_change
        if asked is None or asked.refused is not None or self.has_ended or self.is_over:
            return None
        return asked

    @property
    def next_revision(self) -> int:
        """The number of the next change. One that was refused keeps its own."""
        return max(self.revision, self.last_change.revision if self.last_change else 0) + 1

    @property
    def roundings(self) -> tuple[Rounding, ...]:
        """What the venue works and how that differs from what was asked."""
        return next((one.roundings for one in self.rounded if one.revision == self.revision), ())

    @property
    def is_grouped(self) -> bool:
        """In a bracket or a one-cancels-all group: the venue ends it when another one of them is filled or dies."""
        return self.handling.bracket is not None or self.handling.oca_group is not None

    def term(self, name: str) -> Decimal | None:
        """One of the terms that a change can name."""
        value: Decimal | None = getattr(self.handling if name in _OF_HANDLING else self, name)
        return value

    def changed_by(self, change: Change) -> "Placement":
        """The placement as it is when the venue has confirmed `change`."""
        own = {name: value for name, value in change.terms.items() if name not in _OF_HANDLING}
        trail = {name: value for name, value in change.terms.items() if name in _OF_HANDLING}
        handling = self.handling.model_copy(update=trail)
        return self.model_copy(update={**own, "handling": handling, "revision": change.revision})
