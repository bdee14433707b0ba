"""`oms submit` against a real order book."""

import json
import signal
import time
import uuid
from pathlib import Path

from oms.cli.book import Book
from oms.cli.orders import find_order
from tests.cli.running import Dev, Running, run, stopped_at_last

HEAD = "client_order_id,portfolio_id,symbol,direction,ordered_quantity,order_type,time_in_force,limit_price"


def line(name: str = "", **changes: str) -> str:
    cells = {
        "client_order_id": name,
        "portfolio_id": "GROWTH",
        "symbol": "AAPL",
        "direction": "Buy",
        "ordered_quantity": "10",
        "order_type": "Limit",
        "time_in_force": "Day",
        "limit_price": "150.25",
        **changes,
    }
    return ",".join(cells.values())


def sheet(folder: Path, *lines: str) -> Path:
    file = folder / f"{uuid.uuid4().hex}.csv"
    file.write_text("\n".join((HEAD, *lines)) + "\n")
    return file


def test_good_rows_become_orders_once(dev: Dev, tmp_path: Path) -> None:
    name = uuid.uuid4().hex
    file = sheet(tmp_path, line(name), line(), "", "# a comment", line(direction="Sell"))
    first, second = dev.oms("submit", file), dev.oms("submit", file)
    assert (first.code, first.err) == (0, "")
    assert first.out.startswith("3 orders created (")
    assert (second.code, second.out, second.err) == (0, "0 orders created, 3 there already\n", "")
    anew = dev.oms("submit", "--again", file)
    assert anew.code == 1
    assert anew.err.startswith(f"{file}:2: DUPLICATE_ORDER: ")
    assert anew.out.startswith("2 orders created (")
    assert anew.out.endswith(", 1 row bad\n")


def test_bad_rows_are_told_and_good_ones_go_on(dev: Dev, tmp_path: Path) -> None:
    file = sheet(
        tmp_path,
        line(),
        line(symbol="NOSUCH"),
        line(ordered_quantity="-1"),
        line(limit_price=""),
        line() + ",",
        line(portfolio_id="NOWHERE"),
        line(),
    )
    ended = dev.oms("submit", file)
    assert ended.code == 1
    told = ended.err.splitlines()
    assert [text.removeprefix(f"{file}:").split(":")[0] for text in told] == ["3", "4", "5", "6", "7"]
    for text, reason in zip(
        told,
        ("INVALID_INSTRUMENT", "ordered_quantity", "limit_price is required", "9 cells", "INVALID_PORTFOLIO"),
        strict=True,
    ):
        assert reason in text
    assert ended.out.startswith("2 orders created (")
    assert ended.out.endswith(", 5 rows bad\n")


def test_a_refusal_whose_cause_is_gone_is_not_repeated(dev: Dev, tmp_path: Path) -> None:
    symbol = f"N{uuid.uuid4().hex[:6].upper()}"
    file = sheet(tmp_path, line(symbol=symbol))
    assert dev.oms("submit", file).code == 1
    (tmp_path / "instruments.json").write_text(json.dumps([{"symbol": symbol}]))
    assert dev.oms("load", tmp_path).out == "0 accounts, 0 portfolios, 1 instruments, 0 rules, 0 prices\n"
    assert dev.oms("submit", file).out.startswith("1 order created (")


def test_a_submission_that_was_stopped_goes_on(dev: Dev, tmp_path: Path) -> None:
    rows = 60
    file = sheet(tmp_path, line(uuid.uuid4().hex), *[line()] * (rows - 1))
    name = file.read_text().splitlines()[1].split(",")[0]
    stopped = Running("submit", file, "--parallel", "1", "--api", dev.api, "--keys", dev.keys_file)
    with stopped_at_last(stopped):
        book, deadline = Book(dev.api, dev.keys["viewer"]), time.monotonic() + 60
        while not any(order["client_order_id"] == name for order in book.items("/v1/orders", 5)):
            assert time.monotonic() < deadline
        code, _ = stopped.stop(signal.SIGINT, 30)
        said = stopped.line(lambda text: text.startswith("oms: stopped"), 5, stopped.errors)
    assert code == 130
    there = int(said.split("; ")[1].split(" of ")[0])
    assert 0 < there < rows
    rest = dev.oms("submit", file)
    assert rest.code == 0, rest.err
    assert rest.out.startswith(f"{rows - there} orders created (")
    assert rest.out.endswith(f", {there} there already\n")


def test_json_from_standard_input(dev: Dev) -> None:
    order = dict(zip(HEAD.split(","), line(uuid.uuid4().hex).split(","), strict=True))
    order |= {"ordered_quantity": 10, "metadata": {"desk": "7"}}
    ended = dev.oms("submit", "-", stdin=json.dumps([order]).encode())
    assert (ended.code, ended.err) == (0, "")
    made = find_order(Book(dev.api, dev.keys["viewer"]), order["client_order_id"])
    assert (made["ordered_quantity"], made["metadata"]) == ("10", {"desk": "7"})


def test_a_file_that_cannot_be_read(dev: Dev, tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    empty.touch()
    for file, reason in ((empty, f"{empty}: it is empty"), (tmp_path / "none", "cannot read ")):
        ended = dev.oms("submit", file)
        assert (ended.code, ended.out) == (1, "")
        assert ended.err.startswith(f"oms: {reason}")
        assert len(ended.err.splitlines()) == 1


def test_a_key_that_may_not_is_told_once(dev: Dev, tmp_path: Path) -> None:
    file = sheet(tmp_path, line(), line(), line())
    ended = dev.oms("submit", file, "--role", "viewer")
    assert (ended.code, ended.out) == (1, "")
    assert len(ended.err.splitlines()) == 1
    assert "NOT_AUTHORIZED" in ended.err


def test_nobody_at_the_address(tmp_path: Path) -> None:
    file = sheet(tmp_path, line())
    ended = run("submit", file, "--key", "k", "--api", "http://127.0.0.1:9")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("oms: nobody answers at http://127.0.0.1:9")
    assert len(ended.err.splitlines()) == 1
