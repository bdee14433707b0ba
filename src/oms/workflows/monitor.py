"""The limit monitor: limits that prices or positions have moved a portfolio over, with no order involved."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from oms.domain.findings import Look, Looked
    from oms.workflows import ports
    from oms.workflows.watching import LAST_QUERY, LIMIT_MONITOR, MonitorInput, Watcher


@workflow.defn(name=LIMIT_MONITOR)
class MonitorWorkflow(Watcher):
    @workflow.init
    def __init__(self, given: MonitorInput) -> None:
        super().__init__(given.every, given.events_per_run)
        self.seen: Looked | None = None

    @workflow.query(name=LAST_QUERY)
    def last(self) -> Looked | None:
        """What the last look of this run found."""
        return self.seen

    @workflow.run
    async def run(self, given: MonitorInput) -> None:
        await self.go_round(self.look)
        workflow.continue_as_new(given)

    async def look(self, was_asked: bool) -> str:
        why = "prices" if was_asked else "time"
        self.seen = seen = await ports.WATCH_LIMITS(Look(why=why), summary=f"are limits over? ({why})")
        return f"{seen.over} limit(s) over at {workflow.now():%Y-%m-%d %H:%M:%S} UTC"
