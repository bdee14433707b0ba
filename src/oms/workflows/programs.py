"""What the callers of a command's, a target's and a batch's workflow need to know: names, queues, ids."""

from typing import Final

COMMAND_WORKFLOW: Final = "Command"
COMMAND_QUEUE: Final = "oms-commands"
"""Where signed commands wait for their worker: apart from the orders that they open."""
TARGET_WORKFLOW: Final = "Target"
AIM_UPDATE: Final = "aim"
TARGET_BATCH_WORKFLOW: Final = "TargetBatch"


def command_workflow_id(idem_key: str) -> str:
    """The Temporal workflow id of a signed command."""
    return f"command/{idem_key}"


def target_workflow_id(account: str, instrument_id: str) -> str:
    """The Temporal workflow id of whoever aims at one instrument in one broker's account, one aim at a time."""
    return f"target/{account}/{instrument_id}"


def target_batch_workflow_id(batch_id: str) -> str:
    """The Temporal workflow id of a batch of targets."""
    return f"targets/{batch_id}"
