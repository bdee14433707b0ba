"""The documentation says what the code is: its tables, its links, its commands, its names."""

import inspect
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

from oms.api import metrics
from oms.domain.errors import Code
from oms.domain.events import Happening
from oms.domain.lifecycle import GATES
from oms.domain.terms import ExceptionCode, OrderType, PlacementStatus, Role, State, TimeInForce, Venue
from oms.store import GatewayState
from oms.store import tables as store_tables
from oms.workers.settings import PREFIX, Settings
from oms.workers.stack import Stack
from tests.docs.conftest import ROOT

_LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (?P<title>.+)$", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"(?:^|[`\s/])oms (?P<words>[a-z][a-z-]*(?: [a-z][a-z-]*)?)")
_VARIABLE = re.compile(r"\bOMS_[A-Z_]+\b")
_PLACE_OF_A_MACHINE = re.compile(r"(?<![\w.])(?:/home/|/Users/|/root/|/tmp/|[A-Z]:\\)")
_NOT_SETTINGS = {
    "OMS_API_URL",
    "OMS_API_KEY",
    "OMS_UI_URL",
    "OMS_POSTGRES_PASSWORD",
    "OMS_TESTS_HYPOTHESIS",
}
"""Variables of the command line's client, of the compose file and of the tests alone."""


def test_no_table_is_stale(tables: ModuleType) -> None:
    assert [str(page.relative_to(ROOT)) for page, _ in tables.stale_pages()] == []


def test_a_stale_table_is_told_in_one_line(
    tables: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    page = docs / "errors.md"
    page.write_text("<!-- table: errors -->\nold\n<!-- end -->\nrest\n")
    monkeypatch.setattr(tables, "DOCS", docs)
    monkeypatch.setattr(tables.stale_pages, "__defaults__", ((page,),))
    assert tables.main(["--check"]) == 1
    assert capsys.readouterr().err == "docs/errors.md is stale: run `python docs/tables.py`\n"
    assert "old" in page.read_text()
    assert tables.main([]) == 0
    assert tables.main(["--check"]) == 0
    assert page.read_text().endswith("<!-- end -->\nrest\n")
    assert "`INVALID_STATE` | 409" in page.read_text()


@pytest.mark.parametrize("text", ["<!-- table: errors -->\n", "<!-- table: nothing -->\n<!-- end -->\n"])
def test_a_table_that_cannot_be_made_is_told(tables: ModuleType, text: str) -> None:
    with pytest.raises(tables.Stale):
        tables.renewed(Path("page.md"), text)


def test_every_table_stands_in_a_page(tables: ModuleType, pages: dict[str, str]) -> None:
    everything = "\n".join(pages.values())
    missing = [name for name in tables.TABLES if f"<!-- table: {name} -->" not in everything]
    assert missing == []


def test_every_table_has_rows(tables: ModuleType) -> None:
    assert [name for name, make in tables.TABLES.items() if make().count("\n") < 3] == []


def test_a_bar_in_a_cell_stays_in_it(tables: ModuleType) -> None:
    assert tables.table(("a",), [["x | y\nz"]]) == "| a |\n| --- |\n| x \\| y z |\n"


# -- every name of the code is explained --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("docs/errors.md", Code),
        ("docs/lifecycle.md", State),
        ("docs/lifecycle.md", ExceptionCode),
        ("docs/lifecycle.md", PlacementStatus),
        ("docs/operations.md", ExceptionCode),
        ("docs/venue-operations.md", GatewayState),
        ("docs/api.md", OrderType),
        ("docs/api.md", TimeInForce),
        ("docs/api.md", Role),
    ],
)
def test_every_member_is_explained(pages: dict[str, str], page: str, names: type[StrEnum]) -> None:
    assert [name.value for name in names if f"`{name.value}`" not in pages[page]] == []


def test_every_command_and_event_is_explained(pages: dict[str, str]) -> None:
    kinds = [kind.model_fields["kind"].default for kind in get_args(get_args(Happening)[0])]
    page = pages["docs/lifecycle.md"]
    assert [name for name in (*GATES, *kinds) if f"`{name}`" not in page] == []
    assert [gate.name for gate in GATES.values() if gate.name not in page] == []


def test_every_setting_is_explained(pages: dict[str, str]) -> None:
    page = pages["docs/settings.md"]
    for name, field in Settings.model_fields.items():
        assert f"`{PREFIX}{name.upper()}`" in page
        assert field.description


def test_every_metric_is_explained(pages: dict[str, str]) -> None:
    told = set(re.findall(r'"(oms_\w+)"', inspect.getsource(metrics)))
    assert told
    told |= {f"oms_gateway_{name}" for name in metrics.OF_GATEWAY}
    assert [name for name in told if name not in pages["docs/operations.md"]] == []


def test_every_alarm_of_the_gateway_is_explained(pages: dict[str, str]) -> None:
    alarms = {
        name
        for file in (ROOT / "src" / "oms" / "gateways").rglob("*.py")
        for name in re.findall(r'"ibkr\.alarm\.(\w+)"', file.read_text(encoding="utf-8"))
    }
    assert alarms
    assert [name for name in sorted(alarms) if f"`{name}`" not in pages["docs/ibkr.md"]] == []


# -- nothing else is named -----------------------------------------------------------------------------------


def test_every_variable_named_exists(pages: dict[str, str]) -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | _NOT_SETTINGS
    named = {(page, variable) for page, text in pages.items() for variable in _VARIABLE.findall(text)}
    assert sorted((page, variable) for page, variable in named if variable not in known) == []


def test_every_command_named_exists(tables: ModuleType, pages: dict[str, str]) -> None:
    known = set(tables.oms_commands())
    groups = {name.rsplit(" ", 1)[0] for name in known if name.count(" ") == 2}
    unknown = []
    for page, text in pages.items():
        for found in _COMMAND.finditer(text):
            words = found["words"].split(" ")
            one, two = f"oms {words[0]}", f"oms {' '.join(words)}"
            if not {one, two} & known and not (one in groups and (len(words) == 1 or two in known)):
                unknown.append((page, two))
    assert unknown == []


def test_every_option_named_exists(tables: ModuleType, pages: dict[str, str]) -> None:
    options = tables.oms_options()
    unknown = []
    for page, text in pages.items():
        for line in (line for fence in _FENCE.findall(text) for line in fence.splitlines()):
            found = re.search(r"(?:^|/)oms (?P<rest>[a-z].*)", line)
            if found is None or "--entrypoint" in line:
                continue
            words = found["rest"].split()
            name = next((n for n in (f"oms {' '.join(words[:2])}", f"oms {words[0]}") if n in options), None)
            assert name is not None, (page, line)
            unknown += [(page, line, w) for w in words if w.startswith("--") and w not in options[name]]
    assert unknown == []


def test_no_place_of_a_machine_is_named(pages: dict[str, str]) -> None:
    named = [
        (page, line)
        for page, text in pages.items()
        for line in text.splitlines()
        if _PLACE_OF_A_MACHINE.search(line)
    ]
    assert named == []


def test_every_file_named_in_the_architecture_exists(pages: dict[str, str]) -> None:
    for page in ("docs/architecture.md", "docs/exactly-once.md", "docs/extending.md"):
        for name in re.findall(r"`((?:\w+/)+\w+\.py)`", pages[page]):
            assert (ROOT / name).exists() or (ROOT / "src" / "oms" / name).exists(), (page, name)


def test_the_tables_of_the_store_that_are_named_exist() -> None:
    assert {"status", "reason", "fact", "raw", "gateway", "order_id"} <= set(store_tables.inbox.c.keys())


# -- links ----------------------------------------------------------------------------------------------------


def _anchors(text: str) -> set[str]:
    """The anchors that GitHub makes of headings."""
    titles = (found["title"] for found in _HEADING.finditer(_FENCE.sub("", text)))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _links(pages: dict[str, str]) -> Iterator[tuple[str, str]]:
    for page, text in pages.items():
        for found in _LINK.finditer(_FENCE.sub("", text)):
            if "://" not in found["target"]:
                yield page, found["target"]


def test_every_link_leads_somewhere(pages: dict[str, str]) -> None:
    broken = []
    for page, target in _links(pages):
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        if not file.exists() or (anchor and anchor not in _anchors(file.read_text(encoding="utf-8"))):
            broken.append((page, target))
    assert broken == []


def test_every_page_is_reached_from_the_readme(pages: dict[str, str]) -> None:
    reached, ahead = set[str](), ["README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached or page not in pages:
            continue
        reached.add(page)
        for _, target in _links({page: pages[page]}):
            file = ((ROOT / page).parent / target.partition("#")[0]).resolve()
            if file.is_relative_to(ROOT):
                index = file / "README.md" if file.is_dir() else file
                ahead.append(str(index.relative_to(ROOT)))
    assert sorted(pages.keys() - reached) == []


def test_no_diagram_holds_a_semicolon(pages: dict[str, str]) -> None:
    """Mermaid ends a statement with it, so the rest of a label would be lost."""
    diagrams = [f for text in pages.values() for f in _FENCE.findall(text) if f.startswith("```mermaid")]
    assert diagrams
    assert [diagram for diagram in diagrams if ";" in diagram] == []


# -- the README -------------------------------------------------------------------------------------------------


def test_the_readme_begins_with_the_two_commands(pages: dict[str, str]) -> None:
    fence = _FENCE.search(pages["README.md"])
    assert fence is not None
    assert [line.split("#")[0].strip() for line in fence[0].splitlines()[1:-1]] == ["make demo", "make test"]


def test_the_ready_line_is_the_one_that_is_printed(pages: dict[str, str]) -> None:
    shape = Stack.ready_line.fget  # type: ignore[attr-defined]
    printed = shape(
        Stack(
            api="http://127.0.0.1:9191",
            temporal="127.0.0.1:7233",
            ui="http://127.0.0.1:8233",
            keys_file=Path("DIR/keys.json"),
            keys={},
            settings=None,  # type: ignore[arg-type]
            store=None,  # type: ignore[arg-type]
            client=None,  # type: ignore[arg-type]
            children={},
        )
    )
    assert f"\n{printed}\n" in pages["README.md"]


def test_a_venue_without_a_gateway_is_said_to_have_none(pages: dict[str, str]) -> None:
    without = set(Venue) - {Venue.IBKR}
    assert all(f"`{venue}`" in pages["README.md"] for venue in without)
