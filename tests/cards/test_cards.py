"""The cards, their tests, their page and the venue policy say the same."""

import ast
import re
from pathlib import Path

from oms.gateways.ibkr.error_codes import Meaning, meaning
from oms.gateways.ibkr.reading import STATUS
from tests.cards.cards import HERE, PAGE, SECTIONS, cards, page

POLICY = (PAGE.parent / "venue-policy.md").read_text(encoding="utf-8")
_NAMED = (
    *(103, 104, 110, 200, 201, 202, 326, 354, 399, 1100, 1101, 1102, 2103, 2104, 2105, 2106, 2107, 2108),
    *(2109, 2110, 10147, 10148, 10349),
)
"""Codes about which users of the API have lost orders; each has a row of its own."""


def functions_of(file: Path) -> list[str]:
    """The names of the test functions of a file."""
    nodes = ast.parse(file.read_text(encoding="utf-8")).body
    found = [node.name for node in nodes if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)]
    return [name for name in found if name.startswith("test_")]


def rows(heading: str) -> list[list[str]]:
    """The cells of the table rows below a heading of the policy."""
    below = POLICY.split(f"{heading}\n", 1)[1].split("\n#", 1)[0]
    lines = [line for line in below.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[2:]]


def test_each_card_has_one_test_and_each_test_is_a_card() -> None:
    for number, (name, _) in SECTIONS.items():
        wanted = [card.test for card in cards() if card.section == number]
        assert functions_of(HERE / f"test_{name}.py") == wanted


def test_numbers_are_given_once_and_texts_are_sentences() -> None:
    numbers = [card.number for card in cards()]
    assert len(set(numbers)) == len(numbers)
    for card in cards():
        texts = (card.prerequisite, card.action, card.expected, card.passes)
        assert all(text.endswith(".") for text in texts), card.name
        assert not card.title.endswith("."), card.name


def test_the_page_is_what_the_cards_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(cards()), "run `python -m tests.cards --write`"


def test_the_policy_names_cards_that_exist() -> None:
    named = set(re.findall(r"CARD-\d+", POLICY))
    assert named - {card.name for card in cards()} == set()


def test_every_row_of_the_policy_has_a_card() -> None:
    table_rows = [line for line in POLICY.splitlines() if line.startswith("| ") and "---" not in line]
    headings = {line for line in table_rows if line.rstrip().endswith("| Card |")}
    assert [line for line in table_rows if line not in headings and "CARD-" not in line] == []


def test_the_policy_has_every_status_and_every_meaning() -> None:
    for heading in ("### openOrder", "### orderStatus"):
        told = " ".join(row[0] for row in rows(heading))
        assert [status for status in STATUS if f"`{status}`" not in told] == []
    assert {row[0] for row in rows("## Error codes")} == {means.value for means in Meaning}


def test_a_code_of_the_policy_is_in_the_group_that_the_gateway_has_it_in() -> None:
    told = {int(row[0]): row[2] for row in rows("### Codes, one by one")}
    assert set(_NAMED) <= set(told)
    assert told == {number: meaning(number).value for number in told}
