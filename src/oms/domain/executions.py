"""The execution ledger: every fill once, corrections and busts included, totals exact.

Quantity and average price come from the set of executions and never from a venue's counters.
"""

import re
from collections.abc import Collection
from decimal import Decimal
from typing import Any

from pydantic import (
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from oms.domain.model import Open
from oms.domain.numbers import ZERO, Amount, Exact, Holding, Price, multiply, ratio, subtract, total
from oms.domain.packing import pack, unpack

PACKED_FROM = 500
"""A ledger of so many executions is packed on its way through Temporal and into the store (packing.py)."""
_REVISION = re.compile(r"(?P<base>.+)\.(?P<number>[0-9]{1,9})", re.DOTALL)


def revision(exec_id: str) -> tuple[str, int]:
    """An execution id split into what it identifies and its revision.

    Interactive Brokers reports a correction under the same id with a higher number after the last dot
    (`0001.63f8.01.02` replaces `0001.63f8.01.01`). An id without such a suffix is its own only revision.
    """
    match = _REVISION.fullmatch(exec_id)
    return (match["base"], int(match["number"])) if match else (exec_id, 0)


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

    quantity: Exact = ZERO
    notional: Exact = ZERO

    def plus(self, execution: Execution, sign: int) -> "Filled":
        quantity = multiply(execution.quantity, Decimal(sign))
        return Filled.model_construct(
            quantity=total((self.quantity, quantity)),
            notional=total((self.notional, multiply(quantity, execution.price))),
        )

    @property
    def average_price(self) -> Decimal | None:
        """Notional over quantity to 12 places, or None without a fill."""
        return ratio(self.notional, self.quantity) if self.quantity else None


class Ledger(Open):
    """Executions and commissions by what their ids identify, with running totals.

    `apart`: what cannot be told as one plain row of an execution and its commission; None where nobody has looked.
    `uncharged`: how many executions stand without a commission.
    """

    executions: dict[str, Execution] = {}
    busted: tuple[str, ...] = ()
    commissions: dict[str, Commission] = {}
    filled: Filled = Filled()
    by_placement: dict[str, Filled] = {}
    apart: tuple[str, ...] | None = ()
    uncharged: int = 0

    @model_validator(mode="before")
    @classmethod
    def _as_it_was_written(cls, given: Any) -> Any:
        """Packed or not, and from before it was known what stands apart."""
        if not isinstance(given, dict) or given.keys().isdisjoint(("packed", "executions")):
            return given
        missing = given.get("executions", {}).keys() - given.get("commissions", {}).keys()
        older = {"apart": None, "uncharged": len(missing)}
        rest = {**older, **{name: value for name, value in given.items() if name != "packed"}}
        if "packed" not in given:
            return rest
        executions, commissions = unpack(given["packed"])
        return {
            **rest,
            "executions": {base: Execution.model_construct(**terms) for base, terms in executions.items()},
            "commissions": {base: Commission.model_construct(**terms) for base, terms in commissions.items()},
        }

    @model_serializer(mode="wrap")
    def _packed_when_long(
        self, serialize: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        if not info.mode_is_json() or len(self.executions) < PACKED_FROM:
            whole: dict[str, Any] = serialize(self)
            return whole
        totals: dict[str, Any] = serialize(self.model_copy(update={"executions": {}, "commissions": {}}))
        return {**totals, "packed": pack(self.executions, self.commissions)}

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
        return self._with(base, {**self.executions, base: execution}, self.executions.get(base), execution)

    def bust(self, exec_id: str) -> "Ledger":
        """The ledger without this execution, now and whenever it is reported again."""
        base = revision(exec_id)[0]
        executions = {key: value for key, value in self.executions.items() if key != base}
        ledger = self._with(base, executions, self.executions.get(base), None)
        return ledger.model_copy(update={"busted": tuple(sorted({*self.busted, base}))})

    def charge(self, commission: Commission) -> "Ledger":
        base = revision(commission.exec_id)[0]
        apart = self._apart_when(base, self.executions.get(base), commission)
        commissions = {**self.commissions, base: commission}
        uncharged = self.uncharged - (base in self.executions and base not in self.commissions)
        return self.model_copy(update={"commissions": commissions, "apart": apart, "uncharged": uncharged})

    def commission_of(self, exec_id: str) -> Commission | None:
        return self.commissions.get(revision(exec_id)[0])

    def commission_in(self, currency: str) -> Decimal:
        """The commissions in `currency` of the executions that stand; another currency is never added to it."""
        return total(
            c.amount
            for base, c in self.commissions.items()
            if base in self.executions and c.currency == currency
        )

    def only(self, bases: Collection[str]) -> "Ledger":
        """The ledger with its totals, and of its parts those of `bases` and those that stand apart."""
        apart = self._all_apart() if self.apart is None else self.apart
        kept = {*bases, *apart}
        return self.model_copy(
            update={
                "executions": {base: self.executions[base] for base in kept if base in self.executions},
                "commissions": {base: self.commissions[base] for base in kept if base in self.commissions},
                "apart": apart,
            }
        )

    def _all_apart(self) -> tuple[str, ...]:
        executions, commissions = self.executions, self.commissions
        return tuple(
            sorted(
                base
                for base in executions.keys() | commissions.keys()
                if _stands_apart(executions.get(base), commissions.get(base))
            )
        )

    def _apart_when(
        self, base: str, execution: Execution | None, commission: Commission | None
    ) -> tuple[str, ...]:
        """What stands apart when these are what there is of `base`."""
        known = self._all_apart() if self.apart is None else self.apart
        if _stands_apart(execution, commission) == (base in known):
            return known
        return tuple(sorted({*known} ^ {base}))

    def _with(
        self,
        base: str,
        executions: dict[str, Execution],
        gone: Execution | None,
        come: Execution | None,
    ) -> "Ledger":
        """The ledger over `executions`, its totals without `gone` and with `come`, which are `base`."""
        filled, by_placement = self.filled, dict(self.by_placement)
        for execution, sign in ((gone, -1), (come, +1)):
            if execution is not None:
                filled = filled.plus(execution, sign)
                placement = by_placement.get(execution.placement_id, Filled())
                by_placement[execution.placement_id] = placement.plus(execution, sign)
        return self.model_copy(
            update={
                "executions": executions,
                "filled": filled,
                "by_placement": by_placement,
                "apart": self._apart_when(base, come, self.commissions.get(base)),
                "uncharged": self.uncharged
                + (0 if base in self.commissions else (come is not None) - (gone is not None)),
            }
        )


def unfilled(ordered: Decimal, executed: Decimal) -> Decimal:
    """What is left of `ordered`; never negative, an overfill leaves nothing."""
    return max(ZERO, subtract(ordered, executed))


def _stands_apart(execution: Execution | None, commission: Commission | None) -> bool:
    """A commission without its execution or of another revision, and text that not every database keeps as it is."""
    if execution is None:
        return commission is not None
    texts = [execution.exec_id, execution.currency, execution.venue]
    if commission is not None:
        if commission.exec_id != execution.exec_id:
            return True
        texts.append(commission.currency)
    return not all(text.isascii() and text.isprintable() for text in texts)
