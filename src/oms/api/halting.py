"""What a halt stops at the order book's door: new orders and changes. Everything else stays open, cancels above all."""

from oms.api.new_order import account_of
from oms.domain.commands import (
    ECONOMIC,
    BeginRestructuring,
    Command,
    CreatePlacement,
    CreateRemainder,
    RequestPreTradeCompliance,
    UpdateOrder,
)
from oms.domain.decide import Opening
from oms.domain.halts import covering, refusal
from oms.store import Store

_HALTED = (CreatePlacement, RequestPreTradeCompliance, BeginRestructuring, CreateRemainder)


def is_halted(command: Command) -> bool:
    """Whether a halt stops such a command."""
    economic = isinstance(command, UpdateOrder) and bool(ECONOMIC & command.changes.model_fields_set)
    return economic or isinstance(command, _HALTED)


def check_new(store: Store, opening: Opening) -> None:
    """Raise Refused HALTED where the new order is covered by a halt, unless it was opened before. Blocks."""
    halts = store.halts.all()
    if not halts or store.orders.get(opening.order_id) is not None:
        return
    route = opening.request.route
    halt = covering(
        halts,
        portfolio_id=opening.request.portfolio_id,
        account_ids=_names(store, opening.default_account_id, route.account if route else None),
        venue=route.venue if route else None,
    )
    if halt is not None:
        raise refusal(halt)


def check_order(store: Store, order_id: str, command: Command, update_id: str | None) -> None:
    """Raise Refused HALTED where the order is covered by a halt, unless the command was given before. Blocks."""
    halts = store.halts.all()
    order = store.orders.get(order_id) if halts else None
    if order is None:
        return
    where = command if isinstance(command, CreatePlacement) else order.route
    account = where.account if where and where.account else order.route.account if order.route else None
    halt = covering(
        halts,
        portfolio_id=order.portfolio_id,
        account_ids=_names(store, order.default_account_id, account),
        venue=where.venue if where else None,
    )
    if halt is None:
        return
    if update_id is None or all(e.command_id != update_id for e in store.journal.of_order(order_id)):
        raise refusal(halt)


def account_names(store: Store, named: str) -> set[str]:
    """The account's own id and the broker's name of it, given either. Blocks."""
    account = account_of(store, named)
    return {named} if account is None else {account.account_id, account.broker_account}


def _names(store: Store, account_id: str, broker_account: str | None) -> set[str]:
    named = {account_id} if broker_account is None else {account_id, broker_account}
    return {name for one in named for name in account_names(store, one)}
