"""Business identifiers: a prefix that says what it is, and a UUIDv7 (RFC 9562) that sorts by time."""

import re
from typing import Annotated
from uuid import UUID

from pydantic import Field

ORDER, PLACEMENT, ALLOCATION, BASKET, RULE, OVERRIDE, BATCH, INSTRUMENT, GROUP, RESTRUCTURING = (
    "ORD",
    "PLC",
    "ALC",
    "BSK",
    "RUL",
    "OVR",
    "BAT",
    "INS",
    "GRP",
    "RST",
)
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_REF = re.compile(r"[0-9a-f]{32}")

Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[\x20-\x7e]+$")]
"""A name given from outside: printable ASCII, at most 128 characters."""


def uuid7(unix_ms: int, entropy: bytes) -> UUID:
    """A UUIDv7 of the instant `unix_ms` (milliseconds since the epoch) and ten bytes of `entropy`."""
    bits = (unix_ms & (1 << 48) - 1) << 80 | int.from_bytes(entropy[:10], "big")
    bits &= ~(0xF << 76) & ~(0x3 << 62)
    return UUID(int=bits | 0x7 << 76 | 0x2 << 62)


def identifier(prefix: str, uuid: UUID) -> str:
    """`ORD-01936d8a-...` from a prefix of this module and a UUID."""
    return f"{prefix}-{uuid}"


def is_identifier(prefix: str, text: str) -> bool:
    """Whether `text` has the shape that `identifier(prefix, ...)` gives."""
    return re.fullmatch(f"{prefix}-{_UUID}", text) is not None


def order_ref(placement_id: str) -> str:
    """The reference a broker carries for a placement: its UUID as 32 hexadecimal digits.

    Interactive Brokers does not document a limit for `orderRef`; 32 ASCII characters are known to pass.
    """
    return placement_id.removeprefix(f"{PLACEMENT}-").replace("-", "")


def placement_of(ref: str) -> str | None:
    """The placement id behind a broker's reference, or None where the reference is not ours."""
    return identifier(PLACEMENT, UUID(hex=ref)) if _REF.fullmatch(ref) else None


def workflow_id(order_id: str) -> str:
    """The Temporal workflow id of an order."""
    return f"order/{order_id}"


def instruction_id(order_id: str) -> str:
    """The settlement instruction of an order: one per order, so sending it twice is one instruction."""
    return f"SI-{order_id.removeprefix('ORD-')}"
