"""The same request again gets the first answer again.

A request under an Idempotency-Key is written down before anything happens, with the UUID that everything it
creates is named after. A request that was begun and never answered (the process died, or the answer was a 5xx)
runs again with that UUID and the same Temporal update ids, so its effect happens once.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

import anyio
from starlette.requests import Request
from starlette.responses import Response

from oms.domain.errors import Code, Refused
from oms.store import Store
from oms.store.idempotency import IdempotencyRecord

REPLAYED = "Idempotent-Replayed"
_KEPT_HEADERS = ("content-type", "etag", "location")


def fingerprint(method: str, path: str, body: bytes, if_match: str | None) -> str:
    """What makes two requests the same request."""
    head = f"{method}\n{path}\n{if_match or ''}\n".encode()
    return hashlib.sha256(head + body).hexdigest()


class Replays:
    """Answers each request under an Idempotency-Key once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turns: dict[tuple[str, str], tuple[asyncio.Lock, int]] = {}

    async def answer(
        self,
        request: Request,
        names: tuple[str, str],
        resource: UUID,
        run: Callable[[UUID, datetime], Awaitable[Response]],
    ) -> Response:
        """The first answer to `names` (key name, Idempotency-Key), made by `run` where there is none yet.

        `run` gets the UUID and the instant of the first request, also when it runs again for a later one.

        Raises Refused: IDEMPOTENCY_CONFLICT for another request under the same key.
        """
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        mark = fingerprint(request.method, path, await request.body(), request.headers.get("if-match"))
        async with self._turn(names):
            record = await self._begin(names, mark, resource)
            if record.fingerprint != mark:
                raise Refused(
                    Code.IDEMPOTENCY_CONFLICT,
                    f"Idempotency-Key {names[1]!r} was used for another request.",
                    idempotency_key=names[1],
                )
            if record.status is not None:
                return _replayed(record)
            response = await run(UUID(record.resource_id), record.created_at)
            if response.status_code >= 500:
                return response
            kept = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
            await anyio.to_thread.run_sync(
                self._store.idempotency.finish, *names, response.status_code, bytes(response.body), kept
            )
            if record.is_new:
                return response
            first = await self._begin(names, mark, resource)
            return _replayed(first) if first.status is not None else response

    async def _begin(self, names: tuple[str, str], mark: str, resource: UUID) -> IdempotencyRecord:
        return await anyio.to_thread.run_sync(self._store.idempotency.begin, *names, mark, str(resource))

    @asynccontextmanager
    async def _turn(self, names: tuple[str, str]) -> AsyncIterator[None]:
        """One at a time under one key in this process; other processes meet in the store."""
        lock, waiting = self._turns.get(names, (asyncio.Lock(), 0))
        self._turns[names] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._turns[names]
            if waiting == 1:
                del self._turns[names]
            else:
                self._turns[names] = (lock, waiting - 1)


def _replayed(record: IdempotencyRecord) -> Response:
    headers = {**(record.headers or {}), REPLAYED: "true"}
    return Response(record.body or b"", record.status or 200, headers)
