"""What the broker holds beside what our executions make, account by account and contract by contract."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from oms.gateways.ibkr.holdings import Key, Line, latest, matched, our_line, their_line
from oms.gateways.ibkr.inbound import Inbound
from oms.gateways.ibkr.sharing import Shared
from oms.gateways.ibkr.translating import record_of
from oms.gateways.ibkr.wire import Wire
from oms.store import Store

SETTLING_NS = 10_000_000_000
"""So long after we have heard of an execution the broker's list of positions may still be without it."""


@dataclass(frozen=True)
class Look:
    """Both sides as they were read, theirs at `at_ns`; every account together."""

    at_ns: int
    lines: dict[Key, Line]


class Sides:
    """Asks the broker one question, shared by all who want to know, and sends nothing else.

    `accounts` answers those that this session serves and the login manages: of another one nothing follows from
    an answer that leaves it out.
    """

    def __init__(
        self,
        wire: Wire,
        inbound: Inbound,
        store: Store,
        accounts: Callable[[], frozenset[str]],
        clock: Callable[[], int],
    ) -> None:
        self._wire = wire
        self._inbound = inbound
        self._store = store
        self._accounts = accounts
        self._clock = clock
        self._question = Shared(self._read)

    async def look(self) -> Look:
        """Both sides, read after this call. Raises GatewayNotReady: then nothing is known, and nothing is zero."""
        return await self._question.fresh()

    async def _read(self) -> Look:
        """Theirs first: what is executed meanwhile settles with the next look."""
        accounts = self._accounts()
        theirs = latest(await self._wire.positions())
        at_ns = self._clock()
        await self._inbound.drained()
        lines = await asyncio.to_thread(self._ours, accounts, at_ns - SETTLING_NS)
        lines += [their_line(position) for position in theirs if position.account in accounts]
        return Look(at_ns, matched(lines))

    def _ours(self, accounts: frozenset[str], since_ns: int) -> list[Line]:
        held = self._store.held.by(accounts, since_ns)
        intents, _ = self._store.intents.among({one.placement_id for one in held})
        sent = {placement_id: (intent.ticket, record_of(intent)) for placement_id, intent in intents.items()}
        lines = []
        for one in held:
            ticket, record = sent[one.placement_id]
            line = our_line(one.account, ticket.instrument, record.conid, one.quantity, lately=one.lately)
            lines.append(line)
        return lines
