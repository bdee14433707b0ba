"""The page about rule types: its example is installed and works as the page says it does."""

import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

import pytest

from oms.domain.rules.registry import BUILT_IN, GROUP
from oms.domain.rules.rule_type import RuleType
from tests.docs.conftest import ROOT

EXAMPLE = ROOT / "examples" / "rule-type-plugin"
PAGE = "docs/writing-a-rule-type.md"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder that holds the example as an installer leaves it: its module and its metadata."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (tmp_path / "max_instruments.py").write_bytes((EXAMPLE / "max_instruments.py").read_bytes())
    metadata = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    named = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (metadata / "METADATA").write_text(named, encoding="utf-8")
    groups = "".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in project["entry-points"].items()
    )
    (metadata / "entry_points.txt").write_text(groups, encoding="utf-8")
    return tmp_path


def python(*arguments: str | Path, path: Path) -> subprocess.CompletedProcess[str]:
    """A new Python with `path` installed."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=path,
        env={"PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_tests_of_the_example_pass_where_it_is_installed(installed: Path) -> None:
    ended = python(
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        "/dev/null",
        EXAMPLE / "test_max_instruments.py",
        path=installed,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "7 passed" in ended.stdout


def test_the_tests_of_the_example_fail_where_it_is_not(tmp_path: Path) -> None:
    ended = python(
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        "/dev/null",
        EXAMPLE / "test_max_instruments.py",
        path=tmp_path,
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr


def test_the_example_is_one_type_more(installed: Path) -> None:
    ended = python(
        "-c", "from oms.domain.rules.registry import rule_types; print(*rule_types())", path=installed
    )
    assert ended.stdout.split() == [*(kind.name for kind in BUILT_IN), "max_instruments"], ended.stderr


def test_a_package_that_is_broken_is_named(installed: Path) -> None:
    (installed / "max_instruments.py").write_text("from oms import nowhere\n", encoding="utf-8")
    ended = python("-c", "from oms.domain.rules.registry import rule_types; rule_types()", path=installed)
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert "BrokenPlugin: rule type 'max_instruments' of oms-max-instruments: ImportError" in last


def test_an_entry_point_is_found_by_its_package(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed))
    (found,) = [each for each in entry_points(group=GROUP) if each.name == "max_instruments"]
    assert found.dist is not None
    assert found.dist.name == "oms-max-instruments"


def test_the_page_holds_the_example_as_it_is(pages: dict[str, str]) -> None:
    for name in ("max_instruments.py", "pyproject.toml", "test_max_instruments.py"):
        assert (EXAMPLE / name).read_text(encoding="utf-8") in pages[PAGE]


def test_a_page_with_an_old_example_is_stale(tables: ModuleType, pages: dict[str, str]) -> None:
    old = pages[PAGE].replace("max_count: Annotated[int, Field(gt=0)]", "max_count: int")
    assert old != pages[PAGE]
    assert tables.renewed(Path(PAGE), old) == pages[PAGE]


def test_the_page_explains_every_type_every_parameter_and_every_part(pages: dict[str, str]) -> None:
    page = pages[PAGE]
    for kind in BUILT_IN:
        assert f"`{kind.name}`" in page
        for name, field in kind.parameters.model_fields.items():
            assert f"`{name}` ({field.description})" in page
    parts = [name for name in {**vars(RuleType), **RuleType.__annotations__} if not name.startswith("_")]
    assert [name for name in parts if f"`{name}`" not in page and name != "breach"] == []
