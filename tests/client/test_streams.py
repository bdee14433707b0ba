"""A stream over a bad line: every event once, in order, from wherever it was lost."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_oms import AsyncClient, NotAuthorized, Retries, Unavailable, Unreadable
from durable_oms.events import Decoder, Message
from tests.client.conftest import QUICK, Asks, awaiting, blocking
from tests.client.scripted import Step, answers, drops, ends, event, hangs, refuses, scripted, streams
from tests.stack import until


def taking(count: int, **arguments: Any) -> Any:
    """What reads `count` events of the stream: their positions, and the stream's own position at the end."""

    def calls(client: Any) -> Any:
        stream = client.oms.stream_orders(**arguments)
        return awaited(stream) if hasattr(stream, "__anext__") else called(stream)

    def called(stream: Any) -> tuple[list[int], int]:
        with stream:
            return [next(stream).position for _ in range(count)], stream.position

    async def awaited(stream: Any) -> tuple[list[int], int]:
        async with stream:
            return [(await anext(stream)).position for _ in range(count)], stream.position

    return calls


def places(server: Any) -> list[str | None]:
    """The Last-Event-ID of each connection."""
    return [seen.headers.get("last-event-id") for seen in server.seen]


@pytest.mark.parametrize("end", [drops, ends], ids=["lost", "ended"])
async def test_a_stream_goes_on_where_it_was_lost(ask: Asks, end: Step) -> None:
    lost = streams(event(4), event(9)[:40], then=end)
    found = streams(event(4), event(9), ": alive\n\n", event(12))
    async with scripted(lost, found) as server:
        assert await ask(server.url, taking(3, portfolio_id="PORT-001")) == ([4, 9, 12], 12)
    assert places(server) == [None, "4"]
    assert {seen.path for seen in server.seen} == {"/v1/stream?portfolio_id=PORT-001"}


async def test_a_server_that_repeats_itself_is_not_repeated(ask: Asks) -> None:
    async with scripted(streams(event(1), event(2)), streams(event(1), event(2), event(3))) as server:
        assert await ask(server.url, taking(3, after=0)) == ([1, 2, 3], 3)
    assert places(server) == ["0", "2"]


async def test_an_id_alone_is_the_place_to_go_on_from(ask: Asks) -> None:
    """A stream that is filtered says so where it is, though it has nothing to show."""
    async with scripted(streams("id: 41\n\n"), streams(event(42))) as server:
        assert await ask(server.url, taking(1)) == ([42], 42)
    assert places(server) == [None, "41"]


async def test_it_waits_for_a_server_that_is_away(ask: Asks) -> None:
    away = refuses(503, "UNAVAILABLE", retry_after=0)
    async with scripted(drops, away, streams(event(1)), drops, away, streams(event(2))) as server:
        assert await ask(server.url, taking(2, after=0), retries=QUICK) == ([1, 2], 2)
    assert places(server) == ["0", "0", "0", "1", "1", "1"]


async def test_its_patience_ends(ask: Asks) -> None:
    async with scripted() as server:
        url = server.url
    with pytest.raises(Unavailable):
        await ask(url, taking(1), retries=Retries(first_pause=0.01, stream_patience=0.2))


async def test_a_line_that_fell_silent_is_a_lost_one(ask: Asks) -> None:
    quiet = Retries(first_pause=0.01, stream_silence=0.3)
    async with scripted(streams(event(1), then=hangs), streams(event(2))) as server:
        assert await ask(server.url, taking(2), retries=quiet) == ([1, 2], 2)
    assert places(server) == [None, "1"]


async def test_a_refusal_ends_it_at_once(ask: Asks) -> None:
    async with scripted(refuses(403, "NOT_AUTHORIZED")) as server:
        with pytest.raises(NotAuthorized):
            await ask(server.url, taking(1))


@pytest.mark.parametrize(
    "said", ["id: x\ndata: {}\n\n", "id: 1\ndata: [\n\n", 'id: 1\ndata: {"order_id": 1}\n\n']
)
async def test_an_event_that_makes_no_sense_is_unreadable(ask: Asks, said: str) -> None:
    async with scripted(streams(said, then=hangs)) as server:
        with pytest.raises(Unreadable, match="GET /v1/stream"):
            await ask(server.url, taking(1))


async def test_an_answer_that_is_no_stream_is_not_asked_for_again(ask: Asks) -> None:
    async with scripted(answers(200, b"<html>welcome</html>", Content_Type="text/html")) as server:
        with pytest.raises(Unreadable, match="no stream"):
            await ask(server.url, taking(1, after=0))


async def test_closing_ends_the_connection(ask: Asks) -> None:
    async with scripted(streams(event(1), then=hangs)) as server:
        assert await ask(server.url, taking(1)) == ([1], 1)
        await until(lambda: server.left == 1, "the server to see the connection end")


async def test_from_now_on_is_from_where_the_first_connection_began(ask: Asks) -> None:
    """What happens between it and the first event is not lost with the connection."""
    first = streams(event(42)[:50], last_event_id="41")
    async with scripted(first, streams(event(42), event(43))) as server:
        assert await ask(server.url, taking(2)) == ([42, 43], 43)
    assert places(server) == [None, "41"]


async def test_it_is_connected_once_it_is_entered(ask: Asks) -> None:
    async with scripted(streams(then=hangs, last_event_id="41")) as server:
        assert await ask(server.url, taking(0)) == ([], 41)
        await until(lambda: server.left == 1, "the server to see the connection end")


async def test_one_that_is_never_read_is_never_asked_for(ask: Asks) -> None:
    def leaves(client: Any) -> Any:
        stream = client.oms.stream_orders()
        return stream.aclose() if hasattr(stream, "aclose") else stream.close()

    async with scripted() as server:
        assert await ask(server.url, leaves) is None


async def test_whoever_gave_up_waiting_may_come_back() -> None:
    async with (
        scripted(streams(event(1), then=hangs), streams(event(1), event(2), then=hangs)) as server,
        AsyncClient(server.url, api_key="any") as client,
        client.oms.stream_orders() as stream,
    ):
        assert (await anext(stream)).position == 1
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 0.1)
        assert (await anext(stream)).position == 2
    assert places(server) == [None, "1"]


async def test_text_may_hold_what_python_takes_for_the_end_of_a_line() -> None:
    odd = "a\u2028b\u0085c\x0bd"

    def reason(client: Any) -> Any:
        with client.oms.stream_orders() as stream:
            return next(stream).data["reason"]

    async def reason_awaited(client: Any) -> Any:
        async with client.oms.stream_orders() as stream:
            return (await anext(stream)).data["reason"]

    async with scripted(streams(event(1, reason=odd)), streams(event(1, reason=odd))) as server:
        assert await blocking(server.url, reason) == odd
        assert await awaiting(server.url, reason_awaited) == odd


ENDS = st.sampled_from(["\n", "\r\n", "\r"])


@given(
    data=st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), min_size=1), min_size=1),
    end=ENDS,
    cuts=st.lists(st.integers(0, 400)),
)
def test_messages_are_the_same_however_they_are_cut(data: list[str], end: str, cuts: list[int]) -> None:
    lines = [": alive", "", "id: 7", "event: told", *(f"data: {line}" for line in data), "", "id:8", "", ""]
    whole = end.join(lines).encode()
    decoder, found, start = Decoder(), [], 0
    for cut in [*sorted(cuts), len(whole)]:
        found += list(decoder.feed(whole[start : max(start, cut)]))
        start = max(start, cut)
    assert found == [Message("7", "told", "\n".join(data)), Message("8", "", None)]
