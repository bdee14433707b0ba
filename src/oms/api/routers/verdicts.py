"""The two compliance gates: request, pass, fail, override."""

from starlette.responses import Response

from oms.api.bodies import FailBody, Nothing, OverrideBody, PassBody
from oms.api.desk import AtDesk, OrderId
from oms.api.problems import refusals
from oms.api.routers.shared import book_router
from oms.api.views import OrderView, OverrideView, order_answer
from oms.domain import commands as cmd
from oms.domain.errors import Code
from oms.domain.identifiers import OVERRIDE

router = book_router("/v1/orders/{order_id}", "compliance")
_USUAL = (Code.ORDER_NOT_FOUND, Code.INVALID_STATE, Code.VERSION_CONFLICT, Code.IDEMPOTENCY_CONFLICT)
_REQUEST = refusals(*_USUAL, Code.ALLOCATION_MISMATCH)
_VERDICT = refusals(*_USUAL, Code.STALE_VERDICT)
_OVERRIDE = refusals(*_USUAL, Code.FOUR_EYES)
_PRE, _POST = "/pre-trade-compliance", "/post-trade-compliance"


def _version(body: PassBody | None) -> int | None:
    return body.order_version if body else None


@router.post(
    f"{_PRE}/request", operation_id="RequestPreTradeCompliance", response_model=OrderView, responses=_REQUEST
)
async def request_pre(desk: AtDesk, order_id: OrderId, body: Nothing | None = None) -> Response:  # noqa: ARG001
    """Ask for the pre-trade verdict."""
    return await desk.command(order_id, cmd.RequestPreTradeCompliance())


@router.post(
    f"{_PRE}/pass", operation_id="PassPreTradeCompliance", response_model=OrderView, responses=_VERDICT
)
async def pass_pre(desk: AtDesk, order_id: OrderId, body: PassBody | None = None) -> Response:
    """The order may be traded."""
    return await desk.command(order_id, cmd.PassPreTradeCompliance(order_version=_version(body)))


@router.post(
    f"{_PRE}/fail", operation_id="FailPreTradeCompliance", response_model=OrderView, responses=_VERDICT
)
async def fail_pre(desk: AtDesk, order_id: OrderId, body: FailBody) -> Response:
    """The order may not be traded, and why."""
    failed = cmd.FailPreTradeCompliance(violations=body.violations, order_version=body.order_version)
    return await desk.command(order_id, failed)


@router.post(
    f"{_PRE}/override",
    operation_id="OverridePreTradeCompliance",
    response_model=OverrideView,
    responses=_OVERRIDE,
)
async def override_pre(desk: AtDesk, order_id: OrderId, body: OverrideBody) -> Response:
    """Let a failed order pass, with a reason and another person's approval."""
    override_id = desk.asking.mint(OVERRIDE)
    overridden = cmd.OverridePreTradeCompliance(
        override_id=override_id, reason=body.reason, approver_id=body.approver_id
    )
    _, order = await desk.instruct(order_id, overridden)
    return order_answer(order, view=OverrideView(override_id=override_id, order=OrderView.of(order)))


@router.post(
    f"{_POST}/request",
    operation_id="RequestPostTradeCompliance",
    response_model=OrderView,
    responses=_REQUEST,
)
async def request_post(desk: AtDesk, order_id: OrderId, body: Nothing | None = None) -> Response:  # noqa: ARG001
    """Ask for the post-trade verdict."""
    return await desk.command(order_id, cmd.RequestPostTradeCompliance())


@router.post(
    f"{_POST}/pass", operation_id="PassPostTradeCompliance", response_model=OrderView, responses=_VERDICT
)
async def pass_post(desk: AtDesk, order_id: OrderId, body: PassBody | None = None) -> Response:
    """The trade stands."""
    return await desk.command(order_id, cmd.PassPostTradeCompliance(order_version=_version(body)))


@router.post(
    f"{_POST}/fail", operation_id="FailPostTradeCompliance", response_model=OrderView, responses=_VERDICT
)
async def fail_post(desk: AtDesk, order_id: OrderId, body: FailBody) -> Response:
    """The trade broke a rule, and which."""
    failed = cmd.FailPostTradeCompliance(violations=body.violations, order_version=body.order_version)
    return await desk.command(order_id, failed)


@router.post(
    f"{_POST}/override",
    operation_id="OverridePostTradeCompliance",
    response_model=OverrideView,
    responses=_OVERRIDE,
)
async def override_post(desk: AtDesk, order_id: OrderId, body: OverrideBody) -> Response:
    """Let a failed trade pass, with a reason and another person's approval."""
    override_id = desk.asking.mint(OVERRIDE)
    overridden = cmd.OverridePostTradeCompliance(
        override_id=override_id, reason=body.reason, approver_id=body.approver_id
    )
    _, order = await desk.instruct(order_id, overridden)
    return order_answer(order, view=OverrideView(override_id=override_id, order=OrderView.of(order)))
