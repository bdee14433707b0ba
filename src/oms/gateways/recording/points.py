"""The behaviours that no document settles: what is done to see each, and what this adapter counts on."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from oms.gateways.ibkr.error_codes import Meaning, meaning
from oms.gateways.recording.bench import DUPLICATE_ID, OPEN_ORDER, Gone, Placed, Walk

SERVER_VERSION = 178
_SOON_SECONDS = 2.0
"""An order that shows so soon after a reconnect is found by the gateway's two looks."""
_PAUSE_SECONDS = 0.05
"""Between two looks, so that they stay below the messages that IB takes in a second."""
_LOST, _BACK = frozenset({1100}), frozenset({1101, 1102})
_REVISION = re.compile(r"\.\d\d$")
_REF_LENGTHS = (32, 64)


class Outcome(StrEnum):
    AS_EXPECTED = "as expected"
    DIFFERS = "differs"
    UNKNOWN = "could not tell"


@dataclass(frozen=True)
class Verdict:
    """What one point came to, with what was seen in words."""

    point: str
    outcome: Outcome
    seen: str


@dataclass(frozen=True)
class Point:
    """`expected`: what the adapter counts on."""

    name: str
    expected: str
    look: Callable[[Walk], Awaitable[tuple[Outcome, str]]]

    async def verdict(self, walk: Walk) -> Verdict:
        """Walk the point; a gateway that does not answer leaves it open."""
        try:
            outcome, seen = await self.look(walk)
        except Gone as gone:
            outcome, seen = Outcome.UNKNOWN, str(gone)
        return Verdict(self.name, outcome, seen)


def _judged(is_expected: bool) -> Outcome:
    return Outcome.AS_EXPECTED if is_expected else Outcome.DIFFERS


async def used_ids(walk: Walk) -> tuple[Outcome, str]:
    """The same order again while it works, after its cancel, and under an id that was left out before."""
    live = await walk.place()
    again = await walk.send(live)
    is_one = len(await walk.working(live.ref)) == 1
    await walk.cancel(live)
    since = walk.tape.here
    dead = await walk.send(live)
    is_refused = DUPLICATE_ID in walk.codes(live, since) and not await walk.working(live.ref)
    left_out = walk.new()
    above = await walk.place()
    late = await walk.send(left_out)
    is_taken = len(await walk.working(left_out.ref)) == 1
    for placed in (above, left_out):
        await walk.cancel(placed)
    seen = f"live: {again}; canceled: {dead}; unseen, below a used one: {late}; filled: not tried"
    return _judged(is_one and is_refused and is_taken), seen


async def reference(walk: Walk) -> tuple[Outcome, str]:
    """References of 32 characters and more, as the lists of open and of completed orders have them."""
    told, is_expected = [], True
    for length in _REF_LENGTHS:
        ref = (f"{length}-" + "0123456789abcdef" * 8)[:length]
        placed = walk.new(ref)
        said = await walk.send(placed)
        opened = bool(await walk.working(ref))
        await walk.cancel(placed)
        completed = bool(await walk.completed(ref))
        told.append(f"{length} characters: open {_kept(opened)}, completed {_kept(completed)} ({said})")
        is_expected = is_expected and (length > _REF_LENGTHS[0] or (opened and completed))
    return _judged(is_expected), "; ".join(told)


def _kept(found: bool) -> str:
    return "unchanged" if found else "not found"


async def visibility(walk: Walk) -> tuple[Outcome, str]:
    """How long after a reconnect an order shows in the list of open orders, and after a cancel among the completed."""
    placed = await walk.place()
    walk.disconnect()
    began = time.monotonic()
    await walk.connect()
    opened = await _seconds_until(lambda: walk.working(placed.ref), began, walk.bench.patience)
    await walk.cancel(placed)
    began = time.monotonic()
    completed = await _seconds_until(lambda: walk.completed(placed.ref), began, walk.bench.patience)
    seen = f"open: {_after(opened)} of the reconnect; completed: {_after(completed)} of the cancel"
    return _judged(max(_long(opened), _long(completed)) <= _SOON_SECONDS), seen


async def _seconds_until(
    look: Callable[[], Awaitable[object]], began: float, patience: float
) -> float | None:
    """How long after `began` a look finds something; None where none does."""
    while time.monotonic() - began < patience:
        if await look():
            return time.monotonic() - began
        await asyncio.sleep(_PAUSE_SECONDS)
    return None


def _after(seconds: float | None) -> str:
    return "never" if seconds is None else f"within {seconds:.3f} s"


def _long(seconds: float | None) -> float:
    return float("inf") if seconds is None else seconds


async def outage(walk: Walk) -> tuple[Outcome, str]:
    """An order sent while the gateway has lost the broker."""
    seconds = walk.bench.outage
    if not seconds:
        return (
            Outcome.UNKNOWN,
            "not tried: give --outage SECONDS, and cut the gateway off its network in that time",
        )
    since = walk.tape.here
    walk.say(f"Cut the gateway off its network now; code 1100 is awaited for {seconds:g} s.")
    if await walk.session_code(_LOST, since, seconds) is None:
        return Outcome.UNKNOWN, f"no 1100 came within {seconds:g} s"
    sent = walk.new()
    walk.write(sent)
    walk.say("Connect it again now.")
    back = await walk.session_code(_BACK, since, seconds)
    if back is None:
        return Outcome.UNKNOWN, f"neither 1101 nor 1102 came within {seconds:g} s; {walk.said(sent, since)}"
    orders = len(await walk.working(sent.ref))
    seen = f"{walk.said(sent, since)}; after {back} {orders} open"
    return _judged(orders == 1 or (orders == 0 and _was_refused(walk, sent, since))), seen


def _was_refused(walk: Walk, placed: Placed, since: int) -> bool:
    return any(meaning(code) in (Meaning.REJECTED, Meaning.CANCELED) for code in walk.codes(placed, since))


async def restart(walk: Walk) -> tuple[Outcome, str]:
    """The order id that the gateway offers after a restart."""
    seconds = walk.bench.restart
    placed = await walk.place()
    if not seconds:
        await walk.cancel(placed)
        await walk.connect()
        plain = f"after a plain reconnect {walk.offered_id} was offered, {walk.highest_id} the highest used"
        return Outcome.UNKNOWN, f"not tried: give --restart SECONDS and restart the gateway; {plain}"
    walk.say(f"Restart the gateway now; the connection is awaited for {seconds:g} s.")
    if not await walk.lost(seconds):
        return Outcome.UNKNOWN, f"the connection stood for {seconds:g} s"
    if await _seconds_until(lambda: _reconnected(walk), time.monotonic(), seconds) is None:
        return Outcome.UNKNOWN, f"the gateway did not come back within {seconds:g} s"
    await walk.cancel(placed)
    seen = f"{walk.offered_id} was offered, {walk.highest_id} was the highest used"
    return _judged(walk.offered_id > walk.highest_id), seen


async def _reconnected(walk: Walk) -> bool:
    try:
        await walk.connect()
    except Gone:
        return False
    return True


async def others(walk: Walk) -> tuple[Outcome, str]:
    """Whether a client's list of executions, asked with an empty filter, has those of other clients."""
    executions = await walk.executions()
    theirs = sorted({one.clientId for one in executions if one.clientId != walk.bench.client_id})
    if not executions:
        return Outcome.UNKNOWN, "no executions today: trade one share by hand in TWS before, and record again"
    return _judged(bool(theirs)), f"{len(executions)} executions, of the clients {theirs or 'none but ours'}"


async def messages(walk: Walk) -> tuple[Outcome, str]:
    """The version that is agreed on, what is said first of a new order, and how execution ids end."""
    since = walk.tape.here
    placed = await walk.place()
    spoken = walk.said(placed, since)
    await walk.cancel(placed)
    ids = [one.execId for one in await walk.executions()]
    odd = [one for one in ids if not _REVISION.search(one)]
    is_first = next((f.kind for f in walk.tape.frames[since:] if not f.sent), "") == OPEN_ORDER
    seen = f"version {walk.server_version}; {spoken}; {len(ids)} execution ids, {len(odd)} without a revision"
    return _judged(walk.server_version == SERVER_VERSION and is_first and not odd), seen


POINTS = (
    Point(
        "used order id",
        "one order while it works, error 103 after its end, a new order where the id was never seen",
        used_ids,
    ),
    Point("freshness of the lists", f"an order shows within {_SOON_SECONDS:g} s", visibility),
    Point("order during an outage", "refused in words, or one order once the broker is back", outage),
    Point("order id after a restart", "one above every id that was used", restart),
    Point("reference", "32 characters come back unchanged in every list", reference),
    Point("executions of other clients", "they show in an unfiltered list", others),
    Point(
        "messages",
        "server version 178, openOrder first, execution ids end in a revision of two digits",
        messages,
    ),
)
