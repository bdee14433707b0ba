"""A venue's facts in any order, doubled, delayed and cut into any batches end in the same order."""

from dataclasses import dataclass, field
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms.domain import commands as cmd
from oms.domain import facts as fact
from oms.domain.numbers import total
from oms.domain.terms import PlacementStatus, Role, State
from tests.domain.invariants import check, check_events
from tests.domain.orders import NS, Desk, busted, charged, executed, reported

P = PlacementStatus
SECOND = 1_000_000_000


@dataclass
class Venue:
    """A venue that works one placement and tells the truth about it, each time a little later."""

    placement_id: str
    quantity: int
    clock: int
    facts: list[fact.VenueFact] = field(default_factory=list)
    standing: dict[str, tuple[int, int, Decimal]] = field(default_factory=dict)
    status: PlacementStatus = P.SENT

    @property
    def filled(self) -> int:
        return sum(quantity for _, quantity, _ in self.standing.values())

    def _say(self, one: Any, *args: Any, **rest: Any) -> None:
        self.clock += SECOND
        self.facts.append(one(*args, ts_event_ns=self.clock, placement_id=self.placement_id, **rest))

    def report(self, status: PlacementStatus) -> None:
        self.status = status
        self._say(reported, status, str(self.filled))

    def trade(self, base: str, revision: int, quantity: int, price: Decimal) -> None:
        self.standing[base] = (revision, quantity, price)
        self._say(executed, f"{base}.{revision:02}", str(quantity), price)
        self.facts.append(charged(f"{base}.{revision:02}", str(revision), ts_event_ns=self.clock))

    def bust(self, base: str) -> None:
        revision, _, _ = self.standing.pop(base)
        self._say(busted, f"{base}.{revision:02}")


@st.composite
def histories(draw: st.DrawFn, placement_id: str, quantity: int) -> Venue:
    """What one venue does with one placement: fills, corrections, busts, reports, and perhaps an end."""
    venue = Venue(placement_id, quantity, clock=NS)
    prices = st.integers(90, 110).map(lambda cents: Decimal(cents) / 10)
    for number in range(draw(st.integers(0, 8))):
        left = venue.quantity - venue.filled
        deed = draw(st.sampled_from(["trade", "trade", "correct", "bust", "report", "report"]))
        if deed == "trade" and left:
            venue.trade(f"{placement_id}.{number}", 1, draw(st.integers(1, left)), draw(prices))
        elif deed == "report":
            venue.report(draw(st.sampled_from([P.HELD, P.WORKING])) if not venue.standing else P.WORKING)
        elif venue.standing:
            _amend(draw, venue, deed, prices)
    ended = draw(st.sampled_from([None, P.CANCELED, P.EXPIRED, P.REJECTED]))
    if venue.filled == venue.quantity:
        venue.report(P.FILLED)
    elif ended is not None and (ended is not P.REJECTED or not venue.facts):
        venue.report(ended)
    for _ in range(draw(st.integers(0, 2))):
        if venue.standing:
            _amend(draw, venue, draw(st.sampled_from(["correct", "bust"])), prices)
    return venue


def _amend(draw: st.DrawFn, venue: Venue, deed: str, prices: st.SearchStrategy[Decimal]) -> None:
    base = draw(st.sampled_from(sorted(venue.standing)))
    revision, quantity, _ = venue.standing[base]
    if deed == "bust":
        venue.bust(base)
    else:
        venue.trade(base, revision + 1, draw(st.integers(1, quantity)), draw(prices))


@st.composite
def days(draw: st.DrawFn) -> tuple[list[Venue], list[list[fact.VenueFact]]]:
    """One or two placements, and a delivery of all that was said: doubled, out of order, in batches."""
    quantities = draw(st.sampled_from([(100,), (60, 40), (60, 30)]))
    venues = [draw(histories(f"PLC-{i}", quantity)) for i, quantity in enumerate(quantities, start=1)]
    said = [one for venue in venues for one in venue.facts]
    doubled = draw(st.lists(st.sampled_from(said), max_size=5)) if said else []
    delivered = draw(st.permutations([*said, *doubled]))
    delay = st.integers(0, 60).map(lambda seconds: seconds * SECOND)
    delayed = [one.model_copy(update={"ts_init_ns": one.ts_event_ns + draw(delay)}) for one in delivered]
    batches: list[list[fact.VenueFact]] = [[]]
    for one in delayed:
        if draw(st.booleans()):
            batches.append([])
        batches[-1].append(one)
    return venues, batches


def placed(venues: list[Venue]) -> Desk:
    desk = Desk()
    for venue in venues:
        desk.place(str(venue.quantity))
    return desk


def seen(desk: Desk) -> dict[str, Any]:
    """What must not depend on how facts came; only the times of receipt do."""
    ledger = desk.order.ledger
    return {
        "state": desk.state,
        "executions": {base: e.model_dump(exclude={"ts_init_ns"}) for base, e in ledger.executions.items()},
        "totals": (ledger.filled, ledger.by_placement, ledger.busted, ledger.commissions),
        "placements": [
            (
                p.status,
                p.is_over,
                p.executed_quantity,
                p.average_price,
                p.venue_filled if p.has_ended else None,
            )
            for p in desk.order.placements
        ],
        "left": (desk.order.working_quantity, desk.order.unfilled_quantity),
    }


@settings(max_examples=250, deadline=None)
@given(days())
def test_any_order_of_facts_ends_in_the_same_order(
    day: tuple[list[Venue], list[list[fact.VenueFact]]],
) -> None:
    venues, batches = day
    told, mixed = placed(venues), placed(venues)
    for one in sorted((one for venue in venues for one in venue.facts), key=lambda f: f.ts_event_ns):
        told.observe(one)
    for batch in batches:
        before = mixed.order
        check_events(before, mixed.observe(*batch))
    check(mixed)
    by_placement = {p: filled for p, filled in told.order.ledger.by_placement.items() if filled.quantity}
    assert by_placement.keys() <= {venue.placement_id for venue in venues}
    assert _without_empty(seen(mixed)) == _without_empty(seen(told))


def _without_empty(what: dict[str, Any]) -> dict[str, Any]:
    filled, by_placement, busts, commissions = what["totals"]
    traded = {p: f for p, f in by_placement.items() if f.quantity}
    return {**what, "totals": (filled, traded, busts, commissions)}


@settings(max_examples=150, deadline=None)
@given(days())
def test_the_book_ends_with_what_the_venue_did(
    day: tuple[list[Venue], list[list[fact.VenueFact]]],
) -> None:
    venues, batches = day
    desk = placed(venues)
    for batch in batches:
        desk.observe(*batch)
    standing = [(base, *what) for venue in venues for base, what in venue.standing.items()]
    executions = desk.order.ledger.executions
    assert {(base, e.quantity, e.price) for base, e in executions.items()} == {
        (base, quantity, price) for base, _, quantity, price in standing
    }
    assert desk.order.executed_quantity == sum(venue.filled for venue in venues)
    charged_for = total(Decimal(revision) for _, revision, _, _ in standing)
    assert desk.order.ledger.commission_in("USD") == charged_for
    for venue in venues:
        ended = venue.status not in (P.SENT, P.HELD, P.WORKING)
        placement = desk.placement(venue.placement_id)
        assert placement.is_over == (ended or venue.filled == venue.quantity)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_a_counter_that_a_bust_took_back_never_keeps_an_order_alive(order: tuple[int, ...]) -> None:
    """However they come, the newest word is that nothing was filled and the day is over."""
    said = [
        executed("A.1", "30", ts_event_ns=NS + 1),
        reported(P.WORKING, "30", ts_event_ns=NS + 2),
        busted("A.1", ts_event_ns=NS + 3),
        reported(P.EXPIRED, "0", ts_event_ns=NS + 4),
    ]
    desk = Desk().place()
    for index in order:
        desk.observe(said[index])
    assert (desk.state, desk.order.reason) == (State.CANCELED, "EXPIRED")


@settings(max_examples=60, deadline=None)
@given(st.permutations(["fill", "canceled", "asked"]), st.integers(1, 100))
def test_a_fill_wins_over_a_cancel_however_they_race(race: list[str], quantity: int) -> None:
    desk = Desk().place()
    for one in race:
        if one == "fill":
            desk.observe(executed("A.1", str(quantity)))
        elif one == "canceled":
            desk.observe(reported(P.CANCELED, str(quantity)))
        elif desk.state is State.ROUTED:
            desk.command(cmd.CancelOrder(), Role.TRADER)
    assert desk.state is (State.FILLED if quantity == 100 else State.PARTIALLY_FILLED)
    assert desk.order.live_placements == ()
