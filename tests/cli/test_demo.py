"""`oms demo`, and that it can fail."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from oms.cli.demo.checks import Played, fill_differences
from oms.cli.demo.script import Scene
from oms.cli.sheets import Row
from oms.domain.identifiers import placement_of
from oms.domain.terms import State
from oms.paper.ib_book import read_executions
from tests.cli.running import EXAMPLES, Ended, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """The folder of a demo, and what the demo left on the screen."""
    folder = tmp_path_factory.mktemp("demo")
    return folder, run("demo", "--data-dir", folder / "data", "--record", folder / "demo.svg", seconds=150)


def test_the_demo_ends_well(demo: tuple[Path, Ended]) -> None:
    folder, ended = demo
    assert ended.code == 0, ended.out + ended.err
    assert ended.err == ""
    assert ended.out.count("✓") == 8
    assert "everything is as it should be" in ended.out
    assert "/namespaces/default/workflows/order%2FORD-" in ended.out
    assert f"dev --data-dir {folder / 'data'}" in ended.out
    assert "REB-05" in (folder / "demo.svg").read_text()


def fills_of(broker: Path) -> list[dict[str, Any]]:
    """Fills as they would be answered if our book were the broker's."""
    return [
        {
            "exec_id": execution.exec_id,
            "placement_id": placement_of(execution.order_ref),
            "quantity": str(execution.quantity),
            "price": str(execution.price),
            "commission": str(execution.commission),
        }
        for execution in read_executions(broker)
    ]


@pytest.mark.parametrize(
    "tampered",
    [
        {"quantity": "1"},
        {"price": "228.520000000000000001"},
        {"commission": None},
        {"placement_id": "PLC-00000000-0000-7000-8000-000000000000"},
        {"exec_id": "another"},
    ],
)
def test_a_fill_that_is_not_the_brokers_is_found(demo: tuple[Path, Ended], tampered: dict[str, Any]) -> None:
    broker = demo[0] / "data" / "paper-ib.db"
    scene = Scene("A", Row(1, {}), "", State.RECONCILED, {})
    fills = fills_of(broker)
    assert list(fill_differences([Played(scene, {}, fills, [])], broker)) == []
    for wrong in ([{**fills[0], **tampered}, *fills[1:]], fills[1:]):
        assert list(fill_differences([Played(scene, {}, wrong, [])], broker))


def test_the_demo_can_fail(tmp_path: Path) -> None:
    examples = shutil.copytree(EXAMPLES, tmp_path / "examples")
    script = examples / "rebalance.csv"
    lines = script.read_text().splitlines()
    sabotaged = [
        text.replace(",RECONCILED", ",CANCELED") if text.startswith("REB-02") else text for text in lines
    ]
    assert sabotaged != lines
    kept = [
        text for text in sabotaged if not text.startswith("REB-") or text.startswith(("REB-02", "REB-15"))
    ]
    script.write_text("\n".join(kept) + "\n")
    (examples / "custodian.json").write_text('[{"symbol": "CAT", "differ": {}}]')
    ended = run(
        "demo", "--data-dir", tmp_path / "demo", "--examples", examples, "--patience", "20", seconds=150
    )
    assert ended.code == 1, ended.out + ended.err
    assert "REB-02: expected CANCELED, found RECONCILED" in ended.out
    assert "REB-15 CAT: waited for a break, and it ended RECONCILED" in ended.out


HEAD = "client_order_id,portfolio_id,symbol,direction,ordered_quantity,order_type,time_in_force"
NO_SUCH_PART = f"{HEAD},metadata.people,metadata.ends\nA,GROWTH,AAPL,Buy,1,Market,Day,magic,RECONCILED\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no rebalance.csv in"),
        ("client_order_id\nA\n", "no column"),
        (NO_SUCH_PART, "nobody plays 'magic'"),
    ],
    ids=["no script", "no columns", "no such part"],
)
def test_a_script_that_cannot_be_played(tmp_path: Path, content: str | None, reason: str) -> None:
    if content is not None:
        (tmp_path / "rebalance.csv").write_text(content)
    ended = run("demo", "--examples", tmp_path)
    assert (ended.code, ended.out, len(ended.err.splitlines())) == (2, "", 1)
    assert reason in ended.err


def test_a_folder_in_use(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    ended = run("demo", "--data-dir", tmp_path)
    assert (ended.code, len(ended.err.splitlines())) == (2, 1)
