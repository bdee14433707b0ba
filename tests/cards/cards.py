"""The acceptance cards of the venue adapter, as data.

A card is a numbered promise about the IBKR gateway: what must be there, what is done, what must be heard of it, and by
what it passes. The cards of a section stand in a TOML file beside the test module that runs them; `docs/acceptance-cards.md`
is written from them.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "acceptance-cards.md"
SECTIONS = {
    1: ("session", "The session"),
    2: ("placing", "Placing exactly once"),
    3: ("messages", "What the broker says"),
    4: ("canceling", "Canceling"),
    5: ("changing", "Changing a live order"),
    6: ("nothing_missed", "Nothing missed"),
    7: ("orders", "Orders"),
    8: ("families", "Families and strategies"),
    9: ("accounts", "Accounts and sessions"),
}
"""By the hundreds of a card's number: the name of its files, and its heading."""


@dataclass(frozen=True, slots=True)
class Card:
    """One acceptance card; the texts are sentences for a person."""

    number: int
    title: str
    prerequisite: str
    action: str
    expected: str
    passes: str

    @property
    def name(self) -> str:
        return f"CARD-{self.number}"

    @property
    def section(self) -> int:
        return self.number // 100

    @property
    def test(self) -> str:
        """The name of the test function that runs the card."""
        return f"test_card_{self.number}"

    @property
    def module(self) -> str:
        """The file of that function."""
        return f"test_{SECTIONS[self.section][0]}.py"


def cards() -> list[Card]:
    """Every card, by number. Raises KeyError or TypeError for a file that is no list of cards."""
    found = []
    for name, _ in SECTIONS.values():
        file = HERE / f"{name}.toml"
        with file.open("rb") as data:
            found += [Card(**fields) for fields in tomllib.load(data)["card"]]
    return sorted(found, key=lambda card: card.number)


INTRODUCTION = """# Acceptance cards

Each card is a promise of the Interactive Brokers gateway, and one test that runs it in every `make test`: the real
gateway and a real store against the paper IB Gateway over TCP. Which word of the broker means what, and why, is the
[venue policy](venue-policy.md); how to run a card, and to write one, is in [Testing](testing.md#acceptance-cards).

This page is written from `tests/cards/*.toml` by `python -m tests.cards --write`.
"""

_HEADINGS = "| Card | Prerequisite | Action | Expected | Passes when |\n| --- | --- | --- | --- | --- |\n"


def page(found: list[Card]) -> str:
    """The page of the documentation."""
    parts = [INTRODUCTION]
    for number, (name, heading) in SECTIONS.items():
        rows = [card for card in found if card.section == number]
        parts.append(f"\n## {heading}\n\n`pytest tests/cards/test_{name}.py`\n\n{_HEADINGS}")
        parts += [_row(card) for card in rows]
    return "".join(parts)


def _row(card: Card) -> str:
    cells = (f"**{card.name}** {card.title}", card.prerequisite, card.action, card.expected, card.passes)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"
