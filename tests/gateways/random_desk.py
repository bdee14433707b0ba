"""A desk that works random orders through a broker that goes wrong at random, and what must hold afterwards."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal

from tests.gateways.rig import OVER, Rig, eventually, status, ticket

from oms.domain.executions import revision
from oms.domain.facts import Busted, ChangeInDoubt, Executed
from oms.domain.numbers import ZERO
from oms.domain.terms import OrderType, PlacementStatus
from oms.domain.venues import PlacementTicket, VenueAnswer
from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr import IBKRGateway
from oms.paper.faults import FaultKind, FaultPlan
from oms.store import IntentState

AT_ONCE = 4
_TRIES = 4
"""How often an order is asked for while things go wrong; afterwards as often as it takes."""
_PATIENCE = 40.0
_PAUSE = 0.02
_DOUBTFUL = (IntentState.SENDING, IntentState.IN_DOUBT, IntentState.QUEUED)


@dataclass
class Work:
    """One order and what its desk wants of it: `changes` in their order, then a cancel."""

    price: str | None
    quantity: int
    changes: list[str] = field(default_factory=list)
    cancels: bool = False
    order: PlacementTicket = field(init=False)

    def __post_init__(self) -> None:
        terms = {"order_type": OrderType.LIMIT, "limit_price": Decimal(self.price)} if self.price else {}
        self.order = ticket(quantity=str(self.quantity), **terms)

    def revisions(self) -> list[PlacementTicket]:
        """The ticket of each change: `less` halves what is left, a number is another limit."""
        made, order = [], self.order
        for number, change in enumerate(self.changes, start=1):
            smaller = max(order.quantity // 2, Decimal(1))
            terms = {"quantity": smaller} if change == "less" else {"limit_price": Decimal(change)}
            order = order.model_copy(update={"revision": number, **terms})
            made.append(order)
        return made


class RandomDesk:
    """Works orders as their workflows do: the same call again and again, until its answer is no doubt."""

    def __init__(self, rig: Rig, works: list[Work]) -> None:
        self.rig = rig
        self.works = works
        self.gateway: IBKRGateway
        self.crashes = 0

    async def run(self, plan: FaultPlan, crash_after: int | None) -> None:
        """Everything once while the plan is in force; then without faults until nothing is open."""
        rig = self.rig
        self.gateway = await rig.gateway()
        rig.paper.use_plan(plan)
        crashing = asyncio.create_task(self._crash(crash_after))
        await self._all(_TRIES)
        crashing.cancel()
        await asyncio.gather(crashing, return_exceptions=True)
        await self._calm()
        async with asyncio.timeout(_PATIENCE):
            await self._all(None)
        await rig.reconciled(self.gateway)
        await eventually(lambda: not rig.store.inbox.undelivered(rig.settings.name))

    async def _all(self, tries: int | None) -> None:
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(work: Work) -> None:
            async with slots:
                await self._work(work, tries)

        await asyncio.gather(*map(one, self.works))

    async def _work(self, work: Work, tries: int | None) -> None:
        gateway = lambda: self.gateway  # noqa: E731 - another process may have taken over meanwhile
        await self._insist(lambda: gateway().place(work.order), _is_placed, tries)
        for change in work.revisions():
            if work.price is not None:
                await self._insist(lambda change=change: gateway().modify(change), self._is_changed, tries)
        if work.cancels:
            await self._insist(lambda: gateway().cancel(work.order), _is_over, tries)

    async def _insist(
        self, call: Callable[[], object], enough: Callable[[VenueAnswer], bool], tries: int | None
    ) -> None:
        left = tries
        while left is None or left > 0:
            left = None if left is None else left - 1
            with suppress(GatewayNotReady, TimeoutError):
                async with asyncio.timeout(5):
                    await self.gateway.ready()
                    if enough(await call()):  # type: ignore[misc]
                        return
            await asyncio.sleep(_PAUSE)

    def _is_changed(self, answer: VenueAnswer) -> bool:
        doubts = [fact for fact in answer.facts if isinstance(fact, ChangeInDoubt)]
        return all("second order" in doubt.reason for doubt in doubts)

    async def _crash(self, after: int | None) -> None:
        """Kill the gateway after so many placements have reached the broker, and start another."""
        if after is None:
            return
        await eventually(lambda: len(self.rig.messages) >= after, 60)
        await self.rig.crash(self.gateway)
        self.crashes += 1
        self.gateway = await self.rig.started()

    async def _calm(self) -> None:
        """No more faults; what is held is said, what was lost comes back."""
        paper = self.rig.paper
        paper.use_plan(FaultPlan())
        paper.speak_again()
        if not paper._desk.online:
            paper.connectivity_restored(data_lost=False)
        paper.release()
        paper._unanswered.clear()
        await asyncio.wait_for(self.gateway.ready(), 20)


def _is_placed(answer: VenueAnswer) -> bool:
    return status(answer) is not PlacementStatus.IN_DOUBT


def _is_over(answer: VenueAnswer) -> bool:
    return any(getattr(fact, "status", None) in OVER for fact in answer.facts)


# -- what must hold --------------------------------------------------------------------------------------


def wrong(rig: Rig, works: list[Work]) -> list[str]:
    """Everything that is not as it must be, in sentences."""
    return [*_not_booked(rig, works), *_sent_twice(rig, works), *_dropped(rig, works), *_doubtful(rig, works)]


def _doubled(rig: Rig) -> set[str]:
    """References of orders of which the plan made a second one."""
    return {line.order_ref for line in rig.paper.committed if line.kind == FaultKind.SECOND_PERM_ID}


def _not_booked(rig: Rig, works: list[Work]) -> list[str]:
    """The broker's executions in force are the executions that the orders booked, one by one."""
    found = []
    for work in works:
        theirs = {line.exec_id: (line.quantity, line.price) for line in rig.executed(work.order)}
        standing: dict[str, tuple[int, Executed | Busted]] = {}
        for fact in rig.orders.facts[work.order.order_id]:
            if isinstance(fact, Executed | Busted):
                base, number = revision(fact.exec_id)
                if number >= standing.get(base, (-1, fact))[0]:
                    standing[base] = (number, fact)
        ours = {fact.exec_id: _booked(fact) for _, fact in standing.values()}
        if ours != theirs:
            found.append(f"{work.order.order_ref}: the broker executed {theirs}, booked is {ours}")
    return found


def _booked(fact: Executed | Busted) -> tuple[Decimal, Decimal]:
    return (fact.quantity, fact.price) if isinstance(fact, Executed) else (ZERO, ZERO)


def _sent_twice(rig: Rig, works: list[Work]) -> list[str]:
    doubled = _doubled(rig)
    counts = {work.order.order_ref: len(rig.at_the_broker(work.order)) for work in works}
    return [
        f"{ref}: {count} orders at the broker"
        for ref, count in counts.items()
        if count > 1 and ref not in doubled
    ]


def _dropped(rig: Rig, works: list[Work]) -> list[str]:
    """Every charge of ours reached its order; every execution of others is in quarantine."""
    found = []
    for work in works:
        charged = {charge.exec_id for charge in rig.orders.charges(work.order)}
        executed = {line.exec_id for line in rig.executed(work.order)}
        found += [f"{work.order.order_ref}: no commission of {name}" for name in executed - charged]
    ours = {work.order.order_ref for work in works}
    theirs = {line.exec_id for line in rig.paper.executions() if line.order_ref not in ours}
    kept = {execution.exec_id for execution in rig.store.foreign.executions(limit=1000)}
    if theirs != kept:
        found.append(f"others executed {theirs}, in quarantine are {kept}")
    return [*found, *(f"parked: {row.reason} {row.raw}" for row in rig.store.inbox.parked())]


def _doubtful(rig: Rig, works: list[Work]) -> list[str]:
    doubled = _doubled(rig)
    return [
        f"{work.order.order_ref} is {rig.state(work.order)}: {rig.orders.statuses(work.order)}"
        for work in works
        if rig.state(work.order) in _DOUBTFUL and work.order.order_ref not in doubled
    ]
