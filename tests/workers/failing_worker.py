"""A process whose one workflow has a defect: python failing_worker.py ADDRESS LOG_FILE. Ends once the log tells of it."""

import sys
from pathlib import Path

from temporalio import workflow
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from oms.cli.leaving import run_and_leave
from oms.workers.logs import configure_logging
from oms.workers.settings import Settings
from oms.workers.temporal import connect
from tests.stack import until


@workflow.defn(name="Defective", sandboxed=False)
class Defective:
    @workflow.run
    async def run(self) -> None:
        raise KeyError("a defect of the code")


async def main(address: str, log: Path) -> None:
    settings = Settings(temporal_address=address)
    configure_logging(settings, "failing", log)
    client = await connect(settings, patience=10)
    runner = UnsandboxedWorkflowRunner()
    async with Worker(client, task_queue="defects", workflows=[Defective], workflow_runner=runner):
        handle = await client.start_workflow(
            "Defective", id=f"defective-{log.parent.name}", task_queue="defects"
        )
        await until(lambda: "Failing workflow task" in log.read_text(), "the failure in the log")
        await handle.terminate("seen")


if __name__ == "__main__":
    run_and_leave(main(sys.argv[1], Path(sys.argv[2])))
