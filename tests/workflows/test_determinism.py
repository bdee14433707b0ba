"""Orders run outside Temporal's sandbox (ADR 0013), so what the sandbox would catch is caught here.

Workflow code and the domain it calls must take time, chance and the world from outside.
"""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "oms"
FILES = sorted([*(SOURCE / "domain").rglob("*.py"), *(SOURCE / "workflows").glob("*.py")])
BANNED_MODULES = frozenset(
    {
        "os",
        "time",
        "random",
        "secrets",
        "socket",
        "subprocess",
        "threading",
        "sqlite3",
        "pathlib",
        "io",
        "sys",
    }
)
BANNED_CALLS = frozenset(
    {
        "datetime.now",
        "datetime.utcnow",
        "datetime.today",
        "date.today",
        "uuid.uuid1",
        "uuid.uuid4",
        "uuid4",
        "uuid1",
        "open",
        "input",
        "print",
        "hash",
        "id",
        "asyncio.wait",
        "asyncio.as_completed",
        "asyncio.to_thread",
        "asyncio.get_running_loop",
    }
)


def offences(source: str) -> list[str]:
    """What in `source` would make a replay differ from the first run."""
    found = []
    for node in ast.walk(ast.parse(source)):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        found += [f"line {node.lineno} imports {m}" for m in modules if m.split(".")[0] in BANNED_MODULES]
        if isinstance(node, ast.Call) and ast.unparse(node.func) in BANNED_CALLS:
            found.append(f"line {node.lineno} calls {ast.unparse(node.func)}")
        if isinstance(node, ast.For) and isinstance(node.iter, ast.Set):
            found.append(f"line {node.lineno} goes through a set")
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_workflow_code_takes_time_chance_and_the_world_from_outside(file: Path) -> None:
    assert offences(file.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        "import random",
        "from time import time",
        "datetime.now()",
        "open('x')",
        "uuid4()",
        "for x in {1, 2}: pass",
    ],
)
def test_the_guard_can_fail(line: str) -> None:
    assert offences(line) != []
