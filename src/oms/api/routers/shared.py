"""What every router of the order book is made with."""

from fastapi import APIRouter, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from oms.api.routing import BookRoute

_BEARER = HTTPBearer(scheme_name="Bearer", auto_error=False, description="Authorization: Bearer KEY")
_API_KEY = APIKeyHeader(name="X-API-Key", scheme_name="ApiKey", auto_error=False)
_API_TOKEN = APIKeyHeader(name="x-api-token", scheme_name="ApiToken", auto_error=False)


def book_router(prefix: str, tag: str, route_class: type[BookRoute] = BookRoute) -> APIRouter:
    """A router whose routes need a key and refuse as problems. The key itself is checked by `route_class`."""
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        route_class=route_class,
        dependencies=[Security(_BEARER), Security(_API_KEY), Security(_API_TOKEN)],
    )
