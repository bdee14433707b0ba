"""Signed envelopes: what is signed, how, and what makes one good. docs/commands.md has the rules and test vectors."""

import hmac
from collections.abc import Mapping, Sequence
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any

from pydantic import Field

from oms.domain.errors import Code, Refused
from oms.domain.model import Model
from oms.domain.programs.exact import read_exactly, written
from oms.domain.programs.findings import checked
from oms.domain.programs.tenants import TenantName

IdemKey = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,200}$")]
SIGNED = ("idem_key", "kind", "nonce", "payload", "tenant", "ts")
"""The fields that a signature covers: all but itself. An absent idem_key is signed as null."""


class CommandKind(StrEnum):
    PING = "oms.ping"
    SUBMIT = "oms.submit"
    FLATTEN = "oms.flatten"


class Envelope(Model):
    """A command as it is signed and handed over.

    ts: milliseconds since the epoch. nonce: URL-safe base64 of 16 random bytes, once for ever. sig: HMAC-SHA256 over
    the canonical form of all other fields, in lower-case hexadecimal.
    """

    kind: CommandKind
    tenant: TenantName
    payload: dict[str, Any]
    ts: Annotated[int, Field(ge=0, lt=10**14, strict=True)]
    nonce: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{16,88}={0,2}$")]
    idem_key: IdemKey | None = None
    sig: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None


def bare(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The envelope itself, whether it came bare or as `{"envelope": {...}}`; beside `envelope` nothing else may stand."""
    inner = given.get("envelope")
    return inner if isinstance(inner, Mapping) and len(given) == 1 else given


def canonical(fields: Mapping[str, Any]) -> bytes:
    """What is signed of an envelope with these `fields`. Raises Refused: VALIDATION_FAILED."""
    return written({name: fields.get(name) for name in SIGNED}).encode()


def sign(
    kind: CommandKind,
    tenant: str,
    payload: Mapping[str, Any],
    secret: str,
    *,
    nonce: str,
    ts_ms: int,
    idem_key: str | None = None,
) -> Envelope:
    """A signed envelope. Raises Refused: VALIDATION_FAILED."""
    fields: dict[str, Any] = {
        "kind": kind,
        "tenant": tenant,
        "payload": dict(payload),
        "ts": ts_ms,
        "nonce": nonce,
        "idem_key": idem_key,
    }
    return checked(Envelope, {**fields, "sig": _signature(fields, secret)})


def text(envelope: Envelope) -> str:
    """The envelope as JSON whose numbers keep every digit. Raises Refused: VALIDATION_FAILED."""
    return written(dict(envelope))


def read(given: str | bytes) -> Mapping[str, Any]:
    """An envelope's fields from its JSON text, bare or wrapped. Raises Refused: MALFORMED, VALIDATION_FAILED."""
    value = read_exactly(given)
    if not isinstance(value, Mapping):
        raise Refused(Code.MALFORMED, "An envelope is a JSON object.")
    return bare(value)


def judged(given: Mapping[str, Any], secrets: Sequence[str], at_ms: int, window_ms: int) -> Envelope:
    """The envelope, if it is well made, signed with one of `secrets`, and signed within `window_ms` of `at_ms`.

    Raises Refused: VALIDATION_FAILED, BAD_SIGNATURE, STALE_ENVELOPE. Whether its nonce is new is the store's to say.
    """
    fields = bare(given)
    envelope = checked(Envelope, fields)
    if not _is_signed(fields, envelope.sig, secrets):
        raise Refused(
            Code.BAD_SIGNATURE, "The envelope's signature is missing, or none of ours; nothing was done."
        )
    apart = abs(at_ms - envelope.ts)
    if apart > window_ms:
        when = "ago" if at_ms > envelope.ts else "ahead"
        raise Refused(
            Code.STALE_ENVELOPE,
            f"The envelope was signed {apart} ms {when}; at most {window_ms} ms are allowed. Sign it anew.",
            field="ts",
            ts=envelope.ts,
            at=at_ms,
            window_ms=window_ms,
        )
    return envelope


def digest(tenant: str, kind: CommandKind | str, payload: Mapping[str, Any]) -> str:
    """What tells a repetition from another command: 64 hexadecimal digits. Raises Refused: VALIDATION_FAILED."""
    fields = {"tenant": tenant, "kind": str(kind), "payload": payload}
    return sha256(written(fields).encode()).hexdigest()


def idem_key(tenant: str, *, hint: str | None, digest: str, message_id: str) -> str:
    """The name of a command for ever: by its producer's hint, else by what it says and when it came."""
    return f"oms:{tenant}:{hint}" if hint else f"oms:{tenant}:{digest[:32]}-{message_id}"


def nonce_key(tenant: str, nonce: str) -> str:
    """The name of a command that was handed in as an envelope without an idem_key."""
    return f"oms:{tenant}:n-{nonce}"


def _signature(fields: Mapping[str, Any], secret: str) -> str:
    return hmac.new(secret.encode(), canonical(fields), sha256).hexdigest()


def _is_signed(fields: Mapping[str, Any], sig: str | None, secrets: Sequence[str]) -> bool:
    """Every secret is tried, each in constant time. An empty one would be anybody's."""
    signed = canonical(fields)
    right = [hmac.new(secret.encode(), signed, sha256).hexdigest() for secret in secrets if secret]
    return sum(hmac.compare_digest(one, sig or "") for one in right) > 0
