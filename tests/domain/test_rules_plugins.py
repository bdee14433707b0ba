"""Rule types of other packages: used like the built-in ones, and told at once where they cannot be."""

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from oms.domain.model import Model
from oms.domain.rules import registry
from oms.domain.rules.book import Book, Proposal
from oms.domain.rules.engine import Needs, evaluate, needs
from oms.domain.rules.registry import BUILT_IN, BrokenPlugin, with_plugins
from oms.domain.rules.rule_type import Finding, RuleType
from tests.domain.books import book, order, rule

POSITION = rule("max_position", {"max_quantity": "100"}, rule_id="R-position")
RATE = rule("message_rate", {"max_per_second": 3})


class Odd(RuleType[Model]):
    """A rule type with a defect in each place."""

    name = "odd"
    parameters = Model
    answer: Any = None

    def check(self, parameters: Model, book: Book, proposal: Proposal) -> Finding:  # noqa: ARG002
        if isinstance(self.answer, Exception):
            raise self.answer
        found: Finding = self.answer
        return found

    def needs(self, parameters: Model) -> Needs:  # noqa: ARG002
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "answer",
    [None, True, ValueError("three"), Finding(passed=True, description=""), Finding(True, "x", limit=0.5)],  # type: ignore[arg-type]
)
def test_a_rule_type_with_a_defect_fails_its_own_rules_and_no_others(
    monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    known = {**registry.rule_types(), "odd": Odd()}
    monkeypatch.setattr(registry, "rule_types", lambda: known)
    monkeypatch.setattr(Odd, "answer", answer)
    odd = rule("odd", {}, rule_id="R-odd")
    results = evaluate([odd, POSITION], book(), order())
    assert [(each.rule_id, each.passed) for each in results] == [("R-odd", False), ("R-position", True)]
    assert "cannot be computed" in results[0].description
    assert needs([odd, RATE]) == Needs(window_seconds=1)


class Again(Odd):
    name = "max_position"


class Shapeless(Odd):
    name = "shapeless"
    parameters = dict  # type: ignore[assignment]


class Checkless(RuleType[Model]):
    name = "checkless"
    parameters = Model


def offered(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, registry.GROUP)


def test_a_plug_in_is_a_rule_type_like_the_others() -> None:
    known = with_plugins([offered("odd", f"{__name__}:Odd")])
    assert [*known] == [*(kind.name for kind in BUILT_IN), "odd"]


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("odd", "no_such_module:Odd", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("odd", f"{__name__}:NoSuchClass", "AttributeError"),
        ("odd", f"{__name__}:BUILT_IN", "is not a class below RuleType"),
        ("max_position", f"{__name__}:Again", "there is a rule type 'max_position' already"),
        ("other", f"{__name__}:Odd", "Odd must have the entry point's name, 'other'"),
        ("shapeless", f"{__name__}:Shapeless", "the parameters of Shapeless are not a class below Model"),
        ("checkless", f"{__name__}:Checkless", "Checkless has no check"),
    ],
)
def test_a_plug_in_that_cannot_be_used_is_told_and_never_left_out(name: str, value: str, why: str) -> None:
    with pytest.raises(BrokenPlugin) as broken:
        with_plugins([offered(name, value)])
    assert str(broken.value).startswith(f"rule type {name!r} of ")
    assert why in str(broken.value)


def test_two_plug_ins_of_one_name_are_told() -> None:
    twice = [offered("odd", f"{__name__}:Odd")] * 2
    with pytest.raises(BrokenPlugin, match="there is a rule type 'odd' already"):
        with_plugins(twice)
