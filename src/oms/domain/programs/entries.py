"""One entry of a signed command as orders: the entry itself and the exits that belong to it."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any

from pydantic import ValidationError

from oms.domain.commands import CreateOrder, Route
from oms.domain.decide import Opening
from oms.domain.drafting import nanoseconds
from oms.domain.handling import Adjustment, Bracket, BracketRole, Handling, OcaType
from oms.domain.identifiers import ORDER, identifier, uuid7
from oms.domain.programs.findings import invalid
from oms.domain.programs.intake import (
    BracketSpec,
    ContractIn,
    ExitPolicy,
    OrderIn,
    RunnerSpec,
    SubmitOrders,
    SubmittedOrder,
)
from oms.domain.programs.outcomes import CommandInput, Part, Prepared
from oms.domain.programs.tenants import Tenant
from oms.domain.reference import Account, Instrument, InstrumentQuestion
from oms.domain.terms import Automation, Direction, OrderType, SecType, TimeInForce

CLOCKS_DIFFER = timedelta(seconds=5)
"""By so much `asof` may be ahead of our clock."""
_OPPOSITE = {
    Direction.BUY: Direction.SELL,
    Direction.SELL: Direction.BUY,
    Direction.SELL_SHORT: Direction.BUY_TO_COVER,
    Direction.BUY_TO_COVER: Direction.SELL_SHORT,
}
_MONTH_LENGTH = len("202503")
_ANYWHERE = "SMART"


def question(contract: ContractIn) -> InstrumentQuestion:
    """The instrument that is meant. A future is on no smart route: SMART leaves its exchange open."""
    when = contract.last_trade_date_or_contract_month or ""
    is_month = len(when) == _MONTH_LENGTH
    is_open = contract.sec_type is SecType.FUTURE and contract.exchange == _ANYWHERE
    try:
        return InstrumentQuestion.model_validate(
            {
                "symbol": contract.symbol,
                "sec_type": contract.sec_type,
                "exchange": None if is_open else contract.exchange,
                "currency": contract.currency,
                "expiry": when if when and not is_month else None,
                "contract_month": when if is_month else None,
                "strike": contract.strike,
                "right": contract.right,
                "conid": contract.con_id,
                "multiplier": contract.multiplier,
            }
        )
    except ValidationError as error:
        raise invalid(
            "contract.lastTradeDateOrContractMonth", f"{when} is neither a day nor a month"
        ) from error


def direction_of(action: str, held: Decimal) -> Direction:
    """The order book's word for BUY or SELL where `held` (signed) is the position."""
    if action == "BUY":
        return Direction.BUY_TO_COVER if held < 0 else Direction.BUY
    return Direction.SELL if held > 0 else Direction.SELL_SHORT


def openings(
    asked: CommandInput,
    submit: SubmitOrders,
    index: int,
    tenant: Tenant,
    account: Account,
    instrument: Instrument,
    held: Decimal,
) -> Prepared:
    """The orders of entry `index`; the same command gives the same orders with the same ids, whenever it is asked.

    held: the portfolio's position in the account, signed. Raises Refused: VALIDATION_FAILED with the field's path.
    """
    _in_time(asked, submit, index)
    entry = _Entry(asked, submit, index, tenant, account, instrument, held)
    try:
        return Prepared(openings=tuple(entry.all()), detail=_without_effect(submit.orders[index]))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise invalid(f"orders.{index}", first["msg"].removeprefix("Value error, ")) from error


def check_asof(submit: SubmitOrders, at_ns: int) -> None:
    """Raise Refused VALIDATION_FAILED where the data would be of the future of whoever took the command at `at_ns`."""
    if submit.asof is not None and nanoseconds(submit.asof) > at_ns + _ns(CLOCKS_DIFFER):
        raise invalid("asof", f"{submit.asof.isoformat()} is in the future")


def order_id(asked: CommandInput, index: int, part: Part) -> str:
    """The id of one order of a command: of its time, its idem_key and its place, so that opening it twice is once."""
    seed = f"{asked.idem_key}|{index}|{part}"
    return identifier(ORDER, uuid7(asked.received_ns // 1_000_000, sha256(seed.encode()).digest()))


class _Entry:
    """One entry on its way to being orders."""

    def __init__(
        self,
        asked: CommandInput,
        submit: SubmitOrders,
        index: int,
        tenant: Tenant,
        account: Account,
        instrument: Instrument,
        held: Decimal,
    ) -> None:
        self.asked, self.submit, self.index, self.tenant = asked, submit, index, tenant
        self.account, self.instrument = account, instrument
        self.given: SubmittedOrder = submit.orders[index]
        self.direction = direction_of(self.given.order.action, held)

    def all(self) -> Iterator[tuple[Part, Opening]]:
        """The entry first: its exits wait for it."""
        exits = list(self._exits())
        bracket = self._bracket(BracketRole.PARENT, 1 + len(exits)) if exits else None
        yield Part.ENTRY, self._opening(Part.ENTRY, _entry_terms(self.given.order), bracket=bracket)
        child = self._bracket(BracketRole.CHILD, 1 + len(exits)) if exits else None
        for part, terms in exits:
            yield part, self._opening(part, terms, bracket=child)

    def _exits(self) -> Iterator[tuple[Part, dict[str, Any]]]:
        bracket, runner = self.given.bracket, self.given.runner
        if bracket is None or self.given.exit_policy is ExitPolicy.NONE:
            return
        if self.given.exit_policy is not ExitPolicy.RUNNER or runner is None:
            yield from _exit_terms(bracket, self.given.order.total_quantity, {})
            return
        pair = {"oca_group": self._mark("pair"), "oca_type": OcaType.REDUCE}
        yield from _exit_terms(bracket, self.given.order.total_quantity - runner.quantity, pair)
        yield Part.RUNNER, _runner_terms(bracket, runner)

    def _bracket(self, role: BracketRole, size: int) -> Bracket:
        return Bracket(bracket_id=self._mark("bracket"), role=role, size=size)

    def _mark(self, what: str) -> str:
        return sha256(f"{self.asked.idem_key}|{self.index}|{what}".encode()).hexdigest()[:32]

    def _opening(self, part: Part, terms: dict[str, Any], *, bracket: Bracket | None) -> Opening:
        is_entry = part is Part.ENTRY
        handling = {"outside_rth": self.given.order.outside_rth, "bracket": bracket, **terms.pop("handling")}
        request = CreateOrder(
            portfolio_id=self.tenant.portfolio_id,
            instrument_id=self.instrument.instrument_id,
            direction=self.direction if is_entry else _OPPOSITE[self.direction],
            route=Route(venue=self.account.venue, account=self.account.broker_account),
            automation=Automation.STRAIGHT_THROUGH,
            metadata=self._metadata(part),
            handling=Handling.model_validate(handling),
            **terms,
        )
        return Opening(
            order_id=order_id(self.asked, self.index, part),
            request=request,
            instrument=self.instrument,
            default_account_id=self.account.account_id,
            actor=self.asked.actor,
            ts_event_ns=nanoseconds(self.submit.asof) if self.submit.asof else self.asked.received_ns,
            correlation_id=self.asked.correlation_id,
        )

    def _metadata(self, part: Part) -> dict[str, Any]:
        asof = self.submit.asof
        return {
            "tenant": self.tenant.tenant,
            "command": self.asked.idem_key,
            "message_id": self.asked.message_id,
            "order_index": self.index,
            "part": str(part),
            "exit_policy": str(self.given.exit_policy),
            "asof": asof.isoformat() if asof else None,
            "refs": self.given.refs,
        }


def _entry_terms(order: OrderIn) -> dict[str, Any]:
    return {
        "ordered_quantity": Decimal(order.total_quantity),
        "order_type": OrderType.LIMIT if order.order_type == "LMT" else OrderType.MARKET,
        "limit_price": order.lmt_price,
        "time_in_force": TimeInForce.GTD if order.good_till_date else _TIMES[order.tif],
        "expires_at": order.good_till_date,
        "handling": {"good_after": order.good_after_time},
    }


def _exit_terms(
    bracket: BracketSpec, quantity: int, handling: dict[str, Any]
) -> Iterator[tuple[Part, dict[str, Any]]]:
    """The take profit and the stop loss, those that are given."""
    shared = {"ordered_quantity": Decimal(quantity), "time_in_force": _TIMES[bracket.tif]}
    if bracket.take_profit_price is not None:
        limit = {"order_type": OrderType.LIMIT, "limit_price": bracket.take_profit_price}
        yield Part.TAKE_PROFIT, {**shared, **limit, "handling": handling}
    if bracket.stop_loss_price is not None:
        has_limit = bracket.stop_loss_limit_price is not None
        stop = {
            "order_type": OrderType.STOP_LIMIT if has_limit else OrderType.STOP,
            "stop_price": bracket.stop_loss_price,
            "limit_price": bracket.stop_loss_limit_price,
        }
        yield Part.STOP_LOSS, {**shared, **stop, "handling": handling}


def _runner_terms(bracket: BracketSpec, runner: RunnerSpec) -> dict[str, Any]:
    """A stop at the bracket's stop loss, which begins to trail when the market touches the take profit."""
    adjustment = Adjustment.model_validate(
        {
            "trigger_price": bracket.take_profit_price,
            "trail_amount": runner.trail_amount,
            "trail_percent": runner.trail_percent,
        }
    )
    return {
        "ordered_quantity": Decimal(runner.quantity),
        "time_in_force": _TIMES[bracket.tif],
        "order_type": OrderType.STOP,
        "stop_price": bracket.stop_loss_price,
        "handling": {"adjustment": adjustment},
    }


_TIMES = {"DAY": TimeInForce.DAY, "GTC": TimeInForce.GTC}


def _without_effect(given: SubmittedOrder) -> str | None:
    """What of the entry its exit_policy leaves out."""
    policy = given.exit_policy
    if policy is ExitPolicy.NONE and (given.bracket or given.runner):
        what = " and ".join(name for name in ("bracket", "runner") if getattr(given, name) is not None)
        return f"exit_policy none: {what} not applied"
    if policy is ExitPolicy.BRACKET and given.runner is not None:
        return "exit_policy bracket: runner not applied"
    return None


def _in_time(asked: CommandInput, submit: SubmitOrders, index: int) -> None:
    """Against when the command came, not when it is done: a command that waited is what it was."""
    check_asof(submit, asked.received_ns)
    order = submit.orders[index].order
    if order.good_till_date is not None and nanoseconds(order.good_till_date) <= asked.received_ns:
        raise invalid(
            f"orders.{index}.order.goodTillDate", f"{order.good_till_date.isoformat()} is in the past"
        )


def _ns(span: timedelta) -> int:
    return int(span.total_seconds()) * 1_000_000_000
