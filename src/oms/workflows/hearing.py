"""What a signal says, read fact by fact: what cannot be read is kept for a person and never dropped."""

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from oms.domain.facts import Fact, Unreadable
from oms.workflows.contract import CUSTODIAN_FACTS_SIGNAL, VENUE_FACTS_SIGNAL

_ONE: TypeAdapter[Fact] = TypeAdapter(Fact)
_MANY: TypeAdapter[tuple[Fact, ...]] = TypeAdapter(tuple[Fact, ...])
_SIGNALS = (VENUE_FACTS_SIGNAL, CUSTODIAN_FACTS_SIGNAL)
_CANNOT_BE_READ = (ValueError, ArithmeticError, RecursionError)
_LAST_NS = 2**63
"""Instants are kept as 64-bit nanoseconds, which end in the year 2262."""
_RAW_KEPT = 10_000


def heard(signal: str, payloads: Sequence[bytes], now_ns: int) -> tuple[str, tuple[Fact, ...]]:
    """Who speaks, and the facts in JSON `payloads` (a source, a list of facts). Never raises."""
    try:
        source, said = payloads if signal in _SIGNALS else (b"", b"")
        name = str(from_json(source))
    except ValueError:
        return signal, (_unreadable(signal, b" ".join(payloads), "not a source and a list of facts", now_ns),)
    try:
        return name, tuple(map(_within_time, _MANY.validate_json(said)))
    except _CANNOT_BE_READ as error:
        return name, _one_by_one(name, said, str(error), now_ns)


def _one_by_one(source: str, said: bytes, reason: str, now_ns: int) -> tuple[Fact, ...]:
    try:
        listed = from_json(said)
    except ValueError:
        listed = None
    if not isinstance(listed, list):
        return (_unreadable(source, said, reason, now_ns),)
    return tuple(_fact(source, one, now_ns) for one in listed)


def _fact(source: str, one: Any, now_ns: int) -> Fact:
    raw = to_json(one)
    try:
        return _within_time(_ONE.validate_json(raw))
    except _CANNOT_BE_READ as error:
        return _unreadable(source, raw, str(error), now_ns)


def _within_time(fact: Fact) -> Fact:
    if not (0 <= fact.ts_event_ns < _LAST_NS and 0 <= fact.ts_init_ns < _LAST_NS):
        raise ValueError("an instant is out of range")
    return fact


def _unreadable(source: str, raw: bytes, reason: str, now_ns: int) -> Unreadable:
    return Unreadable(
        ts_event_ns=now_ns,
        ts_init_ns=now_ns,
        source=source,
        raw=raw.decode(errors="replace")[:_RAW_KEPT],
        reason=reason[:500],
    )
