"""The Temporal Web UI tells an order's story by itself."""

import os
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.faults.desk import Desk
from tests.pages.chromium import executable, page

pytestmark = [
    pytest.mark.page,
    pytest.mark.slow,
    pytest.mark.skipif(
        executable() is None, reason="no Chromium on PATH; `apt-get install chromium` brings one"
    ),
]


@pytest.mark.timeout(240)
def test_an_order_shows_its_summary_details_attributes_updates_and_activities(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "oms")
    desk.start()
    try:
        order_id = desk.create(
            desk.instrument("AAPL"), "25", order_type="Limit", limit_price="900", compliance="external"
        )
        desk.walk(order_id, "CLOSED")
        with page() as browser:
            browser.goto(f"{desk.ui}/namespaces/default/workflows/{quote(f'order/{order_id}', safe='')}")
            body = browser.locator("body")
            browser.get_by_text("Buy 25 AAPL Limit at 900 Day for PORT-001").first.wait_for(timeout=60_000)
            for attribute in ("OmsState", "OmsPortfolio", "OmsInstrument", "OmsDirection", "OmsVenue"):
                browser.get_by_text(attribute).first.wait_for(timeout=30_000)
            for name in ("send_to_trader", "create_placement", "close"):
                browser.get_by_text(name).first.wait_for(timeout=30_000)
            browser.get_by_text("place Buy 25 AAPL at IBKR").first.wait_for(timeout=30_000)
            picture = os.environ.get("OMS_WEB_UI_PICTURE")
            if picture:
                browser.screenshot(path=picture)
            assert "PORT-001" in body.inner_text()
            browser.goto(browser.url.replace("/timeline", "").replace("/history", "") + "/metadata")
            browser.get_by_text("waiting on").first.wait_for(timeout=30_000)
    finally:
        desk.stop()
