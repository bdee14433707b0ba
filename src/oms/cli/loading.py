"""`oms load DIR`: portfolios, accounts, instruments, rules and prices from a folder, through the HTTP interface.

Loading twice is loading once: reference data takes the new description, a rule that is there stays as it is.
"""

import csv
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from oms.cli.book import Book, BookError, Item
from oms.cli.connecting import DEFAULT_API, Api, As, Key, Keys, connect, one_line

_KINDS = (
    ("accounts", "/v1/accounts"),
    ("portfolios", "/v1/portfolios"),
    ("instruments", "/v1/instruments"),
    ("rules", "/v1/compliance/rules"),
)
"""In this order: a portfolio names its account."""
_PARALLEL = 6


def load_folder(book: Book, folder: Path) -> dict[str, int]:
    """Load what `folder` holds; how many of each kind. Raises BookError, also for a file that cannot be read."""
    counts: dict[str, int] = {}
    ids: dict[str, str] = {}
    for kind, path in _KINDS:
        items = list(read_items(folder, kind))
        with ThreadPoolExecutor(_PARALLEL) as senders:
            answers = list(senders.map(lambda item, path=path: book.post(path, item), items))
        if kind == "instruments":
            ids = {answer["symbol"]: answer["instrument_id"] for answer in answers}
        counts[kind] = len(items)
    prices = [_priced(item, ids) for item in read_items(folder, "prices")]
    if prices:
        book.put("/v1/prices", {"prices": prices})
    return {**counts, "prices": len(prices)}


def read_items(folder: Path, kind: str) -> Iterator[Item]:
    """The items of `folder`/`kind`.json or .csv, none where there is no such file. Raises BookError."""
    for file in (folder / f"{kind}.json", folder / f"{kind}.csv"):
        try:
            text = file.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise BookError(f"cannot read {file}: {error}") from error
        yield from _of_json(file, text) if file.suffix == ".json" else _of_csv(text)


def _of_json(file: Path, text: str) -> Iterator[Item]:
    try:
        items = json.loads(text)
    except ValueError as error:
        raise BookError(f"{file} is not JSON: {error}") from error
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise BookError(f"{file} is not a JSON array of objects")
    yield from items


def _of_csv(text: str) -> Iterator[Item]:
    lines = (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    for row in csv.DictReader(lines):
        item: Item = {name: value for name, value in row.items() if name and value}
        if "conid" in item:
            item["conid"] = int(item["conid"]) if item["conid"].isdigit() else item["conid"]
        yield item


def _priced(item: Item, ids: dict[str, str]) -> Item:
    if "symbol" not in item:
        return item
    if item["symbol"] not in ids:
        raise BookError(f"prices: {item['symbol']!r} is not one of the instruments of this folder")
    return {"instrument_id": ids[item["symbol"]], "price": item.get("price")}


def load(
    folder: Annotated[
        Path, typer.Argument(help="Folder with portfolios, accounts, instruments, rules, prices.")
    ],
    api: Api = DEFAULT_API,
    key: Key = None,
    keys: Keys = None,
    role: As = "admin",
) -> None:
    """Load reference data and rules from DIR, such as examples/; loading twice is loading once."""
    with one_line():
        if not folder.is_dir():
            raise BookError(f"{folder} is not a folder")
        counts = load_folder(connect(api, key, keys, role), folder)
    typer.echo(", ".join(f"{count} {kind}" for kind, count in counts.items()))


def add_commands(application: typer.Typer) -> None:
    application.command()(load)
