"""Asking Temporal: what it raises becomes a refusal, and too long a wait becomes UNAVAILABLE."""

import asyncio
from datetime import timedelta
from typing import Any, TypeVar

import structlog
from temporalio.client import (
    Client,
    RPCError,
    RPCTimeoutOrCancelledError,
    WorkflowFailureError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCStatusCode

from oms.domain.errors import Code, Refused
from oms.workflows.contract import DESK_QUEUE, REFUSED, Refusal

A = TypeVar("A")

_log = structlog.get_logger("oms.order_book")


class Gone(Exception):
    """No workflow takes the message: it is over, or there never was one."""


class patient:  # noqa: N801 - reads as a clause: async with patient(30)
    """Turns what Temporal raises into `Refused` or `Gone`, and too long a wait into UNAVAILABLE."""

    def __init__(self, seconds: float, late: str = "The order's workflow does not answer.") -> None:
        self._timeout = asyncio.timeout(seconds)
        self._late = late

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: Any
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as late:
            raise away(self._late) from late
        translated = _translated(error)
        if translated is not None:
            raise translated from error


async def asked_once(
    temporal: Client,
    workflow: str,
    asked: Any,
    workflow_id: str,
    within: timedelta,
    answer: type[A],
    subject: str,
) -> A:
    """The answer of a short workflow on the desk's queue; who asks the same meanwhile shares it.

    within: the whole of it, a worker that has to be found included. subject: what is asked for, in words. Raises Refused: UNAVAILABLE where there is no answer in time.
    """
    try:
        async with patient(within.total_seconds(), f"The {subject} was not answered in time."):
            found: A = await temporal.execute_workflow(
                workflow,
                asked,
                id=workflow_id,
                task_queue=DESK_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                execution_timeout=within,
                static_summary=subject[:200],
                result_type=answer,
            )
    except (Gone, WorkflowFailureError):
        raise away(f"The {subject} ended without an answer; try again.") from None
    return found


def away(message: str) -> Refused:
    """UNAVAILABLE, to be asked again."""
    return Refused(Code.UNAVAILABLE, message)


def _translated(error: BaseException | None) -> Exception | None:
    match error:
        case WorkflowUpdateFailedError() | WorkflowFailureError():
            return _of_failure(error.cause)
        case WorkflowAlreadyStartedError():
            return Gone()
        case RPCError(status=RPCStatusCode.NOT_FOUND):
            return Gone()
        case RPCError(status=RPCStatusCode.INVALID_ARGUMENT):
            return None
        case (
            RPCError()
            | RPCTimeoutOrCancelledError()
            | WorkflowQueryFailedError()
            | WorkflowQueryRejectedError()
        ):
            _log.warning("Temporal did not answer", error=str(error))
            return away("Temporal is away, or no worker answers.")
        case RuntimeError() if str(error).startswith("Failed client connect"):
            return away("Temporal is away.")
    return None


def _of_failure(cause: BaseException | None) -> Exception | None:
    if not isinstance(cause, ApplicationError):
        return None
    if cause.type != REFUSED:
        _log.warning("a workflow ended while it was asked", error=str(cause), type=cause.type)
        return Gone()
    return Refusal.model_validate(cause.details[0]).refused()
