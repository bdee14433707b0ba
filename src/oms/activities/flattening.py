"""The parts of a flatten: what it may touch, which positions there are, and one of them brought to zero."""

import asyncio
from collections import defaultdict
from decimal import Decimal

from temporalio import activity

from oms.activities.aiming import Aimer, Targets
from oms.activities.alive import alive
from oms.activities.desk import Book
from oms.activities.standing import accounts_within, place_of
from oms.domain.errands import Refusal
from oms.domain.errors import Refused
from oms.domain.numbers import ZERO, add, plain
from oms.domain.programs.aiming import (
    FlattenAsk,
    FlattenedLeg,
    FlattenLeg,
    FlattenPositions,
    FlattenRead,
    FlattenScope,
    is_meant,
    position_of,
    subject_of,
)
from oms.domain.programs.intake import Flatten
from oms.domain.programs.outcomes import Part
from oms.domain.programs.planning import leg_id, plan
from oms.domain.programs.targets import Aim, Aimed, BrokerPosition, Plan
from oms.domain.programs.tenants import account_of
from oms.domain.reference import Instrument, InstrumentQuestion
from oms.domain.terms import SecType
from oms.store import ForeignOrder, Store


class FlattenActivities:
    """Activities of a flatten. Whoever runs them waits for targets, so they have a queue apart from these."""

    def __init__(self, store: Store, book: Book, targets: Targets) -> None:
        self._store = store
        self._book = book
        self._aimer = Aimer(store, targets)

    @activity.defn(name="scope_flatten")
    async def scope_flatten(self, ask: FlattenAsk) -> FlattenScope:
        """What the flatten may touch, and which orders work there now. Reads only."""
        return await asyncio.to_thread(self._scope, ask)

    @activity.defn(name="list_positions")
    async def list_positions(self, asked: FlattenRead) -> FlattenPositions:
        """The positions that the flatten is about. Reads only.

        Whether others trade in the account is looked at again: it may have been an hour since the flatten began.
        """
        return await asyncio.to_thread(self._positions, asked)

    @activity.defn(name="aim_position")
    async def aim_position(self, leg: FlattenLeg) -> FlattenedLeg:
        """Bring one position to zero; its order, or why there is none, or that it is stale. Twice: the same aim."""
        try:
            async with alive():
                return await self._aimed(leg)
        except Refused as refused:
            return _commanded(leg, refusal=Refusal.of(refused))

    # The scope; in a thread

    def _scope(self, ask: FlattenAsk) -> FlattenScope:
        try:
            place = place_of(self._store, ask.tenant)
            account = account_of(
                place.tenant,
                place.portfolio.default_account_id,
                ask.given.account,
                self._store.reference.account,
                accounts_within(self._store, ask.asked),
            )
        except Refused as refused:
            return FlattenScope(refusal=Refusal.of(refused))
        portfolio_id = place.portfolio.portfolio_id
        is_shared = self._is_shared(account.broker_account, portfolio_id)
        orders = self._store.targets.working_in(account.broker_account, portfolio_id if is_shared else None)
        return FlattenScope(
            account=account,
            portfolio_id=portfolio_id,
            portfolio_only=is_shared,
            working=tuple(
                order.order_id
                for order in orders
                if self._is_meant(ask.given, order.instrument, order.instrument.instrument_id)
            ),
        )

    def _is_shared(self, account: str, portfolio_id: str) -> bool:
        return self._store.booked.is_traded_by_others(account, [portfolio_id])

    def _is_meant(
        self, given: Flatten, about: Instrument | BrokerPosition | ForeignOrder, instrument_id: str | None
    ) -> bool:
        """Whether the flatten is about it, by every symbol under which the contract is known."""
        names = {about.symbol}
        if given.exclude:
            known = self._store.reference.same_contract(instrument_id, about.conid)
            names |= {instrument.symbol for instrument in known}
        return is_meant(given, about.sec_type, names)

    # Positions; in a thread

    def _positions(self, asked: FlattenRead) -> FlattenPositions:
        scope = asked.scope
        is_shared = scope.portfolio_only or self._is_shared(asked.read.account, scope.portfolio_id)
        found = self._ours(asked) if is_shared else asked.read.positions
        meant = [
            position
            for position in found
            if position.quantity and self._is_meant(asked.given, position, position.instrument_id)
        ]
        return FlattenPositions(
            positions=tuple(sorted(meant, key=lambda each: (each.symbol, subject_of(each)))),
            portfolio_only=is_shared,
            others=() if is_shared else self._others(asked),
        )

    def _others(self, asked: FlattenRead) -> tuple[str, ...]:
        """The orders in the account that this system did not place, and never ends."""
        return tuple(
            f"{order.key} ({order.action} {plain(abs(order.pending))} {order.symbol}, {order.origin})"
            for order in self._store.foreign.working_in(asked.read.account)
            if order.pending and self._is_meant(asked.given, order, None)
        )

    def _ours(self, asked: FlattenRead) -> tuple[BrokerPosition, ...]:
        """What the portfolio's own executions come to in an account that it shares, contract by contract."""
        scope, account = asked.scope, asked.read.account
        held: dict[tuple[str, ...], Decimal] = defaultdict(lambda: ZERO)
        for instrument_id, quantity in self._store.targets.held_in(account, scope.portfolio_id).items():
            contract = self._store.reference.one_contract(instrument_id)
            held[contract] = add(held[contract], quantity)
        ours = []
        for contract, quantity in held.items():
            instrument = self._store.reference.instrument(contract[0])
            if instrument is None:
                continue
            theirs = position_of(asked.read, instrument, contract)
            ours.append(
                BrokerPosition(
                    conid=instrument.conid or 0,
                    symbol=instrument.symbol,
                    sec_type=instrument.sec_type,
                    currency=instrument.currency,
                    quantity=quantity,
                    unbooked=ZERO,
                    steady=theirs is None or theirs.steady,
                    instrument_id=instrument.instrument_id,
                )
            )
        return tuple(ours)

    # One leg

    async def _aimed(self, leg: FlattenLeg) -> FlattenedLeg:
        """Raises Refused: INVALID_INSTRUMENT, UNAVAILABLE where its contract cannot be looked up."""
        instrument = await self._instrument(leg)
        aim = _aim(leg, instrument)
        if leg.ask.given.dry_run:
            would = await asyncio.to_thread(self._would, leg, aim)
            return _commanded(leg, detail=f"dry run: {_in_words(would)}")
        link = _commanded(leg, order_id=leg_id(aim, 0))
        asked = leg.ask.asked
        await asyncio.to_thread(self._store.commands.order_links, asked.message_id, leg.ask.tenant, [link])
        return _became(leg, await self._aimer.brought(aim))

    def _would(self, leg: FlattenLeg, aim: Aim) -> Plan:
        """What the leg would come to now, once the orders have ended that a flatten ends first. Blocks."""
        portfolio = aim.portfolio_id if aim.portfolio_only else None
        exposure = self._store.targets.exposure(aim.account, aim.instrument.instrument_id, portfolio)
        ends = leg.scope.working if leg.ask.given.cancel_open_first else ()
        stays = tuple(order for order in exposure.working if order.order_id not in ends)
        return plan(aim, exposure.model_copy(update={"working": stays}))

    async def _instrument(self, leg: FlattenLeg) -> Instrument:
        position, account = leg.position, leg.scope.account
        if position.instrument_id is not None:
            known = await asyncio.to_thread(self._store.reference.instrument, position.instrument_id)
            if known is not None:
                return known
        question = InstrumentQuestion(
            symbol=position.symbol,
            sec_type=SecType(position.sec_type),
            currency=position.currency,
            conid=position.conid or None,
        )
        named = account.broker_account if account is not None else ""
        return await self._book.instrument(question, named, leg.ask.asked.actor)


def _aim(leg: FlattenLeg, instrument: Instrument) -> Aim:
    """The position's way to zero, at the market."""
    asked, scope = leg.ask.asked, leg.scope
    account = scope.account
    return Aim(
        aim_id=f"{asked.message_id}/{subject_of(leg.position)}",
        account=account.broker_account if account is not None else "",
        account_id=account.account_id if account is not None else "",
        portfolio_id=scope.portfolio_id,
        instrument=instrument,
        target=ZERO,
        unbooked=leg.position.unbooked,
        read_ns=leg.read_ns,
        send_by=leg.send_by,
        actor=asked.actor,
        ts_event_ns=asked.received_ns,
        correlation_id=asked.correlation_id,
        portfolio_only=scope.portfolio_only,
        metadata={
            "tenant": leg.ask.tenant,
            "command": asked.idem_key,
            "message_id": asked.message_id,
            "order_index": leg.index,
            "part": Part.FLATTEN.value,
        },
    )


def _became(leg: FlattenLeg, aimed: Aimed) -> FlattenedLeg:
    if aimed.stale:
        return _commanded(leg).model_copy(update={"stale": True})
    planned = aimed.plan
    if planned is None or not planned.legs:
        detail = None if planned is None else _in_words(planned)
        return _commanded(leg, refusal=aimed.refusal, detail=detail)
    first = planned.legs[0]
    return _commanded(leg, order_id=first.order_id, quantity=plain(first.quantity), refusal=aimed.refusal)


def _commanded(
    leg: FlattenLeg,
    *,
    order_id: str | None = None,
    quantity: str | None = None,
    refusal: Refusal | None = None,
    detail: str | None = None,
) -> FlattenedLeg:
    return FlattenedLeg(
        order_index=leg.index,
        part=Part.FLATTEN,
        order_id=order_id,
        symbol=leg.position.symbol,
        quantity=plain(abs(leg.position.quantity)) if quantity is None else quantity,
        refusal=refusal,
        detail=detail,
    )


def _in_words(planned: Plan) -> str:
    """What a plan comes to, where no order stands for it."""
    if planned.ends:
        return f"first to end: {', '.join(planned.ends)}"
    if planned.legs:
        return ", ".join(f"{leg.direction} {plain(leg.quantity)}" for leg in planned.legs)
    if planned.working:
        return f"nothing to do: {plain(planned.working)} works towards flat already"
    return f"nothing to do: {plain(planned.held)} is held"
