"""Development mode: as long as nobody has a key, the ways in for programs need none. It is said at every turn."""

import anyio
import structlog
from starlette.requests import Request
from starlette.responses import Response

from oms.api.access import Caller
from oms.api.context import Settings
from oms.api.routing import BookRoute, Handler, authenticate
from oms.domain.errors import Refused
from oms.domain.terms import Role
from oms.store import Store

DEVELOPMENT = "development"
"""The key name under which an open door lets in."""
_WARNING = '199 durable-oms "development mode: there is no key, and anybody may send commands"'
_log = structlog.get_logger("oms.api")


class OpenDoor:
    """Open only in development mode, without a token from the environment, and with no key in the store at all."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self.may_open = settings.development and not settings.api_tokens

    def is_open(self) -> bool:
        """Whether a request without a key is let in now: the first key that is made closes the door. Blocks."""
        return self.may_open and not self._store.keys.list()

    def warn(self) -> None:
        """Say so in the log where it is open. Blocks."""
        if self.is_open():
            _log.warning("api.alarm.open", told="there is no key: /oms takes commands from ANYBODY")


async def authenticate_program(request: Request) -> Caller:
    """The caller behind the request, `development` where the door is open. Raises Refused: UNAUTHENTICATED."""
    try:
        return await authenticate(request)
    except Refused:
        door: OpenDoor = request.app.state.door
        if not door.may_open or not await anyio.to_thread.run_sync(door.is_open):
            raise
    _log.warning("api.alarm.open", path=request.url.path, told="a request without a key was let in")
    request.state.let_in = True
    return Caller(DEVELOPMENT, (Role.PM,))


class ProgramRoute(BookRoute):
    """A route for programs. Where the door was open the answer says so, in the header `Warning` (RFC 7234, 5.5)."""

    authenticate = staticmethod(authenticate_program)

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            response = await handle(request)
            if getattr(request.state, "let_in", False):
                response.headers["Warning"] = _WARNING
            return response

        return answer
