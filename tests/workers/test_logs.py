"""Standard output belongs to what a command answers: whatever the SDK has to say goes to the log."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.stack import temporal_server


@pytest.mark.timeout(60)
async def test_the_engine_of_the_sdk_writes_to_the_log_and_never_to_standard_output(tmp_path: Path) -> None:
    log = tmp_path / "oms.log"
    async with temporal_server() as server:
        command = [sys.executable, "-m", "tests.workers.failing_worker", server.address, str(log)]
        ran = await asyncio.create_subprocess_exec(
            *command, stdout=PIPE, stderr=PIPE, cwd=Path(__file__).parents[2]
        )
        said = await ran.communicate()
    assert said == (b"", b"")
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert any("Failing workflow task" in line["event"] for line in told), told
