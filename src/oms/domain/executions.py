"""The execution ledger: every fill once, corrections and busts included, totals exact.

Quantity and average price come from the set of executions and never from a venue's counters.
"""

from decimal import Decimal

from oms.domain.model import Open
from oms.domain.numbers import ZERO, Amount, Holding, Price, add, multiply, ratio, subtract


def revision(exec_id: str) -> tuple[str, int]:
    """An execution id split into what it identifies and its revision.

    Interactive Brokers reports a correction under the same id with a higher number after the last dot
    (`0001.63f8.01.02` replaces `0001.63f8.01.01`). An id without such a suffix is its own only revision.
    """
    base, dot, suffix = exec_id.rpartition(".")
    return (base, int(suffix)) if dot and suffix.isascii() and suffix.isdigit() else (exec_id, 0)


class Execution(Open):
    exec_id: str
    placement_id: str
    quantity: Holding
    price: Price
    currency: str
    venue: str
    ts_event_ns: int
    ts_init_ns: int


class Commission(Open):
    exec_id: str
    amount: Amount
    currency: str


class Filled(Open):
    """Executed quantity and its notional (quantity times price, in the instrument's currency, no multiplier)."""

    quantity: Holding = ZERO
    notional: Amount = ZERO

    def plus(self, execution: Execution, sign: int) -> "Filled":
        quantity = multiply(execution.quantity, Decimal(sign))
        return Filled.model_construct(
            quantity=add(self.quantity, quantity),
            notional=add(self.notional, multiply(quantity, execution.price)),
        )

    @property
    def average_price(self) -> Decimal | None:
        """Notional over quantity to 12 places, or None without a fill."""
        return ratio(self.notional, self.quantity) if self.quantity else None


class Ledger(Open):
    """Executions and commissions by what their ids identify, with running totals."""

    executions: dict[str, Execution] = {}
    busted: tuple[str, ...] = ()
    commissions: dict[str, Commission] = {}
    filled: Filled = Filled()
    by_placement: dict[str, Filled] = {}

    def of(self, placement_id: str) -> Filled:
        """What the placement has executed."""
        return self.by_placement.get(placement_id, Filled())

    def current(self, exec_id: str) -> Execution | None:
        """The revision that stands for this execution, if any."""
        return self.executions.get(revision(exec_id)[0])

    def is_news(self, exec_id: str) -> bool:
        """Whether `exec_id` is a revision that nobody has booked and no later one replaces."""
        base, number = revision(exec_id)
        standing = self.executions.get(base)
        return base not in self.busted and (standing is None or revision(standing.exec_id)[1] < number)

    def book(self, execution: Execution) -> "Ledger":
        """The ledger with `execution`, in place of an earlier revision of it."""
        base = revision(execution.exec_id)[0]
        return self._without(base)._with(base, execution)

    def bust(self, exec_id: str) -> "Ledger":
        """The ledger without this execution, now and whenever it is reported again."""
        base = revision(exec_id)[0]
        ledger = self._without(base)
        return ledger.model_copy(update={"busted": tuple(sorted({*ledger.busted, base}))})

    def charge(self, commission: Commission) -> "Ledger":
        base = revision(commission.exec_id)[0]
        return self.model_copy(update={"commissions": {**self.commissions, base: commission}})

    def commission_of(self, exec_id: str) -> Commission | None:
        return self.commissions.get(revision(exec_id)[0])

    @property
    def commission(self) -> Decimal:
        """The commissions of the executions that stand."""
        return add(*(c.amount for base, c in self.commissions.items() if base in self.executions))

    def _with(self, base: str, execution: Execution) -> "Ledger":
        return self._moved({**self.executions, base: execution}, execution, +1)

    def _without(self, base: str) -> "Ledger":
        standing = self.executions.get(base)
        if standing is None:
            return self
        return self._moved({k: v for k, v in self.executions.items() if k != base}, standing, -1)

    def _moved(self, executions: dict[str, Execution], execution: Execution, sign: int) -> "Ledger":
        placement = self.of(execution.placement_id).plus(execution, sign)
        return self.model_copy(
            update={
                "executions": executions,
                "filled": self.filled.plus(execution, sign),
                "by_placement": {**self.by_placement, execution.placement_id: placement},
            }
        )


def unfilled(ordered: Decimal, executed: Decimal) -> Decimal:
    """What is left of `ordered`; never negative, an overfill leaves nothing."""
    return max(ZERO, subtract(ordered, executed))
