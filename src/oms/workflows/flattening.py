"""Flattening an account, as a part of a signed command's workflow: a crash cannot leave it half done."""

import asyncio
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from oms.domain.numbers import plain
    from oms.domain.programs.aiming import (
        Ended,
        Ending,
        FlattenAsk,
        Flattened,
        FlattenedLeg,
        FlattenLeg,
        FlattenRead,
        FlattenScope,
        Left,
        subject_of,
    )
    from oms.domain.programs.intake import Flatten
    from oms.domain.programs.outcomes import Commanded, CommandInput, Part
    from oms.domain.programs.targets import AccountRead, BrokerPosition
    from oms.domain.reference import Account
    from oms.domain.terms import Venue
    from oms.workflows import ports
    from oms.workflows.contract import DESK_QUEUE, gateway_queue
    from oms.workflows.programs import TARGET_QUEUE

BEYOND = timedelta(seconds=60)
"""So long after `wait_seconds` a gateway that is away, or positions that still move, are waited for."""
AT_ONCE = 16
_ONE_WAIT = timedelta(seconds=50)
_REST = timedelta(seconds=1)
_MOVING = "executions are on their way"
_STALE = "nobody came to it while the reading of the account was fresh"


async def flatten(asked: CommandInput, given: Flatten, tenant: str) -> Flattened:
    """End what works there if asked, then bring every position to zero; a leg per position.

    Called in workflow code. With `given.dry_run` it says what it would do, and does nothing. A `refusal` means that
    nothing was touched: INVALID_ACCOUNT, INVALID_TENANT.
    """
    ask = FlattenAsk(asked=asked, given=given, tenant=tenant)
    scope = await ports.SCOPE_FLATTEN(ask, summary=f"what {tenant} may flatten"[:200], queue=TARGET_QUEUE)
    if scope.account is None:
        return Flattened(refusal=scope.refusal)
    return await _Flattening(ask, scope, scope.account, workflow.now()).done()


class _Flattening:
    """One flatten under way. No position in it is state: after a crash Temporal takes the same way again."""

    def __init__(self, ask: FlattenAsk, scope: FlattenScope, account: Account, begun: datetime) -> None:
        self.ask = ask
        self.scope = scope
        self.account = account.broker_account
        self.wait_until = begun + timedelta(seconds=ask.given.wait_seconds)
        self.last_look = self.wait_until + BEYOND
        self.seen: dict[str, int] = {}
        self.legs: dict[int, Commanded] = {}
        self.moving: dict[int, BrokerPosition] = {}
        self.stale: dict[int, BrokerPosition] = {}
        self.left: tuple[Left, ...] = ()
        self.others: tuple[str, ...] = ()

    async def done(self) -> Flattened:
        if self.ask.given.cancel_open_first and not self.ask.given.dry_run:
            await self.end_orders()
        while (why := await self.look()) is not None and workflow.now() < self.last_look:
            await workflow.sleep(_REST, summary=why[:200])
        return self.outcome(why)

    # -- orders that work ---------------------------------------------------------------------------

    async def end_orders(self) -> None:
        """Ask every order that works to end, and wait until it has, as long as was asked."""
        self.left = tuple(Left(order_id=order_id, why="not asked yet") for order_id in self.scope.working)
        while self.left:
            self.left = (await self.end(tuple(order.order_id for order in self.left))).left
            if workflow.now() >= self.wait_until:
                return

    async def end(self, order_ids: tuple[str, ...]) -> Ended:
        asked = self.ask.asked
        ending = Ending(
            order_ids=order_ids,
            prefix=asked.message_id,
            actor=asked.actor,
            ts_event_ns=asked.received_ns,
            until=min(self.wait_until, workflow.now() + _ONE_WAIT),
            correlation_id=asked.correlation_id,
        )
        summary = f"end {len(order_ids)} orders in {self.account}"[:200]
        return await ports.END_ORDERS(ending, summary=summary, queue=DESK_QUEUE)

    # -- positions ----------------------------------------------------------------------------------

    async def look(self) -> str | None:
        """Read the account and aim every position at zero, once; what has to be waited for, or None."""
        read = await self.read()
        if read.away is not None:
            return f"the account cannot be read: {read.away}"
        asked = FlattenRead(given=self.ask.given, scope=self.scope, read=read)
        listed = await ports.LIST_POSITIONS(
            asked, summary=f"positions in {self.account}"[:200], queue=TARGET_QUEUE
        )
        self.others = listed.others
        if listed.portfolio_only:
            self.scope = self.scope.model_copy(update={"portfolio_only": True})
        found = {self.index_of(position): position for position in listed.positions}
        owed = {index: position for index, position in found.items() if index not in self.legs}
        steady = {index: position for index, position in owed.items() if position.steady}
        await self.aim(list(steady.items()), read.read_ns)
        self.moving = {index: position for index, position in owed.items() if not position.steady}
        self.stale = {index: position for index, position in steady.items() if index not in self.legs}
        if self.moving:
            return _MOVING
        return _STALE if self.stale else None

    def index_of(self, position: BrokerPosition) -> int:
        """The leg of this position, the same in every reading."""
        return self.seen.setdefault(subject_of(position), len(self.seen))

    async def read(self) -> AccountRead:
        try:
            queue = gateway_queue(Venue.IBKR, self.account)
            return await ports.READ_ACCOUNT(self.account, summary=f"read {self.account}"[:200], queue=queue)
        except ActivityError:
            return AccountRead(account=self.account, away="no gateway answers")

    async def aim(self, legs: list[tuple[int, BrokerPosition]], read_ns: int) -> None:
        """Several at a time; every leg answers for itself, and one that nobody came to in time stays owed."""

        async def work() -> None:
            while legs:
                index, position = legs.pop(0)
                aimed = await self.aim_at_zero(index, position, read_ns)
                if not aimed.stale:
                    self.legs[index] = aimed

        await asyncio.gather(*(work() for _ in range(min(AT_ONCE, len(legs)))))

    async def aim_at_zero(self, index: int, position: BrokerPosition, read_ns: int) -> FlattenedLeg:
        leg = FlattenLeg(
            ask=self.ask,
            scope=self.scope,
            index=index,
            position=position,
            send_by=self.last_look + BEYOND,
            read_ns=read_ns,
        )
        return await ports.AIM_POSITION(leg, summary=f"flatten {position.symbol}"[:200], queue=TARGET_QUEUE)

    # -- the report ---------------------------------------------------------------------------------

    def outcome(self, why: str | None) -> Flattened:
        notes = [f"{order.order_id} had not ended: {order.why}" for order in self.left]
        given = self.ask.given
        if given.dry_run and given.cancel_open_first and self.scope.working:
            notes.append(f"dry run: ended first would be {', '.join(self.scope.working)}")
        if self.others:
            notes.append(
                f"left alone are orders that were not placed through this order book: {', '.join(self.others)}"
            )
        if self.scope.portfolio_only:
            notes.insert(
                0, f"others trade in {self.account} too: only what the portfolio holds was flattened"
            )
        if why is not None:
            notes.insert(0, f"given up at {self.last_look:%Y-%m-%dT%H:%M:%SZ}: {why}")
        legs = self.legs | {
            index: _not_aimed(index, position, left)
            for positions, left in ((self.moving, _MOVING), (self.stale, _STALE))
            for index, position in positions.items()
        }
        orders = tuple(legs[index] for index in sorted(legs))
        if not orders and why is None:
            notes.insert(0, f"nothing of {', '.join(given.sec_types)} to flatten is held in {self.account}")
        return Flattened(orders=orders, detail="; ".join(notes)[:2000] or None)


def _not_aimed(index: int, position: BrokerPosition, why: str) -> Commanded:
    """A leg that was given up."""
    return Commanded(
        order_index=index,
        part=Part.FLATTEN,
        symbol=position.symbol,
        quantity=plain(abs(position.quantity)),
        detail=f"not flattened: {why}, until the end",
    )
