"""Framing and field encoding of the TWS API socket protocol.

A frame is a 4-byte big-endian length and that many bytes of UTF-8 fields, each *ended* by NUL.
TCP may split and join frames anywhere, so reading is incremental. Source: TWS API, EClient/EReader.
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from struct import Struct

UNSET_DOUBLE = "1.7976931348623157E308"
UNSET_INTEGER = "2147483647"
LARGEST_FRAME = 1 << 20
"""Bytes. A longer announced frame is garbage or an attack; the session is closed."""

_LENGTH = Struct(">I")
_LARGEST_DOUBLE = Decimal("1e308")
# Within these a product of price and quantity stays exact in 28 digits as far as money is concerned.
_LARGEST_NUMBER = Decimal("1e15")
_MOST_PLACES = 20


class WireError(ValueError):
    """The bytes or fields a client sent cannot be read."""


class FrameReader:
    """Cuts a byte stream into frame payloads.

    >>> reader = FrameReader(); reader.feed(frame([1, "a"])[:3])
    []
    """

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take in bytes, return the payloads completed by them. Raises WireError on an impossible length."""
        held = self._held
        held += data
        payloads: list[bytes] = []
        start = 0
        while len(held) - start >= 4:
            (length,) = _LENGTH.unpack_from(held, start)
            if not 0 < length <= LARGEST_FRAME:
                raise WireError(f"frame of {length} bytes announced (1 to {LARGEST_FRAME} allowed)")
            end = start + 4 + length
            if len(held) < end:
                break
            payloads.append(bytes(held[start + 4 : end]))
            start = end
        del held[:start]
        return payloads


def split_fields(payload: bytes) -> list[str]:
    """The fields of one payload. Raises WireError when it is not UTF-8 or not ended by NUL."""
    if not payload.endswith(b"\0"):
        raise WireError("payload does not end with NUL")
    try:
        return payload[:-1].decode().split("\0")
    except UnicodeDecodeError as problem:
        raise WireError("payload is not UTF-8") from problem


def frame(fields: Iterable[object]) -> bytes:
    """One frame of fields: text as it is, True/False as 1/0, None as empty, Decimal in plain notation."""
    payload = ("\0".join([f if type(f) is str else field_text(f) for f in fields]) + "\0").encode()
    return _LENGTH.pack(len(payload)) + payload


def field_text(value: object) -> str:
    """The text of one field value as the client can read it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, Decimal):
        return decimal_text(value)
    return str(value)


def decimal_text(value: Decimal) -> str:
    """Plain decimal notation without trailing zeros: 1E+2 becomes 100, 0.10 becomes 0.1."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def time_text(moment: datetime) -> str:
    """``20260102 10:00:00 US/Eastern``, the one form with a zone that the client reads without guessing."""
    return moment.strftime("%Y%m%d %H:%M:%S US/Eastern")


def decimal_of(text: str) -> Decimal | None:
    """A number field; None when it is unset. Raises WireError on other text, NaN or infinity."""
    if text in {"", UNSET_DOUBLE, UNSET_INTEGER}:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation as problem:
        raise WireError(f"{text[:40]!r} is not a number") from problem
    if not number.is_finite():
        raise WireError(f"{text!r} is not a finite number")
    # The client sends the largest double as unset in more than one spelling.
    if number >= _LARGEST_DOUBLE:
        return None
    if abs(number) >= _LARGEST_NUMBER or number.as_tuple().exponent < -_MOST_PLACES:  # type: ignore[operator]  # a finite number's is an integer
        raise WireError(f"{text[:40]!r} is beyond any price or quantity")
    return number


def integer_of(text: str, default: int = 0) -> int:
    """A 32-bit integer field; the default when it is empty. Raises WireError on anything else."""
    if not text:
        return default
    try:
        number = int(text)
    except ValueError as problem:
        raise WireError(f"{text[:40]!r} is not an integer") from problem
    if not -(2**31) <= number < 2**31:
        raise WireError(f"{text[:40]!r} is not a 32-bit integer")
    return number


class Fields:
    """Reads the fields of one message from the left. Every method raises WireError when none is left."""

    __slots__ = ("_at", "_texts")

    def __init__(self, texts: list[str]) -> None:
        self._texts = texts
        self._at = 0

    def text(self) -> str:
        return self.take(1)[0]

    def integer(self, default: int = 0) -> int:
        return integer_of(self.text(), default)

    def flag(self) -> bool:
        return self.integer() != 0

    def take(self, count: int) -> list[str]:
        """The next ``count`` fields as they came."""
        end = self._at + count
        if count < 0 or end > len(self._texts):
            raise WireError(f"message has {len(self._texts)} fields, {end} expected")
        taken = self._texts[self._at : end]
        self._at = end
        return taken

    def left(self) -> int:
        """How many fields have not been read."""
        return len(self._texts) - self._at
