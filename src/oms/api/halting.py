"""Halts at the order book's door: what `domain.halts` says they stop is refused here."""

from oms.domain.commands import Command, CreatePlacement
from oms.domain.decide import Opening
from oms.domain.halts import dealing, refusal
from oms.store import Store


def check_new(store: Store, opening: Opening) -> None:
    """Raise Refused HALTED where the new order is covered by a halt, unless it was opened before. Blocks."""
    halt = store.halts.over(dealing(opening.request, opening.default_account_id, opening.shares))
    if halt is not None and store.orders.get(opening.order_id) is None:
        raise refusal(halt)


def check_order(store: Store, order_id: str, command: Command, update_id: str | None) -> None:
    """Raise Refused HALTED where the order is covered by a halt, unless the command was given before. Blocks."""
    order = store.orders.get(order_id) if store.halts.all() else None
    if order is None:
        return
    deals = order.dealing
    halt = store.halts.over(
        deals.at(command.venue, command.account) if isinstance(command, CreatePlacement) else deals
    )
    if halt is None:
        return
    if update_id is None or all(e.command_id != update_id for e in store.journal.of_order(order_id)):
        raise refusal(halt)
