"""The parts people play: each function moves one order with the keys of the roles that may."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from oms.cli.book import Answer, Book, Item
from oms.cli.demo.board import Board
from oms.cli.demo.script import Scene
from oms.domain.numbers import plain
from oms.domain.terms import ComplianceMode, State


@dataclass(frozen=True)
class Desk:
    """Everybody's keys, the board, and how many seconds an order may take from state to state in all."""

    books: Mapping[str, Book]
    board: Board
    patience: float


class Part:
    """One order in people's hands."""

    def __init__(self, desk: Desk, scene: Scene, order_id: str) -> None:
        self._desk = desk
        self._deadline = time.monotonic() + desk.patience
        self.scene = scene
        self.order_id = order_id

    def do(self, role: str, command: str, body: Item | None = None) -> Answer:
        """Give a command with the key of `role`. Raises Away, Declined."""
        return self._desk.books[role].post(f"/v1/orders/{self.order_id}/{command}", body)

    def until(self, what: str, met: Callable[[Item], bool]) -> Item:
        """The order once it is as asked. Raises NotReached."""
        return self._desk.board.until(self.order_id, met, what, self._deadline)

    def until_state(self, state: State) -> Item:
        return self.until(state, lambda order: order["state"] == state)

    def verdict(self, gate: str) -> None:
        """Compliance passes the version that it was asked about; the rule engine does it by itself."""
        if self.scene.body.get("compliance") != ComplianceMode.EXTERNAL:
            return
        state = State.PENDING_PRE_TRADE_COMPLIANCE if gate == "pre" else State.PENDING_POST_TRADE_COMPLIANCE
        order = self.until_state(state)
        version = order[f"{gate}_trade"]["version"]
        self.do("compliance", f"{gate}-trade-compliance/pass", {"order_version": version})

    def override(self, gate: str, reason: str) -> None:
        state = State.PRE_TRADE_COMPLIANCE_FAILED if gate == "pre" else State.POST_TRADE_COMPLIANCE_FAILED
        self.until_state(state)
        approval = {"reason": reason, "approver_id": "RISK-COMMITTEE"}
        self.do("compliance", f"{gate}-trade-compliance/override", approval)

    def place(self, quantity: Decimal) -> None:
        self.do("trader", "placements", {"venue": "IBKR", "quantity": plain(quantity)})


def _to_the_desk(part: Part) -> None:
    part.do("pm", "pre-trade-compliance/request")
    part.verdict("pre")
    part.until_state(State.PRE_TRADE_COMPLIANCE_PASSED)
    part.do("pm", "send-to-trader")


def by_hand(part: Part) -> None:
    """All fourteen states: pm, compliance, trader in two placements, operations over the accounts asked for."""
    _to_the_desk(part)
    whole = Decimal(part.scene.body["ordered_quantity"])
    first = (whole * 3 / 5).to_integral_value()
    part.place(first)
    part.until(f"{plain(first)} executed", lambda order: Decimal(order["executed_quantity"]) == first)
    part.place(whole - first)
    part.until_state(State.FILLED)
    part.do("trader", "close")
    part.until_state(State.CLOSED)
    portfolio = part.scene.body["portfolio_id"]
    for account, quantity in part.scene.allocate.items():
        shared = {"account_id": account, "portfolio_id": portfolio, "quantity": plain(quantity)}
        part.do("trader", "allocations", shared)
    part.do("trader", "send-to-operations")
    part.do("ops", "post-trade-compliance/request")
    part.verdict("post")
    part.until_state(State.POST_TRADE_COMPLIANCE_PASSED)
    part.do("ops", "confirm")
    part.until("the custodian's word", lambda order: order["settlement"]["status"] == "SETTLED")
    part.do("ops", "settle", {"reason": "the custodian has settled it"})
    part.do("ops", "reconcile", {"reason": "our book and the custodian's statement agree"})


def override(part: Part) -> None:
    """The order is too large: compliance lets it pass before the trade, and again after it."""
    part.override("pre", "the committee approved this purchase above the limit")
    part.override("post", "executed as the committee approved it")


def close_the_rest(part: Part) -> None:
    """The market shows no more: the trader closes a partly filled order."""
    part.until_state(State.PARTIALLY_FILLED)
    part.do("trader", "close")


def cancel_at_venue(part: Part) -> None:
    """The limit is far away: the trader cancels at the venue before a fill."""
    _to_the_desk(part)
    part.place(Decimal(part.scene.body["ordered_quantity"]))
    part.until(
        "a working placement", lambda order: any(p["status"] == "WORKING" for p in order["placements"])
    )
    part.do("trader", "cancel", {"reason": "the price will not come back today"})


def give_up(part: Part) -> None:
    """Compliance said no and the portfolio manager accepts it."""
    part.until_state(State.PRE_TRADE_COMPLIANCE_FAILED)
    part.do("pm", "cancel", {"reason": "a restricted issuer"})


def resolve_the_break(part: Part) -> None:
    """The custodian's statement differs: operations clear it up and say how."""
    part.until("a break", lambda order: any(e["code"] == "BREAK_OPEN" for e in order["exceptions"]))
    part.do(
        "ops", "exceptions/BREAK_OPEN/resolve", {"reason": "the custodian corrected its fee by telephone"}
    )


def nobody(part: Part) -> None:
    """The system takes every step."""


PARTS: dict[str, Callable[[Part], None]] = {
    "by-hand": by_hand,
    "override": override,
    "close-the-rest": close_the_rest,
    "cancel-at-venue": cancel_at_venue,
    "give-up": give_up,
    "resolve-the-break": resolve_the_break,
}
_BY_HAND = {
    "order_created": "pm",
    "pre_trade_compliance_requested": "pm",
    "pre_trade_compliance_passed": "compliance",
    "sent_to_trader": "pm",
    "placement_created": "trader",
    "fill_booked": "IBKR",
    "order_close_requested": "trader",
    "sent_to_operations": "trader",
    "post_trade_compliance_requested": "ops",
    "post_trade_compliance_passed": "compliance",
    "order_confirmed": "ops",
    "order_settled": "ops",
    "order_reconciled": "ops",
}
WHO: dict[str, dict[str, str]] = {
    "by-hand": _BY_HAND,
    "override": {
        "pre_trade_compliance_overridden": "compliance",
        "post_trade_compliance_overridden": "compliance",
    },
    "close-the-rest": {"order_close_requested": "trader"},
    "cancel-at-venue": {"placement_created": "trader", "order_cancel_requested": "trader"},
    "give-up": {"order_canceled": "pm"},
    "resolve-the-break": {"exception_resolved": "ops"},
}
"""Whose key the journal has to name for each step of a part."""
