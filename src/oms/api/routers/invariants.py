"""What must always be true of the book, and whether it is."""

from datetime import datetime

from starlette.responses import Response

from oms.api.access import Caller
from oms.api.asking import Context, Who
from oms.api.problems import refusals
from oms.api.routers.shared import book_router
from oms.api.views import ListView, View, answer
from oms.domain.errors import Code, Refused
from oms.domain.findings import MEANING, Finding, Invariant
from oms.store import Store

router = book_router("/v1/invariants", "invariants")
_SHOWN = 20


class ExampleView(View):
    order_id: str
    detail: str


class InvariantView(View):
    """One invariant. `checked_at` is null before the first look; `since` is when it broke.

    `examples` are at most 20 of the orders that it is broken for.
    """

    name: Invariant
    meaning: str
    broken: bool
    checked_at: datetime | None
    since: datetime | None
    detail: str
    examples: tuple[ExampleView, ...]


@router.get(
    "",
    operation_id="ListInvariants",
    response_model=ListView[InvariantView],
    responses=refusals(),
)
def list_invariants(context: Context, caller: Who) -> Response:
    """Every business invariant, whether it holds, and orders for which it does not. For keys to all portfolios."""
    _check_sees_all(caller)
    return answer(ListView[InvariantView](items=views(context.store)))


def views(store: Store) -> list[InvariantView]:
    """All of them, also those that nobody has looked at yet. Blocks."""
    known = {finding.name: finding for finding in store.findings.all()}
    return [_view(name, known.get(name)) for name in Invariant]


def _view(name: Invariant, finding: Finding | None) -> InvariantView:
    if finding is None:
        return InvariantView(
            name=name,
            meaning=MEANING[name],
            broken=False,
            checked_at=None,
            since=None,
            detail="Nobody has looked yet.",
            examples=(),
        )
    return InvariantView(
        **finding.model_dump(include={"name", "meaning", "broken", "checked_at", "since", "detail"}),
        examples=tuple(
            ExampleView(order_id=example.order_id, detail=example.detail)
            for example in finding.examples[:_SHOWN]
        ),
    )


def _check_sees_all(caller: Caller) -> None:
    """Examples are orders of any portfolio."""
    if caller.reach.portfolio_ids is not None:
        raise Refused(
            Code.NOT_AUTHORIZED,
            f"The invariants are about all portfolios; key {caller.name!r} may see some of them.",
        )
