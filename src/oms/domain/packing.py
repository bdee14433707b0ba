"""A long ledger in a small text: its executions and commissions in columns, deflated.

Temporal takes two megabytes for one message, and ten thousand fills written out are three. In columns what repeats
(placements, currencies, the beginnings of ids and of times) all but disappears: a fill takes about 25 bytes.
"""

import base64
import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from oms.domain.numbers import plain

if TYPE_CHECKING:
    from oms.domain.executions import Commission, Execution


def pack(executions: Mapping[str, "Execution"], commissions: Mapping[str, "Commission"]) -> str:
    """Both as ASCII text. `executions` keep their order."""
    names: dict[str, int] = {}

    def number(name: str) -> int:
        return names.setdefault(name, len(names))

    rows = executions.values()
    columns: dict[str, Any] = {
        "base": list(executions),
        "exec_id": [_tail(base, e.exec_id) for base, e in executions.items()],
        "quantity": [plain(e.quantity) for e in rows],
        "price": [plain(e.price) for e in rows],
        "placement": [number(e.placement_id) for e in rows],
        "currency": [number(e.currency) for e in rows],
        "venue": [number(e.venue) for e in rows],
        "event": _steps(e.ts_event_ns for e in rows),
        "init": [e.ts_init_ns - e.ts_event_ns for e in rows],
        "charged": [
            [base, _tail(base, c.exec_id), plain(c.amount), number(c.currency)]
            for base, c in commissions.items()
            if base not in executions
        ],
        "charge": [_charge(base, commissions.get(base), number) for base in executions],
    }
    columns["names"] = list(names)
    text = json.dumps(columns, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), 6)).decode()


def _charge(base: str, commission: "Commission | None", number: Callable[[str], int]) -> list[Any] | None:
    if commission is None:
        return None
    return [_tail(base, commission.exec_id), plain(commission.amount), number(commission.currency)]


def _tail(base: str, exec_id: str) -> str:
    """The revision, as it is written: an execution's id begins with what it identifies."""
    return exec_id[len(base) :]


def _steps(instants: Iterable[int]) -> list[int]:
    every = list(instants)
    return [after - before for before, after in zip([0, *every], every, strict=False)]


def unpack(text: str) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """The fields of each execution and of each commission, by their bases. Raises ValueError for anything else."""
    try:
        columns = json.loads(zlib.decompress(base64.b64decode(text, validate=True)))
    except zlib.error as error:
        raise ValueError(f"is no packed ledger: {error}") from error
    names = columns["names"]
    named = (columns["base"], columns["exec_id"], columns["quantity"], columns["price"])
    about = (columns["placement"], columns["currency"], columns["venue"])
    times = (accumulate(columns["event"]), columns["init"])
    executions = {
        base: {
            "exec_id": base + tail,
            "placement_id": names[placement],
            "quantity": Decimal(quantity),
            "price": Decimal(price),
            "currency": names[currency],
            "venue": names[venue],
            "ts_event_ns": event,
            "ts_init_ns": event + after,
        }
        for base, tail, quantity, price, placement, currency, venue, event, after in zip(
            *named, *about, *times, strict=True
        )
    }
    charges = [
        (base, *charge)
        for base, charge in zip(executions, columns["charge"], strict=True)
        if charge is not None
    ]
    commissions = {
        base: {"exec_id": base + tail, "amount": Decimal(amount), "currency": names[currency]}
        for base, tail, amount, currency in (*charges, *columns["charged"])
    }
    return executions, commissions
