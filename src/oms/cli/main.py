"""The `oms` command: what can be asked for, each kind in a room of its own."""

from collections.abc import Callable

import typer

from oms import __version__

application = typer.Typer(
    name="oms",
    help="Durable OMS: every order is one durable workflow.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"oms {__version__}")
        raise typer.Exit


@application.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Durable OMS: every order is one durable workflow."""


def _rooms() -> list[Callable[[typer.Typer], None]]:
    from oms.cli import (
        administration,
        benchmarking,
        demo,
        envelope,
        flex,
        loading,
        orders,
        placements,
        programs,
        running,
        submitting,
        venues,
    )

    return [
        running.add_commands,
        administration.add_commands,
        benchmarking.add_commands,
        demo.add_commands,
        orders.add_commands,
        placements.add_commands,
        venues.add_commands,
        flex.add_commands,
        programs.add_commands,
        envelope.add_commands,
        submitting.add_commands,
        loading.add_commands,
    ]


def with_commands(application: typer.Typer) -> typer.Typer:
    """`application` with every command."""
    for add_commands in _rooms():
        add_commands(application)
    return application


def main() -> None:
    """The entry point of the `oms` command."""
    with_commands(application)()


if __name__ == "__main__":
    main()
