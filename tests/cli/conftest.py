"""One `oms dev` for the folder, on its second start, with the examples loaded."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.running import EXAMPLES, Dev, stopped_at_last


@dataclass(frozen=True)
class FirstStart:
    """What the first start on the folder showed and how it stopped."""

    keys: dict[str, str]
    mode: int
    exit_code: int
    stop_seconds: float


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dev")


@pytest.fixture(scope="session")
def first_start(folder: Path) -> FirstStart:
    dev = Dev(folder)
    with stopped_at_last(dev):
        keys, mode = dev.keys, dev.keys_file.stat().st_mode & 0o777
        code, seconds = dev.stop()
    return FirstStart(keys, mode, code, seconds)


@pytest.fixture(scope="session")
def dev(folder: Path, first_start: FirstStart) -> Iterator[Dev]:
    running = Dev(folder)
    with stopped_at_last(running):
        loaded = running.oms("load", EXAMPLES)
        assert loaded.code == 0, loaded.err
        yield running
        code, _ = running.stop()
        assert code == 0
