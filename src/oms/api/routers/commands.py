"""Signed commands: a program says what it wants, and hears that it is kept. What became of it is asked for."""

from collections.abc import Sequence
from typing import Annotated, Any

import anyio
from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel, GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from starlette.responses import Response

from oms.api.access import Reach
from oms.api.asking import Ask, Context, Who
from oms.api.command_views import CommandsView, CommandView, SubmitAck, WholeCommandView
from oms.api.exact_json import exact_answer
from oms.api.intake import Intake
from oms.api.message_ids import is_message_id
from oms.api.open_door import ProgramRoute
from oms.api.problems import refusals
from oms.api.routers.shared import book_router
from oms.api.tenancy import Tenants, tenants_within
from oms.api.views import answer
from oms.domain.errors import Code, Refused
from oms.domain.programs import envelopes
from oms.domain.programs.envelopes import CommandKind, Envelope, IdemKey
from oms.domain.programs.intake import Flatten, Ping, SubmitOrders
from oms.domain.programs.outcomes import CommandRecord
from oms.domain.programs.tenants import TenantName
from oms.store import BadCursor, Store
from oms.store.page import sealed, unsealed

router = book_router("/oms", "commands", ProgramRoute)
_TAKEN = (Code.INVALID_TENANT, Code.IDEMPOTENCY_CONFLICT)
_HANDED = (*_TAKEN, Code.INVALID_ACCOUNT, Code.BAD_SIGNATURE, Code.STALE_ENVELOPE, Code.REPLAYED_NONCE)


class WrappedEnvelope(BaseModel):
    """The same, wrapped."""

    envelope: Envelope


class _ShownAs:
    """Shows a shape in the OpenAPI document; what is read is the JSON as it came, and the domain judges it."""

    def __init__(self, shape: Any) -> None:
        self._shape = TypeAdapter[Any](shape)

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, show: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return show(self._shape.core_schema)


PingBody = Annotated[dict[str, Any], _ShownAs(Ping)]
SubmitBody = Annotated[dict[str, Any], _ShownAs(SubmitOrders)]
FlattenBody = Annotated[dict[str, Any], _ShownAs(Flatten)]
EnvelopeBody = Annotated[dict[str, Any], _ShownAs(Envelope | WrappedEnvelope)]


async def _intake(request: Request) -> Intake:
    taking: Intake = request.app.state.intake
    return taking


Taking = Annotated[Intake, Depends(_intake)]


@router.post("/ping", operation_id="PingCommands", response_model=SubmitAck, responses=refusals(*_TAKEN))
async def ping(taking: Taking, asking: Ask, body: PingBody) -> Response:
    """Send a command that does nothing all the way to its worker. For any key."""
    return answer(SubmitAck.of(await taking.take(CommandKind.PING, body, asking)))


@router.post("/orders", operation_id="SubmitOrders", response_model=SubmitAck, responses=refusals(*_TAKEN))
async def submit_orders(taking: Taking, asking: Ask, body: SubmitBody) -> Response:
    """Submit orders for a tenant. For pm. The same `idem_hint` is the same command for ever, and 422 for another.

    503 may mean that the command is kept and was not accepted: send the same again, and it is the same command.
    """
    return answer(SubmitAck.of(await taking.take(CommandKind.SUBMIT, body, asking)))


@router.post(
    "/flatten",
    operation_id="FlattenPositions",
    response_model=SubmitAck,
    responses=refusals(*_TAKEN, Code.INVALID_ACCOUNT),
)
async def flatten(taking: Taking, asking: Ask, body: FlattenBody) -> Response:
    """Bring the positions of an account to zero, never beyond. For pm."""
    return answer(SubmitAck.of(await taking.take(CommandKind.FLATTEN, body, asking)))


@router.post(
    "/envelopes", operation_id="HandInEnvelope", response_model=SubmitAck, responses=refusals(*_HANDED)
)
async def hand_in_envelope(
    request: Request,
    taking: Taking,
    asking: Ask,
    body: EnvelopeBody,  # noqa: ARG001 - shown in the document; what is signed is read as its worker reads it
) -> Response:
    """Hand in a command that another producer signed, bare or as `{"envelope": ...}`. For pm; a ping for any key.

    A wrong signature or a ts outside the window is 403, a nonce that was used before 409: recorded and alarmed.
    """
    given = envelopes.read(await request.body())
    return answer(SubmitAck.of(await taking.hand_in(given, asking)))


@router.get(
    "/commands",
    operation_id="ListCommands",
    response_model=CommandsView,
    responses=refusals(Code.INVALID_TENANT),
)
async def list_commands(
    context: Context,
    caller: Who,
    tenants: Tenants,
    limit: Annotated[int, Query(ge=1, le=500, description="Commands on a page.")] = 100,
    tenant: Annotated[TenantName | None, Query()] = None,
    cursor: Annotated[
        str | None, Query(max_length=1000, description="`next_cursor` of the page before; opaque.")
    ] = None,
) -> Response:
    """Commands of the tenants that the key may act for, the one that arrived last first."""
    before = None if cursor is None else _read_cursor(cursor)
    if tenant is not None:
        only: frozenset[str] | None = frozenset({(await tenants.of(tenant, caller.reach)).tenant})
    else:
        only = await anyio.to_thread.run_sync(tenants_within, context.store, caller.reach)
    found = await anyio.to_thread.run_sync(context.store.commands.list, only, limit + 1, before)
    return exact_answer(_page(found, limit))


def _read_cursor(cursor: str) -> str:
    """The message id at which a page ended. Raises BadCursor."""
    message_id = unsealed(cursor).decode("ascii", "replace")
    if not is_message_id(message_id):
        raise BadCursor("The cursor is not one of this list's.")
    return message_id


def _page(found: Sequence[CommandRecord], limit: int) -> CommandsView:
    shown = found[:limit]
    cursor = sealed(shown[-1].message_id.encode()) if len(found) > limit else None
    return CommandsView.model_construct(items=[CommandView.of(kept) for kept in shown], next_cursor=cursor)


@router.get(
    "/commands/{command_id:path}",
    operation_id="GetCommand",
    response_model=WholeCommandView,
    responses=refusals(Code.COMMAND_NOT_FOUND),
)
async def get_command(
    context: Context,
    caller: Who,
    taking: Taking,
    command_id: Annotated[IdemKey, Path(description="Its message_id or its idem_key.")],
) -> Response:
    """One command with its orders as they are now. "Enqueued" is not acceptance: this is."""
    store = context.store
    kept = await anyio.to_thread.run_sync(_command, store, caller.reach, command_id)
    if await taking.is_left(kept):
        return exact_answer(WholeCommandView.received(kept))
    return exact_answer(await anyio.to_thread.run_sync(WholeCommandView.of, kept, store))


def _command(store: Store, reach: Reach, command_id: str) -> CommandRecord:
    """Blocks. Raises Refused: COMMAND_NOT_FOUND, also for one of a tenant out of reach."""
    kept = store.commands.by_message(command_id) or store.commands.get(command_id)
    seen = tenants_within(store, reach)
    if kept is None or (seen is not None and kept.tenant not in seen):
        raise Refused(Code.COMMAND_NOT_FOUND, f"There is no command {command_id!r}.", command_id=command_id)
    return kept
