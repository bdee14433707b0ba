"""Asking Temporal: what it raises becomes a refusal, and too long a wait becomes UNAVAILABLE."""

import asyncio
from typing import Any

import structlog
from temporalio.client import (
    RPCError,
    RPCTimeoutOrCancelledError,
    WorkflowFailureError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
)
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCStatusCode

from oms.domain.errors import Code, Refused
from oms.workflows.contract import REFUSED, Refusal

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
