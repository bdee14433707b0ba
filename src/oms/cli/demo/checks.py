"""The checked summary: what the order book holds beside what the script, the broker and the journal say."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from pathlib import Path

from oms.cli.book import Book, Item
from oms.cli.demo.people import WHO
from oms.cli.demo.script import Scene, Script
from oms.domain.identifiers import order_ref
from oms.domain.lifecycle import MAIN_CHAIN
from oms.domain.numbers import plain
from oms.domain.terms import ComplianceMode
from oms.paper.ib_book import read_executions, read_orders
from oms.store import Store, rebuild


@dataclass(frozen=True)
class Checked:
    """One line of the summary: what was compared, and every difference found."""

    what: str
    differences: Sequence[str]


@dataclass(frozen=True)
class Played:
    """An order after the play."""

    scene: Scene
    order: Item
    fills: Sequence[Item]
    journal: Sequence[Item]

    @property
    def name(self) -> str:
        return self.scene.name

    @property
    def executed(self) -> Decimal:
        return Decimal(self.order["executed_quantity"])


def read_played(book: Book, orders: Mapping[str, str], scenes: Sequence[Scene]) -> list[Played]:
    """The orders (`orders`: scene's name to order id) with fills and journal, as the interface gives them."""
    return [
        _played(book, scene, f"/v1/orders/{orders[scene.name]}") for scene in scenes if scene.name in orders
    ]


def _played(book: Book, scene: Scene, path: str) -> Played:
    fills = list(book.items(f"{path}/fills", 10_000))
    return Played(scene, book.get(path), fills, list(book.items(f"{path}/journal", 10_000)))


def check(script: Script, played: Sequence[Played], book: Book, broker: Path, store: Store) -> list[Checked]:
    """Every check; `broker` is the paper broker's own book."""
    fills = sum(len(one.fills) for one in played)
    placements = sum(len(one.order["placements"]) for one in played)
    by_hand = sum(one.scene.people == "by-hand" for one in played)
    broken = sum(len(plan["differ"]) for plan in _plans(script, played).values())
    report = rebuild(store, write=False)
    return [
        Checked(f"{len(script.scenes)} orders ended as the script says", list(_ends(script, played))),
        Checked(f"{by_hand} of them went through all 14 states by hand", list(_chains(played))),
        Checked("every step of a person carries the right person's key", list(_keys(played))),
        Checked(
            f"{fills} fills are the broker's own executions, one by one",
            list(fill_differences(played, broker)),
        ),
        Checked(
            f"{placements} placements are {placements} orders at the broker",
            list(_placements(played, broker)),
        ),
        Checked("allocations are what was executed", list(_allocations(played))),
        Checked(f"{broken} break opened and was resolved", list(_breaks(script, played, book))),
        Checked(
            f"the projections are what {report.events} journal events say",
            [f"{d.order_id} {d.table} {d.row}: {d.what}" for d in report.differences],
        ),
    ]


def _ends(script: Script, played: Sequence[Played]) -> Iterator[str]:
    found = {one.name: one.order["state"] for one in played}
    for scene in script.scenes:
        if found.get(scene.name) != scene.ends:
            yield f"{scene.name}: expected {scene.ends}, found {found.get(scene.name, 'no order')}"


def _chains(played: Sequence[Played]) -> Iterator[str]:
    for one in played:
        if one.scene.people != "by-hand":
            continue
        seen = tuple(state for state, _ in groupby(event["state"] for event in one.journal))
        if seen != MAIN_CHAIN:
            yield f"{one.name}: the journal says {' '.join(seen)}"


def _keys(played: Sequence[Played]) -> Iterator[str]:
    for one in played:
        external = one.scene.body.get("compliance") == ComplianceMode.EXTERNAL
        for kind, key in WHO.get(one.scene.people, {}).items():
            expected = "rule-engine" if kind.endswith("_compliance_passed") and not external else key
            found = {event["actor"]["key"] for event in one.journal if event["kind"] == kind}
            if found != {expected}:
                yield f"{one.name}: {kind} by {', '.join(sorted(found)) or 'nobody'}, expected {expected}"


def fill_differences(played: Sequence[Played], broker: Path) -> Iterator[str]:
    """Our fills beside the broker's executions, by exec_id: its order, quantity, price, commission; both ways."""
    ours: dict[str, tuple[object, ...]] = {}
    for one in played:
        for fill in one.fills:
            amounts = (_amount(fill[name]) for name in ("quantity", "price", "commission"))
            ours[fill["exec_id"]] = (order_ref(fill["placement_id"]), *amounts)
    theirs: dict[str, tuple[object, ...]] = {
        e.exec_id: (e.order_ref, e.quantity, e.price, e.commission) for e in read_executions(broker)
    }
    yield from _differences(ours, theirs, "execution")


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _placements(played: Sequence[Played], broker: Path) -> Iterator[str]:
    ours = Counter(order_ref(p["placement_id"]) for one in played for p in one.order["placements"])
    theirs = Counter(line.order_ref for line in read_orders(broker))
    yield from _differences(ours, theirs, "orders under reference")


def _differences(ours: Mapping[str, object], theirs: Mapping[str, object], what: str) -> Iterator[str]:
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            yield f"{what} {key}: our book {_row(ours.get(key))}, the broker {_row(theirs.get(key))}"


def _row(value: object) -> str:
    if value is None:
        return "has none"
    parts = value if isinstance(value, tuple) else (value,)
    return "has " + " ".join(plain(part) if isinstance(part, Decimal) else str(part) for part in parts)


def _allocations(played: Sequence[Played]) -> Iterator[str]:
    for one in played:
        found = {a["account_id"]: Decimal(a["quantity"]) for a in one.order["allocations"]}
        if sum(found.values(), Decimal(0)) != one.executed:
            yield f"{one.name}: {plain(sum(found.values(), Decimal(0)))} allocated of {plain(one.executed)} executed"
        if one.scene.allocate and found != one.scene.allocate:
            yield f"{one.name}: allocated {found}, expected {one.scene.allocate}"


def _plans(script: Script, played: Sequence[Played]) -> dict[str, Item]:
    traded = {one.scene.symbol for one in played if one.executed > 0}
    return {symbol: plan for symbol, plan in script.plans.items() if symbol in traded and plan.get("differ")}


def _breaks(script: Script, played: Sequence[Played], book: Book) -> Iterator[str]:
    plans = _plans(script, played)
    for one in played:
        expected = set(plans.get(one.scene.symbol, {}).get("differ", {}))
        for kind in ("exception_raised", "exception_resolved"):
            found = [e["data"]["subject"] for e in one.journal if _is_break(e, kind)]
            if sorted(found) != sorted(expected):
                yield f"{one.name}: {kind} for {found or 'nothing'}, expected {sorted(expected) or 'nothing'}"
    for left in book.items("/v1/exceptions", 100):
        yield f"{left['order_id']}: {left['code']} is open: {left['detail']}"


def _is_break(event: Item, kind: str) -> bool:
    return bool(event["kind"] == kind and event["data"]["code"] == "BREAK_OPEN")
