"""The Temporal Web UI tells an order's story by itself."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Error, Page

from tests.faults.desk import Desk, until
from tests.pages.chromium import executable, page

pytestmark = [
    pytest.mark.page,
    pytest.mark.slow,
    pytest.mark.skipif(
        executable() is None, reason="no Chromium on PATH; `apt-get install chromium` brings one"
    ),
]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "oms")
    desk.start()
    yield desk
    desk.stop()


def words(browser: Page) -> str:
    """Everything that can be read on the page; the Web UI shows Markdown in frames of its own."""
    found = []
    for frame in browser.frames:
        try:
            found.append(frame.locator("body").inner_text(timeout=2_000))
        except Error:
            continue
    return " ".join(" ".join(found).split())


def reads(browser: Page, *phrases: str) -> None:
    """Wait until the page says all of `phrases`."""
    until(f"{phrases} on {browser.url}", lambda: all(phrase in words(browser) for phrase in phrases))


@pytest.mark.timeout(240)
def test_an_order_shows_its_summary_details_attributes_updates_and_activities(desk: Desk) -> None:
    instrument = desk.instrument("AAPL")
    order_id = desk.create(instrument, "25", order_type="Limit", limit_price="900", compliance="external")
    desk.walk(order_id, "CLOSED")
    with page() as browser:
        browser.goto(f"{desk.ui}/namespaces/default/workflows/{quote(f'order/{order_id}', safe='')}")
        reads(
            browser,
            "request_pre_trade_compliance",
            "send_to_trader",
            "create_placement",
            "place Buy 25 AAPL at IBKR",
            "close",
            "record",
        )
        tabs = browser.url.split("?")[0].rsplit("/", 1)[0]
        browser.goto(f"{tabs}/user-metadata")
        reads(
            browser,
            "Buy 25 AAPL Limit at 900 Day for PORT-001",
            f"Order {order_id}",
            "created by pm",
            "CLOSED",
            "waiting on trader",
            "Executed 25 of 25",
        )
        browser.goto(f"{tabs}/search-attributes")
        reads(browser, '"OmsState": "CLOSED"', '"OmsPortfolio": "PORT-001"', '"OmsDirection": "Buy"')
        reads(browser, f'"OmsInstrument": "{instrument}"', '"OmsVenue": "IBKR"')
