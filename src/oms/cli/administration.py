"""Commands that look after the store: configuration, migrations, keys, projections."""

import dataclasses
import json
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from oms.cli.leaving import complain
from oms.cli.running import settings_from
from oms.domain.terms import Role
from oms.workers.settings import PREFIX, Settings

if TYPE_CHECKING:
    from oms.store import Store

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Data folder of the embedded stack.")]


def _store(data_dir: Path | None) -> "Store":
    from oms.store import Store

    return Store(settings_from(data_dir=data_dir).store_url)


def _usable_store(data_dir: Path | None) -> "Store":
    store = _store(data_dir)
    reason = store.check()
    if reason is not None:
        complain(reason)
    return store


def config(data_dir: DataDir = None) -> None:
    """Every setting with its meaning, its environment variable and its value now."""
    settings = settings_from(data_dir=data_dir)
    table = Table(
        "Variable", "Value", "Default", "Meaning", title="Settings (or a line of oms.toml, without OMS_)"
    )
    for name, field in Settings.model_fields.items():
        table.add_row(
            f"{PREFIX}{name.upper()}",
            _shown(name, getattr(settings, name), field.repr),
            str(field.default),
            field.description or "",
        )
    Console(width=160).print(table)


def _shown(name: str, value: object, may_be_shown: bool) -> str:
    """A value without its secrets."""
    from sqlalchemy import make_url

    if name == "database_url" and value:
        return make_url(str(value)).render_as_string(hide_password=True)
    return str(value) if may_be_shown or not value else "(hidden)"


def parked(data_dir: DataDir = None) -> None:
    """Messages from venues that nobody could read or no order takes, newest first."""
    table = Table("Gateway", "Status", "Order", "Reason", "Message")
    for row in _usable_store(data_dir).inbox.parked():
        table.add_row(row.gateway, row.status, row.order_id or "", row.reason or "", (row.raw or "")[:120])
    Console().print(table)


def upgrade(data_dir: DataDir = None) -> None:
    """Bring the store's schema up to date."""
    store = _store(data_dir)
    store.migrate()
    typer.echo("the schema is up to date")


def check(data_dir: DataDir = None) -> None:
    """Say whether the store is usable; exit code 1 when it is not."""
    reason = _store(data_dir).check()
    if reason is not None:
        complain(reason, code=1)
    typer.echo("the store is usable")


def create_key(
    name: Annotated[str, typer.Argument(help="Who the key is for.")],
    roles: Annotated[list[Role], typer.Option("--role", help="Again for each role.")],
    data_dir: DataDir = None,
    portfolios: Annotated[
        list[str] | None, typer.Option("--portfolio", help="Only these portfolios.")
    ] = None,
    accounts: Annotated[list[str] | None, typer.Option("--account", help="Only these accounts.")] = None,
    expires: Annotated[
        datetime | None,
        typer.Option(help="When it stops working, in UTC: 2026-12-31 or 2026-12-31T18:00:00."),
    ] = None,
) -> None:
    """Make a key and print it once; the store keeps its hash only."""
    from oms.store import Taken

    secret = f"oms_{secrets.token_urlsafe(32)}"
    try:
        _usable_store(data_dir).keys.create(
            name, roles, secret, portfolios, accounts, expires.replace(tzinfo=UTC) if expires else None
        )
    except (Taken, ValueError) as error:
        complain(str(error), code=1)
    typer.echo(secret)


def list_keys(data_dir: DataDir = None) -> None:
    """Names, roles and limits of all keys; never the keys."""
    table = Table("Name", "Roles", "Portfolios", "Accounts", "Expires", "Revoked")
    for key in _usable_store(data_dir).keys.list():
        limits = (", ".join(key.portfolios or ()) or "all", ", ".join(key.accounts or ()) or "all")
        dates = (str(key.expires_at or ""), str(key.revoked_at or ""))
        table.add_row(key.name, ", ".join(key.roles), *limits, *dates)
    Console().print(table)


def revoke_key(name: str, data_dir: DataDir = None) -> None:
    """Revoke a key; it stops working within a second."""
    if _usable_store(data_dir).keys.revoke(name) is None:
        complain(f"there is no key named {name!r}", code=1)
    typer.echo(f"{name} is revoked")


def rebuild_projections(
    data_dir: DataDir = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Report differences and change nothing.")
    ] = False,
) -> None:
    """Rebuild every projection from the journal and report what differed; exit code 1 when something did."""
    from oms.store import rebuild

    report = rebuild(_usable_store(data_dir), write=not dry_run)
    typer.echo(json.dumps(dataclasses.asdict(report), indent=2))
    raise typer.Exit(1 if report.differences else 0)


def add_commands(application: typer.Typer) -> None:
    application.command()(config)
    database = typer.Typer(help="The store's schema.", no_args_is_help=True)
    database.command()(upgrade)
    database.command()(check)
    database.command()(parked)
    application.add_typer(database, name="db")
    keys = typer.Typer(help="API keys.", no_args_is_help=True)
    keys.command("create")(create_key)
    keys.command("list")(list_keys)
    keys.command("revoke")(revoke_key)
    application.add_typer(keys, name="keys")
    application.command("rebuild")(rebuild_projections)
