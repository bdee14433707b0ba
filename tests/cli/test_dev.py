"""What `oms dev` promises to whoever starts it."""

import socket
import stat
from pathlib import Path

from tests.cli.conftest import FirstStart
from tests.cli.running import STOP_SECONDS, Dev, Ended, run

PORTS = ("--port", "0", "--temporal-port", "0", "--ui-port", "0")


def refused_in_one_line(ended: Ended) -> str:
    """The one line with which it did not start."""
    assert ended.code == 2, ended
    assert ended.out == ""
    lines = ended.err.splitlines()
    assert len(lines) == 1, ended.err
    assert lines[0].startswith("oms: ")
    return lines[0]


def test_it_stops_cleanly_and_in_time(first_start: FirstStart) -> None:
    assert first_start.exit_code == 0
    assert first_start.stop_seconds < STOP_SECONDS


def test_the_keys_are_for_their_owner_only(first_start: FirstStart) -> None:
    assert first_start.mode == stat.S_IRUSR | stat.S_IWUSR
    assert set(first_start.keys) == {"pm", "trader", "ops", "compliance", "admin", "viewer", "operator"}


def test_the_same_folder_keeps_its_keys(first_start: FirstStart, dev: Dev) -> None:
    assert dev.keys == first_start.keys
    assert dev.keys_file == dev.folder / "keys.json"
    assert dev.keys_file.stat().st_mode & 0o777 == 0o600


def test_a_second_one_on_the_folder_does_not_start(dev: Dev) -> None:
    said = refused_in_one_line(run("dev", "--data-dir", dev.folder, *PORTS))
    assert str(dev.folder) in said
    assert dev.process.poll() is None


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused_in_one_line(
            run("dev", "--data-dir", tmp_path / "new", "--port", str(port), *PORTS[2:])
        )
    assert str(port) in said


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("a file is no folder")
    assert str(file) in refused_in_one_line(run("dev", "--data-dir", file, *PORTS))


def test_no_temporal_binary(tmp_path: Path) -> None:
    missing = {"OMS_TEMPORAL_CLI": "/nonexistent/temporal"}
    assert "temporal" in refused_in_one_line(run("dev", "--data-dir", tmp_path, *PORTS, **missing)).lower()
