"""One order on one screen: its facts, what became of it at venues, and its journal told line by line."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from oms.cli.book import Item, printable
from oms.cli.looks import instant, money, number, page_link, state_text, waiting


def story(order: Item, instrument: Item, fills: Sequence[Item], journal: Sequence[Item], ui: str) -> Group:
    """Everything about `order`, sections without content left out."""
    parts: list[RenderableType] = [_title(order, instrument), _facts(order, instrument)]
    sections = (
        ("Checks", _checks(order)),
        ("Placements", _placements(order["placements"])),
        ("Fills", _fills(fills)),
        ("Allocations", _allocations(order["allocations"])),
        ("Settlement", _settlement(order["settlement"])),
        ("Open exceptions", _exceptions(order["exceptions"])),
        ("Journal", _journal(journal)),
    )
    for name, section in sections:
        if section is not None:
            parts += [Text(""), Text(name, "bold"), section]
    link = page_link(ui, order["workflow_id"])
    parts += [Text(""), Text.assemble(("Web UI  ", "bold"), (link, f"link {link}"))]
    return Group(*parts)


def _title(order: Item, instrument: Item) -> Text:
    what = f"{order['direction']} {number(order['ordered_quantity'])} {instrument['symbol']}  "
    return Text.assemble((what, "bold"), state_text(order["state"]))


def _grid(rows: Sequence[tuple[str, str]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        if value:
            grid.add_row(name, printable(value))
    return grid


def roundings(rounded: Sequence[Item]) -> str:
    """`limit_price 150.257 sent as 150.25`, one after the other."""
    return ", ".join(f"{one['field']} {one['asked']} sent as {one['sent']}" for one in rounded)


def instructions(handling: Item) -> str:
    """What a venue is told beside type, price and time; empty for nothing out of the ordinary."""
    told = {name: value for name, value in handling.items() if value not in (None, False)}
    bracket, adjustment = told.pop("bracket", None), told.pop("adjustment", None)
    if "oca_group" not in told:
        told.pop("oca_type", None)
    words = [name if value is True else f"{name} {value}" for name, value in told.items()]
    if adjustment is not None:
        terms = (f"{name} {value}" for name, value in adjustment.items() if value is not None)
        words.append(f"trails later: {', '.join(terms)}")
    if bracket is not None:
        words.append(f"{bracket['role']} of bracket {bracket['bracket_id']} of {bracket['size']}")
    return ", ".join(words)


def _table(*columns: str, right: Sequence[str] = ()) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return table


def _facts(order: Item, instrument: Item) -> Table:
    route = order["route"] or {}
    prices = [
        f"{name} {money(order[key])}"
        for name, key in (("limit", "limit_price"), ("stop", "stop_price"))
        if order[key]
    ]
    terms = ", ".join(
        filter(None, [order["order_type"], order["time_in_force"], *prices, instructions(order["handling"])])
    )
    return _grid(
        [
            ("Order", order["order_id"]),
            ("Client order", order["client_order_id"] or ""),
            ("Portfolio", order["portfolio_id"]),
            (
                "Instrument",
                f"{instrument['symbol']} {instrument['sec_type']} {instrument['currency']}, {order['instrument_id']}",
            ),
            ("Terms", terms),
            ("Executed", f"{number(order['executed_quantity'])} of {number(order['ordered_quantity'])}"),
            ("Average price", money(order["average_price"])),
            (
                "Route",
                " ".join(filter(None, (route.get("venue"), route.get("account"), route.get("strategy")))),
            ),
            ("Automation", f"{order['automation']}, compliance {order['compliance_mode']}"),
            ("Owner", order["owner"] or "nobody"),
            ("Waiting on", waiting(order) if order["waiting_on"]["on"] != "nobody" else ""),
            ("Reason", order["reason"] or ""),
            ("Created", f"{_clock(datetime.fromisoformat(order['created_at']))} by {order['created_by']}"),
            ("Version", str(order["version"])),
            ("Metadata", ", ".join(f"{name}={value}" for name, value in order["metadata"].items())),
            ("Links", ", ".join(f"{link['kind']} {link['order_id']}" for link in order["links"])),
        ]
    )


def _checks(order: Item) -> Table | None:
    rows = [
        (name, text)
        for name, check in (("Pre-trade", order["pre_trade"]), ("Post-trade", order["post_trade"]))
        for text in _check(check)
    ]
    return _grid(rows) if rows else None


def _check(check: Item) -> Iterator[str]:
    if check["status"] == "NOT_REQUESTED":
        return
    yield check["status"]
    for violation in check["violations"]:
        yield f"{violation['rule_name']}: {violation['description']}"
    if check["override"]:
        override = check["override"]
        yield f"overridden on the word of {override['approver_id']}: {override['reason']}"


def _placements(placements: Sequence[Item]) -> Table | None:
    if not placements:
        return None
    right = ("Quantity", "Executed", "Average")
    table = _table("Placement", "Status", "Venue", "Venue's ids", *right, "Reason", right=right)
    for one in placements:
        table.add_row(
            one["placement_id"],
            one["status"],
            f"{one['venue']} {one['account'] or ''}",
            ", ".join(one["venue_order_ids"]),
            number(one["quantity"]),
            number(one["executed_quantity"]),
            money(one["average_price"]),
            printable(_said_of(one)),
        )
    return table


def _said_of(placement: Item) -> str:
    """The venue's reason, a change that it has not made, and what was rounded."""
    change = placement["change"]
    told = [placement["reason"] or ""]
    if change is not None:
        terms = ", ".join(f"{name} {value}" for name, value in change["terms"].items())
        why = f"refused: {change['refused']}" if change["refused"] else "asked of the venue"
        told.append(f"change {change['revision']}, {terms}: {why}")
    told.append(roundings(placement["roundings"]))
    return "; ".join(filter(None, told))


def _fills(fills: Sequence[Item]) -> Table | None:
    if not fills:
        return None
    right = ("Quantity", "Price", "Commission")
    table = _table("Execution", *right, "", "At the venue", right=right)
    for fill in fills:
        table.add_row(
            fill["exec_id"],
            number(fill["quantity"]),
            money(fill["price"]),
            number(fill["commission"]),
            fill["currency"],
            _clock(instant(fill["ts_event_ns"])),
        )
    return table


def _allocations(allocations: Sequence[Item]) -> Table | None:
    if not allocations:
        return None
    table = _table("Account", "Portfolio", "Quantity", "By", right=("Quantity",))
    for one in allocations:
        table.add_row(one["account_id"], one["portfolio_id"], number(one["quantity"]), one["created_by"])
    return table


def _settlement(settlement: Item) -> Table | None:
    if settlement["status"] == "NOT_DUE":
        return None
    names = ("status", "trade_date", "settlement_date", "instruction_id", "net_amount", "currency", "failure")
    known = {**(settlement.get("instruction") or {}), **settlement}
    rows = [(name.replace("_", " ").capitalize(), known.get(name)) for name in names]
    statement = settlement.get("statement") or {}
    told = ", ".join(f"{name} {value}" for name, value in statement.items())
    return _grid(
        [*((name, str(value)) for name, value in rows if value is not None), ("Custodian says", told)]
    )


def _exceptions(exceptions: Sequence[Item]) -> Table | None:
    if not exceptions:
        return None
    table = _table("Code", "For", "Since", "Detail")
    for one in exceptions:
        since = datetime.fromisoformat(one["since"])
        code = Text(one["code"], "bold red")
        table.add_row(code, one["owner"], _clock(since), printable(one["detail"]))
    return table


def _journal(journal: Sequence[Item]) -> Table:
    table = _table("#", "Recorded", "Happened", "Who", "What", right=("#",))
    for event in journal:
        recorded, happened = instant(event["ts_init_ns"]), instant(event["ts_event_ns"])
        table.add_row(
            str(event["seq"]),
            _clock(recorded),
            f"{happened:%H:%M:%S.%f}"[:-3] if happened.date() == recorded.date() else _clock(happened),
            f"{event['actor']['key']} ({event['actor']['role']})",
            what_happened(event["kind"], event["data"]),
        )
    return table


_TELLING = {
    "fill_booked": "{quantity} at {price}, {exec_id}",
    "fill_corrected": "{replaces} is now {quantity} at {price}",
    "fill_busted": "{exec_id} was taken back",
    "commission_booked": "{commission} {currency} for {exec_id}",
    "placement_created": "{quantity} at {venue}",
    "placement_change_requested": "change {revision}, {terms}",
    "placement_changed": "change {revision}",
    "placement_change_refused": "change {revision}: {reason}",
    "placement_terms_rounded": "{roundings}",
    "placement_reported": "{status}, {filled_quantity} filled",
    "placement_resolved": "{status}: {reason}",
    "pre_trade_compliance_overridden": "{approver_id}: {reason}",
    "post_trade_compliance_overridden": "{approver_id}: {reason}",
    "allocation_created": "{quantity} to {account_id}",
    "settlement_scheduled": "due on {settlement_date}",
    "settlement_instructed": "{instruction_id}, net {net_amount} {currency}",
    "exception_raised": "{code}: {detail}",
    "exception_resolved": "{code}: {reason}",
    "order_closed": "{executed_quantity} executed, {unfilled_quantity} not",
}


def what_happened(kind: str, data: Item) -> str:
    """A journal event in words: its kind, and what matters of its data."""
    words = kind.replace("_", " ")
    if kind in _TELLING:
        words = f"{words}: {_TELLING[kind].format_map(_spoken(data))}"
    elif data.get("violations"):
        words = f"{words}: {'; '.join(violation['description'] for violation in data['violations'])}"
    elif data.get("reason"):
        words = f"{words}: {data['reason']}"
    return printable(words)


def _spoken(data: Item) -> Item:
    """`data` with changed terms and roundings in words."""
    told = dict(data)
    if isinstance(data.get("terms"), dict):
        told["terms"] = ", ".join(f"{name} {value}" for name, value in data["terms"].items())
    if isinstance(data.get("roundings"), list):
        told["roundings"] = roundings(data["roundings"])
    return told


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S.%f}"[:-3]
