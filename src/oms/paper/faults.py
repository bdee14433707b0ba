"""Faults the paper gateway can be told to commit, as data.

The kinds are ways in which a real gateway and its network leave a client in doubt about an order.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class FaultKind(StrEnum):
    """What happens to one placeOrder message.

    LOST_BEFORE_READ: the connection breaks and the message was never read.
    EXECUTED_REPLIES_LOST: the order is taken and matched, the connection breaks, no reply arrives.
    ACCEPTED_INVISIBLE: as before, and for a while no list shows the order or its executions; its id
        counts as used (103).
    DELAYED: the message is read late; the connection stays.
    DUPLICATE_STATUS: every orderStatus about the order is sent twice.
    MISSING_STATUS: no orderStatus about the order is sent while the connection lasts.
    COMMISSION_FIRST: each commissionReport precedes its execDetails.
    INFORMATION_10349: after the usual replies comes error 10349, which changes nothing about the order.
    """

    LOST_BEFORE_READ = "lost_before_read"
    EXECUTED_REPLIES_LOST = "executed_replies_lost"
    ACCEPTED_INVISIBLE = "accepted_invisible"
    DELAYED = "delayed"
    DUPLICATE_STATUS = "duplicate_status"
    MISSING_STATUS = "missing_status"
    COMMISSION_FIRST = "commission_first"
    INFORMATION_10349 = "information_10349"


@dataclass(slots=True)
class FaultPlan:
    """Which placeOrder messages go wrong, and how.

    rates: probability of each kind per placeOrder, drawn with ``seed``; the rest go well.
    queued: kinds for the next placeOrder messages, used up before anything is drawn.
    by_order_ref: kind for the next placeOrder with that orderRef, before the queue.
    delay: seconds for DELAYED; invisible: shortest and longest seconds for ACCEPTED_INVISIBLE.
    """

    rates: Mapping[FaultKind, float] = field(default_factory=dict)
    seed: int = 1
    queued: list[FaultKind] = field(default_factory=list)
    by_order_ref: dict[str, FaultKind] = field(default_factory=dict)
    delay: float = 0.1
    invisible: tuple[float, float] = (0.03, 0.2)
    _chance: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if sum(self.rates.values()) > 1:
            raise ValueError("the fault rates add up to more than 1")
        self._chance = random.Random(self.seed)  # noqa: S311 - a plan, not a secret

    def draw(self, order_ref: str) -> FaultKind | None:
        """The fault for the next placeOrder, or None."""
        if order_ref in self.by_order_ref:
            return self.by_order_ref.pop(order_ref)
        if self.queued:
            return self.queued.pop(0)
        if not self.rates:
            return None
        point = self._chance.random()
        for kind, rate in self.rates.items():
            point -= rate
            if point < 0:
                return kind
        return None

    def invisible_seconds(self) -> float:
        """How long the next ACCEPTED_INVISIBLE order stays out of the lists."""
        return self._chance.uniform(*self.invisible)
