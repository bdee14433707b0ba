"""How orders look in a terminal: colours of states, numbers, ages, tables that fit 120 columns."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import quote

from rich import box
from rich.table import Table
from rich.text import Text

from oms.cli.book import Item, printable
from oms.domain.numbers import plain

STATE_STYLES = {
    "CREATED": "white",
    "PENDING_PRE_TRADE_COMPLIANCE": "yellow",
    "PRE_TRADE_COMPLIANCE_PASSED": "white",
    "PRE_TRADE_COMPLIANCE_FAILED": "bold red",
    "SENT_TO_TRADER": "blue",
    "ROUTED": "blue",
    "PARTIALLY_FILLED": "cyan",
    "FILLED": "bold cyan",
    "CLOSED": "cyan",
    "SENT_TO_OPERATIONS": "magenta",
    "PENDING_POST_TRADE_COMPLIANCE": "yellow",
    "POST_TRADE_COMPLIANCE_PASSED": "magenta",
    "POST_TRADE_COMPLIANCE_FAILED": "bold red",
    "CONFIRMED": "magenta",
    "SETTLED": "green",
    "RECONCILED": "bold green",
    "CANCELED": "bright_black",
    "REJECTED": "red",
}
_WIDE = 110
SHORT = 8
"""So many of an order id's last characters tell it from the others on a desk."""


def short(order_id: str) -> str:
    """The end of an order id; a UUIDv7 begins with the time, so orders of one moment differ at the end."""
    return order_id[-SHORT:]


def state_text(state: str) -> Text:
    return Text(state, STATE_STYLES.get(state, ""))


def number(value: str | None, places: int | None = None) -> str:
    """A decimal with thousands separated; `places` rounds it for the eye only. Empty for none."""
    if value is None:
        return ""
    exact = Decimal(value)
    if places is not None and -exact.as_tuple().exponent > places:  # type: ignore[operator]  # a finite number's is an integer
        exact = round(exact, places)
    whole, dot, fraction = plain(exact).partition(".")
    return f"{int(whole):,}{dot}{fraction}"


def money(value: str | None) -> str:
    """A price or an amount for the eye: two to four decimals."""
    if value is None:
        return ""
    told = number(value, 4)
    whole, _, fraction = told.partition(".")
    return f"{whole}.{fraction.ljust(2, '0')}"


def instant(ns: int) -> datetime:
    """Nanoseconds since the epoch as UTC, to the microsecond."""
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).replace(microsecond=ns % 1_000_000_000 // 1000)


def age(since: str, now: datetime) -> str:
    """How long ago an RFC 3339 instant was: 12s, 5m, 3h, 2d."""
    seconds = max(0, int((now - datetime.fromisoformat(since)).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def waiting(order: Item) -> str:
    """Who moves the order next and what for; nothing for an order that is over."""
    on, what = order["waiting_on"]["on"], order["waiting_on"]["what"]
    if on == "nobody":
        return printable(order["reason"] or "")
    return printable(f"{on}: {what}")


def page_link(ui: str, workflow_id: str) -> str:
    """The order's workflow in the Temporal Web UI."""
    return f"{ui.rstrip('/')}/namespaces/default/workflows/{quote(workflow_id, safe='')}"


def plain_table(title: str | None, expand: bool = False) -> Table:
    """A table that is mostly text: one line under its head and no other."""
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        expand=expand,
    )


def orders_table(
    orders: Sequence[Item],
    symbol_of: Callable[[Item], str],
    now: datetime,
    width: int,
    title: str | None = None,
) -> Table:
    """One line for each order on `width` columns; a narrow terminal gets the columns that matter most."""
    wide = width >= _WIDE
    table = plain_table(title, expand=True)
    for name in ("Order", "State", "Symbol", *(("Direction",) if wide else ())):
        table.add_column(name, no_wrap=True)
    for name in ("Quantity", *(("Executed", "Average") if wide else ())):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("Waiting on", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("Age", no_wrap=True, justify="right")
    for order in orders:
        executed = number(order["executed_quantity"]) if order["executed_quantity"] != "0" else ""
        table.add_row(
            short(order["order_id"]),
            state_text(order["state"]),
            symbol_of(order),
            *((order["direction"],) if wide else ()),
            number(order["ordered_quantity"]),
            *((executed, money(order["average_price"])) if wide else ()),
            Text(waiting(order), "dim" if order["waiting_on"]["on"] == "nobody" else ""),
            age(order["created_at"], now),
        )
    return table
