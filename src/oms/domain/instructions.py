"""What a custodian is told."""

from datetime import date, datetime

from oms.domain.model import Open
from oms.domain.numbers import Exact, Quantity


class SettlementInstruction(Open):
    """What the custodian is told. The same `instruction_id` twice is one instruction.

    `net_amount` is signed from our side: negative is paid, positive is received; money in `currency`.
    """

    instruction_id: str
    order_id: str
    account_id: str
    instrument_id: str
    symbol: str
    direction: str
    quantity: Quantity
    average_price: Exact
    principal: Exact
    commission: Exact
    net_amount: Exact
    currency: str
    trade_date: date
    settlement_date: date
    settles_at: datetime
