"""Signed commands on their way in: kept in the store, accepted by Temporal, then acknowledged, in this order.

A process that dies in between leaves a kept command that nobody has acknowledged; the same request again finds it and
goes on with it, as the same command. What was acknowledged is never started twice: Temporal refuses a second workflow
of the same id, and a command that its worker has seen is not started again at all.
"""

import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import anyio
import structlog
from temporalio.client import Client
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError

from oms.api.access import Caller, Reach
from oms.api.answering import Gone, away, patient
from oms.api.asking import Asking
from oms.api.context import Settings
from oms.api.exact_json import exact_text
from oms.api.message_ids import MessageIds
from oms.api.metrics import Metrics
from oms.api.tenancy import Tenancy
from oms.domain.control import ControlEvent, ControlKind
from oms.domain.errors import Code, Refused
from oms.domain.programs import envelopes, intake
from oms.domain.programs.entries import check_asof
from oms.domain.programs.envelopes import CommandKind, Envelope
from oms.domain.programs.intake import Flatten, Payload, SubmitOrders
from oms.domain.programs.judging import key_of, require_role
from oms.domain.programs.outcomes import CommandInput, CommandRecord, CommandStatus
from oms.domain.programs.tenants import Tenant, account_of
from oms.store import Store, Taken
from oms.workflows.contract import PORTFOLIO_ATTRIBUTE
from oms.workflows.programs import COMMAND_QUEUE, COMMAND_WORKFLOW, command_workflow_id

MAX_COMMAND_BYTES = 500_000
"""A command is one argument of its workflow, as text within JSON, and Temporal takes no more than 2 MB."""
_ACCEPTED_WITHIN_SECONDS = 10.0
_ALARMING = frozenset({Code.BAD_SIGNATURE, Code.STALE_ENVELOPE, Code.REPLAYED_NONCE})
_ALWAYS_MS = 10**15
_ON_ITS_WAY_NS = 60 * 10**9
_log = structlog.get_logger("oms.commands")


@dataclass(frozen=True)
class _Handed:
    """An envelope that somebody else signed, and the key that it stands under."""

    envelope: Envelope
    asked: Payload
    tenant: Tenant
    digest: str
    idem_key: str
    is_named: bool
    """Whether the producer chose the key; otherwise it is made of the nonce."""


class Intake:
    """Takes commands. Methods raise `Refused`, with UNAVAILABLE where a part is away: then send the same again."""

    def __init__(
        self, temporal: Client, store: Store, settings: Settings, tenancy: Tenancy, metrics: Metrics
    ) -> None:
        self._temporal = temporal
        self._store = store
        self._settings = settings
        self._tenancy = tenancy
        self._metrics = metrics
        self._ids = MessageIds()
        self._accepted_within = min(settings.answer_within_seconds, _ACCEPTED_WITHIN_SECONDS)

    async def take(self, kind: CommandKind, payload: dict[str, Any], asking: Asking) -> CommandRecord:
        """Sign `payload` and take it. The same again, by its idem_hint or within the window, is the same command.

        Raises Refused: NOT_AUTHORIZED, VALIDATION_FAILED, INVALID_TENANT, INVALID_ACCOUNT, IDEMPOTENCY_CONFLICT,
        PAYLOAD_TOO_LARGE, UNAVAILABLE.
        """
        require_role(kind, asking.caller.actor)
        asked = intake.payload(kind, payload)
        secret = self._secrets()[0]
        tenant = await self._tenancy.of(asked.tenant, asking.caller.reach)
        digest, message_id = envelopes.digest(tenant.tenant, kind, payload), self._ids.next()
        _check_size(exact_text(payload))
        key = envelopes.idem_key(tenant.tenant, hint=asked.idem_hint, digest=digest, message_id=message_id)
        await self._check(asked, tenant, key, asking.caller.reach)
        record = _record(key, message_id, tenant, kind, digest, payload, asking)
        window_ns = int(self._settings.command_window_seconds * 1e9) if asked.idem_hint is None else None
        kept, _ = await self._claim(record, window_ns)
        if kept.status is CommandStatus.ENQUEUED:
            signed = envelopes.sign(
                kind, tenant.tenant, payload, secret, nonce=_nonce(), ts_ms=_now_ms(), idem_key=kept.idem_key
            )
            await self._start(kept, signed, tenant, asking)
        return kept

    async def hand_in(self, given: Mapping[str, Any], asking: Asking) -> CommandRecord:
        """Take an envelope that another producer signed, bare or as `{"envelope": ...}`.

        The very same envelope under an idem_key of its own is the same command; without one its nonce stands for it,
        and it is taken once. Raises Refused as `take`, and BAD_SIGNATURE, STALE_ENVELOPE, REPLAYED_NONCE, which are
        recorded and alarmed.
        """
        try:
            return await self._handed_in(given, asking)
        except Refused as refused:
            if refused.code in _ALARMING:
                await self._alarm(refused, envelopes.bare(given), asking)
            raise

    async def _handed_in(self, given: Mapping[str, Any], asking: Asking) -> CommandRecord:
        envelope = envelopes.judged(envelopes.bare(given), self._secrets(), _now_ms(), _ALWAYS_MS)
        require_role(envelope.kind, asking.caller.actor)
        handed = await self._read(envelope, asking.caller)
        stale = self._staleness(given)
        if stale is not None:
            return await self._accepted_before(handed, stale)
        await self._check(handed.asked, handed.tenant, handed.idem_key, asking.caller.reach)
        holder = await anyio.to_thread.run_sync(
            self._store.nonces.claim, envelope.nonce, handed.idem_key, time.time_ns()
        )
        if holder != handed.idem_key:
            raise _replayed(handed, holder)
        record = _record(
            handed.idem_key,
            self._ids.next(),
            handed.tenant,
            envelope.kind,
            handed.digest,
            envelope.payload,
            asking,
        )
        kept, is_first = await self._claim(record, None)
        started = kept.status is CommandStatus.ENQUEUED and await self._start(
            kept, envelope, handed.tenant, asking
        )
        if not (handed.is_named or is_first or started):
            raise _replayed(handed, holder)
        return kept

    async def _read(self, envelope: Envelope, caller: Caller) -> _Handed:
        """What the envelope says, held against the caller's reach. Raises Refused."""
        tenant = await self._tenancy.of(envelope.tenant, caller.reach)
        asked = intake.payload(envelope.kind, envelope.payload, tenant.tenant)
        _check_size(envelopes.text(envelope))
        return _Handed(
            envelope=envelope,
            asked=asked,
            tenant=tenant,
            digest=envelopes.digest(tenant.tenant, envelope.kind, envelope.payload),
            idem_key=key_of(envelope, asked.idem_hint),
            is_named=(envelope.idem_key or asked.idem_hint) is not None,
        )

    async def _check(self, asked: Payload, tenant: Tenant, idem_key: str, reach: Reach) -> None:
        """Refuse at once what can be known at once; its worker looks again. Raises Refused.

        A repetition under its own key gets its answer, whatever the tenant's accounts have become since.
        """
        if isinstance(asked, SubmitOrders):
            check_asof(asked, time.time_ns())
        if isinstance(asked, Flatten):
            await anyio.to_thread.run_sync(self._check_account, asked, tenant, idem_key, reach)

    def _check_account(self, asked: Flatten, tenant: Tenant, idem_key: str, reach: Reach) -> None:
        if self._store.commands.get(idem_key) is not None:
            return
        reference = self._store.reference
        portfolio = reference.portfolio(tenant.portfolio_id)
        if portfolio is not None:
            own = portfolio.default_account_id
            account_of(tenant, own, asked.account, reference.account, reach.account_ids)

    async def is_left(self, kept: CommandRecord) -> bool:
        """Whether the command was kept and not accepted, so that nothing will come of it unless it is sent again.

        Whoever sent it may still be about that for a minute; where Temporal is away nobody can say.
        """
        on_its_way = time.time_ns() - kept.received_ns < _ON_ITS_WAY_NS
        if kept.status is not CommandStatus.ENQUEUED or on_its_way:
            return False
        try:
            return not await self._is_started(kept)
        except Refused:
            return False

    def _staleness(self, given: Mapping[str, Any]) -> Refused | None:
        """Why the envelope is too old, or of the future; None where its time is good."""
        window_ms = int(self._settings.envelope_window_seconds * 1000)
        try:
            envelopes.judged(envelopes.bare(given), self._secrets(), _now_ms(), window_ms)
        except Refused as refused:
            return refused
        return None

    async def _accepted_before(self, handed: _Handed, stale: Refused) -> CommandRecord:
        """The command that the envelope was when its time was good, where Temporal accepted it then. Raises `stale`."""
        kept = await anyio.to_thread.run_sync(self._store.commands.get, handed.idem_key)
        if kept is None or kept.digest != handed.digest or not handed.is_named:
            raise stale
        if kept.status is CommandStatus.ENQUEUED and not await self._is_started(kept):
            raise stale
        return kept

    async def _claim(self, record: CommandRecord, window_ns: int | None) -> tuple[CommandRecord, bool]:
        kept, is_first = await anyio.to_thread.run_sync(self._kept, record, window_ns)
        if kept.digest != record.digest:
            raise Refused(
                Code.IDEMPOTENCY_CONFLICT,
                f"{kept.idem_key!r} stands for another command, and does so for ever.",
                idem_key=kept.idem_key,
                message_id=kept.message_id,
            )
        return kept, is_first

    def _kept(self, record: CommandRecord, window_ns: int | None) -> tuple[CommandRecord, bool]:
        """Claim it, under another message id where another process has made the same one."""
        claim = partial(self._store.commands.claim, window_ns=window_ns)
        with suppress(Taken):
            return claim(record)
        return claim(_renamed(record, self._ids.next(), has_own_key=window_ns is None))

    async def _start(self, kept: CommandRecord, envelope: Envelope, tenant: Tenant, asking: Asking) -> bool:
        """Have Temporal accept the command. False where it had accepted it before. Raises Refused: UNAVAILABLE."""
        asked = CommandInput(
            message_id=kept.message_id,
            idem_key=kept.idem_key,
            envelope=envelopes.text(envelope),
            actor=asking.caller.actor,
            reach=asking.caller.reach.account_ids,
            received_ns=time.time_ns(),
            correlation_id=asking.request_id,
        )
        try:
            async with patient(self._accepted_within, "Temporal does not accept the command; send it again."):
                await self._temporal.start_workflow(
                    COMMAND_WORKFLOW,
                    asked,
                    id=command_workflow_id(kept.idem_key),
                    task_queue=COMMAND_QUEUE,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    search_attributes=TypedSearchAttributes(
                        [SearchAttributePair(PORTFOLIO_ATTRIBUTE, tenant.portfolio_id)]
                    ),
                    static_summary=f"{kept.kind} for {tenant.tenant}, {kept.message_id}",
                    rpc_timeout=timedelta(seconds=self._accepted_within),
                )
        except Gone as gone:
            if isinstance(gone.__cause__, WorkflowAlreadyStartedError):
                return False
            raise away("Temporal does not know the namespace of the order book.") from gone
        return True

    async def _is_started(self, kept: CommandRecord) -> bool:
        handle = self._temporal.get_workflow_handle(command_workflow_id(kept.idem_key))
        try:
            async with patient(self._accepted_within):
                await handle.describe()
        except Gone:
            return False
        return True

    async def _alarm(self, refused: Refused, given: Mapping[str, Any], asking: Asking) -> None:
        """Tell everybody who watches that an envelope was refused: the log, the control journal, a metric."""
        names = ("kind", "tenant", "nonce", "idem_key")
        told = {name: str(given[name])[:100] for name in names if given.get(name) is not None}
        message_id = self._ids.next()
        _log.error("command.alarm.refused", code=refused.code, message_id=message_id, **told)
        self._metrics.refused_envelope(refused.code)
        event = ControlEvent(
            kind=ControlKind.COMMAND_REFUSED,
            subject=message_id,
            actor=asking.caller.name,
            reason=refused.message,
            ts_ns=time.time_ns(),
            data={"code": refused.code, **told},
        )
        await anyio.to_thread.run_sync(self._store.control.tell, event)

    def _secrets(self) -> tuple[str, ...]:
        if not self._settings.envelope_secrets:
            raise away("No ENVELOPE_SECRET is set, so no command can be signed or verified.")
        return self._settings.envelope_secrets


def _record(
    idem_key: str,
    message_id: str,
    tenant: Tenant,
    kind: CommandKind,
    digest: str,
    payload: dict[str, Any],
    asking: Asking,
) -> CommandRecord:
    now_ns = time.time_ns()
    return CommandRecord(
        idem_key=idem_key,
        message_id=message_id,
        tenant=tenant.tenant,
        kind=kind,
        digest=digest,
        key_name=asking.caller.name,
        status=CommandStatus.ENQUEUED,
        payload=payload,
        received_ns=now_ns,
        updated_ns=now_ns,
    )


def _renamed(record: CommandRecord, message_id: str, *, has_own_key: bool) -> CommandRecord:
    """The command under another message id; a key that is made of that follows it."""
    key = envelopes.idem_key(record.tenant, hint=None, digest=record.digest, message_id=message_id)
    named = {"message_id": message_id, "idem_key": record.idem_key if has_own_key else key}
    return record.model_copy(update=named)


def _check_size(text: str) -> None:
    size = len(text.encode())
    if size > MAX_COMMAND_BYTES:
        raise Refused(
            Code.PAYLOAD_TOO_LARGE,
            f"The command is {size} bytes; at most {MAX_COMMAND_BYTES} are carried.",
            limit=MAX_COMMAND_BYTES,
            actual=size,
        )


def _replayed(handed: _Handed, holder: str) -> Refused:
    """REPLAYED_NONCE; the command that used the nonce is named where it is the same tenant's."""
    is_ours = holder.startswith(f"oms:{handed.tenant.tenant}:")
    return Refused(
        Code.REPLAYED_NONCE,
        "The nonce was used before; sign the command anew under a nonce that was never used.",
        **({"idem_key": holder} if is_ours else {}),
    )


def _nonce() -> str:
    """URL-safe base64 of 16 random bytes."""
    return secrets.token_urlsafe(16)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
