"""`oms gateways`, `oms breaks`, `oms foreign-orders`: the sessions with venues and what is found there."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote

import typer
from rich.table import Table

from oms.cli.book import Book, Item, is_end_of
from oms.cli.connecting import DEFAULT_API, Api, As, Key, Keys, connect, console, one_line
from oms.cli.venue_tables import (
    accounts_table,
    breaks_table,
    figure,
    foreign_table,
    gateways_table,
    resynced_line,
)
from oms.domain.breaks import BreakCategory, BreakStatus

_LOOK_BACK = 1_000
"""So many of the newest breaks are searched for a shortened id."""
AsJson = Annotated[bool, typer.Option("--json", help="The order book's own JSON, for programs.")]
Most = Annotated[int, typer.Option(min=1, help="So many at most.")]


def list_gateways(
    as_json: AsJson = False,
    api: Api = DEFAULT_API,
    key: Key = None,
    keys: Keys = None,
    role: As = "viewer",
) -> None:
    """Every gateway: connected, open, what waits, what is in doubt, how old its word is."""
    with one_line():
        found = list(connect(api, key, keys, role).items("/v1/gateways", 500))
        _show(found, as_json, "no gateway has reported", lambda now: [gateways_table(found, now)])
        if not as_json and any(_needs_a_word(account) for one in found for account in one["per_account"]):
            console().print("", accounts_table(found, datetime.now(UTC)), sep="\n")


def _needs_a_word(account: Item) -> bool:
    return not account["served"] or account["differences"] > 0 or bool(account["detail"])


def resync(
    gateway: Annotated[str, typer.Argument(help="Its name, such as ibkr/17.")],
    as_json: AsJson = False,
    api: Api = DEFAULT_API,
    key: Key = None,
    keys: Keys = None,
    role: As = "ops",
) -> None:
    """Have a gateway read the broker's orders, executions and positions anew, and tell what it found."""
    with one_line():
        found = connect(api, key, keys, role).post(f"/v1/gateways/{quote(gateway, safe='')}/resync")
        if as_json:
            typer.echo(json.dumps(found, indent=2))
            return
        typer.echo(resynced_line(found))


def list_breaks(
    status: Annotated[BreakStatus | None, typer.Option(help="Only breaks that are so.")] = BreakStatus.OPEN,
    every: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    account: Annotated[str | None, typer.Option(help="Only this account, ours or the broker's name.")] = None,
    category: Annotated[BreakCategory | None, typer.Option(help="Only this category.")] = None,
    limit: Most = 50,
    as_json: AsJson = False,
    api: Api = DEFAULT_API,
    key: Key = None,
    keys: Keys = None,
    role: As = "viewer",
) -> None:
    """Where another book differs from ours, newest first; those that are open unless told otherwise."""
    filters = {"status": None if every else status, "account": account, "category": category}
    with one_line():
        found = list(connect(api, key, keys, role).items("/v1/breaks", limit, **filters))
        _show(found, as_json, "no breaks", lambda now: [breaks_table(found, now)])


def resolve_break(
    named: Annotated[str, typer.Argument(metavar="BREAK", help="Its id, or the end of it.")],
    reason: Annotated[str, typer.Option(help="Why it is over; kept with it.")],
    api: Api = DEFAULT_API,
    key: Key = None,
    keys: Keys = None,
    role: As = "ops",
) -> None:
    """End an open break by your word. No position and no order changes."""
    with one_line():
        book = connect(api, key, keys, role)
        found = book.post(f"/v1/breaks/{quote(_break_id(book, named), safe='')}/resolve", {"reason": reason})
        ours, theirs = (figure(found[side], "nothing") for side in ("ours", "theirs"))
        typer.echo(
            f"{found['break_id']} is {found['status']}: {found['subject']}, {ours} here, {theirs} there"
        )


def _break_id(book: Book, named: str) -> str:
    """The id of the break that `named` is, or is the end of. Raises BookError unless it is one."""
    if named.startswith("BRK-"):
        return named
    found = book.named(
        "/v1/breaks", "break", named, _LOOK_BACK, lambda one: is_end_of(one["break_id"], named)
    )
    return str(found["break_id"])


def list_foreign_orders(
    gateway: Annotated[str | None, typer.Option(help="Only those that this gateway saw.")] = None,
    working: Annotated[bool, typer.Option("--working", help="Only those that may still trade.")] = False,
    limit: Most = 50,
    as_json: AsJson = False,
    api: Api = DEFAULT_API,
    key: Key = None,
    keys: Keys = None,
    role: As = "viewer",
) -> None:
    """Orders at the broker that are not ours: shown, never touched."""
    with one_line():
        book = connect(api, key, keys, role)
        filters = {"gateway": gateway, "working": True if working else None}
        found = list(book.items("/v1/foreign-orders", limit, **filters))
        _show(found, as_json, "no foreign orders", lambda now: [foreign_table(found, now)])


def _show(
    found: Sequence[Item], as_json: bool, nothing: str, tables: Callable[[datetime], list[Table]]
) -> None:
    if as_json:
        typer.echo(json.dumps(list(found), indent=2))
    elif not found:
        typer.echo(nothing)
    else:
        console().print(*tables(datetime.now(UTC)))


def add_commands(application: typer.Typer) -> None:
    gateways = typer.Typer(invoke_without_command=True)
    gateways.command("list")(list_gateways)
    gateways.command("resync")(resync)
    application.add_typer(gateways, name="gateways")
    breaks = typer.Typer(help="Where another book differs from ours.", no_args_is_help=True)
    breaks.command("list")(list_breaks)
    breaks.command("resolve")(resolve_break)
    application.add_typer(breaks, name="breaks")
    application.command("foreign-orders")(list_foreign_orders)

    @gateways.callback()
    def _without_a_command(
        context: typer.Context,
        as_json: AsJson = False,
        api: Api = DEFAULT_API,
        key: Key = None,
        keys: Keys = None,
        role: As = "viewer",
    ) -> None:
        """How each session with a venue is; the same as `oms gateways list`."""
        if context.invoked_subcommand is None:
            list_gateways(as_json, api, key, keys, role)
