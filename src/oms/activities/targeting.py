"""Targets, done: a plan that is kept once, the legs of it opened, orders that stand in its way ended."""

import asyncio
import time
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError

from oms.activities.alive import alive
from oms.activities.announcing import announce
from oms.activities.desk import Book
from oms.domain.commands import CancelOrder, Command
from oms.domain.decide import Opening
from oms.domain.errands import Refusal
from oms.domain.errors import Code, Refused
from oms.domain.numbers import plain
from oms.domain.order import Order
from oms.domain.programs.aiming import (
    CANCELED_WITH_ITS_BATCH,
    Ended,
    Ending,
    Left,
    Planning,
    has_passed,
    is_past_check,
    is_stale,
    is_too_late,
    why_not_sent,
)
from oms.domain.programs.planning import openings_of, plan, working_order
from oms.domain.programs.targets import Aim, Aimed, Plan, TargetBatch, ending
from oms.store import Store

R = TypeVar("R")
_JUDGED_WITHIN, _LOOK_SECONDS = 8.0, 0.05
_LONGEST_PAUSE, _ASKING_SECONDS = 1.0, 2.0
_OVERTAKEN = Refusal(
    code=Code.INVALID_STATE,
    message="A later target was planned before everything was opened for this one, so nothing more is opened.",
)
_STILL_WORKS = "it was asked to end, and still works"


class TargetActivities:
    """Activities of a target's own workflow. Whoever runs them waits for orders, and never for a target."""

    def __init__(self, store: Store, book: Book) -> None:
        self._store = store
        self._book = book

    @activity.defn(name="keep_batch")
    async def keep_batch(self, batch: TargetBatch) -> TargetBatch:
        """Keep a batch as it was posted. Twice: the first one stands, and is the answer."""
        return await asyncio.to_thread(self._store.targets.open_batch, batch)

    @activity.defn(name="batch_is_kept")
    async def batch_is_kept(self, batch_id: str) -> bool:
        """Whether there is such a batch. Reads only."""
        return await asyncio.to_thread(self._store.targets.batch, batch_id) is not None

    @activity.defn(name="bring")
    async def bring(self, planning: Planning) -> Aimed:
        """Plan the aim, keep the plan, open its legs, each once the one before has passed its check.

        Where orders have to end first they are the answer, and nothing is kept. A leg that is refused, or fails its
        check and is canceled for that, refuses the aim; legs before it stand. Twice: a plan or a refusal that is kept
        is the answer, whatever the account has come to since, and the order ids are the plan's, so each is opened once.

        An aim that is refused by somebody else meanwhile, because its batch was canceled, opens nothing more. One
        whose reading is too old is answered as `stale`, and nothing is kept of it.
        """
        aimed = await asyncio.to_thread(self._planned, planning)
        if aimed.plan is None or aimed.plan.ends:
            return aimed
        async with alive():
            if aimed.refusal is not None:
                await self._none_left(planning.aim, aimed)
                return aimed
            openings = openings_of(planning.aim, aimed.plan)
            await asyncio.to_thread(announce, self._store, openings, time.time_ns())
            for opening in openings:
                refusal = await self._opened(planning.aim, opening)
                if refusal is not None:
                    kept = await asyncio.to_thread(self._store.targets.keep, planning.aim.aim_id, refusal)
                    return aimed.model_copy(update={"refusal": kept})
        return aimed

    @activity.defn(name="end_orders")
    async def end_orders(self, asked: Ending) -> Ended:
        """Ask the orders to end, and wait until nothing of them can be executed, or until the time is over.

        Twice: the command ids are the same, so each order is asked once.
        """
        async with alive():
            left = await asyncio.gather(*(self._ended(asked, order_id) for order_id in asked.order_ids))
        return Ended(left=tuple(each for each in left if each is not None))

    # Planning; in a thread

    def _planned(self, planning: Planning) -> Aimed:
        aim = planning.aim
        kept = self._store.targets.aim(aim.aim_id)
        if kept is not None and (kept.plan is not None or kept.refusal is not None):
            return kept
        if is_too_late(aim, datetime.now(UTC)):
            return self._refused(aim, _too_late(aim))
        if is_stale(aim, time.time_ns()):
            return Aimed(stale=True)
        portfolio = aim.portfolio_id if aim.portfolio_only else None
        exposure = self._store.targets.exposure(aim.account, aim.instrument.instrument_id, portfolio)
        try:
            planned = plan(aim, exposure)
        except Refused as refused:
            return self._refused(aim, Refusal.of(refused))
        if not planned.ends:
            about = f"{aim.account}/{aim.position_id}"
            plan_kept = self._store.targets.plan_once(aim.aim_id, planned, about)
            return self._store.targets.aim(aim.aim_id) or Aimed(plan=plan_kept)
        return self._refused(aim, _in_the_way(planned)) if planning.last else Aimed(plan=planned)

    def _refused(self, aim: Aim, refusal: Refusal) -> Aimed:
        return Aimed(refusal=self._store.targets.keep(aim.aim_id, refusal))

    # Opening

    async def _opened(self, aim: Aim, opening: Opening) -> Refusal | None:
        """Open one leg, and see it past its check; why it does not go out.

        Whoever cancels the batch keeps a refusal first and looks for orders then. So either he sees the order, or
        the look at what is kept that follows the opening sees the refusal.
        """
        refusal = await self._refusal(aim)
        if refusal is not None:
            return refusal
        if await asyncio.to_thread(self._is_overtaken, aim, opening.order_id):
            await self._take_back(aim, opening.order_id, _OVERTAKEN.message)
            return _OVERTAKEN
        try:
            answer = await asked_again(self._book.admit(opening))
        except Refused as refused:
            return Refusal.of(refused)
        refusal = await self._refusal(aim)
        if refusal is not None:
            await self._take_back(aim, opening.order_id, refusal.message)
            return refusal
        why = None if is_past_check(answer.state) else await self._why_not_sent(opening.order_id)
        if why is None:
            return None
        await self._take_back(aim, opening.order_id, why)
        return Refusal(code=Code.INVALID_STATE, message=f"{opening.order_id} is not sent: {why}.")

    async def _refusal(self, aim: Aim) -> Refusal | None:
        kept = await asyncio.to_thread(self._store.targets.aim, aim.aim_id)
        return kept.refusal if kept is not None else None

    def _is_overtaken(self, aim: Aim, order_id: str) -> bool:
        """Whether a later plan for the position was made without this order, which is not in the book. Blocks.

        One aim at a time comes here, so that is only where the target's workflow was ended or reset by hand.
        """
        return self._store.targets.is_overtaken(aim.aim_id) and self._store.orders.get(order_id) is None

    async def _none_left(self, aim: Aim, aimed: Aimed) -> None:
        """Take back what a worker that is gone may have opened at the moment at which the batch was canceled."""
        if aimed.plan is None or aimed.refusal != CANCELED_WITH_ITS_BATCH:
            return
        for leg in aimed.plan.legs:
            await self._take_back(aim, leg.order_id, aimed.refusal.message)

    async def _why_not_sent(self, order_id: str) -> str | None:
        """Why the order does not go out, once its check is known; one that is not known in time does not either."""
        until = time.monotonic() + _JUDGED_WITHIN
        while time.monotonic() < until:
            order = await asyncio.to_thread(self._store.orders.get, order_id)
            why = None if order is None else why_not_sent(order)
            if why is not None or (order is not None and has_passed(order)):
                return why
            await asyncio.sleep(_LOOK_SECONDS)
        return "its pre-trade check was not answered in time"

    async def _take_back(self, aim: Aim, order_id: str, why: str) -> None:
        """Nobody may wake the order later. One that is over, or was never opened, has nothing to take back.

        Asked at most twice: between the look and the command a part may be executed, and the command is another then.
        """
        for _ in range(2):
            order = await asyncio.to_thread(self._store.orders.get, order_id)
            reason = f"not sent: {why}"[:1000]
            command = CancelOrder(reason=reason) if order is None else ending(order, reason)
            if command is None or await self._took(aim, order_id, command):
                return

    async def _took(self, aim: Aim, order_id: str, command: Command) -> bool:
        try:
            await asked_again(
                self._book.instruct(
                    order_id,
                    command,
                    aim.actor,
                    ts_event_ns=aim.ts_event_ns,
                    correlation_id=aim.correlation_id,
                    update_id=f"{aim.aim_id}/not-sent/{command.kind}",
                )
            )
        except Refused as refused:
            activity.logger.info("%s is not taken back: %s", order_id, refused.message)
            return refused.code is Code.ORDER_NOT_FOUND
        return True

    # Ending

    async def _ended(self, asked: Ending, order_id: str) -> Left | None:
        """None once nothing of the order can be executed. It is asked at least once, and not twice at a version at
        which it refused."""
        why, looks, refused_at, pause = _STILL_WORKS, 0, 0, _LOOK_SECONDS
        while True:
            order = await asyncio.to_thread(self._store.orders.get, order_id)
            if order is None or working_order(order) is None:
                return None
            seconds = (asked.until - datetime.now(UTC)).total_seconds()
            if seconds <= 0 and looks:
                return Left(order_id=order_id, why=why)
            looks += 1
            command = ending(order) if order.version != refused_at else None
            if command is not None:
                said = await self._asked_to_end(asked, order, command, max(seconds, _ASKING_SECONDS))
                why, refused_at = said or _STILL_WORKS, order.version if said else 0
            await asyncio.sleep(max(0.0, min(pause, seconds)))
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    async def _asked_to_end(
        self, asked: Ending, order: Order, command: Command, seconds: float
    ) -> str | None:
        """Why the order does not take the command, or nobody could be asked."""
        try:
            async with asyncio.timeout(seconds):
                await self._book.instruct(
                    order.order_id,
                    command,
                    asked.actor,
                    ts_event_ns=asked.ts_event_ns,
                    correlation_id=asked.correlation_id,
                    update_id=f"{asked.prefix}/{command.kind}/{order.order_id}",
                )
        except TimeoutError:
            return None
        except Refused as refused:
            return None if refused.code is Code.UNAVAILABLE else refused.message
        return None


async def asked_again(call: Awaitable[R]) -> R:
    """The answer. Raises Refused, and ApplicationError, to be asked again, where nobody could be asked."""
    try:
        return await call
    except Refused as refused:
        if refused.code is Code.UNAVAILABLE:
            raise ApplicationError(refused.message, type=refused.code) from refused
        raise


def _too_late(aim: Aim) -> Refusal:
    return Refusal(
        code=Code.UNAVAILABLE,
        message=f"Nobody came to it before {aim.send_by:%Y-%m-%dT%H:%M:%SZ}, after which nothing is sent.",
    )


def _in_the_way(planned: Plan) -> Refusal:
    orders = ", ".join(planned.ends)
    return Refusal(
        code=Code.WORKING_AGAINST,
        message=f"Orders of earlier targets have not ended in time, so nothing is placed beside them: {orders}.",
        facts={"orders": list(planned.ends), "held": plain(planned.held)},
    )
