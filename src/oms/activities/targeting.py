"""Targets, done: a plan that is kept once, the legs of it opened, orders that stand in its way ended."""

import asyncio
import time
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError

from oms.activities.alive import alive
from oms.activities.desk import Book
from oms.domain.commands import CancelOrder, Command
from oms.domain.decide import Opening
from oms.domain.errands import Refusal
from oms.domain.errors import Code, Refused
from oms.domain.numbers import plain
from oms.domain.order import Order
from oms.domain.programs.aiming import Ended, Ending, Left, Planning, has_passed, is_past_check, why_not_sent
from oms.domain.programs.planning import openings_of, plan, working_order
from oms.domain.programs.targets import Aim, Aimed, Plan, TargetBatch, ending
from oms.store import Store

R = TypeVar("R")
_JUDGED_WITHIN, _LOOK_SECONDS = 8.0, 0.05
_LONGEST_PAUSE = 1.0
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

    @activity.defn(name="plan_aim")
    async def plan_aim(self, planning: Planning) -> Aimed:
        """The aim's plan, kept before anything is opened; or the orders that have to end first.

        Twice: a plan or a refusal that is kept is the answer, whatever the account has come to since.
        """
        return await asyncio.to_thread(self._planned, planning)

    @activity.defn(name="open_legs")
    async def open_legs(self, aim: Aim) -> Aimed:
        """Open the legs of the kept plan, each once the one before has passed its check.

        A leg that is refused, or fails its check and is canceled for that, refuses the aim; legs before it stand.
        Twice: the order ids are the plan's, so each is opened once, and a refusal is kept.
        """
        aimed = await asyncio.to_thread(self._store.targets.aim, aim.aim_id)
        if aimed is None or aimed.plan is None or aimed.refusal is not None:
            return aimed or Aimed()
        async with alive():
            for opening in openings_of(aim, aimed.plan):
                refusal = await self._opened(aim, opening)
                if refusal is not None:
                    kept = await asyncio.to_thread(self._store.targets.keep, aim.aim_id, refusal)
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
        if aim.send_by is not None and datetime.now(UTC) >= aim.send_by:
            return self._refused(aim, _too_late(aim))
        portfolio = aim.portfolio_id if aim.portfolio_only else None
        exposure = self._store.targets.exposure(aim.account, aim.instrument.instrument_id, portfolio)
        try:
            planned = plan(aim, exposure)
        except Refused as refused:
            return self._refused(aim, Refusal.of(refused))
        if not planned.ends:
            return Aimed(plan=self._store.targets.plan_once(aim.aim_id, planned))
        return self._refused(aim, _in_the_way(planned)) if planning.last else Aimed(plan=planned)

    def _refused(self, aim: Aim, refusal: Refusal) -> Aimed:
        return Aimed(refusal=self._store.targets.keep(aim.aim_id, refusal))

    # Opening

    async def _opened(self, aim: Aim, opening: Opening) -> Refusal | None:
        """Open one leg, and see it past its check; why it does not go out."""
        try:
            answer = await asked_again(self._book.admit(opening))
        except Refused as refused:
            return Refusal.of(refused)
        why = None if is_past_check(answer.state) else await self._why_not_sent(opening.order_id)
        if why is None:
            return None
        await self._take_back(aim, opening.order_id, why)
        return Refusal(code=Code.INVALID_STATE, message=f"{opening.order_id} is not sent: {why}.")

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
        """Nobody may wake the order later. One that is over already has nothing to take back."""
        command = CancelOrder(reason=f"not sent: {why}"[:1000])
        try:
            await asked_again(
                self._book.instruct(
                    order_id,
                    command,
                    aim.actor,
                    ts_event_ns=aim.ts_event_ns,
                    correlation_id=aim.correlation_id,
                    update_id=f"{aim.aim_id}/not-sent",
                )
            )
        except Refused as refused:
            activity.logger.info("%s is not taken back: %s", order_id, refused.message)

    # Ending

    async def _ended(self, asked: Ending, order_id: str) -> Left | None:
        """None once nothing of the order can be executed; a refusal is not asked for twice at the same version."""
        why, refused_at, pause = _STILL_WORKS, 0, _LOOK_SECONDS
        while True:
            order = await asyncio.to_thread(self._store.orders.get, order_id)
            if order is None or working_order(order) is None:
                return None
            seconds = (asked.until - datetime.now(UTC)).total_seconds()
            if seconds <= 0:
                return Left(order_id=order_id, why=why)
            command = ending(order) if order.version != refused_at else None
            if command is not None:
                said = await self._asked_to_end(asked, order, command, seconds)
                why, refused_at = said or _STILL_WORKS, order.version if said else 0
            await asyncio.sleep(min(pause, seconds))
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
