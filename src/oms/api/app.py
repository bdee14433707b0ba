"""The application: routers, the envelope around them, the OpenAPI document."""

from datetime import timedelta
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from oms.api.access import KeyRing
from oms.api.context import APIContext
from oms.api.envelope import Envelope
from oms.api.following import Follower
from oms.api.idempotency import Replays
from oms.api.intake import Intake
from oms.api.linking import add_links
from oms.api.metrics import Metrics
from oms.api.open_door import OpenDoor
from oms.api.order_book import OrderBook
from oms.api.problems import Problem, problem_of
from oms.api.routers import (
    allocations,
    baskets,
    breaks,
    checks,
    commands,
    control,
    exceptions,
    foreign_orders,
    gateways,
    groups,
    health,
    invariants,
    lifecycle,
    orders,
    placements,
    positions,
    reference,
    restructuring,
    rules,
    stream,
    tail,
    targets,
    tenants,
    verdicts,
)
from oms.api.tenancy import Tenancy
from oms.workflows.contract import Patience

_DESCRIPTION = """Order management for trading desks: every order is one durable workflow.

Send a key as `Authorization: Bearer KEY`, `X-API-Key` or `x-api-token`. Refusals are
`application/problem+json` with one `code` each. `Idempotency-Key` on POST and PATCH makes a repeated request
the same request. `If-Match` with an order's `ETag` refuses a command on an order that has moved on.
Bodies are JSON; another Content-Type is 400.
"""
# Routes are tried in this order, and programs send more requests than anybody.
_ROUTERS = (
    commands,
    restructuring,
    orders,
    lifecycle,
    verdicts,
    placements,
    allocations,
    groups,
    baskets,
    exceptions,
    rules,
    checks,
    control,
    reference,
    positions,
    gateways,
    breaks,
    foreign_orders,
    invariants,
    tenants,
    tail,
    targets,
    stream,
    health,
)
_REPEATABLE = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key with the same request gets the first answer again.",
    "schema": {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$"},
}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The order's ETag; VERSION_CONFLICT where the order has moved on.",
    "schema": {"type": "string", "pattern": '^"[0-9]{1,15}"$'},
}


def create_app(context: APIContext) -> FastAPI:
    """The application over `context`, which outlives it: the client and the store are not closed here."""
    settings = context.settings
    app = FastAPI(
        title="Durable OMS",
        version=context.version,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        strict_content_type=False,
    )
    metrics = Metrics()
    app.state.context = context
    app.state.metrics = metrics
    app.state.keys = KeyRing(context.store, settings.api_tokens, settings.key_cache_seconds)
    patience = Patience(verdict=timedelta(seconds=settings.verdict_seconds))
    app.state.book = OrderBook(context.temporal, context.store, settings.answer_within_seconds, patience)
    app.state.door = OpenDoor(context.store, settings)
    app.state.tenancy = Tenancy(context.store)
    app.state.intake = Intake(context.temporal, context.store, settings, app.state.tenancy, metrics)
    app.state.replays = Replays(context.store)
    app.state.follower = Follower(context.store, settings.stream_ring_events)
    app.add_middleware(Envelope, metrics=metrics, max_body_bytes=settings.max_body_bytes)
    app.add_exception_handler(HTTPException, _outside_any_route)
    for noun in _ROUTERS:
        app.include_router(noun.router)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]  # FastAPI's own way
    return app


async def _outside_any_route(request: Request, error: Exception) -> Response:
    answer = problem_of(error, request.state.request_id)
    if answer.status_code == 405:
        answer.headers["Allow"] = ", ".join(sorted(_methods_at(request.url.path)))
    return answer


def _methods_at(path: str) -> set[str]:
    """Every method that a route takes at `path`."""
    routes = (route for noun in _ROUTERS for route in noun.router.routes if isinstance(route, APIRoute))
    return {method for route in routes if route.path_regex.match(path) for method in route.methods or ()}


def _document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the problem schema and the headers every change takes."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        document["components"]["schemas"] |= {**problem.pop("$defs"), "Problem": problem}
        _name_headers(document)
        add_links(document)
        app.openapi_schema = document
    return app.openapi_schema


def _name_headers(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method in ("post", "patch"):
                operation.setdefault("parameters", []).append(_REPEATABLE)
                of_one = path.startswith(("/v1/orders/", "/v1/placements/", "/v1/allocations/"))
                if of_one and path != "/v1/orders/merge":
                    operation["parameters"].append(_IF_MATCH)
