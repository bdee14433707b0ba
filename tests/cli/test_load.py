"""`oms load`: reference data from files, each line judged by itself."""

import uuid
from pathlib import Path

from oms.cli.book import Book
from tests.cli.running import Dev


def test_good_lines_are_kept_and_bad_ones_told(dev: Dev, tmp_path: Path) -> None:
    symbol = f"L{uuid.uuid4().hex[:6].upper()}"
    file = tmp_path / "instruments.csv"
    file.write_text(
        f'# a desk\'s own\nsymbol,currency,issuer\n{symbol},USD,"Load, Inc."\n'
        f"{symbol}A,dollar,\n{symbol}B,dollar,\nshort\n",
        encoding="utf-8-sig",
    )
    ended = dev.oms("load", file)
    assert ended.code == 1
    assert ended.out == "1 instruments\n"
    first, second = ended.err.splitlines()
    assert first.startswith(f"{file}:4: VALIDATION_FAILED: currency: ")
    assert first.endswith(" (and 1 more lines)")
    assert second == f"{file}:6: 1 cells under 3 columns"
    book = Book(dev.api, dev.keys["viewer"])
    (kept,) = book.items("/v1/instruments", 10, symbol=symbol)
    assert kept["issuer"] == "Load, Inc."
    assert dev.oms("load", file).out == "1 instruments\n"
    assert list(book.items("/v1/instruments", 10, symbol=symbol)) == [kept]


def test_a_folder_twice_is_a_folder_once(dev: Dev, tmp_path: Path) -> None:
    name = uuid.uuid4().hex[:6].upper()
    (tmp_path / "accounts.csv").write_text(f"account_id,name,broker_account\nA-{name},Main,DU{name}\n")
    (tmp_path / "portfolios.json").write_text(
        f'[{{"portfolio_id": "P-{name}", "name": "Fund", "default_account_id": "A-{name}"}}]'
    )
    (tmp_path / "instruments.csv").write_text(f"symbol;tick_size\n{name};0.05\n")
    (tmp_path / "prices.csv").write_text(f"symbol,price,as_of\n{name},12.5,2026-03-02T15:00:00Z\n")
    for _ in range(2):
        ended = dev.oms("load", tmp_path)
        assert (ended.code, ended.err) == (0, "")
        assert ended.out == "1 accounts, 1 portfolios, 1 instruments, 0 rules, 1 prices\n"


def test_what_cannot_be_loaded(dev: Dev, tmp_path: Path) -> None:
    puzzle = tmp_path / "puzzle.csv"
    puzzle.write_text("symbol\nA\n")
    twice = tmp_path / "instruments.csv"
    twice.write_text("symbol,symbol\nA,A\n")
    for arguments, reason in (
        ((puzzle,), f"what {puzzle} holds is not known"),
        ((tmp_path / "none",), "is neither a folder nor a file"),
        ((twice,), f"{twice}: line 1: column 'symbol' is there twice"),
    ):
        ended = dev.oms("load", *arguments)
        assert (ended.code, ended.out) == (1, "")
        assert reason in ended.err
    assert dev.oms("load", puzzle, "--kind", "instruments").out == "1 instruments\n"
