"""What a story is: it opens an order, tells what happens to it, and gives it back when it is over."""

from collections.abc import Awaitable, Callable

from oms.domain import commands as cmd
from oms.domain.terms import Role, State
from tests.workflows.world import Dealt, World

Story = Callable[[World], Awaitable[Dealt]]
STORIES: dict[str, Story] = {}
PACED = {"events_per_run": 15}
"""Options under which every story must end the same: a new run every fifteen events."""


def story(told: Story) -> Story:
    STORIES[told.__name__] = told
    return told


async def by_hand_to_the_end(dealt: Dealt) -> None:
    """From a fill to RECONCILED, each step by the one who may take it."""
    await dealt.do(cmd.CloseOrder(), Role.TRADER)
    await dealt.do(cmd.SendToOperations(allocation_id="ALC-1"), Role.TRADER)
    await dealt.do(cmd.RequestPostTradeCompliance(), Role.OPS)
    await dealt.is_in(State.POST_TRADE_COMPLIANCE_PASSED)
    await dealt.do(cmd.ConfirmOrder(), Role.OPS)
    await dealt.do(cmd.SettleOrder(reason="seen at the custodian"), Role.OPS)
    await dealt.do(cmd.ReconcileOrder(reason="compared by hand"), Role.OPS)
    await dealt.ends(State.RECONCILED)
