"""Halting and resuming trading, and what must always be true of the book."""

from typing import Unpack

from durable_oms.models import Halt, Invariant
from durable_oms.models.record import listed, page
from durable_oms.operation import operation
from durable_oms.requests import Content, Repeatable, asked, told


class Control:
    """The stop switch: of the firm, a portfolio, an account, a venue."""

    @operation("POST /v1/halt", Halt.model_validate)
    def halt(
        self,
        scope: str,
        subject: str | None = None,
        *,
        reason: str,
        cancel_all: bool | None = None,
        **options: Unpack[Repeatable],
    ) -> Content:
        """Stop new orders, changes and placements; cancels stay open. The halt that stands.

        `scope`: firm, portfolio, account or venue; `subject` names which. `cancel_all` also cancels what works.
        """
        return told(options, scope=scope, subject=subject, reason=reason, cancel_all=cancel_all)

    @operation("POST /v1/resume", Halt.model_validate)
    def resume(
        self, scope: str, subject: str | None = None, *, reason: str, **options: Unpack[Repeatable]
    ) -> Content:
        """Lift one halt, named as it was halted; a wider one still holds. The halt that ended."""
        return told(options, scope=scope, subject=subject, reason=reason)

    @operation("GET /v1/halt", page(Halt.model_validate))
    def list_halts(self, limit: int = 100, offset: int = 0, cursor: str | None = None) -> Content:
        """What is halted now, the oldest first."""
        return asked(limit=limit, offset=offset, cursor=cursor)

    @operation("GET /v1/invariants", listed("items", Invariant.model_validate))
    def list_invariants(self) -> Content:
        """What must always be true of the book, and whether it is. For keys to all portfolios."""
        return asked()
