"""The business invariants, looked at round after round: the orders that changed, and a sweep through all of them."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from oms.domain.findings import Rounded
    from oms.workflows import ports
    from oms.workflows.watching import INVARIANTS, LAST_QUERY, InvariantsInput, Watcher


@workflow.defn(name=INVARIANTS)
class InvariantsWorkflow(Watcher):
    @workflow.init
    def __init__(self, given: InvariantsInput) -> None:
        super().__init__(given.every, given.events_per_run)
        self.next = given.round
        self.seen: Rounded | None = None

    @workflow.query(name=LAST_QUERY)
    def last(self) -> Rounded | None:
        """What the last round of this run did."""
        return self.seen

    @workflow.run
    async def run(self, given: InvariantsInput) -> None:
        await self.go_round(self.look)
        workflow.continue_as_new(given.model_copy(update={"round": self.next}))

    async def look(self, _was_asked: bool) -> str:
        self.seen = seen = await ports.CHECK_INVARIANTS(
            self.next,
            summary=f"events after {self.next.after}, orders after {self.next.sweep_after or 'none'}",
        )
        self.next = seen.next
        broken = ", ".join(seen.broken)
        return f"{seen.orders} order(s) looked at; " + (f"**broken: {broken}**" if broken else "all holds")
