"""One recording: connect through a relay, walk the points, cancel everything, whatever happens in between."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TextIO

from oms.gateways.recording.bench import Bench, Gone, Walk
from oms.gateways.recording.points import POINTS, Verdict
from oms.gateways.recording.tape import Relay, Tape

PAPER_PREFIX = "DU"
"""How the numbers of paper accounts begin."""


class CannotRecord(Exception):
    """Why there is no recording, in one line."""


@dataclass(frozen=True)
class Recording:
    """What to record, and how long things may take in seconds (see `Bench`)."""

    host: str
    port: int
    account: str
    client_id: int = 917
    symbol: str = "AAPL"
    price: float = 1.0
    patience: float = 10.0
    outage: float = 0.0
    restart: float = 0.0

    def __post_init__(self) -> None:
        if not self.account.startswith(PAPER_PREFIX):
            raise CannotRecord(
                f"{self.account!r} is no paper account: their numbers begin with {PAPER_PREFIX}"
            )
        if self.client_id < 1:
            raise CannotRecord("client id 0 takes over orders entered by hand; use one that nobody uses")


async def record(
    recording: Recording,
    file: TextIO,
    say: Callable[[str], None],
    on_verdict: Callable[[Verdict], None],
) -> list[Verdict]:
    """Walk every point, each message written to `file` as a line of JSON. Raises CannotRecord.

    Everything that was placed is canceled at the end, also where this is cancelled; `say` tells what is left.
    """
    tape = Tape(file)
    tape.note("recording", **asdict(recording))
    verdicts: list[Verdict] = []
    async with (
        Relay(recording.host, recording.port, tape) as relay,
        _walk(recording, relay.port, tape, say) as walk,
    ):
        for point in POINTS:
            tape.note("point", name=point.name, expected=point.expected)
            if not walk.is_connected:
                await _connect(walk)
            verdict = await point.verdict(walk)
            tape.note("verdict", **asdict(verdict))
            on_verdict(verdict)
            verdicts.append(verdict)
    return verdicts


@asynccontextmanager
async def _walk(
    recording: Recording, port: int, tape: Tape, say: Callable[[str], None]
) -> AsyncIterator[Walk]:
    """A connected walk that leaves nothing behind."""
    bench = Bench(
        port,
        recording.account,
        recording.client_id,
        recording.symbol,
        recording.price,
        recording.patience,
        recording.outage,
        recording.restart,
    )
    walk = Walk(bench, tape, say)
    try:
        await _connect(walk)
        if recording.account not in walk.accounts:
            raise CannotRecord(f"the login has {', '.join(walk.accounts)}, not {recording.account}")
        yield walk
    finally:
        await _leave(walk, say)


async def _connect(walk: Walk) -> None:
    try:
        await walk.connect()
    except Gone as gone:
        raise CannotRecord(str(gone)) from gone


async def _leave(walk: Walk, say: Callable[[str], None]) -> None:
    """Cancel what was placed and hang up; what could not be canceled is told, to be canceled by hand."""
    try:
        left = [f"{placed.order_id} ({placed.ref})" for placed in await walk.leave()]
        walk.tape.note("everything is canceled" if not left else "orders are left", orders=left)
        if left:
            say(f"These orders still work; cancel them in TWS: {', '.join(left)}")
    except Gone as gone:
        walk.tape.note("orders may be left", reason=str(gone))
        say(
            f"What was placed could not be looked for ({gone}); look for orders at 1.00 in TWS and cancel them."
        )
    finally:
        walk.disconnect()
