"""What-if, headroom, requests that wait, limits that are over, and the stream of compliance events."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Header, Query, Request
from sse_starlette.sse import EventSourceResponse
from starlette.responses import Response

from oms.api.access import Reach
from oms.api.asking import Context, Who
from oms.api.bodies import ProposedOrder, WhatIfBody
from oms.api.compliance_events import ComplianceFollower, WantedEvents
from oms.api.following import position_of, stream_answer
from oms.api.handling import check_fit
from oms.api.paging import Paging, window_answer
from oms.api.problems import refusals
from oms.api.routers.shared import book_router
from oms.api.views import ListView, View, answer
from oms.domain.commands import RuleResult, Violation, check_prices
from oms.domain.compliance import Verdict
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import Name
from oms.domain.rules.book import Proposal
from oms.domain.rules.engine import Headroom
from oms.domain.terms import OrderType, Severity
from oms.store import Store
from oms.store.breaches import Breach, standing_breaches
from oms.store.compliance import WhatIf
from oms.store.requests import Request as OpenRequest
from oms.store.requests import open_requests

router = book_router("/v1/compliance", "compliance")
_EXAMPLE = "id: 42\nevent: limit_breached\ndata: {...a compliance event...}\n\n"
_TYPES = {
    (False, False): OrderType.MARKET,
    (True, False): OrderType.LIMIT,
    (False, True): OrderType.STOP,
    (True, True): OrderType.STOP_LIMIT,
}


class CheckedView(View):
    """What the rules say of one proposed order. `violations` stop it; `rules` has every rule's result."""

    passed: bool
    violations: tuple[Violation, ...]
    warnings: tuple[Violation, ...]
    rules: tuple[RuleResult, ...]

    @classmethod
    def of(cls, verdict: Verdict) -> "CheckedView":
        return cls(
            passed=not verdict.violations,
            violations=tuple(result.violation() for result in verdict.violations),
            warnings=tuple(result.violation() for result in verdict.warnings),
            rules=verdict.results,
        )


class WhatIfView(View):
    """One result for each proposed order, in the order given."""

    results: tuple[CheckedView, ...]


class RequestView(View):
    """An order that waits for an external verdict. `order_version` is the one that the verdict has to name."""

    order_id: str
    portfolio_id: str
    instrument_id: str
    gate: str
    order_version: int
    since: datetime
    age_seconds: float


class BreachView(View):
    """A limit that a portfolio is over, with the numbers of the moment when that was told."""

    rule_id: str
    rule_name: str
    rule_type: str
    rule_version: int
    severity: Severity
    portfolio_id: str
    since: datetime
    description: str
    limit: str | None
    used: str | None
    remaining: str | None

    @classmethod
    def of(cls, breach: Breach) -> "BreachView":
        return cls.model_construct(
            **breach.result.model_dump(include=set(cls.model_fields)),
            portfolio_id=breach.portfolio_id,
            since=breach.since,
        )


@router.post(
    "/what-if",
    operation_id="CheckComplianceWhatIf",
    response_model=WhatIfView,
    responses=refusals(
        Code.INVALID_PORTFOLIO, Code.INVALID_INSTRUMENT, Code.INVALID_ORDER_TYPE, Code.IDEMPOTENCY_CONFLICT
    ),
)
def what_if(context: Context, caller: Who, body: WhatIfBody) -> Response:
    """What the rules would say of these orders, each with the ones before it in flight. Nothing is kept."""
    asked = [
        _proposed(context.store, caller.reach, order, number)
        for number, order in enumerate(body.proposed_orders)
    ]
    verdicts = context.store.compliance.what_if(asked, datetime.now(UTC))
    return answer(WhatIfView(results=tuple(CheckedView.of(verdict) for verdict in verdicts)))


@router.get(
    "/headroom",
    operation_id="QueryComplianceHeadroom",
    response_model=Headroom | ListView[Headroom],
    responses=refusals(Code.PORTFOLIO_NOT_FOUND, Code.RULE_NOT_FOUND, Code.NOT_COMPUTABLE),
)
def headroom(
    context: Context,
    caller: Who,
    portfolio_id: Annotated[Name, Query()],
    rule_id: Annotated[
        Name | None, Query(description="Only this rule's, as one object; without it all, as items.")
    ] = None,
) -> Response:
    """What is left below the limits of a portfolio, with everything in flight counted."""
    if not caller.reach.has_portfolio(portfolio_id):
        raise Refused(
            Code.PORTFOLIO_NOT_FOUND, f"There is no portfolio {portfolio_id!r}.", portfolio_id=portfolio_id
        )
    found = context.store.compliance.headroom(portfolio_id, rule_id, datetime.now(UTC))
    if rule_id is None:
        return answer(ListView[Headroom](items=list(found)))
    if not found:
        raise _no_limit(context.store, rule_id)
    return answer(found[0])


@router.get(
    "/requests",
    operation_id="ListComplianceRequests",
    response_model=ListView[RequestView],
    responses=refusals(),
)
def list_requests(context: Context, caller: Who, window: Paging) -> Response:
    """Orders that wait for a verdict from outside and for how long, the oldest request first."""
    now = datetime.now(UTC)

    def show(request: OpenRequest) -> RequestView:
        told = request.model_dump(exclude={"version"})
        age = max(0.0, (now - request.since).total_seconds())
        return RequestView(**told, order_version=request.version, age_seconds=round(age, 3))

    return window_answer(open_requests(context.store.database, caller.reach.portfolio_ids), window, show)


@router.get(
    "/breaches",
    operation_id="ListComplianceBreaches",
    response_model=ListView[BreachView],
    responses=refusals(),
)
def list_breaches(context: Context, caller: Who, window: Paging) -> Response:
    """Limits that portfolios are over now with no order involved, the oldest first."""
    found = standing_breaches(context.store.database, caller.reach.portfolio_ids)
    return window_answer(found, window, BreachView.of)


@router.get(
    "/events",
    operation_id="SubscribeCompliance",
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "Events without end: `id` is the position in the control journal, `event` the type.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
        },
        **refusals(),
    },
)
async def events(
    request: Request,
    context: Context,
    caller: Who,
    portfolio_id: Annotated[Name | None, Query()] = None,
    after: Annotated[int | None, Query(ge=0, le=2**62, description="Start after this position.")] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Every compliance event from now on, or after `Last-Event-ID` or `after`; none twice, none left out.

    With `portfolio_id`, and for a key to some portfolios, changes of rules are left out.
    """
    wanted = WantedEvents(caller.reach.portfolio_ids, portfolio_id)
    start = position_of(last_event_id) if last_event_id else after
    keep_alive = context.settings.stream_keep_alive_seconds
    return await stream_answer(_follower(request), wanted, start, keep_alive)


def _follower(request: Request) -> ComplianceFollower:
    """The application's one reader of the control journal, made for the first subscriber."""
    state = request.app.state
    if not hasattr(state, "compliance_follower"):
        context = state.context
        state.compliance_follower = ComplianceFollower(context.store, context.settings.stream_ring_events)
    follower: ComplianceFollower = state.compliance_follower
    return follower


def _proposed(store: Store, reach: Reach, order: ProposedOrder, number: int) -> WhatIf:
    """The order as the engine takes it. Raises Refused: INVALID_PORTFOLIO, INVALID_INSTRUMENT, INVALID_ORDER_TYPE."""
    at = f"proposed_orders.{number}"
    known = reach.has_portfolio(order.portfolio_id) and store.reference.portfolio(order.portfolio_id)
    if not known:
        raise Refused(
            Code.INVALID_PORTFOLIO,
            f"There is no portfolio {order.portfolio_id!r}.",
            field=f"{at}.portfolio_id",
            portfolio_id=order.portfolio_id,
        )
    instrument = store.reference.instrument(order.instrument_id)
    if instrument is None:
        raise Refused(
            Code.INVALID_INSTRUMENT,
            f"{order.instrument_id!r} is not a known instrument.",
            field=f"{at}.instrument_id",
            instrument_id=order.instrument_id,
        )
    order_type = _order_type(order, at)
    check_fit(order_type, order.handling, within=f"{at}.")
    proposal = Proposal(
        order_id=at,
        instrument=instrument,
        direction=order.direction,
        quantity=order.ordered_quantity,
        order_type=order_type,
        limit_price=order.limit_price,
        stop_price=order.stop_price,
        handling=order.handling,
    )
    return WhatIf(portfolio_id=order.portfolio_id, proposal=proposal)


def _order_type(order: ProposedOrder, at: str) -> OrderType:
    """The order's type; one that names none has the one that its prices make. Raises Refused: INVALID_ORDER_TYPE."""
    if order.order_type is None:
        return _TYPES[order.limit_price is not None, order.stop_price is not None]
    try:
        check_prices(order.order_type, order.limit_price, order.stop_price)
    except ValueError as error:
        field = str(error).split(" ", 1)[0]
        raise Refused(
            Code.INVALID_ORDER_TYPE, f"{error}.", field=f"{at}.{field}", order_type=order.order_type
        ) from error
    return order.order_type


def _no_limit(store: Store, rule_id: str) -> Refused:
    rule = store.rules.get(rule_id)
    kind = rule.rule_type if rule is not None else "rule"
    return Refused(
        Code.VALIDATION_FAILED,
        f"rule_id: {rule_id} is a {kind}, which has no limit to have headroom below.",
        field="rule_id",
        rule_type=kind,
    )
