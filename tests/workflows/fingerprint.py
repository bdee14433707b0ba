"""What each workflow module asks of Temporal, in the order of its source: read from the syntax tree, not by running it.

A change of this sequence is a change that running orders may not survive. `python -m tests.workflows.fingerprint`
writes the baseline; read docs on versioning before you do.
"""

import ast
import json
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "src" / "oms" / "workflows"
BASELINE = Path(__file__).with_name("fingerprints.json")
COMMANDS = frozenset(
    {
        "workflow.execute_activity",
        "workflow.start_activity",
        "workflow.execute_local_activity",
        "workflow.start_local_activity",
        "workflow.execute_child_workflow",
        "workflow.start_child_workflow",
        "workflow.get_external_workflow_handle",
        "workflow.wait_condition",
        "workflow.sleep",
        "workflow.wait",
        "workflow.as_completed",
        "workflow.continue_as_new",
        "workflow.upsert_search_attributes",
        "workflow.upsert_memo",
        "workflow.patched",
        "workflow.deprecate_patch",
        "workflow.uuid4",
        "workflow.uuid7",
        "workflow.random",
        "asyncio.sleep",
        "asyncio.create_task",
        "asyncio.gather",
        "asyncio.wait_for",
    }
)


def fingerprint(source: str) -> list[str]:
    """Each command as `Class.function: call(the names of its keyword arguments)`, and each port as it is defined."""
    found: list[str] = []
    _visit(ast.parse(source), "", found)
    return found


def _visit(node: ast.AST, where: str, found: list[str]) -> None:
    for child in ast.iter_child_nodes(node):
        inside = where
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            inside = f"{where}.{child.name}" if where else child.name
        elif isinstance(child, ast.Call):
            called = ast.unparse(child.func)
            if called in COMMANDS:
                named = ", ".join(sorted(k.arg or "**" for k in child.keywords))
                found.append(f"{where or 'module'}: {called}({named})")
            elif called in ("Port", "LocalPort"):
                found.append(f"{where or 'module'}: {called}({ast.unparse(child.args[0])})")
        elif (
            isinstance(child, ast.Attribute) and ast.unparse(child.value) == "ports" and child.attr.isupper()
        ):
            found.append(f"{where or 'module'}: ports.{child.attr}")
        _visit(child, inside, found)


def fingerprints() -> dict[str, list[str]]:
    """The fingerprint of every workflow module that asks Temporal for anything."""
    found = {file.name: fingerprint(file.read_text()) for file in sorted(FOLDER.glob("*.py"))}
    return {name: commands for name, commands in found.items() if commands}


if __name__ == "__main__":
    BASELINE.write_text(json.dumps(fingerprints(), indent=2) + "\n")
