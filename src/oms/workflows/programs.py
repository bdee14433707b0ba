"""What the callers of a command's, a target's and a batch's workflow need to know: names, queues, ids."""

from datetime import timedelta
from typing import Final

from oms.domain.model import Open
from oms.domain.programs.targets import Aim, TargetBatch

COMMAND_WORKFLOW: Final = "Command"
COMMAND_QUEUE: Final = "oms-commands"
"""Where signed commands wait for their worker: apart from the orders that they open."""
TARGET_QUEUE: Final = "oms-targets"
"""Where whoever waits for targets waits: apart from the targets, which run on the desk's queue."""
TARGET_WORKFLOW: Final = "Target"
AIM_SIGNAL: Final = "aim"
"""Its argument is an Aim. A signal, because its place among others is kept before anything is done for it: of two aims
that a crash interrupts the same one comes first again. What became of an aim is in the store."""
TARGET_BATCH_WORKFLOW: Final = "TargetBatch"
"""It runs on the desk's queue, and answers the update `done` with a `TargetsDone`."""


class TargetInput(Open):
    """Whoever aims at one position in one broker's account. `carried`: aims that the run before did not come to.

    instrument_id: of the instruments that are the position's contract, the oldest.

    patience: how long orders that work against a target are waited for. idle: how long a run that several aims came
    to waits for one more; where a single one came it ends at once. `aims_per_run` lowers the point at which a run
    hands over to the next one; for tests.
    """

    account: str
    instrument_id: str
    carried: tuple[Aim, ...] = ()
    patience: timedelta = timedelta(seconds=20)
    idle: timedelta = timedelta(seconds=30)
    aims_per_run: int | None = None


class TargetBatchInput(Open):
    """A batch to carry out. `patience`: how long somebody who asks `done` is kept waiting for the last row.

    begin_within: a batch that no worker has begun by then is not begun at all, so that nothing happens by surprise.
    kept: it was begun before and is gone on with, however late: its rows that have their outcome keep it, and each of
    the others has its `send_by`.
    """

    batch: TargetBatch
    patience: timedelta = timedelta(seconds=25)
    begin_within: timedelta = timedelta(seconds=10)
    kept: bool = False


class TargetsDone(Open):
    """Where a batch is. What became of its rows is in the store, row by row, from the moment each is planned.

    away: the broker could not be asked, or nobody began in time: nothing was kept, planned or placed. Otherwise the
    batch is kept, and it is complete when every row has been placed, found at its target, or refused.
    """

    batch_id: str
    rows: int
    planned: int = 0
    away: str | None = None


def command_workflow_id(idem_key: str) -> str:
    """The Temporal workflow id of a signed command."""
    return f"command/{idem_key}"


def target_workflow_id(account: str, instrument_id: str) -> str:
    """The Temporal workflow id of whoever aims at one position in one broker's account, one aim at a time.

    instrument_id: `Aim.position_id`, so that two descriptions of one contract are one after the other too.
    """
    return f"target/{account}/{instrument_id}"


def target_batch_workflow_id(batch_id: str) -> str:
    """The Temporal workflow id of a batch of targets."""
    return f"targets/{batch_id}"
