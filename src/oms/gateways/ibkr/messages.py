"""What IB Gateway says about orders, as it arrives.

ib_async's own Trade objects are not a record: an error code that only informs ends them, a disconnect forgets
them, and a commission that precedes its execution is dropped. So the raw callbacks are tapped, and what is about
orders never reaches the library's own book: it would keep every order of the day and write each out in full for
its log, which takes most of the time of reading a long list. Only errors go on to it: they end its requests.
"""

import calendar
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ib_async import IB, CommissionReport, Contract, Execution, Order, OrderState

UNSET = 1.7976931348623157e308
_UNSET_INTEGER = 2**31 - 1
_SIDES = {"BOT": "BUY", "SLD": "SELL"}
_ORDER_MESSAGES = {
    "3": "orderStatus",
    "4": "error",
    "5": "openOrder",
    "11": "execDetails",
    "59": "commissionReport",
    "101": "completedOrder",
}


@dataclass(frozen=True, slots=True)
class OrderShown:
    """An openOrder, or a completedOrder (no ids but permId and orderRef, with the quantity filled).

    Those from `symbol` on say what it is for, to whoever sees an order that is not ours; those from `limit_price`
    on are its prices, None for what it has none of. `aux_price`: of a stop, or the amount of a trail.
    """

    client_id: int
    order_id: int
    perm_id: int
    order_ref: str
    account: str
    action: str
    quantity: Decimal
    status: str
    completed: bool
    filled: Decimal | None
    text: str | None
    received_ns: int
    symbol: str = ""
    sec_type: str = ""
    conid: int = 0
    order_type: str = ""
    limit_price: Decimal | None = None
    aux_price: Decimal | None = None
    trail_stop: Decimal | None = None
    trail_percent: Decimal | None = None
    limit_offset: Decimal | None = None


@dataclass(frozen=True, slots=True)
class StatusShown:
    """An orderStatus. `text` is the error that explained it, where one followed.

    Nothing follows from `remaining` and `average_price`, which are shown to people: None where they cannot be read.
    """

    client_id: int
    order_id: int
    perm_id: int
    status: str
    filled: Decimal
    why_held: str
    received_ns: int
    text: str | None = None
    remaining: Decimal | None = None
    average_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ExecutionShown:
    """An execDetails, live or asked for. `event_ns` is IB's own time, `side` is BUY or SELL."""

    client_id: int
    order_id: int
    perm_id: int
    order_ref: str
    exec_id: str
    quantity: Decimal
    price: Decimal
    currency: str
    event_ns: int
    received_ns: int
    account: str = ""
    side: str = ""
    symbol: str = ""
    sec_type: str = ""
    conid: int = 0


@dataclass(frozen=True, slots=True)
class FeeShown:
    """A commissionReport: it names the execution and nothing else."""

    exec_id: str
    commission: Decimal
    currency: str
    received_ns: int


@dataclass(frozen=True, slots=True)
class ErrorShown:
    """An error about an order of ours (`order_id`) or about the session (-1)."""

    order_id: int
    code: int
    text: str
    received_ns: int


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """A message about orders that could not be read."""

    raw: str
    reason: str
    received_ns: int


Message = OrderShown | StatusShown | ExecutionShown | FeeShown | ErrorShown | NotUnderstood


class Tap:
    """Stands in for ib_async's wrapper and hands every order message to `receive`, without waiting.

    `receive` only enqueues. `on_next_id` hears nextValidId. `clock` gives nanoseconds since the epoch. `messages`
    counts what has come, of any kind.
    """

    def __init__(
        self,
        ib: IB,
        receive: Callable[[Message], None],
        on_next_id: Callable[[int], None],
        clock: Callable[[], int],
    ) -> None:
        self._receive = receive
        self._clock = clock
        self._heard = 0
        self.messages = 0
        self._fields: list[str] = []
        wrapper: Any = ib.wrapper
        for name, read in self._readers().items():
            setattr(wrapper, name, self._tapped(name, read))
        wrapper.error = self._tapped("error", self._error, wrapper.error)
        self._listen_for_next_id(wrapper, on_next_id)
        decoder: Any = ib.client.decoder
        decoder.interpret = self._watched(decoder.interpret)

    def _readers(self) -> dict[str, Callable[..., Message | None]]:
        return {
            "openOrder": self._open_order,
            "completedOrder": self._completed_order,
            "orderStatus": self._order_status,
            "execDetails": self._execution,
            "commissionReport": self._fee,
        }

    def _tapped(
        self,
        name: str,
        read: Callable[..., Message | None],
        goes_on: Callable[..., Any] = lambda *_: None,
    ) -> Callable[..., Any]:
        def callback(*args: Any) -> Any:
            self._heard += 1
            try:
                message = read(*args)
            except Exception as error:  # noqa: BLE001 - whatever a message does to us, the session goes on
                message = self._not_understood(f"{name}: {error!r}")
            if message is not None:
                self._receive(message)
            return goes_on(*args)

        return callback

    def _listen_for_next_id(self, wrapper: Any, on_next_id: Callable[[int], None]) -> None:
        original = wrapper.nextValidId

        def callback(order_id: int) -> None:
            on_next_id(order_id)
            original(order_id)

        wrapper.nextValidId = callback

    def _watched(self, original: Callable[[list[str]], None]) -> Callable[[list[str]], None]:
        """The library logs and drops what it cannot decode; an order message that called nobody is kept."""

        def interpret(fields: list[str]) -> None:
            self._fields = list(fields)
            self.messages += 1
            heard = self._heard
            original(fields)
            name = _ORDER_MESSAGES.get(self._fields[0]) if self._fields else None
            if name is not None and self._heard == heard:
                self._receive(self._not_understood(f"{name}: the message could not be decoded"))

        return interpret

    def _not_understood(self, reason: str) -> NotUnderstood:
        return NotUnderstood("|".join(self._fields), reason, self._clock())

    def _open_order(
        self, order_id: int, contract: Contract, order: Order, state: OrderState
    ) -> Message | None:
        if order.whatIf:
            return None
        return self._shown(contract, order, order_id, state.status, completed=False, filled=None, text=None)

    def _completed_order(self, contract: Contract, order: Order, state: OrderState) -> Message:
        filled = None if float(order.filledQuantity) == UNSET else decimal_of(order.filledQuantity)
        return self._shown(
            contract,
            order,
            0,
            state.status,
            completed=True,
            filled=filled,
            text=state.completedStatus or None,
        )

    def _shown(
        self,
        contract: Contract,
        order: Order,
        order_id: int,
        status: str,
        *,
        completed: bool,
        filled: Decimal | None,
        text: str | None,
    ) -> OrderShown:
        return OrderShown(
            client_id=order.clientId,
            order_id=order_id,
            perm_id=order.permId,
            order_ref=order.orderRef,
            account=order.account,
            action=order.action,
            quantity=decimal_of(order.totalQuantity),
            status=status,
            completed=completed,
            filled=filled,
            text=text,
            received_ns=self._clock(),
            symbol=contract.symbol,
            sec_type=contract.secType,
            conid=contract.conId,
            order_type=order.orderType,
            limit_price=_price(order.lmtPrice),
            aux_price=_price(order.auxPrice),
            trail_stop=_price(order.trailStopPrice),
            trail_percent=_price(order.trailingPercent),
            limit_offset=_price(order.lmtPriceOffset),
        )

    def _order_status(  # noqa: PLR0913, RUF100 - the shape of the callback
        self,
        order_id: int,
        status: str,
        filled: float,
        remaining: float,
        average: float,
        perm_id: int,
        _parent: int,
        _last: float,
        client_id: int,
        why_held: str,
        *_cap: float,
    ) -> Message:
        return StatusShown(
            client_id=client_id,
            order_id=order_id,
            perm_id=perm_id,
            status=status,
            filled=decimal_of(filled),
            why_held=why_held,
            received_ns=self._clock(),
            remaining=_figure(remaining),
            average_price=_figure(average),
        )

    def _execution(self, _request: int, contract: Contract, execution: Execution) -> Message:
        return ExecutionShown(
            client_id=execution.clientId,
            order_id=0 if execution.orderId == _UNSET_INTEGER else execution.orderId,
            perm_id=execution.permId,
            order_ref=execution.orderRef,
            exec_id=execution.execId,
            quantity=decimal_of(execution.shares),
            price=decimal_of(execution.price),
            currency=contract.currency,
            event_ns=calendar.timegm(execution.time.utctimetuple()) * 1_000_000_000,
            received_ns=self._clock(),
            account=execution.acctNumber,
            side=_SIDES.get(execution.side, execution.side),
            symbol=contract.symbol,
            sec_type=contract.secType,
            conid=contract.conId,
        )

    def _fee(self, report: CommissionReport) -> Message | None:
        # Unset or -1 means that the fee is not known yet: another report follows.
        if report.commission in (UNSET, -1.0):
            return None
        return FeeShown(report.execId, decimal_of(report.commission), report.currency, self._clock())

    def _error(self, order_id: int, code: int, text: str, _json: str) -> Message:
        return ErrorShown(order_id, code, text, self._clock())


def _price(value: float | Decimal | None) -> Decimal | None:
    """A price of an order; IB writes none as the largest double, as 0, or not at all."""
    return None if value is None or float(value) in (0.0, UNSET) else decimal_of(value)


def _figure(value: float | Decimal) -> Decimal | None:
    """A number that is only shown: one that is none stops nothing."""
    try:
        return decimal_of(value)
    except (ValueError, ArithmeticError):
        return None


def decimal_of(value: float | Decimal) -> Decimal:
    """The decimal that IB wrote: `float` is its shortest text, so no digit is made up. Raises ValueError."""
    number = Decimal(str(value))
    if not number.is_finite() or abs(number) >= Decimal("1e30"):
        raise ValueError(f"{value} is not a number that IB may send here")
    return number
