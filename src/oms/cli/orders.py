"""`oms orders`: list them, read one, watch them move."""

import json
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.live import Live
from rich.table import Table

from oms.cli.book import Book, BookError, Item, is_end_of
from oms.cli.connecting import DEFAULT_API, Api, As, Key, Keys, connect, console, one_line
from oms.cli.following import Connected, Following, Lost, Told
from oms.cli.leaving import leave
from oms.cli.looks import orders_table, short
from oms.cli.story import story, what_happened
from oms.domain.terms import Direction, State

_LOOK_BACK = 2_000
"""So many of the newest orders are searched for a shortened id."""
_REDRAW_SECONDS = 0.25

Portfolio = Annotated[str | None, typer.Option("--portfolio", help="Only this portfolio.")]
InstrumentId = Annotated[str | None, typer.Option("--instrument", help="Only this instrument (INS-...).")]
InState = Annotated[State | None, typer.Option("--state", help="Only orders in this state.")]
Side = Annotated[Direction | None, typer.Option("--direction", help="Only this direction.")]
Ui = Annotated[str, typer.Option("--ui", envvar="OMS_UI_URL", help="Address of the Temporal Web UI.")]
AsJson = Annotated[bool, typer.Option("--json", help="The order book's own JSON, for programs.")]


def list_orders(
    portfolio: Portfolio = None,
    instrument: InstrumentId = None,
    state: InState = None,
    direction: Side = None,
    basket: Annotated[str | None, typer.Option(help="Only this basket.")] = None,
    created_after: Annotated[
        str | None, typer.Option(help="A day or an instant, such as 2026-03-01.")
    ] = None,
    created_before: Annotated[str | None, typer.Option(help="A day or an instant.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many at most, newest first.")] = 50,
    as_json: AsJson = False,
    api: Api = DEFAULT_API,
    key: Key = None,
    keys: Keys = None,
    role: As = "viewer",
) -> None:
    """Orders, newest first."""
    filters = {
        "portfolio_id": portfolio,
        "instrument_id": instrument,
        "state": state,
        "direction": direction,
        "basket_id": basket,
        "created_after": created_after,
        "created_before": created_before,
    }
    with one_line():
        book = connect(api, key, keys, role)
        found = list(book.items("/v1/orders", limit, **filters))
        if as_json:
            typer.echo(json.dumps(found, indent=2))
        elif not found:
            typer.echo("no orders")
        else:
            screen = console()
            screen.print(orders_table(found, _symbols(book), datetime.now(UTC), screen.width))


def show_order(
    order: Annotated[str, typer.Argument(help="The order's id, the end of it, or its client order id.")],
    ui: Ui = "http://127.0.0.1:8233",
    as_json: AsJson = False,
    api: Api = DEFAULT_API,
    key: Key = None,
    keys: Keys = None,
    role: As = "viewer",
) -> None:
    """One order: facts, placements, fills, allocations, settlement, exceptions, journal."""
    with one_line():
        book = connect(api, key, keys, role)
        found = find_order(book, order)
        path = f"/v1/orders/{found['order_id']}"
        fills = list(book.items(f"{path}/fills", 100_000))
        journal = list(book.items(f"{path}/journal", 100_000))
        if as_json:
            typer.echo(json.dumps({"order": found, "fills": fills, "journal": journal}, indent=2))
        else:
            console().print(story(found, book.instrument(found["instrument_id"]), fills, journal, ui))


def find_order(book: Book, named: str) -> Item:
    """The order with this id, this end of an id, or this client order id. Raises BookError unless it is one."""
    if named.startswith("ORD-") and len(named) == len("ORD-") + 36:
        return book.get(f"/v1/orders/{quote(named, safe='')}")

    def fits(order: Item) -> bool:
        return bool(named) and (order["client_order_id"] == named or is_end_of(order["order_id"], named))

    return book.named("/v1/orders", "order", named, _LOOK_BACK, fits)


def watch_orders(
    portfolio: Portfolio = None,
    instrument: InstrumentId = None,
    state: InState = None,
    direction: Side = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="So many orders on the screen.")] = 30,
    after: Annotated[
        int | None, typer.Option(min=0, help="Tell what happened after this position of the stream, too.")
    ] = None,
    api: Api = DEFAULT_API,
    key: Key = None,
    keys: Keys = None,
    role: As = "viewer",
) -> None:
    """Orders as they move, until Ctrl-C: a live table, or a line for each event where there is no terminal."""
    filters = {"portfolio_id": portfolio, "instrument_id": instrument, "state": state, "direction": direction}
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with one_line():
        book = connect(api, key, keys, role)
        book.get("/v1/orders", limit=1)
        start = None if after is None else str(after)
        try:
            if sys.stdout.isatty():
                # An order that leaves the state has to be heard of too, so the table looks at states itself.
                _table_view(book, Following(book, start, **{**filters, "state": None}), filters, limit)
            else:
                _line_view(book, Following(book, start, **filters))
        except KeyboardInterrupt:
            leave(0)


def _news(following: Following) -> Iterator[Told | Connected | Lost | None]:
    """News as they come, None when there is none for a moment. Raises what the stream was refused with."""
    while True:
        found = following.next(_REDRAW_SECONDS)
        for one in found:
            if isinstance(one, BookError):
                raise one
            yield one
        yield None


def _line_view(book: Book, following: Following) -> None:
    symbols = _Symbols(book)
    for one in _news(following):
        match one:
            case Told():
                who = f"{short(one.order_id)}  {symbols.of_order(one.order_id):<8}"
                typer.echo(
                    f"{one.at:%H:%M:%S.%f}  {who}  {one.actor:<12}  {what_happened(one.kind, one.data)}"
                )
            case Connected():
                typer.echo("watching", err=True)
            case Lost(why):
                typer.echo(f"the connection is lost and made again: {why}", err=True)
            case None:
                sys.stdout.flush()


def _table_view(book: Book, following: Following, filters: dict[str, Any], limit: int) -> None:
    shown: dict[str, Item] = {}
    touched: set[str] = set()
    note = "connecting"
    symbol_of = _symbols(book)

    screen = console()

    def drawn() -> Table:
        room = min(limit, max(1, screen.height - 4))
        newest = sorted(shown.values(), key=lambda order: order["order_id"], reverse=True)[:room]
        return orders_table(
            newest, symbol_of, datetime.now(UTC), screen.width, f"Orders ({note}; Ctrl-C ends)"
        )

    with Live(console=screen, auto_refresh=False, screen=True) as live:
        for one in _news(following):
            match one:
                case Told(order_id=order_id):
                    touched.add(order_id)
                case Connected():
                    note = "live"
                    listed = book.items("/v1/orders", limit, **filters)
                    shown |= {order["order_id"]: order for order in listed}
                case Lost(why):
                    note = f"connection lost, trying again: {why}"
                case None:
                    for order_id in touched:
                        _refresh(book, shown, order_id, filters["state"])
                    touched.clear()
                    live.update(drawn(), refresh=True)


def _refresh(book: Book, shown: dict[str, Item], order_id: str, state: State | None) -> None:
    order = book.get(f"/v1/orders/{order_id}")
    if state is None or order["state"] == state:
        shown[order_id] = order
    else:
        shown.pop(order_id, None)


class _Symbols:
    """Symbols of orders known by id only; each is asked for once."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._known: dict[str, str] = {}

    def of_order(self, order_id: str) -> str:
        if order_id not in self._known:
            order = self._book.get(f"/v1/orders/{order_id}")
            self._known[order_id] = self._book.instrument(order["instrument_id"])["symbol"]
        return self._known[order_id]


def _symbols(book: Book) -> Any:
    return lambda order: book.instrument(order["instrument_id"])["symbol"]


def add_commands(application: typer.Typer) -> None:
    orders = typer.Typer(help="List, show and watch orders.", no_args_is_help=True)
    orders.command("list")(list_orders)
    orders.command("show")(show_order)
    orders.command("watch")(watch_orders)
    application.add_typer(orders, name="orders")
