"""The Python examples of the READMEs, run as they are written, against a real `oms dev`."""

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.docs.conftest import ROOT
from tests.faults.desk import Desk

_TRY = r"<!-- try: {name} -->\n```python\n(?P<text>.*?)^```$"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    desk = Desk(tmp_path_factory.mktemp("client") / "oms-data")
    desk.start()
    try:
        yield desk
    finally:
        desk.stop()


def example(page: str, name: str = "client") -> str:
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.search(_TRY.format(name=name), text, re.DOTALL | re.MULTILINE)
    assert found is not None, f"{page} has no example {name}"
    return found["text"]


def run(written: str, desk: Desk) -> list[str]:
    """The lines that the example prints where the order book's folder is."""
    assert "http://localhost:9191" in written
    done = subprocess.run(
        [sys.executable, "-c", written.replace("http://localhost:9191", desk.api)],
        cwd=desk.folder.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_the_example_takes_an_order_from_its_creation_to_its_close(desk: Desk) -> None:
    written = example("client/README.md")
    assert example("README.md") == written
    first, *events, last = run(written, desk)
    assert first == "INVALID_STATE in CREATED"
    assert events[-1].endswith(" fill_booked FILLED")
    positions = [int(line.split()[0]) for line in events]
    assert positions == sorted(set(positions))
    assert last == "executed 100 unfilled 0"


def test_the_example_that_awaits_shows_the_orders_at_a_venue(desk: Desk) -> None:
    far_away = {"order_type": "Limit", "limit_price": "0.01", "compliance": "external"}
    order_id = desk.create(desk.instrument("AAPL"), **far_away)
    desk.walk(order_id, "SENT_TO_TRADER")
    desk.command("trader", order_id, "placements", venue="IBKR", quantity="10")
    desk.until_state(order_id, "ROUTED")
    (line,) = run(example("client/README.md", "async client"), desk)
    assert line == f"{order_id} {desk.order(order_id)['waiting_on']['what']}"


def test_the_package_stands_alone() -> None:
    """It needs httpx and pydantic, and nothing of the order book."""
    script = (
        "import sys, durable_oms\n"
        "found = {name.split('.')[0] for name in sys.modules}\n"
        "print(sorted(found & {'oms', 'temporalio', 'sqlalchemy', 'fastapi', 'starlette', 'uvicorn'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
