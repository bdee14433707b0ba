"""Programs at the API's tests: bodies of signed commands, envelopes of other producers, and waiting for an outcome."""

import secrets
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx

from oms.api.app import create_app
from oms.api.context import APIContext
from oms.domain.programs import envelopes
from oms.domain.programs.envelopes import CommandKind
from oms.domain.programs.exact import read_exactly
from tests.api.desk import ENVELOPE_SECRET, Desk
from tests.stack import until

Body = dict[str, Any]


def hint() -> str:
    """A name that no command has yet."""
    return uuid.uuid4().hex


def order(**terms: Any) -> Body:
    """One entry of `orders`, of the instrument that the desk described."""
    return {
        "contract": {"secType": "STK", "symbol": "AAPL"},
        "order": {"action": "BUY", "totalQuantity": 1, **terms},
    }


def orders(*entries: Body, **more: Any) -> Body:
    """The body of POST /oms/orders, under a hint of its own unless `idem_hint` says otherwise."""
    return {"orders": list(entries or (order(),)), "idem_hint": hint(), **more}


def ping(**more: Any) -> Body:
    """The body of POST /oms/ping."""
    return {"echo": "hello", "idem_hint": hint(), **more}


def envelope(
    kind: str = "oms.ping",
    payload: Body | None = None,
    *,
    tenant: str = "nts",
    secret: str = ENVELOPE_SECRET,
    nonce: str | None = None,
    ts_ms: int | None = None,
    idem_key: str | None = None,
) -> Body:
    """What another producer hands in, signed; now, under a new nonce and without a key unless one is given."""
    made = envelopes.sign(
        CommandKind(kind),
        tenant,
        {"echo": "hi"} if payload is None else payload,
        secret,
        nonce=nonce or secrets.token_urlsafe(16),
        ts_ms=time.time_ns() // 1_000_000 if ts_ms is None else ts_ms,
        idem_key=idem_key,
    )
    read: Body = read_exactly(envelopes.text(made))
    return read


async def command(desk: Desk, command_id: str, key: str = "secret-viewer") -> Body:
    """The command as it is answered."""
    found = await desk.get(f"/oms/commands/{command_id}", key)
    assert found.status_code == 200, found.text
    body: Body = found.json()
    return body


async def over(desk: Desk, command_id: str) -> Body:
    """The command once nothing more is done for it."""

    async def look() -> Body | None:
        found = await command(desk, command_id)
        return found if found["status"] not in ("ENQUEUED", "WORKING") else None

    found: Body = await until(look, f"{command_id} to be over")
    return found


@asynccontextmanager
async def beside(desk: Desk, context: APIContext | None = None, **settings: Any) -> AsyncIterator[Desk]:
    """Another process at the same store: its own application, with `settings` of its own."""
    own = context or desk.context
    app = create_app(replace(own, settings=replace(own.settings, **settings)))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://beside", timeout=60) as client:
        other = Desk(client, own)
        other.instrument_id = desk.instrument_id
        yield other
