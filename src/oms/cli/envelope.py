"""`oms envelope`: sign a command for somebody to hand in, and look at one that another producer signed. No server is asked."""

import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from oms.cli.leaving import complain
from oms.domain.errors import Code, Refused
from oms.domain.programs import envelopes, intake
from oms.domain.programs.envelopes import CommandKind
from oms.domain.programs.exact import read_exactly

_VARIABLES = ("OMS_ENVELOPE_SECRET", "ENVELOPE_SECRET")
_WINDOW_SECONDS = 300.0
File = Annotated[Path, typer.Argument(allow_dash=True, help="A file of JSON, or - for standard input.")]


def sign(
    file: File,
    kind: Annotated[CommandKind, typer.Option(help="What the payload is.")] = CommandKind.SUBMIT,
    tenant: Annotated[str | None, typer.Option(help="For whom; else the payload's own tenant.")] = None,
    idem_key: Annotated[
        str | None, typer.Option(help="The command's name for ever: oms:TENANT: and a name of your own.")
    ] = None,
) -> None:
    """Sign a payload and print the envelope; the secret is the first of ENVELOPE_SECRET in the environment."""
    secret = _secrets()[0]
    with _one_line():
        payload = _object(file)
        asked = intake.payload(kind, payload, tenant)
        signed = envelopes.sign(
            kind,
            asked.tenant,
            payload,
            secret,
            nonce=secrets.token_urlsafe(16),
            ts_ms=_now_ms(),
            idem_key=idem_key,
        )
        typer.echo(envelopes.text(signed))


def verify(
    file: File,
    window: Annotated[
        float, typer.Option(min=0, help="How many seconds its ts may be from now.")
    ] = _WINDOW_SECONDS,
) -> None:
    """Say whether an envelope is good; exit code 1 and the reason where it is not. Its nonce is not looked up."""
    known = _secrets()
    with _one_line():
        good = envelopes.judged(envelopes.bare(_object(file)), known, _now_ms(), int(window * 1000))
        intake.payload(good.kind, good.payload, good.tenant)
    age = (_now_ms() - good.ts) / 1000
    typer.echo(f"good: {good.kind} for {good.tenant}, signed {age:.1f} s ago, nonce {good.nonce}")


def _secrets() -> tuple[str, ...]:
    """The secrets of the environment, and of nowhere else: complains and leaves where there is none."""
    given = next((value for name in _VARIABLES if (value := os.environ.get(name))), "")
    known = tuple(secret.strip() for secret in given.split(",") if secret.strip())
    if not known:
        complain("set ENVELOPE_SECRET to the secret (or OMS_ENVELOPE_SECRET); it is read from there only")
    return known


def _object(file: Path) -> Mapping[str, Any]:
    """The JSON object in `file`, numbers as they are written. Raises Refused, OSError."""
    text = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    value = read_exactly(text)
    if not isinstance(value, Mapping):
        raise Refused(Code.MALFORMED, "The file is JSON, and no object.")
    return value


@contextmanager
def _one_line() -> Iterator[None]:
    """What is wrong is one line and exit code 1."""
    try:
        yield
    except Refused as refused:
        complain(f"{refused.code}: {refused.message}", code=1)
    except OSError as error:
        complain(f"cannot read {error.filename}: {error.strerror}", code=1)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def add_commands(application: typer.Typer) -> None:
    group = typer.Typer(help="Envelopes of signed commands.", no_args_is_help=True)
    group.command("sign")(sign)
    group.command("verify")(verify)
    application.add_typer(group, name="envelope")
