"""The parts of a Markdown table, and what an enum's own words say of its members."""

import inspect
import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from enum import Enum


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a bar or a line break inside a cell is written so that it stays inside."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(_cell(text) for text in line)} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def code(*names: str) -> str:
    return ", ".join(f"`{name}`" for name in names)


def own_docstring(kind: type) -> str:
    """The docstring that the class itself carries, not one it inherits."""
    return inspect.cleandoc(kind.__dict__.get("__doc__") or "")


def sentences(kind: type[Enum]) -> dict[str, str]:
    """`NAME: what it means.` from an enum's docstring, by name; NAME may stand anywhere after a full stop."""
    text = " ".join(own_docstring(kind).split())
    names = "|".join(member.name for member in kind)
    parts = re.split(rf"\b({names}): ", text)
    return {name: said.strip() for name, said in zip(parts[1::2], parts[2::2], strict=True)}


def seconds(span: timedelta | None) -> str:
    return "none" if span is None else f"{span.total_seconds():g} s"
