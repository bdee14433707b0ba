"""What happens to the whole paper gateway and its connections: drops, silence, 1100, restarts."""

import asyncio
import logging

from oms.paper import ib_messages as messages
from oms.paper.error_texts import text_of
from oms.paper.fault_events import Operation
from oms.paper.ib_hands import OtherHands
from oms.paper.ib_session import Session

_LOG = logging.getLogger(__name__)
_MORNING = (2103, 2105, 2104, 2106)
"""What a gateway says to whoever connects after a restart: the farms come back one by one."""


class OutageFront(OtherHands):
    """Outages by hand. The address is kept, so that a restart listens where clients look for it."""

    _address: tuple[str, int]

    _opening: asyncio.Task[None] | None = None

    async def _listen(self, after: float = 0) -> None:
        """Listen at the address, which is ours from now on, once ``after`` seconds have passed."""
        loop = asyncio.get_running_loop()
        address = self._address
        self._server = await loop.create_server(lambda: Session(self), *address, start_serving=False)
        await asyncio.sleep(after)
        await self._server.start_serving()
        host = self._address[0]
        self._address = host, int(self._server.sockets[0].getsockname()[1])
        _LOG.info("paper gateway listens on %s:%d", *self._address)

    def drop_connections(self) -> None:
        """Break every connection without a word."""
        for session in list(self._connections):
            self._break(session)

    def cut_request(self) -> None:
        """Read the next bytes of each client up to their middle, then break its connection."""
        for session in self._connections:
            session.cut_next()

    def connectivity_lost(
        self, seconds: float | None = None, *, data_lost: bool = False, told: bool = True
    ) -> None:
        """Error 1100 to all: the gateway lost its broker; orders are taken but neither told nor matched.

        Orders taken meanwhile are in memory only, as a gateway holds them, and die with the process. It ends after
        ``seconds`` with 1102, or 1101 (``data_lost``). ``told`` False leaves out the 1100.
        """
        self._desk.online = False
        if told:
            self.notice(1100)
        if seconds is not None:
            self._later(seconds, lambda: self.connectivity_restored(data_lost=data_lost))

    def connectivity_restored(self, *, data_lost: bool) -> None:
        """Error 1101 (market-data subscriptions are gone) or 1102 to all; waiting orders are handled."""
        self._desk.online = True
        if data_lost:
            for session in self._desk.sessions.values():
                session.market_data.clear()
        self.notice(1101 if data_lost else 1102)
        waiting, self._deferred = self._deferred, []
        for session, texts in waiting:
            self._read(session, texts)
        self._settle()
        self._wake()

    def fall_silent(self, seconds: float | None = None) -> None:
        """Neither read nor answer, with every connection left open, for ``seconds`` or until ``speak_again``."""
        self._silent = True
        if seconds is not None:
            self._later(seconds, self.speak_again)

    def speak_again(self) -> None:
        """Handle what arrived in the silence and send what was held back."""
        self._silent = False
        waiting, self._unread = self._unread, []
        for session, payloads in waiting:
            self.receive(session, payloads)
        self._settle()

    def restart(self, seconds: float = 0.2, *, roll_back_ids: bool = True) -> None:
        """The daily restart: every connection closes, and nobody listens for ``seconds``.

        Orders held back by transmit 0 are lost, and so is what was not read or waited under 1100; the broker goes on
        working the others, and the day's lists stay. Whoever connects afterwards hears 2103 and 2105, then 2104 and 2106.
        """
        if self._server is None:
            raise RuntimeError("the paper gateway is not started")
        for session in list(self._connections):
            session.close()
            self.left(session)
        self._server.close()
        self._deferred.clear()
        self._unread.clear()
        self._forget_unread()
        self._silent, self._desk.online = False, True
        self._desk.forget_held()
        self._greetings = _MORNING
        if roll_back_ids:
            self.roll_back_ids()
        self._settle()
        if self._opening is not None:
            self._opening.cancel()
        self._opening = asyncio.get_running_loop().create_task(self._listen(seconds))

    def roll_back_ids(self) -> None:
        """Answer nextValidId 1 to the next connection of each client, as after a daily restart.

        Ids used before stay used: an order under one of them is refused with 103 or modifies a live one.
        """
        self._desk.ids_rolled_back = set(self._desk.known_clients())

    def client_id_in_use(self, client_id: int, seconds: float) -> None:
        """Drop whoever has a client id, and refuse it with 326 for a while."""
        self._ids_in_use.add(client_id)
        holder = self._desk.sessions.get(client_id)
        if holder is not None:
            self._break(holder)
        self._later(seconds, lambda: self._ids_in_use.discard(client_id))

    def leave_unanswered(self, request: Operation, seconds: float) -> None:
        """Give one kind of request no answer at all for a while."""
        self._unanswered.add(request)
        self._later(seconds, lambda: self._unanswered.discard(request))

    def notice(self, code: int, text: str = "") -> None:
        """An error about no request to every client; it changes nothing."""
        for session in self._desk.sessions.values():
            session.send(messages.error(-1, code, text or text_of(code), session.version))
        self._settle()
