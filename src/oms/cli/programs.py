"""`oms tenants`, `oms commands`: whom programs trade for, what they sent, and what became of it."""

import json
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote

import typer

from oms.cli.connecting import DEFAULT_API, Api, As, Key, Keys, connect, console, one_line
from oms.cli.program_tables import command_lines, commanded_table, commands_table, tenants_table
from oms.cli.venues import AsJson, Most


def list_tenants(
    as_json: AsJson = False,
    api: Api = DEFAULT_API,
    key: Key = None,
    keys: Keys = None,
    role: As = "viewer",
) -> None:
    """The tenants that the key may act for, with their portfolios."""
    with one_line():
        found = list(connect(api, key, keys, role).items("/v1/tenants", 500))
        if as_json:
            typer.echo(json.dumps(found, indent=2))
        elif found:
            console().print(tenants_table(found))
        else:
            typer.echo("no tenants")


def put_tenant(
    tenant: Annotated[str, typer.Argument(help="The name that commands say.")],
    portfolio: Annotated[str, typer.Option(help="Where its orders are opened; it is the tenant's alone.")],
    accounts: Annotated[
        list[str] | None, typer.Option("--account", help="One that its commands may name; again for each.")
    ] = None,
    api: Api = DEFAULT_API,
    key: Key = None,
    keys: Keys = None,
    role: As = "admin",
) -> None:
    """Describe a tenant; one that is known takes the new accounts."""
    with one_line():
        body = {"portfolio_id": portfolio, "accounts": accounts or []}
        kept = connect(api, key, keys, role).put(f"/v1/tenants/{quote(tenant, safe='')}", body)
        typer.echo(f"{kept['tenant']} trades in {kept['portfolio_id']}")


def list_commands(
    tenant: Annotated[str | None, typer.Option(help="Only of this tenant.")] = None,
    limit: Most = 50,
    as_json: AsJson = False,
    api: Api = DEFAULT_API,
    key: Key = None,
    keys: Keys = None,
    role: As = "viewer",
) -> None:
    """Signed commands, the one that arrived last first."""
    with one_line():
        found = list(connect(api, key, keys, role).items("/oms/commands", limit, tenant=tenant))
        if as_json:
            typer.echo(json.dumps(found, indent=2))
        elif found:
            console().print(commands_table(found, datetime.now(UTC)))
        else:
            typer.echo("no commands")


def show_command(
    named: Annotated[str, typer.Argument(metavar="COMMAND", help="Its message id or its idem_key.")],
    as_json: AsJson = False,
    api: Api = DEFAULT_API,
    key: Key = None,
    keys: Keys = None,
    role: As = "viewer",
) -> None:
    """One command: what became of it, and its orders as they are now."""
    with one_line():
        found = connect(api, key, keys, role).get(f"/oms/commands/{quote(named, safe='')}")
        if as_json:
            typer.echo(json.dumps(found, indent=2))
            return
        for line in command_lines(found):
            typer.echo(line)
        if found["orders"]:
            console().print(commanded_table(found["orders"]))


def add_commands(application: typer.Typer) -> None:
    tenants = typer.Typer(help="Whom signed commands are for.", no_args_is_help=True)
    tenants.command("list")(list_tenants)
    tenants.command("put")(put_tenant)
    application.add_typer(tenants, name="tenants")
    commands = typer.Typer(help="Signed commands, and what became of them.", no_args_is_help=True)
    commands.command("list")(list_commands)
    commands.command("show")(show_command)
    application.add_typer(commands, name="commands")
