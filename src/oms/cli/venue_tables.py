"""How gateways, breaks and foreign orders look in a terminal: tables that fit 120 columns."""

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from oms.cli.book import Item, printable
from oms.cli.looks import age, number, plain_table, short

STATE_STYLES = {
    "open": "green",
    "standby": "cyan",
    "connecting": "yellow",
    "syncing": "yellow",
    "closed": "bold red",
    "stopping": "bright_black",
}
BREAK_STYLES = {"OPEN": "bold red", "CLEARED": "green", "RESOLVED": "bright_black"}
_COUNTS = (
    ("In doubt", "in_doubt"),
    ("Queue", "queue"),
    ("Waiting", "waiting"),
    ("Msg/s", "messages_per_second"),
    ("Foreign", "foreign_orders"),
    ("Breaks", "open_breaks"),
)
_ALARMING = frozenset({"in_doubt", "open_breaks"})


def gateways_table(gateways: Sequence[Item], now: datetime) -> Table:
    """One line for each gateway; `Word` is the age of its last report, `Read` when it last read the venue's lists."""
    table = plain_table(None, expand=True)
    for name in ("Gateway", "State"):
        table.add_column(name, no_wrap=True)
    table.add_column("Accounts", overflow="ellipsis", no_wrap=True)
    for name in (*(name for name, _ in _COUNTS), "Oldest", "Read", "Word"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("Why not ready", overflow="fold", ratio=1)
    for one in gateways:
        oldest = one["oldest_undelivered_seconds"]
        table.add_row(
            printable(one["name"]),
            _state(one),
            ", ".join(one["accounts"]),
            *(_count(one[field], alarming=field in _ALARMING) for _, field in _COUNTS),
            "" if oldest is None else f"{oldest:.0f}s",
            _ago(one["reconciled_at"], now),
            age(one["updated_at"], now),
            "" if one["ready"] else printable(one["reason"] or ""),
        )
    return table


def _state(gateway: Item) -> Text:
    """Its own word, unless that is too old to be one."""
    told = gateway["state"]
    if gateway["gate_open"] and not gateway["ready"]:
        return Text("silent", "bold red")
    return Text(told, STATE_STYLES.get(told, ""))


def _count(count: int | None, alarming: bool) -> Text:
    """A number; nothing where the key's limits hide it."""
    if count is None:
        return Text("")
    return Text(f"{count:,}", "bold red" if alarming and count else "" if count else "dim")


def _ago(since: str | None, now: datetime) -> str:
    return "" if since is None else age(since, now)


def accounts_table(gateways: Sequence[Item], now: datetime) -> Table:
    """One line for each account of each gateway."""
    table = plain_table("Accounts")
    for name in ("Gateway", "Account", "Served"):
        table.add_column(name, no_wrap=True)
    for name in ("Differences", "Compared"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("Detail", overflow="fold")
    for one in gateways:
        for account in one["per_account"]:
            table.add_row(
                printable(one["name"]),
                account["account"],
                Text("yes") if account["served"] else Text("no", "bold red"),
                _count(account["differences"], alarming=True),
                _ago(account["compared_at"], now),
                printable(account["detail"] or ""),
            )
    return table


def resynced_line(found: Item) -> str:
    """What a resync found, in a line; the counts where the key may know them."""
    line = f"{found['name']} has read the venue anew at {found['reconciled_at']}"
    if found["unsettled"] is None:
        return line
    return (
        f"{line}: {found['unsettled']} unsettled, {found['foreign_orders']} foreign orders,"
        f" {found['differences']} differences"
    )


def breaks_table(breaks: Sequence[Item], now: datetime) -> Table:
    """One line for each break, with what the two books say."""
    table = plain_table(None, expand=True)
    for name in ("Break", "Status", "Category", "Account"):
        table.add_column(name, no_wrap=True)
    table.add_column("Subject", overflow="fold")
    for name in ("Ours", "Theirs", "Opened", "Seen"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("Detail", overflow="fold", ratio=1)
    for one in breaks:
        table.add_row(
            short(one["break_id"]),
            Text(one["status"], BREAK_STYLES.get(one["status"], "")),
            one["category"],
            one["account"],
            printable(one["subject"]),
            figure(one["ours"]),
            figure(one["theirs"]),
            age(one["opened_at"], now),
            age(one["seen_at"], now),
            printable(_detail(one)),
        )
    return table


def figure(text: str, nothing: str = "-") -> str:
    """A number with thousands separated; what is no number as it is."""
    if not text:
        return nothing
    try:
        return number(text)
    except ArithmeticError:
        return printable(text)


def _detail(one: Item) -> str:
    if one["status"] == "OPEN":
        return str(one["detail"])
    by = f"{one['closed_by']}: " if one["closed_by"] else ""
    return f"{by}{one['reason'] or one['detail']}"


def foreign_table(orders: Sequence[Item], now: datetime) -> Table:
    """One line for each order; `Order` is the client's and the order's number at the broker."""
    table = plain_table(None, expand=True)
    for name in ("Gateway", "Account", "Origin", "Order", "Side"):
        table.add_column(name, no_wrap=True)
    for name in ("Quantity", "Filled"):
        table.add_column(name, no_wrap=True, justify="right")
    for name in ("Symbol", "Type", "Status"):
        table.add_column(name, no_wrap=True)
    table.add_column("Reference", overflow="ellipsis", no_wrap=True, ratio=1)
    table.add_column("Heard of", no_wrap=True, justify="right")
    for one in orders:
        table.add_row(
            printable(one["gateway"]),
            one["account"],
            one["origin"],
            f"{one['client_id']}/{one['order_id']}",
            one["action"],
            number(one["quantity"]),
            number(one["filled"]),
            printable(f"{one['symbol']} {one['sec_type']}"),
            one["order_type"],
            Text(printable(one["status"]), "" if one["working"] else "bright_black"),
            printable(one["order_ref"]),
            age(one["last_seen_at"], now),
        )
    return table
