"""What workflows ask of Temporal is a committed baseline: a change of it is decided, never slipped in."""

import difflib
import json

from tests.workflows.fingerprint import BASELINE, fingerprint, fingerprints

HOW = """
The sequence of Temporal commands in src/oms/workflows has changed (see above). Orders that run now may not replay.
1. Guard the change with workflow.patched("<date>-<what>") unless every recorded history still replays.
2. python -m tests.workflows.record        writes the histories anew (keep the old ones where orders still run)
3. python -m tests.workflows.fingerprint   writes this baseline anew
"""


def test_the_commands_of_every_workflow_are_as_they_were_agreed() -> None:
    before = json.dumps(json.loads(BASELINE.read_text()), indent=2).splitlines()
    now = json.dumps(fingerprints(), indent=2).splitlines()
    changed = "\n".join(difflib.unified_diff(before, now, "agreed", "now", lineterm=""))
    assert not changed, f"{changed}\n{HOW}"


def test_a_fingerprint_sees_commands_and_not_words() -> None:
    source = """
class Order:
    async def run(self):
        '''workflow.sleep'''
        await workflow.wait_condition(lambda: True, timeout=1)
        await ports.RECORD(batch)
        details = workflow.now()
"""
    assert fingerprint(source) == ["Order.run: workflow.wait_condition(timeout)", "Order.run: ports.RECORD"]


def test_a_fingerprint_changes_with_an_added_timer() -> None:
    before = "async def run(self):\n    await ports.PLACE(ticket)\n"
    assert fingerprint(before) != fingerprint(before + "    await workflow.sleep(1)\n")
