"""What the tests of the documentation share: the generator, which is a program and not a package."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def tables() -> ModuleType:
    sys.path.insert(0, str(ROOT / "docs"))  # as for a program that is run from there
    spec = importlib.util.spec_from_file_location("docs_tables", ROOT / "docs" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def pages(tables: ModuleType) -> dict[str, str]:
    """Every page by its path from the project's root."""
    everything = [*tables.PAGES, ROOT / "CHANGELOG.md"]
    return {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in everything}
