"""What each side has of a contract, matched: by contract id where one is known, else by description. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from ib_async import Contract, Position

from oms.domain.breaks import Difference
from oms.domain.numbers import ZERO, add, plain, subtract
from oms.domain.reference import Instrument, InstrumentQuestion
from oms.domain.terms import SecType
from oms.gateways.ibkr.messages import decimal_of


class Description(NamedTuple):
    """A contract as both sides can describe it; empty is what it does not have."""

    symbol: str
    sec_type: str
    currency: str
    expiry: str = ""
    strike: str = ""
    right: str = ""


Key = tuple[str, int | Description]
"""(account, contract id or description)."""


@dataclass(frozen=True)
class Line:
    """One contract in one account, signed quantities. `conid` 0: nobody knows it yet. `unread`: theirs is not known.

    cost: the broker's average, None where it told none. lately: we have heard of executions of ours in it that the
    broker's list of positions may not show yet.
    """

    account: str
    conid: int
    described: Description
    ours: Decimal = ZERO
    theirs: Decimal = ZERO
    instrument_id: str | None = None
    unread: bool = False
    cost: Decimal | None = None
    lately: bool = False

    @property
    def subject(self) -> str:
        """How a person knows it: `AAPL STK USD 265598`, `AAPL OPT USD 20270319 150 C 123456`."""
        parts = (*self.described, str(self.conid) if self.conid else "")
        return " ".join(part for part in parts if part)

    @property
    def gap(self) -> Decimal:
        """By how much theirs is more than ours."""
        return subtract(self.theirs, self.ours)

    def plus(self, other: "Line") -> "Line":
        """Both together; what one does not know the other may."""
        return replace(
            self,
            conid=self.conid or other.conid,
            ours=add(self.ours, other.ours),
            theirs=add(self.theirs, other.theirs),
            instrument_id=self.instrument_id or other.instrument_id,
            unread=self.unread or other.unread,
            cost=other.cost if self.cost is None else self.cost,
            lately=self.lately or other.lately,
        )


def our_line(
    account: str, instrument: Instrument, conid: int | None, quantity: Decimal, *, lately: bool = False
) -> Line:
    """A holding of the order book."""
    described = Description(
        instrument.symbol,
        str(instrument.sec_type),
        instrument.currency,
        instrument.expiry.strftime("%Y%m%d") if instrument.expiry else "",
        plain(instrument.strike) if instrument.strike is not None else "",
        instrument.right or "",
    )
    known = instrument.conid or conid or 0
    return Line(
        account, known, described, ours=quantity, instrument_id=instrument.instrument_id, lately=lately
    )


def their_line(position: Position) -> Line:
    """A position of the broker. What it holds is `unread` where the quantity or the strike is no number."""
    contract: Contract = position.contract
    strike, quantity = _number(contract.strike or 0), _number(position.position)
    described = Description(
        contract.symbol,
        contract.secType,
        contract.currency,
        contract.lastTradeDateOrContractMonth[:8],
        plain(strike) if strike else "",
        contract.right[:1] if contract.right[:1] in ("C", "P") else "",
    )
    return Line(
        position.account,
        contract.conId,
        described,
        theirs=quantity or ZERO,
        unread=strike is None or quantity is None,
        cost=_number(position.avgCost),
    )


def matched(lines: Iterable[Line]) -> dict[Key, Line]:
    """One line for each contract in each account.

    A line without a contract id belongs to the one contract that is described alike; where several are, it stands
    by itself. A later line of the broker's about the same contract replaces an earlier one: it tells a change.
    """
    every = list(lines)
    conids = _conids(every)
    found: dict[Key, Line] = {}
    for line in every:
        conid = line.conid or conids.get(line.described, 0)
        key: Key = (line.account, conid or line.described)
        found[key] = found[key].plus(line) if key in found else replace(line, conid=conid)
    return found


def latest(positions: Iterable[Position]) -> list[Position]:
    """The last word on each contract in each account."""
    return list({(one.account, one.contract.conId): one for one in positions}.values())


def question(described: Description) -> InstrumentQuestion | None:
    """What to ask the order book for the instrument behind a description; None where it can have none."""
    try:
        return InstrumentQuestion(
            symbol=described.symbol,
            sec_type=SecType(described.sec_type),
            currency=described.currency,
            expiry=date.fromisoformat(described.expiry) if described.expiry else None,
            strike=Decimal(described.strike) if described.strike else None,
            right=described.right or None,
        )
    except ValueError:
        return None


def difference(line: Line, foreign: Decimal) -> Difference:
    """What a line shows. `foreign`: what orders that are not ours have executed of it today, signed."""
    detail = f"{line.subject}: the broker has {plain(line.theirs)}, the order book {plain(line.ours)}"
    if foreign:
        detail += f"; of the difference {plain(foreign)} was executed today by orders that are not ours"
    return Difference(
        subject=line.subject,
        ours=plain(line.ours),
        theirs=plain(line.theirs),
        detail=detail,
        instrument_id=line.instrument_id,
    )


def _conids(lines: Iterable[Line]) -> dict[Description, int]:
    """The contract id behind each description that means one contract."""
    known: dict[Description, set[int]] = {}
    for line in lines:
        if line.conid:
            known.setdefault(line.described, set()).add(line.conid)
    return {described: next(iter(conids)) for described, conids in known.items() if len(conids) == 1}


def _number(value: float | Decimal) -> Decimal | None:
    try:
        return decimal_of(value)
    except (ValueError, ArithmeticError):
        return None
