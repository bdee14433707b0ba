"""Signed commands as the API would keep them, for the tests of the store."""

import itertools
from decimal import Decimal
from hashlib import sha256
from typing import Any

from tests.store.building import NS

from oms.domain.programs.envelopes import CommandKind
from oms.domain.programs.events import VenueEvent
from oms.domain.programs.outcomes import CommandOutcome, CommandRecord, CommandStatus

WINDOW_NS = 600 * 1_000_000_000
_numbers = itertools.count()


def message_id(number: int) -> str:
    return f"{NS // 1_000_000:013d}-{number:010d}"


def command(number: int | None = None, *, what: str = "one", **more: Any) -> CommandRecord:
    """A command of its own; `what` says what it asks for, the same for the same command."""
    number = next(_numbers) + 1_000_000 if number is None else number
    given = {
        "idem_key": f"oms:nts:{number}",
        "message_id": message_id(number),
        "tenant": "nts",
        "kind": CommandKind.SUBMIT,
        "digest": sha256(what.encode()).hexdigest(),
        "key_name": "program",
        "status": CommandStatus.ENQUEUED,
        "payload": {"asof": None, "what": what, "lmtPrice": Decimal("4800.250"), "n": 1},
        "received_ns": NS,
        "updated_ns": NS,
    }
    return CommandRecord(**{**given, **more})


def outcome(record: CommandRecord, status: CommandStatus, **more: Any) -> CommandOutcome:
    return CommandOutcome(message_id=record.message_id, idem_key=record.idem_key, status=status, **more)


def event(key: str = "e1", kind: str = "orderStatus", **more: Any) -> VenueEvent:
    body = {"event_type": kind, "orderId": 1234, "filled": Decimal("1.50"), "symbol": "ES"}
    return VenueEvent(**{"natural_key": key, "event_type": kind, "body": body, "ts_init_ns": NS, **more})
