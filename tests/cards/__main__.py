"""`python -m tests.cards`: the acceptance cards as a page; `--write` keeps it in the documentation."""

import sys

from tests.cards.cards import PAGE, cards, page

if __name__ == "__main__":
    text = page(cards())
    if "--write" in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
