"""The Python client of Durable OMS: `Client` and `AsyncClient`, with every operation of the order book.

    client = Client(api_key=...)
    order_id = client.oms.create_order(portfolio_id="PORT-001", ...)

Calls raise `OMSError` with a `code`. Answers are typed, with Decimals.
"""

from durable_oms.awaiting import AsyncEventStream
from durable_oms.blocking import EventStream
from durable_oms.client import EMS, OMS, AsyncClient, AsyncEMS, AsyncOMS, Client
from durable_oms.errors import (
    Conflict,
    Invalid,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    OMSError,
    RateLimited,
    Unavailable,
    Unreadable,
)
from durable_oms.models import Page
from durable_oms.requests import Number
from durable_oms.retries import Retries
from durable_oms.terms import Direction, OrderType, PlacementStatus, Severity, State, TimeInForce

__all__ = [
    "EMS",
    "OMS",
    "AsyncClient",
    "AsyncEMS",
    "AsyncEventStream",
    "AsyncOMS",
    "Client",
    "Conflict",
    "Direction",
    "EventStream",
    "Invalid",
    "NotAuthenticated",
    "NotAuthorized",
    "NotFound",
    "Number",
    "OMSError",
    "OrderType",
    "Page",
    "PlacementStatus",
    "RateLimited",
    "Retries",
    "Severity",
    "State",
    "TimeInForce",
    "Unavailable",
    "Unreadable",
]
