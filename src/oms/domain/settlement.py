"""Trade economics, the instruction they become, and our book beside the custodian's statement."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from oms.domain.facts import CustodianStatement, SettlementReported
from oms.domain.identifiers import instruction_id
from oms.domain.instructions import SettlementInstruction
from oms.domain.model import Open
from oms.domain.numbers import multiply, plain, subtract
from oms.domain.order import Order


class SettlementDate(Open):
    """When a trade settles, and why. `settles_at` is the absolute instant to wait for."""

    trade_date: date
    settlement_date: date
    settles_at: datetime
    reasons: tuple[str, ...]


class CustodianAnswer(Open):
    """The custodian has the instruction; `word` is what it says of it already, if anything."""

    word: SettlementReported | None = None


def principal(order: Order) -> Decimal:
    """Executed quantity times price times the contract's multiplier: exact, never from the average."""
    return multiply(order.ledger.filled.notional, order.instrument.multiplier)


def commission(order: Order) -> Decimal:
    """The commissions charged in the trade's own currency; one in another currency is not part of its settlement."""
    return order.ledger.commission_in(order.instrument.currency)


def net_amount(order: Order) -> Decimal:
    """What changes hands: a purchase pays principal and commission, a sale receives principal less commission."""
    return subtract(multiply(principal(order), Decimal(-order.direction.sign)), commission(order))


def instruction(order: Order) -> SettlementInstruction:
    """The instruction for a confirmed order with a settlement date: the whole block, to the default account.

    Raises ValueError without a date or a fill.
    """
    dates = order.settlement
    average = order.average_price
    if (
        dates.trade_date is None
        or dates.settlement_date is None
        or dates.settles_at is None
        or average is None
    ):
        raise ValueError(f"{order.order_id} has no settlement date or no fill")
    return SettlementInstruction(
        instruction_id=instruction_id(order.order_id),
        order_id=order.order_id,
        account_id=order.default_account_id,
        instrument_id=order.instrument_id,
        symbol=order.instrument.symbol,
        direction=order.direction,
        quantity=order.executed_quantity,
        average_price=average,
        principal=principal(order),
        commission=commission(order),
        net_amount=net_amount(order),
        currency=order.instrument.currency,
        trade_date=dates.trade_date,
        settlement_date=dates.settlement_date,
        settles_at=dates.settles_at,
    )


@dataclass(frozen=True)
class Difference:
    """One field on which the custodian's statement disagrees with our book."""

    field: str
    ours: str
    theirs: str

    @property
    def text(self) -> str:
        return f"{self.field}: our book says {self.ours}, the custodian says {self.theirs}"


def differences(order: Order, statement: CustodianStatement) -> list[Difference]:
    """Every difference between our book and the statement; there is no tolerance."""
    average = order.average_price or Decimal(0)
    ours = {
        "quantity": plain(order.executed_quantity),
        "average_price": plain(average),
        "commission": plain(commission(order)),
        "net_amount": plain(net_amount(order)),
        "currency": order.instrument.currency,
    }
    theirs = {
        "quantity": plain(statement.quantity),
        "average_price": plain(statement.average_price),
        "commission": plain(statement.commission),
        "net_amount": plain(statement.net_amount),
        "currency": statement.currency,
    }
    return [Difference(field, ours[field], theirs[field]) for field in ours if ours[field] != theirs[field]]
