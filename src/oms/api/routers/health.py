"""Is it alive, is it ready, how much does it do. Open to everybody."""

import asyncio
from typing import Any

import anyio
from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response

from oms.api.context import APIContext
from oms.api.gateway_views import seconds_since, trouble
from oms.api.metrics import Metrics
from oms.api.views import View
from oms.store import GatewayReport

router = APIRouter(tags=["health"])
_TEMPORAL_PATIENCE_SECONDS = 3.0


class Health(View):
    status: str
    version: str


class Readiness(View):
    """`parts` says of each part whether it is ready and, where it is not, why."""

    status: str
    version: str
    parts: dict[str, Any]


@router.get("/healthz", operation_id="GetHealth", response_model=Health)
async def healthz(request: Request) -> Response:
    """The process answers."""
    context: APIContext = request.app.state.context
    return JSONResponse({"status": "ok", "version": context.version})


@router.get(
    "/readyz",
    operation_id="GetReadiness",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "A part is not ready; `parts` says which and why."}},
)
async def readyz(request: Request) -> Response:
    """Temporal answers, the store is usable, every gateway reports and would send."""
    context: APIContext = request.app.state.context
    store, temporal = await asyncio.gather(_store(context), _temporal(context))
    parts = {"temporal": temporal, "store": store}
    if store["ready"]:
        reports = await anyio.to_thread.run_sync(context.store.gateways.all)
        patience = context.settings.gateway_patience_seconds
        parts |= {f"gateway:{report.name}": _gateway(report, patience) for report in reports}
    ready = all(part["ready"] for part in parts.values())
    body = {"status": "ready" if ready else "not ready", "version": context.version, "parts": parts}
    headers = {} if ready else {"Retry-After": str(context.settings.retry_after_seconds)}
    return JSONResponse(body, 200 if ready else 503, headers)


@router.get(
    "/metrics",
    operation_id="GetMetrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(request: Request) -> Response:
    """Prometheus text: requests, orders by state, open exceptions, gateways."""
    measured: Metrics = request.app.state.metrics
    return Response(measured.text(request.app.state.context.store), media_type=CONTENT_TYPE_LATEST)


async def _temporal(context: APIContext) -> dict[str, Any]:
    try:
        async with asyncio.timeout(_TEMPORAL_PATIENCE_SECONDS):
            ready = await context.temporal.service_client.check_health()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with Temporal is the answer
        return {"ready": False, "detail": str(error) or type(error).__name__}
    return {"ready": ready} if ready else {"ready": False, "detail": "Temporal says it is not serving"}


async def _store(context: APIContext) -> dict[str, Any]:
    reason = await anyio.to_thread.run_sync(context.store.check)
    return {"ready": True} if reason is None else {"ready": False, "detail": reason}


def _gateway(report: GatewayReport, patience_seconds: float) -> dict[str, Any]:
    told = {
        "connected": report.connected,
        "gate_open": report.gate_open,
        "age_seconds": round(seconds_since(report.updated_ns), 1),
        "in_doubt": report.in_doubt,
        "queue": report.queue,
    }
    reason = trouble(report, patience_seconds)
    return {"ready": True, **told} if reason is None else {"ready": False, "detail": reason, **told}
