"""The lifecycle as data: who owns each state, and from which states each role may give each command.

This table is the only place where a state and a role meet. docs/lifecycle.md is generated from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from oms.domain.commands import Actor
from oms.domain.errors import Code, Refused
from oms.domain.terms import ExceptionCode, Role, State

S, R = State, Role

OWNER: Mapping[State, Role | None] = {
    S.CREATED: R.PM,
    S.PENDING_PRE_TRADE_COMPLIANCE: R.SYSTEM,
    S.PRE_TRADE_COMPLIANCE_PASSED: R.PM,
    S.PRE_TRADE_COMPLIANCE_FAILED: R.PM,
    S.SENT_TO_TRADER: R.TRADER,
    S.ROUTED: R.TRADER,
    S.PARTIALLY_FILLED: R.TRADER,
    S.FILLED: R.TRADER,
    S.CLOSED: R.TRADER,
    S.SENT_TO_OPERATIONS: R.OPS,
    S.PENDING_POST_TRADE_COMPLIANCE: R.SYSTEM,
    S.POST_TRADE_COMPLIANCE_PASSED: R.OPS,
    S.POST_TRADE_COMPLIANCE_FAILED: R.OPS,
    S.CONFIRMED: R.OPS,
    S.SETTLED: R.OPS,
    S.RECONCILED: None,
    S.CANCELED: None,
    S.REJECTED: None,
}
"""Who owns the order in each state. While a verdict is due it is the system's; a terminal order is nobody's."""

TERMINAL = frozenset(state for state, owner in OWNER.items() if owner is None)
MAIN_CHAIN: tuple[State, ...] = (
    S.CREATED,
    S.PENDING_PRE_TRADE_COMPLIANCE,
    S.PRE_TRADE_COMPLIANCE_PASSED,
    S.SENT_TO_TRADER,
    S.ROUTED,
    S.PARTIALLY_FILLED,
    S.FILLED,
    S.CLOSED,
    S.SENT_TO_OPERATIONS,
    S.PENDING_POST_TRADE_COMPLIANCE,
    S.POST_TRADE_COMPLIANCE_PASSED,
    S.CONFIRMED,
    S.SETTLED,
    S.RECONCILED,
)
WORKING = frozenset({S.ROUTED, S.PARTIALLY_FILLED, S.FILLED})
"""The states that follow the executed quantity, up and down, until the order is closed."""
ECONOMICS_OPEN = frozenset({S.CREATED, S.PENDING_PRE_TRADE_COMPLIANCE, S.PRE_TRADE_COMPLIANCE_FAILED})
"""The states in which economic fields may still change."""
_LIVE = tuple(state for state in State if state not in TERMINAL)
_ALLOCATABLE = tuple(
    state
    for state in _LIVE
    if state in {S.PARTIALLY_FILLED, S.FILLED, S.CLOSED}
    or (MAIN_CHAIN.index(state) if state in MAIN_CHAIN else -1) > MAIN_CHAIN.index(S.CLOSED)
    or state is S.POST_TRADE_COMPLIANCE_FAILED
)
_BEFORE_A_FILL = tuple(
    state
    for state in _LIVE
    if state is S.PRE_TRADE_COMPLIANCE_FAILED
    or (state in MAIN_CHAIN and MAIN_CHAIN.index(state) <= MAIN_CHAIN.index(S.ROUTED))
)


_CLOSED = (
    *MAIN_CHAIN[MAIN_CHAIN.index(S.CLOSED) :],
    S.POST_TRADE_COMPLIANCE_FAILED,
)
_WITH_THE_PM = (
    *MAIN_CHAIN[: MAIN_CHAIN.index(S.SENT_TO_TRADER)],
    S.PRE_TRADE_COMPLIANCE_FAILED,
)


@dataclass(frozen=True)
class Gate:
    """One command: its name in the order book's words, and the roles it takes in each state it is legal in."""

    name: str
    roles: Mapping[State, frozenset[Role]]
    refusal: Code = Code.NOT_AUTHORIZED

    @property
    def states(self) -> list[State]:
        return [state for state in State if state in self.roles]

    def role_for(self, actor: Actor, state: State) -> Role:
        """The role in which `actor` may give the command now. The state is judged before the role.

        Raises Refused: INVALID_STATE, else NOT_AUTHORIZED or CANCEL_NOT_AUTHORIZED.
        """
        allowed = self.roles.get(state)
        if allowed is None:
            raise Refused(
                Code.INVALID_STATE,
                f"{self.name} is not possible in {state}; it is from {', '.join(self.states)}.",
                state=state,
                allowed=list(self.states),
            )
        for role in actor.roles:
            if role in allowed:
                return role
        raise Refused(
            self.refusal,
            f"{self.name} in {state} is for {' or '.join(sorted(allowed))}; key {actor.key!r} has "
            f"{', '.join(actor.roles) or 'no role'}.",
            state=state,
            roles=sorted(allowed),
        )


def _gate(name: str, roles: set[Role], *states: State) -> Gate:
    return Gate(name, {state: frozenset(roles) for state in states})


GATES: Mapping[str, Gate] = {
    "update": _gate("UpdateOrder", {R.PM, R.TRADER, R.OPS}, *_LIVE),
    "request_pre_trade_compliance": _gate(
        "RequestPreTradeCompliance", {R.PM, R.SYSTEM}, S.CREATED, S.PRE_TRADE_COMPLIANCE_FAILED
    ),
    "pass_pre_trade_compliance": _gate(
        "PassPreTradeCompliance", {R.COMPLIANCE}, S.PENDING_PRE_TRADE_COMPLIANCE
    ),
    "fail_pre_trade_compliance": _gate(
        "FailPreTradeCompliance", {R.COMPLIANCE}, S.PENDING_PRE_TRADE_COMPLIANCE
    ),
    "override_pre_trade_compliance": _gate(
        "OverridePreTradeCompliance", {R.COMPLIANCE}, S.PRE_TRADE_COMPLIANCE_FAILED
    ),
    "send_to_trader": _gate("SendToTrader", {R.PM, R.SYSTEM}, S.PRE_TRADE_COMPLIANCE_PASSED),
    "create_placement": _gate(
        "CreatePlacement", {R.TRADER, R.SYSTEM}, S.SENT_TO_TRADER, S.ROUTED, S.PARTIALLY_FILLED
    ),
    "modify_placement": _gate("ModifyPlacement", {R.TRADER}, *State),
    "cancel_placement": _gate("CancelPlacement", {R.TRADER}, *State),
    "resolve_placement": _gate("ResolvePlacement", {R.TRADER, R.OPS}, *State),
    "cancel": Gate(
        "CancelOrder",
        {
            S.CREATED: frozenset({R.PM}),
            S.PENDING_PRE_TRADE_COMPLIANCE: frozenset({R.PM}),
            S.PRE_TRADE_COMPLIANCE_PASSED: frozenset({R.PM}),
            S.PRE_TRADE_COMPLIANCE_FAILED: frozenset({R.PM}),
            S.SENT_TO_TRADER: frozenset({R.TRADER}),
            S.ROUTED: frozenset({R.TRADER}),
        },
        Code.CANCEL_NOT_AUTHORIZED,
    ),
    "close": _gate("CloseOrder", {R.TRADER, R.SYSTEM}, S.PARTIALLY_FILLED, S.FILLED),
    "create_allocation": _gate("CreateAllocation", {R.PM, R.TRADER, R.OPS}, *_ALLOCATABLE),
    "update_allocation": _gate("UpdateAllocation", {R.PM, R.TRADER, R.OPS}, S.ROUTED, *_ALLOCATABLE),
    "allocate": _gate("Allocate", {R.PM, R.TRADER, R.OPS}, *_ALLOCATABLE),
    "join_basket": _gate("CreateBasket", {R.PM}, *_LIVE),
    "create_remainder": _gate("CreateRemainder", {R.PM, R.TRADER}, *_CLOSED),
    "begin_restructuring": _gate("MergeOrders or SplitOrder", {R.PM}, *_WITH_THE_PM),
    "complete_restructuring": _gate("CompleteRestructuring", {R.SYSTEM}, *_WITH_THE_PM),
    "abandon_restructuring": _gate("AbandonRestructuring", {R.SYSTEM}, *_WITH_THE_PM),
    "send_to_operations": _gate("SendToOperations", {R.TRADER, R.SYSTEM}, S.CLOSED),
    "request_post_trade_compliance": _gate(
        "RequestPostTradeCompliance", {R.OPS, R.SYSTEM}, S.SENT_TO_OPERATIONS, S.POST_TRADE_COMPLIANCE_FAILED
    ),
    "pass_post_trade_compliance": _gate(
        "PassPostTradeCompliance", {R.COMPLIANCE}, S.PENDING_POST_TRADE_COMPLIANCE
    ),
    "fail_post_trade_compliance": _gate(
        "FailPostTradeCompliance", {R.COMPLIANCE}, S.PENDING_POST_TRADE_COMPLIANCE
    ),
    "override_post_trade_compliance": _gate(
        "OverridePostTradeCompliance", {R.COMPLIANCE}, S.POST_TRADE_COMPLIANCE_FAILED
    ),
    "confirm": _gate("ConfirmOrder", {R.OPS, R.SYSTEM}, S.POST_TRADE_COMPLIANCE_PASSED),
    "settle": _gate("SettleOrder", {R.OPS, R.SYSTEM}, S.CONFIRMED),
    "reconcile": _gate("ReconcileOrder", {R.OPS, R.SYSTEM}, S.SETTLED),
    "reject": _gate("RejectOrder", {R.SYSTEM}, *_BEFORE_A_FILL),
    "resolve_exception": _gate("ResolveException", {R.OPS}, *State),
}
"""Every command by its kind. `create` is not here: it has no state to come from, only the role pm.

A placement has a status of its own, so commands on one are legal in every state of its order.
"""

EXCEPTION_OWNER: Mapping[ExceptionCode, Role] = {
    code: R.TRADER if code in (ExceptionCode.PLACEMENT_IN_DOUBT, ExceptionCode.PLACEMENT_REJECTED) else R.OPS
    for code in ExceptionCode
}
"""Who has to look at each kind of exception."""

DESK_EXCEPTION = _gate("ResolveException of the desk", {R.TRADER, R.OPS}, *State)
"""The gate of resolving an exception that the trader owns; `resolve_exception` in GATES is that of all others."""

STRAIGHT_THROUGH: Mapping[str, Gate] = {
    "cancel": Gate(
        "CancelOrder of a straight-through order",
        {state: roles | {R.PM} for state, roles in GATES["cancel"].roles.items()},
        Code.CANCEL_NOT_AUTHORIZED,
    ),
    "close": Gate(
        "CloseOrder of a straight-through order",
        {**GATES["close"].roles, S.PARTIALLY_FILLED: GATES["close"].roles[S.PARTIALLY_FILLED] | {R.PM}},
    ),
}
"""The gates of a straight-through order, where they are others: no trader took it on, so its pm may end it as well."""

ECONOMIC_UPDATE = _gate("UpdateOrder of economic fields", {R.PM}, *_LIVE)
"""The gate of an update that names an economic field; `update` in GATES is that of booking fields."""

CREATORS = frozenset({R.PM, R.SYSTEM})
"""The roles that may create an order."""


def may_create(actor: Actor) -> Role:
    """The role in which `actor` may create an order. Raises Refused: NOT_AUTHORIZED."""
    for role in actor.roles:
        if role in CREATORS:
            return role
    raise Refused(
        Code.NOT_AUTHORIZED,
        f"CreateOrder is for pm; key {actor.key!r} has {', '.join(actor.roles) or 'no role'}.",
        roles=["pm"],
    )
