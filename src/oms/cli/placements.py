"""`oms placements`: change or cancel a part of an order at its venue."""

from typing import Annotated
from urllib.parse import quote

import typer

from oms.cli.book import Item
from oms.cli.connecting import DEFAULT_API, Api, As, Key, Keys, connect, one_line
from oms.cli.leaving import complain
from oms.cli.looks import number

PlacementId = Annotated[
    str, typer.Argument(metavar="PLACEMENT", help="Its id, as `oms orders show` tells it.")
]


def modify(
    placement: PlacementId,
    quantity: Annotated[str | None, typer.Option(help="Its new total; smaller than before.")] = None,
    limit_price: Annotated[str | None, typer.Option(help="Its new limit.")] = None,
    stop_price: Annotated[str | None, typer.Option(help="Its new stop.")] = None,
    trail_amount: Annotated[str | None, typer.Option(help="Its new trailing amount.")] = None,
    trail_percent: Annotated[str | None, typer.Option(help="Its new trailing percentage.")] = None,
    api: Api = DEFAULT_API,
    key: Key = None,
    keys: Keys = None,
    role: As = "trader",
) -> None:
    """Ask the venue to change what works: less of it, or at another price."""
    terms = {
        "quantity": quantity,
        "limit_price": limit_price,
        "stop_price": stop_price,
        "trail_amount": trail_amount,
        "trail_percent": trail_percent,
    }
    given = {name: value for name, value in terms.items() if value is not None}
    if not given:
        complain("nothing to change: give --quantity, --limit-price, --stop-price or a trail")
    with one_line():
        changed = connect(api, key, keys, role).post(_path(placement, "modify"), given)
        typer.echo(_told(changed))


def _told(placement: Item) -> str:
    """What is asked of the venue, or what it works where it has answered already."""
    change = placement["change"]
    if change is None:
        return f"{placement['placement_id']} works {number(placement['quantity'])} at revision {placement['revision']}"
    terms = ", ".join(f"{name} {number(value)}" for name, value in change["terms"].items())
    state = f"refused: {change['refused']}" if change["refused"] else "asked of the venue"
    return f"{placement['placement_id']} change {change['revision']}, {terms}: {state}"


def cancel(
    placement: PlacementId,
    api: Api = DEFAULT_API,
    key: Key = None,
    keys: Keys = None,
    role: As = "trader",
) -> None:
    """Ask the venue to cancel."""
    with one_line():
        canceled = connect(api, key, keys, role).post(_path(placement, "cancel"))
        typer.echo(f"{canceled['placement_id']} is {canceled['status']}")


def _path(placement: str, command: str) -> str:
    return f"/v1/placements/{quote(placement, safe='')}/{command}"


def add_commands(application: typer.Typer) -> None:
    placements = typer.Typer(help="Change or cancel what works at a venue.", no_args_is_help=True)
    placements.command()(modify)
    placements.command()(cancel)
    application.add_typer(placements, name="placements")
