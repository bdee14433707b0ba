"""What a rule type is: parameters, a check, and for a limit the room that is left below it.

Built-in types and plug-ins are the same thing. A type computes from the `Book` and the `Proposal` it is given and
from nothing else: no clock, no database, no memory of an earlier check.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import ClassVar, Generic, TypeVar

from oms.domain.model import Model, Open
from oms.domain.numbers import plain, subtract
from oms.domain.rules.book import Book, Proposal


class NotKnown(Exception):
    """A price, a rate or a net asset value that a rule needs is not there; the message says which."""


@dataclass(frozen=True)
class Finding:
    """What a rule type says of one order.

    The numbers are in the type's own unit (money in the portfolio's base currency, units, a fraction of net asset
    value, a count). `used`: what counted against the limit before the order. `proposed`: what counts with it.
    `remaining`: limit less proposed, negative when it is exceeded. `inputs`: what it was computed from, by name.
    """

    passed: bool
    description: str
    limit: Decimal | None = None
    used: Decimal | None = None
    proposed: Decimal | None = None
    remaining: Decimal | None = None
    inputs: Mapping[str, Decimal | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Room:
    """How much of a limit is used, in the type's own unit. `largest` names what uses it, where that is one thing."""

    current: Decimal
    limit: Decimal
    largest: str = ""
    inputs: Mapping[str, Decimal | str] = field(default_factory=dict)


class Needs(Open):
    """What the book must hold for a set of rules.

    `window_seconds`: how far back `Book.recent` reaches, 0 for not at all. `turnover`: whether `Book.turnover` is
    looked at. `instrument_ids`: the instruments whose issuers `Book.issuers` must name.
    """

    window_seconds: int = 0
    turnover: bool = False
    instrument_ids: tuple[str, ...] = ()


Parameters = TypeVar("Parameters", bound=Model)


class RuleType(ABC, Generic[Parameters]):
    """One kind of rule. The class's own docstring is what the documentation says of it.

    `name`: how rules name it. `parameters`: the model of their parameters. `passive`: the limit can be exceeded
    without an order, when prices or positions move, so it is watched. `before_trade_only`: it looks at what an order
    asks for, so a trade that is done is not checked again.
    """

    name: ClassVar[str]
    parameters: ClassVar[type[Model]]
    passive: ClassVar[bool] = False
    before_trade_only: ClassVar[bool] = False

    @abstractmethod
    def check(self, parameters: Parameters, book: Book, proposal: Proposal) -> Finding:
        """What the rule says of `proposal`. Raises NotKnown where it cannot be computed: then the rule fails."""

    def headroom(self, parameters: Parameters, book: Book) -> Room | None:  # noqa: ARG002
        """How much of the limit `book` uses; None for a type without one. Raises NotKnown."""
        return None

    def breach(self, parameters: Parameters, book: Book) -> Finding | None:
        """What a passive limit says of `book` without any order; None for other types. Raises NotKnown."""
        room = self.headroom(parameters, book) if self.passive else None
        if room is None:
            return None
        of = f"{room.largest} uses" if room.largest else "the portfolio uses"
        return Finding(
            passed=room.current <= room.limit,
            description=f"{of} {plain(room.current)} of a limit of {plain(room.limit)}",
            limit=room.limit,
            used=room.current,
            remaining=subtract(room.limit, room.current),
            inputs=room.inputs,
        )

    def needs(self, parameters: Parameters) -> Needs:  # noqa: ARG002
        """What the book must hold besides positions, prices, rates and net asset value."""
        return Needs()
