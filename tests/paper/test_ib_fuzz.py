"""Requests with any content: each is answered or refused, none breaks the desk."""

from pathlib import Path

import ib_async as iba
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.paper.clients import HandClock
from tests.paper.test_order_layout import sent

from oms.paper.ib_desk import Desk
from oms.paper.ib_requests import HANDLERS, handle
from oms.paper.ib_session import Session
from oms.paper.market import MarketSettings
from oms.paper.wire import FrameReader, split_fields

NUMBERS = (
    "0 1 -1 2147483647 2147483648 99999999999999999999 1e15 1e-30 1e400 Infinity nan 1.7976931348623157E308"
)
WORDS = "x BUY GTD BAG None 20261120"
ODD = st.sampled_from(["", *NUMBERS.split(), *WORDS.split(), "\N{ARABIC-INDIC DIGIT ONE}", "\ufffd" * 50])
TEXTS = ODD | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
ORDERS = {
    "market": iba.MarketOrder("BUY", 100),
    "limit": iba.LimitOrder("SELL", 100, 228.0, tif="GTD", goodTillDate="20261121 10:00:00"),
    "stop": iba.StopLimitOrder("BUY", 100, 230.0, 229.0, ocaGroup="g", ocaType=3),
}
PLACED = {
    name: sent(order, iba.Stock("AAPL", "SMART", "USD", conId=265598), 178) for name, order in ORDERS.items()
}


class Host:
    """A gateway nobody connects to."""

    server_version = 178

    def greeting_time(self) -> str:
        return ""

    def receive(self, session: Session, payloads: list[bytes]) -> None:
        """Not used."""

    def joined(self, session: Session) -> None:
        """Not used."""

    def left(self, session: Session) -> None:
        """Not used."""


def desk_and_session(state_file: Path | None = None) -> tuple[Desk, Session]:
    desk = Desk(
        accounts=("DU1",),
        seed=1,
        state_file=state_file,
        clock=HandClock(),
        hours=None,
        market=MarketSettings(),
        list_days=1,
    )
    session = Session(Host())
    session.client_id, session.version = 1, 178
    desk.sessions[1] = session
    return desk, session


def answers(session: Session) -> list[list[str]]:
    payloads = FrameReader().feed(b"".join(session._outbox))
    return [split_fields(payload) for payload in payloads]


SHARED = desk_and_session()


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(sorted(PLACED)),
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(2, 113), TEXTS), max_size=4),
)
def test_orders_with_odd_fields(name: str, order_id: int, changes: list[tuple[int, str]]) -> None:
    desk, session = SHARED
    texts = list(PLACED[name])
    texts[1] = str(order_id)
    for index, text in changes:
        texts[index] = text
    handle(desk, session, texts)
    told = answers(session)
    held = texts[27] == "0"
    assert told or held
    desk.step()
    desk.settle()


@settings(max_examples=300, deadline=None)
@example("9", ["8", "1", ":", *[""] * 19])
@given(st.sampled_from(sorted({*map(str, HANDLERS), "3", "71", "x", "", "-4"})), st.lists(TEXTS, max_size=22))
def test_requests_with_odd_fields(kind: str, texts: list[str]) -> None:
    desk, session = SHARED
    handle(desk, session, [kind, *texts])
    answers(session)
    desk.step()
    desk.settle()
