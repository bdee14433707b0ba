"""What the world says about an order: a venue's reports and executions, a custodian's word.

A fact is never refused, dropped or booked twice (docs/lifecycle.md, "Venue facts"). `ts_event_ns` is the
source's own time and `ts_init_ns` the time we received it, both in nanoseconds since the Unix epoch.
"""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from oms.domain.model import Open
from oms.domain.numbers import Amount, Exact, Holding, Price
from oms.domain.terms import PlacementStatus


class _Fact(Open):
    ts_event_ns: int
    ts_init_ns: int


class PlacementReported(_Fact):
    """The venue's word on a placement. `filled_quantity`: the cumulative quantity the venue claims, if it says."""

    kind: Literal["placement_reported"] = "placement_reported"
    placement_id: str
    status: PlacementStatus
    filled_quantity: Holding | None = None
    venue_order_ids: tuple[str, ...] = ()
    reason: str | None = None


class CancelRefused(_Fact):
    """The venue will not cancel: the placement is what it was."""

    kind: Literal["cancel_refused"] = "cancel_refused"
    placement_id: str
    reason: str


class Rounding(Open):
    """One price as it was asked for and as it was sent: on the contract's `tick`, on the safe side."""

    field: str
    asked: Price
    sent: Price
    tick: Price


class TermsRounded(_Fact):
    """The gateway rounded prices before it sent the placement (`revision` 0) or a change of it."""

    kind: Literal["terms_rounded"] = "terms_rounded"
    placement_id: str
    revision: int = 0
    roundings: tuple[Rounding, ...]


class PlacementChanged(_Fact):
    """The venue works the placement with the terms of this `revision`."""

    kind: Literal["placement_changed"] = "placement_changed"
    placement_id: str
    revision: int


class ChangeRefused(_Fact):
    """The venue will not change the placement: it works as before."""

    kind: Literal["change_refused"] = "change_refused"
    placement_id: str
    revision: int
    reason: str


class ChangeInDoubt(_Fact):
    """A change was sent, and nobody knows whether the venue has it. It is looked for, and evidence ends the doubt."""

    kind: Literal["change_in_doubt"] = "change_in_doubt"
    placement_id: str
    revision: int
    reason: str


class Executed(_Fact):
    """One execution. A later revision (same id up to the last dot, higher suffix) replaces an earlier one."""

    kind: Literal["executed"] = "executed"
    placement_id: str
    exec_id: str
    quantity: Holding
    price: Price
    currency: str
    venue: str


class Busted(_Fact):
    """The venue took an execution back."""

    kind: Literal["busted"] = "busted"
    placement_id: str
    exec_id: str
    reason: str | None = None


class Charged(_Fact):
    """The commission of one execution; it may come before the execution does."""

    kind: Literal["charged"] = "charged"
    exec_id: str
    commission: Amount
    currency: str


class CustodianStatement(Open):
    """What the custodian's statement says of one settled instruction. Money in `currency`."""

    quantity: Holding
    average_price: Exact
    commission: Exact
    net_amount: Exact
    currency: str
    settled_on: date


class SettlementReported(_Fact):
    """The custodian's word on an instruction: settled (with its statement line) or failed (with the reason)."""

    kind: Literal["settlement_reported"] = "settlement_reported"
    instruction_id: str
    settled: bool
    reason: str | None = None
    statement: CustodianStatement | None = None


class Unreadable(_Fact):
    """A message about this order that nobody could read. Kept for a person; it changes nothing else."""

    kind: Literal["unreadable"] = "unreadable"
    source: str
    raw: str
    reason: str


VenueFact = Annotated[
    PlacementReported
    | CancelRefused
    | TermsRounded
    | PlacementChanged
    | ChangeRefused
    | ChangeInDoubt
    | Executed
    | Busted
    | Charged
    | Unreadable,
    Field(discriminator="kind"),
]
Fact = Annotated[VenueFact | SettlementReported, Field(discriminator="kind")]
