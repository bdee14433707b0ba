"""The tables in the documentation, made from the code.

    python docs/tables.py            write every table anew
    python docs/tables.py --check    change nothing; exit code 1 and a line for each page that is stale

A table stands in a page between `<!-- table: NAME -->` and `<!-- end -->`; NAME is a key of `TABLES`.
"""

import asyncio
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

import typer
from cells import code, own_docstring, seconds, table
from fastapi.routing import APIRoute
from pydantic import BaseModel
from temporalio import workflow
from venue_tables import faults, ibkr_codes, ibkr_orders, ibkr_strategies

from oms.api import routers
from oms.cli.main import with_commands
from oms.domain.commands import BOOKING, ECONOMIC
from oms.domain.errors import MEANING, Code
from oms.domain.events import Happening
from oms.domain.lifecycle import (
    CREATORS,
    DESK_EXCEPTION,
    ECONOMIC_UPDATE,
    EXCEPTION_OWNER,
    GATES,
    MAIN_CHAIN,
    OWNER,
    TERMINAL,
    Gate,
)
from oms.domain.programs.targets import AccountRead
from oms.domain.reference import InstrumentsFound
from oms.domain.rules.registry import BUILT_IN
from oms.domain.terms import ExceptionCode, Role, State
from oms.domain.venues import Resynced, VenueAnswer
from oms.workers.settings import PREFIX, Settings
from oms.workflows.contract import OPENED_UPDATE, SEARCH_ATTRIBUTES
from oms.workflows.ports import LOCAL_PORTS, PORTS, LocalPort, Port

DOCS = Path(__file__).resolve().parent
PAGES = (DOCS.parent / "README.md", *sorted(DOCS.rglob("*.md")))
_BLOCK = re.compile(r"(?P<open><!-- table: (?P<name>[a-z-]+) -->\n).*?(?P<close><!-- end -->)", re.DOTALL)
_OPENING = re.compile(r"<!-- table: [a-z-]+ -->")
_LIVE = frozenset(State) - TERMINAL


class Stale(Exception):
    """A page whose tables are not what the code says, in one line."""


# -- The lifecycle ---------------------------------------------------------------------------------------


def commands() -> str:
    """Every command by its gate: who, and from where."""
    rows = [
        ["CreateOrder", f"{code(OPENED_UPDATE)}, with the start", code(*sorted(CREATORS)), "no order yet"]
    ]
    for kind, gate in GATES.items():
        if kind == "update":
            rows += _update_rows(gate)
        else:
            rows += [[gate.name, code(kind), roles, states] for roles, states in _by_roles(gate)]
    rows += [[DESK_EXCEPTION.name, code("resolve_exception"), *both] for both in _by_roles(DESK_EXCEPTION)]
    return table(("Command", "Temporal update", "Role", "From"), rows)


def _update_rows(gate: Gate) -> Iterator[list[str]]:
    for what, fields, of in (("economic", ECONOMIC, ECONOMIC_UPDATE), ("booking", BOOKING, gate)):
        for roles, states in _by_roles(of):
            yield [f"UpdateOrder, {what} fields: {code(*sorted(fields))}", code("update"), roles, states]


def _by_roles(gate: Gate) -> Iterator[tuple[str, str]]:
    """The gate's roles, and the states in which exactly those may give the command."""
    for roles in dict.fromkeys(gate.roles[state] for state in gate.states):
        yield (
            code(*sorted(roles)),
            _states([state for state in gate.states if gate.roles[state] == roles]),
        )


def _states(states: Sequence[State]) -> str:
    if set(states) == set(State):
        return "any state"
    if set(states) == _LIVE:
        return "any state that is not terminal"
    return code(*states)


def states() -> str:
    """Every state: its owner, and what each role may do that is not possible everywhere."""
    everywhere = {kind for kind, gate in GATES.items() if set(gate.states) >= _LIVE}
    rows = []
    for state in State:
        owner = OWNER[state]
        possible = [
            f"{gate.name} ({', '.join(sorted(gate.roles[state]))})"
            for kind, gate in GATES.items()
            if kind not in everywhere and state in gate.roles
        ]
        chain = str(MAIN_CHAIN.index(state) + 1) if state in MAIN_CHAIN else ""
        rows.append([code(state), chain, owner or "nobody, terminal", "; ".join(possible)])
    return table(("State", "Main chain", "Owner", "Commands, beside those of every state"), rows)


def exceptions() -> str:
    """Every exception code and who has to look at it."""
    return table(
        ("Code", "Owner"), ([code(each), code(EXCEPTION_OWNER.get(each, Role.OPS))] for each in ExceptionCode)
    )


def events() -> str:
    """Every kind of event: what it carries and, where the name does not say it all, what it means."""
    kinds = get_args(get_args(Happening)[0])
    rows = []
    for kind in kinds:
        fields = [name for name in kind.model_fields if name != "kind"]
        rows.append([code(kind.model_fields["kind"].default), code(*fields), own_docstring(kind)])
    return table(("Kind", "Data", "Meaning"), rows)


# -- The interface ---------------------------------------------------------------------------------------


def errors() -> str:
    """Every code with its status and meaning, in the order of the statuses."""
    ordered = sorted(Code, key=lambda each: MEANING[each][0])
    return table(
        ("Code", "Status", "Meaning"), ([code(c), str(MEANING[c][0]), MEANING[c][1]] for c in ordered)
    )


def routes() -> str:
    """Every operation of the HTTP interface, from the routers themselves."""
    rows = []
    for found in pkgutil.iter_modules(routers.__path__):
        router = getattr(importlib.import_module(f"{routers.__name__}.{found.name}"), "router", None)
        for route in router.routes if router is not None else ():
            if isinstance(route, APIRoute):
                said = inspect.cleandoc(route.endpoint.__doc__ or "").split("\n\n")[0]
                rows.append([route.operation_id or "", f"`{_verb(route)} {route.path_format}`", said])
    return table(("Operation", "Request", "What it does"), sorted(rows, key=lambda row: row[1].split(" ")[1]))


def _verb(route: APIRoute) -> str:
    return ", ".join(sorted(route.methods or ()))


def rules() -> str:
    """Every built-in type of compliance rule."""
    rows = ([code(kind.name), _parameters(kind.parameters), own_docstring(kind)] for kind in BUILT_IN)
    return table(("Type", "Parameters", "Rule"), rows)


def _parameters(shape: type[BaseModel]) -> str:
    said = (f"{code(name)} ({field.description})" for name, field in shape.model_fields.items())
    return "; ".join(said) or "none"


def plugin_part(name: str, language: str) -> Callable[[], str]:
    """A file of the example plug-in, as code."""

    def part() -> str:
        text = (DOCS.parent / "examples" / "rule-type-plugin" / name).read_text(encoding="utf-8")
        return f"```{language}\n{text}```\n"

    return part


# -- The processes ---------------------------------------------------------------------------------------


def settings() -> str:
    """Every setting with its environment variable."""
    rows = [
        [code(f"{PREFIX}{name.upper()}"), _default(field.default), field.description or ""]
        for name, field in Settings.model_fields.items()
    ]
    return table(("Variable", "Default", "Meaning"), rows)


def _default(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return code(text) if text else "empty"


def ports() -> str:
    """Every activity as the workflow asks for it."""
    every: list[LocalPort[Any, Any] | Port[Any, Any]] = [*LOCAL_PORTS.values(), *PORTS.values()]
    rows = [_port_row(port) for port in every]
    return table(("Activity", "Runs as", "Where", "One attempt", "All attempts", "Tried again"), rows)


def _port_row(port: LocalPort[Any, Any] | Port[Any, Any]) -> list[str]:
    asked = _asked(port)
    retry = asked["retry_policy"]
    again = f"from {seconds(retry.initial_interval)}, times {retry.backoff_coefficient:g}, up to {seconds(retry.maximum_interval)}"
    is_local = isinstance(port, LocalPort)
    where = "the order worker"
    if port.result in (VenueAnswer, Resynced, InstrumentsFound, AccountRead):
        where = "the gateway that owns the account"
    return [
        code(port.name),
        "local activity" if is_local else f"activity, priority {asked['priority'].priority_key}",
        where,
        seconds(asked.get("start_to_close_timeout")),
        seconds(asked.get("schedule_to_close_timeout")),
        again,
    ]


def _asked(port: LocalPort[Any, Any] | Port[Any, Any]) -> dict[str, Any]:
    """What the port hands to Temporal when a workflow calls it."""
    asked: dict[str, Any] = {}

    async def hear(*_: Any, **options: Any) -> None:
        asked.update(options)

    if isinstance(port, LocalPort):
        with patch.object(workflow, "execute_local_activity", hear):
            asyncio.run(port(None))
    else:
        with patch.object(workflow, "execute_activity", hear):
            asyncio.run(port(None, summary=""))
    return asked


def search_attributes() -> str:
    """The search attributes that a Temporal namespace needs."""
    told = {
        "OmsState": "the order's state",
        "OmsPortfolio": "the portfolio's id",
        "OmsInstrument": "the instrument's id",
        "OmsDirection": "Buy, Sell, SellShort or BuyToCover",
        "OmsVenue": "the venue of the last placement, once there is one",
    }
    kinds = [(key.name, key.indexed_value_type.name.title()) for key in SEARCH_ATTRIBUTES]
    return table(("Name", "Type", "Holds"), ([code(name), kind, told[name]] for name, kind in kinds))


def command_line() -> str:
    """Every command of `oms`."""
    rows = [[code(name), said] for name, said in sorted(oms_commands().items())]
    return table(("Command", "What it does"), rows)


def oms_commands() -> dict[str, str]:
    """`oms dev` and the like with the first sentence of their help; hidden commands are left out."""
    return {
        name: re.split(r"(?<=\.)\s", " ".join((command.help or "").split()))[0]
        for name, command in _walk(_application(), "oms")
    }


def oms_options() -> dict[str, set[str]]:
    """The options of each command."""
    return {
        name: {"--help"}.union(*(parameter.opts for parameter in command.params))
        for name, command in _walk(_application(), "oms")
    }


def _application() -> Any:
    return typer.main.get_command(with_commands(typer.Typer()))


def _walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The commands below `command`; of the groups only those that do something by themselves."""
    if command.hidden:
        return
    parts = getattr(command, "commands", {})
    if not parts or command.invoke_without_command:
        yield name, command
    for part, below in parts.items():
        yield from _walk(below, f"{name} {part}")


# -- The decisions ---------------------------------------------------------------------------------------


def decisions() -> str:
    """Every decision by its page."""
    pages = sorted((DOCS / "adr").glob("0*.md"))
    titles = [page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ") for page in pages]
    rows = ([f"[{title}]({page.name})"] for page, title in zip(pages, titles, strict=True))
    return table(("Decision",), rows)


TABLES: dict[str, Callable[[], str]] = {
    "commands": commands,
    "states": states,
    "exceptions": exceptions,
    "events": events,
    "errors": errors,
    "routes": routes,
    "rules": rules,
    "plugin-rule-type": plugin_part("max_instruments.py", "python"),
    "plugin-project": plugin_part("pyproject.toml", "toml"),
    "plugin-test": plugin_part("test_max_instruments.py", "python"),
    "settings": settings,
    "ports": ports,
    "search-attributes": search_attributes,
    "command-line": command_line,
    "ibkr-orders": ibkr_orders,
    "ibkr-strategies": ibkr_strategies,
    "ibkr-codes": ibkr_codes,
    "faults": faults,
    "decisions": decisions,
}


def renewed(page: Path, text: str) -> str:
    """`text` with every table as the code has it now. Raises Stale for a table that nobody can make."""

    def fill(block: re.Match[str]) -> str:
        name = block["name"]
        if name not in TABLES:
            raise Stale(f"{page.name}: there is no table {name!r}; there are {', '.join(TABLES)}")
        return f"{block['open']}{TABLES[name]()}{block['close']}"

    if len(_OPENING.findall(text)) != len(_BLOCK.findall(text)):
        raise Stale(f"{page.name}: a table is not closed with <!-- end -->")
    return _BLOCK.sub(fill, text)


def stale_pages(pages: Iterable[Path] = PAGES) -> Iterator[tuple[Path, str]]:
    """Each page that is not what it should be, and what it should be."""
    for page in pages:
        text = page.read_text(encoding="utf-8")
        wanted = renewed(page, text)
        if wanted != text:
            yield page, wanted


def main(arguments: Sequence[str]) -> int:
    if list(arguments) not in ([], ["--check"]):
        sys.stderr.write("usage: python docs/tables.py [--check]\n")
        return 2
    try:
        stale = list(stale_pages())
    except Stale as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for page, wanted in stale:
        name = page.relative_to(DOCS.parent)
        if arguments:
            sys.stderr.write(f"{name} is stale: run `python docs/tables.py`\n")
        else:
            page.write_text(wanted, encoding="utf-8")
            sys.stdout.write(f"{name} is written anew\n")
    return 1 if arguments and stale else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
