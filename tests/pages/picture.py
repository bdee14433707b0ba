"""Take the README's picture of the Web UI: `python -m tests.pages.picture docs/images/web-ui.png`."""

import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from tests.faults.desk import Desk
from tests.pages.chromium import page
from tests.pages.test_web_ui import reads


def main(picture: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder) / "oms")
        desk.start()
        order_id = desk.create(desk.instrument("AAPL"), "25", compliance="external")
        desk.walk(order_id, "RECONCILED")
        with page(height=1250) as browser:
            browser.goto(f"{desk.ui}/namespaces/default/workflows/{quote(f'order/{order_id}', safe='')}")
            reads(browser, "place Buy 25 AAPL at IBKR", "reconcile")
            picture.parent.mkdir(parents=True, exist_ok=True)
            browser.screenshot(path=str(picture))
        desk.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
