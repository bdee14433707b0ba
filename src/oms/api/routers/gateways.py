"""The processes that own a session with a venue: how they are, and reading their venue anew."""

from datetime import timedelta
from typing import Annotated

import anyio
from fastapi import Path
from starlette.responses import Response

from oms.api.asking import Ask, Context, Who
from oms.api.bodies import Nothing
from oms.api.context import APIContext
from oms.api.gateway_views import GatewayView, gateway_view
from oms.api.paging import Paging, window_answer
from oms.api.problems import refusals
from oms.api.resyncing import ResyncedView, resync
from oms.api.routers.shared import book_router
from oms.api.sight import Sight
from oms.api.views import ListView, answer
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import Name
from oms.domain.terms import Role
from oms.store import GatewayReport
from oms.workflows.resync import ResyncInput

router = book_router("/v1/gateways", "gateways")
_RESYNCERS = (Role.OPS, Role.TRADER, Role.ADMIN)
_PART_OF_AN_ANSWER = 0.8
"""So much of the time for an answer is the gateway's."""
GatewayName = Annotated[Name, Path(description="As ListGateways tells it, such as `ibkr/17`.")]


@router.get("", operation_id="ListGateways", response_model=ListView[GatewayView], responses=refusals())
def list_gateways(context: Context, caller: Who, window: Paging) -> Response:
    """Every gateway that ever reported and serves an account in the key's reach, by name."""
    sight = Sight(context.store, caller.reach)
    seen = [report for report in context.store.gateways.all() if _may_see(report, sight)]
    patience = context.settings.gateway_patience_seconds
    return window_answer(seen, window, lambda report: gateway_view(report, sight, patience))


@router.post(
    "/{gateway:path}/resync",
    operation_id="ResyncGateway",
    response_model=ResyncedView,
    responses=refusals(Code.GATEWAY_NOT_FOUND, Code.IDEMPOTENCY_CONFLICT),
)
async def resync_gateway(
    context: Context,
    asking: Ask,
    gateway: GatewayName,
    body: Nothing | None = None,  # noqa: ARG001 - an empty object is a body too
) -> Response:
    """Have a gateway read the broker's orders, executions and positions anew. For ops, trader and admin.

    503 where no gateway takes it in time, or another one serves its account now.
    """
    asking.caller.needs("A resync of a gateway", *_RESYNCERS)
    sight = await anyio.to_thread.run_sync(Sight, context.store, asking.caller.reach)
    report = await anyio.to_thread.run_sync(_report, context, gateway, sight)
    asked = ResyncInput(
        name=gateway,
        venue=report.venue,
        account=_served(report),
        request_id=str(asking.resource),
        within=timedelta(seconds=context.settings.answer_within_seconds * _PART_OF_AN_ANSWER),
    )
    done = await resync(context.temporal, asked)
    return answer(ResyncedView.of(done, counted=not sight.is_limited))


def _served(report: GatewayReport) -> str:
    """An account whose queue this gateway looks at, as far as it has told."""
    return next((health.account for health in report.per_account if health.served), report.accounts[0])


def _may_see(report: GatewayReport, sight: Sight) -> bool:
    return sight.accounts is None or bool(sight.of(report.accounts))


def _report(context: APIContext, name: str, sight: Sight) -> GatewayReport:
    """The gateway's last report. Blocks. Raises Refused: GATEWAY_NOT_FOUND, also for one out of sight."""
    reports = context.store.gateways.all()
    found = next((report for report in reports if report.name == name), None)
    if found is None or not found.accounts or not _may_see(found, sight):
        known = [report.name for report in reports if _may_see(report, sight)]
        raise Refused(Code.GATEWAY_NOT_FOUND, f"There is no gateway {name!r}.", gateway=name, known=known)
    return found
