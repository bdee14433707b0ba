"""What makes a signed command good for the worker that acts on it, whoever handed it to Temporal. docs/commands.md."""

from collections.abc import Mapping, Sequence

from oms.domain.commands import Actor
from oms.domain.errors import Code, Refused
from oms.domain.programs.carrying import Judging
from oms.domain.programs.envelopes import CommandKind, Envelope, judged, nonce_key, read
from oms.domain.programs.findings import invalid
from oms.domain.programs.intake import Payload, payload
from oms.domain.terms import Role

_SKEW_NS = 5_000_000_000
"""By so much the clock of whoever took a command may be ahead of Temporal's."""
_NEEDS: Mapping[CommandKind, frozenset[Role]] = {
    CommandKind.PING: frozenset(),
    CommandKind.SUBMIT: frozenset({Role.PM}),
    CommandKind.FLATTEN: frozenset({Role.PM}),
}


def judge(judging: Judging, secrets: Sequence[str], window_ms: int) -> tuple[Envelope, Payload]:
    """The envelope and its payload, if they are what somebody who knows a secret asked for, now and under this id.

    The time of signing is held against the moment at which Temporal took the command: a worker that comes late makes
    no command old, and a `received_ns` of somebody's own makes no old command new.

    Raises Refused: MALFORMED, VALIDATION_FAILED, BAD_SIGNATURE, STALE_ENVELOPE, NOT_AUTHORIZED.
    Whether the nonce is new, and what the tenant may touch, is the store's to say.
    """
    if not secrets:
        raise _bad(
            "No secret is set here, so no signature can be checked: set ENVELOPE_SECRET for the worker."
        )
    asked = judging.asked
    envelope = judged(read(asked.envelope), secrets, judging.started_ns // 1_000_000, window_ms)
    if asked.received_ns > judging.started_ns + _SKEW_NS:
        raise Refused(
            Code.STALE_ENVELOPE,
            "The command says that it was received after Temporal took it.",
            field="received_ns",
        )
    given = payload(envelope.kind, envelope.payload, envelope.tenant)
    if key_of(envelope, given.idem_hint) != asked.idem_key or not judging.at_home:
        raise _bad("The envelope was signed for another command than the one it was handed in for.")
    require_role(envelope.kind, asked.actor)
    return envelope, given


def key_of(envelope: Envelope, idem_hint: str | None) -> str:
    """The idem_key that an envelope stands under: its own, else by its payload's hint, else by its nonce.

    Raises Refused: VALIDATION_FAILED for one that is named like another tenant's.
    """
    hinted = f"oms:{envelope.tenant}:{idem_hint}" if idem_hint is not None else None
    key = envelope.idem_key or hinted or nonce_key(envelope.tenant, envelope.nonce)
    prefix = f"oms:{envelope.tenant}:"
    if not key.startswith(prefix):
        raise invalid("idem_key", f"begins with {prefix!r}, so that no tenant takes another's")
    return key


def require_role(kind: CommandKind, actor: Actor) -> None:
    """Raise Refused NOT_AUTHORIZED unless the key may send commands of this kind."""
    needed = _NEEDS[kind]
    if needed and not needed.intersection(actor.roles):
        raise Refused(
            Code.NOT_AUTHORIZED,
            f"{kind} is for {' or '.join(sorted(needed))}; key {actor.key!r} has "
            f"{', '.join(actor.roles) or 'no role'}.",
            roles=sorted(needed),
        )


def no_tenant(name: str) -> Refused:
    """INVALID_TENANT, the same for one that the key may not act for."""
    return Refused(Code.INVALID_TENANT, f"There is no tenant {name!r}.", tenant=name)


def _bad(sentence: str) -> Refused:
    return Refused(Code.BAD_SIGNATURE, sentence)
