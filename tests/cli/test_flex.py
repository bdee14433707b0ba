"""`oms reconcile flex`: the paper broker's statement against the book of a running `oms dev`."""

import re

from tests.cli.running import Dev, run


def test_the_paper_brokers_statement_says_what_our_books_say(dev: Dev) -> None:
    """`oms dev` comes with a paper Flex service, its token and its query; nothing has to be set."""
    found = re.search(r"temporal=(\S+)", dev.ready_line)
    assert found
    told = run("reconcile", "flex", "--temporal", found[1], seconds=120)
    assert told.code == 0, told
    (line,) = (line for line in told.out.splitlines() if "DU123456" in line)
    _, _, _, trades, matching, _, differences = (part.strip() for part in line.strip("│ ").split("│")[:7])
    assert (trades, differences) == (matching, "0")


def test_a_temporal_server_that_is_away_is_one_line() -> None:
    told = run("reconcile", "flex", "--temporal", "127.0.0.1:1", seconds=60)
    assert told.code == 2
    assert told.err.count("\n") == 1
    assert told.err.startswith("oms: ")


def test_a_day_that_is_none_is_refused() -> None:
    assert run("reconcile", "flex", "--from", "yesterday").code == 2
