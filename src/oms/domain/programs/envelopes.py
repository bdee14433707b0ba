"""Signed envelopes: what is signed, how, and what makes one good. docs/commands.md has the rules and test vectors."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from oms.domain.model import Model
from oms.domain.programs.tenants import TenantName

IdemKey = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,200}$")]


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
    ts: Annotated[int, Field(ge=0, lt=10**14)]
    nonce: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{16,88}={0,2}$")]
    idem_key: IdemKey | None = None
    sig: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None


def bare(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The envelope itself, whether it came bare or as `{"envelope": {...}}`."""
    inner = given.get("envelope")
    return inner if isinstance(inner, Mapping) else given
