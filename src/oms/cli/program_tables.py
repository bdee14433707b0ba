"""How tenants and signed commands look in a terminal."""

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from oms.cli.book import Item, printable
from oms.cli.looks import age, money, number, plain_table, short, state_text

_STATUS_STYLES = {"REFUSED": "bold red", "DONE": "green", "WORKING": "cyan", "DRY_RUN": "yellow"}


def tenants_table(tenants: Sequence[Item]) -> Table:
    """One line for each tenant."""
    table = plain_table(None)
    for name in ("Tenant", "Portfolio", "Accounts"):
        table.add_column(name, no_wrap=True)
    for tenant in tenants:
        table.add_row(
            tenant["tenant"], tenant["portfolio_id"], ", ".join(tenant["accounts"]) or "its default"
        )
    return table


def commands_table(commands: Sequence[Item], now: datetime) -> Table:
    """One line for each command; `Orders` counts those that exist, and those that were refused."""
    table = plain_table(None, expand=True)
    for name in ("Message", "Status", "Kind", "Tenant", "By"):
        table.add_column(name, no_wrap=True)
    table.add_column("Orders", no_wrap=True, justify="right")
    table.add_column("Arrived", no_wrap=True, justify="right")
    table.add_column("Detail", overflow="fold", ratio=1)
    for one in commands:
        table.add_row(
            one["message_id"],
            Text(one["status"], _STATUS_STYLES.get(one["status"], "")),
            one["kind"],
            one["tenant"],
            printable(one["by"]),
            _counted(one["orders"]),
            age(one["received_at"], now),
            _why(one),
        )
    return table


def command_lines(command: Item) -> list[str]:
    """What is known of one command beside its orders."""
    lines = [
        f"{command['message_id']} {command['status']}",
        f"{command['kind']} for {command['tenant']}, handed in by {printable(command['by'])} at {command['received_at']}",
        f"idem_key {command['idem_key']}",
    ]
    return [*lines, _why(command)] if _why(command) else lines


def commanded_table(orders: Sequence[Item]) -> Table:
    """One line for each order of a command, as it is now."""
    table = plain_table(None, expand=True)
    for name in ("Entry", "Part", "Symbol", "Order", "State"):
        table.add_column(name, no_wrap=True)
    for name in ("Quantity", "Executed", "Average"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("Detail", overflow="fold", ratio=1)
    for one in orders:
        table.add_row(
            str(one["order_index"]),
            one["part"],
            printable(one["symbol"]),
            short(one["order_id"] or ""),
            state_text(one["state"] or ""),
            *(number(_text(one[name])) for name in ("quantity", "executed_quantity")),
            money(_text(one["average_price"])),
            _why(one),
        )
    return table


def _counted(orders: Sequence[Item]) -> str:
    refused = sum(1 for one in orders if one["refusal"])
    return f"{len(orders) - refused}" + (f", {refused} refused" if refused else "")


def _why(one: Item) -> str:
    refusal = one["refusal"]
    return printable(f"{refusal['code']}: {refusal['detail']}" if refusal else one["detail"] or "")


def _text(value: float | None) -> str | None:
    return None if value is None else str(value)
