"""The parts of a flatten: what it may touch, which positions there are, and one of them brought to zero."""

import asyncio

from temporalio import activity

from oms.activities.aiming import Aimer, Targets
from oms.activities.alive import alive
from oms.activities.desk import Book
from oms.activities.standing import Standing, place_of
from oms.domain.errands import Refusal
from oms.domain.errors import Code, Refused
from oms.domain.numbers import ZERO, plain
from oms.domain.programs.aiming import (
    FlattenAsk,
    FlattenLeg,
    FlattenPositions,
    FlattenRead,
    FlattenScope,
    is_meant,
    position_of,
    subject_of,
)
from oms.domain.programs.outcomes import Commanded, Part
from oms.domain.programs.planning import leg_id, plan
from oms.domain.programs.targets import Aim, Aimed, BrokerPosition, Plan
from oms.domain.reference import Account, Instrument, InstrumentQuestion
from oms.domain.terms import SecType, Venue
from oms.store import Store


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
        """The positions that the flatten is about. Reads only."""
        return await asyncio.to_thread(self._positions, asked)

    @activity.defn(name="aim_position")
    async def aim_position(self, leg: FlattenLeg) -> Commanded:
        """Bring one position to zero; its order, or why there is none. Twice: the same aim."""
        try:
            async with alive():
                return await self._aimed(leg)
        except Refused as refused:
            return _commanded(leg, refusal=Refusal.of(refused))

    # The scope; in a thread

    def _scope(self, ask: FlattenAsk) -> FlattenScope:
        try:
            place = place_of(self._store, ask.tenant)
            account = self._account(ask, place)
        except Refused as refused:
            return FlattenScope(refusal=Refusal.of(refused))
        portfolio_id = place.portfolio.portfolio_id
        is_shared = self._store.booked.is_traded_by_others(account.broker_account, [portfolio_id])
        orders = self._store.targets.working_in(account.broker_account, portfolio_id if is_shared else None)
        return FlattenScope(
            account=account,
            portfolio_id=portfolio_id,
            portfolio_only=is_shared,
            working=tuple(
                order.order_id
                for order in orders
                if is_meant(ask.given, order.instrument.symbol, order.instrument.sec_type)
            ),
        )

    def _account(self, ask: FlattenAsk, place: Standing) -> Account:
        """The account that is named, by our id or the broker's, or the tenant's own. Raises Refused: INVALID_ACCOUNT."""
        named, reach = ask.given.account, ask.asked.reach
        for account_id in dict.fromkeys((place.portfolio.default_account_id, *place.tenant.accounts)):
            account = self._store.reference.account(account_id)
            if account is None or account.venue is not Venue.IBKR:
                continue
            is_in_reach = reach is None or account.account_id in reach
            if is_in_reach and named in (None, account.account_id, account.broker_account):
                return account
            if named is None:
                break
        raise Refused(
            Code.INVALID_ACCOUNT,
            f"{named or 'its own account'} is no account at IBKR that tenant {ask.tenant!r} and the key may touch.",
            field="account",
        )

    # Positions; in a thread

    def _positions(self, asked: FlattenRead) -> FlattenPositions:
        found = self._ours(asked) if asked.scope.portfolio_only else asked.read.positions
        meant = [
            position
            for position in found
            if position.quantity and is_meant(asked.given, position.symbol, position.sec_type)
        ]
        return FlattenPositions(
            positions=tuple(sorted(meant, key=lambda each: (each.symbol, subject_of(each))))
        )

    def _ours(self, asked: FlattenRead) -> tuple[BrokerPosition, ...]:
        """What the portfolio's own executions come to in an account that it shares."""
        scope, account = asked.scope, asked.read.account
        held = self._store.targets.held_in(account, scope.portfolio_id)
        ours = []
        for instrument_id, quantity in held.items():
            instrument = self._store.reference.instrument(instrument_id)
            if instrument is None:
                continue
            theirs = position_of(asked.read, instrument)
            ours.append(
                BrokerPosition(
                    conid=instrument.conid or 0,
                    symbol=instrument.symbol,
                    sec_type=instrument.sec_type,
                    currency=instrument.currency,
                    quantity=quantity,
                    unbooked=ZERO,
                    steady=theirs is None or theirs.steady,
                    instrument_id=instrument_id,
                )
            )
        return tuple(ours)

    # One leg

    async def _aimed(self, leg: FlattenLeg) -> Commanded:
        """Raises Refused: INVALID_INSTRUMENT, UNAVAILABLE where its contract cannot be looked up."""
        instrument = await self._instrument(leg)
        aim = _aim(leg, instrument)
        if leg.ask.given.dry_run:
            exposure = await asyncio.to_thread(
                self._store.targets.exposure,
                aim.account,
                instrument.instrument_id,
                aim.portfolio_id if aim.portfolio_only else None,
            )
            return _commanded(leg, detail=f"dry run: {_in_words(plan(aim, exposure))}")
        link = _commanded(leg, order_id=leg_id(aim, 0))
        asked = leg.ask.asked
        await asyncio.to_thread(self._store.commands.order_links, asked.message_id, leg.ask.tenant, [link])
        return _became(leg, await self._aimer.brought(aim))

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


def _became(leg: FlattenLeg, aimed: Aimed) -> Commanded:
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
) -> Commanded:
    return Commanded(
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
